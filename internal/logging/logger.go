package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// queueBytes is the default bound of the queue. It holds tens of thousands of
// ordinary lines, or a few traced payloads of the largest default size.
const queueBytes = 8 << 20

// flushPatience is how long Flush, Reopen, Commit, Close and Fatalf wait for a
// sink that does not accept writes.
const flushPatience = 2 * time.Second

// Logger is the server's log. See the package comment for its promises.
type Logger struct {
	exit  func(code int)
	limit int

	debug      atomic.Bool
	trace      atomic.Bool
	payloadMax atomic.Int64
	dropped    atomic.Uint64
	failed     atomic.Uint64

	doorbell chan struct{} // capacity 1: rung after something below mu grew
	done     chan struct{} // closed when the writer has ended

	// layout is the form of lines queued now, stored with mu held.
	layout atomic.Pointer[layout]

	// mu guards the fields below, never held during I/O.
	mu       sync.Mutex
	queue    []byte
	change   *change  // of the sink, for lines queued after it
	controls []func() // run by the writer after the lines queued before them
	repeats  repeats
	toFile   bool
	closing  bool

	// Owned by the writer.
	dest     destination
	reported uint64 // drops already told about
}

// change is a new sink that waits for the lines before it.
type change struct {
	before []byte // for the old sink
	dest   destination
	done   chan struct{} // closed when dest is in use
}

// Open starts a logger on the sink that o asks for. Labels are coloured when
// that is standard error and a terminal. The error is complete, in the words of
// the reference.
func Open(o Options) (*Logger, error) {
	d, err := openDestination(o)
	if err != nil {
		return nil, err
	}
	return start(d, o), nil
}

// New starts a logger on w, which belongs to the logger until Close returns.
// What o says about sinks is not looked at.
func New(w io.Writer, o Options) *Logger {
	return start(destination{sink: w, layout: newLayout(o, false)}, o)
}

func openDestination(o Options) (destination, error) {
	switch {
	case o.File != "":
		return openFile(o)
	case o.RemoteSyslog != "" || o.Syslog:
		return openSyslog(o)
	}
	return destination{sink: os.Stderr, layout: newLayout(o, isTerminal(os.Stderr))}, nil
}

func start(d destination, o Options) *Logger {
	l := &Logger{
		exit:     o.Exit,
		limit:    o.QueueBytes,
		doorbell: make(chan struct{}, 1),
		done:     make(chan struct{}),
		dest:     d,
		toFile:   d.file != nil,
	}
	if l.exit == nil {
		l.exit = os.Exit
	}
	if l.limit <= 0 {
		l.limit = queueBytes
	}
	l.layout.Store(d.layout)
	l.setLevels(o)
	l.rotateFull()
	go l.write()
	return l
}

func (l *Logger) setLevels(o Options) {
	l.debug.Store(o.Debug)
	l.trace.Store(o.Trace)
	l.payloadMax.Store(int64(o.PayloadMax))
}

// Change is a change of options that was found possible. One of Commit and
// Cancel ends it.
type Change struct {
	logger  *Logger
	options Options
	dest    destination
}

// Prepare opens what o asks for and changes nothing yet.
func (l *Logger) Prepare(o Options) (*Change, error) {
	d, err := openDestination(o)
	if err != nil {
		return nil, err
	}
	return &Change{l, o, d}, nil
}

// Commit makes the logger what the options say, sink included. Lines logged
// before go to the old sink. On an error the old sink stays in use; when it is
// stuck, the change comes when it no longer is.
func (c *Change) Commit() error {
	l, done := c.logger, make(chan struct{})
	if err := l.queueChange(&change{dest: c.dest, done: done}); err != nil {
		c.Cancel()
		return err
	}
	l.setLevels(c.options)
	l.ring()
	if !wait(done) {
		return fmt.Errorf("it did not accept writes for %v", flushPatience)
	}
	return nil
}

// Cancel gives up what Prepare opened.
func (c *Change) Cancel() { _ = c.dest.close() } // nothing was written to it

// Apply is Prepare and Commit in one.
func (l *Logger) Apply(o Options) error {
	c, err := l.Prepare(o)
	if err != nil {
		return err
	}
	return c.Commit()
}

func (l *Logger) queueChange(c *change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return errors.New("the log is closed")
	}
	if l.change != nil {
		return errors.New("the log does not accept writes")
	}
	c.before, l.queue = l.queue, nil
	l.change = c
	l.toFile = c.dest.file != nil
	l.layout.Store(c.dest.layout)
	return nil
}

// Noticef writes an [INF] line.
func (l *Logger) Noticef(format string, args ...any) { l.put(levelNotice, format, args) }

// Warnf writes a [WRN] line.
func (l *Logger) Warnf(format string, args ...any) { l.put(levelWarn, format, args) }

// Errorf writes an [ERR] line.
func (l *Logger) Errorf(format string, args ...any) { l.put(levelError, format, args) }

// Fatalf writes a [FTL] line, flushes and ends the process with status 1.
func (l *Logger) Fatalf(format string, args ...any) {
	l.put(levelFatal, format, args)
	l.Flush()
	l.exit(1)
}

// Debugf writes a [DBG] line when debugging is on.
func (l *Logger) Debugf(format string, args ...any) {
	if l.debug.Load() {
		l.put(levelDebug, format, args)
	}
}

// Tracef writes a [TRC] line when tracing is on. Payloads are cut, see
// Options.PayloadMax.
func (l *Logger) Tracef(format string, args ...any) {
	if !l.trace.Load() {
		return
	}
	if limit := int(l.payloadMax.Load()); limit > 0 {
		args = cutPayloads(args, limit)
	}
	l.put(levelTrace, format, args)
}

// DebugOn reports whether debug lines are written.
func (l *Logger) DebugOn() bool { return l.debug.Load() }

// TraceOn reports whether trace lines are written.
func (l *Logger) TraceOn() bool { return l.trace.Load() }

// SetDebug turns debug lines on or off from now on.
func (l *Logger) SetDebug(on bool) { l.debug.Store(on) }

// SetTrace turns trace lines on or off from now on.
func (l *Logger) SetTrace(on bool) { l.trace.Store(on) }

// SetPayloadMax changes Options.PayloadMax from now on.
func (l *Logger) SetPayloadMax(bytes int) { l.payloadMax.Store(int64(bytes)) }

// Dropped counts the lines that a full queue refused.
func (l *Logger) Dropped() uint64 { return l.dropped.Load() }

// WriteErrors counts the writes that the sink refused.
func (l *Logger) WriteErrors() uint64 { return l.failed.Load() }

// put formats one line and queues it.
func (l *Logger) put(lv level, format string, args []any) {
	buf := scratch.Get().(*[]byte)
	var line []byte
	for queued := false; !queued; {
		y := l.layout.Load()
		var text int
		line, text = y.appendLine((*buf)[:0], lv, format, args)
		queued = l.enqueue(y, lv, line, text)
	}
	if cap(line) <= scratchMax {
		*buf = line
	}
	scratch.Put(buf)
}

// enqueue copies line, which is borrowed and has the form y, to the queue. False
// means that the form has changed meanwhile, and nothing was done.
func (l *Logger) enqueue(y *layout, lv level, line []byte, text int) bool {
	l.mu.Lock()
	if y != l.layout.Load() {
		l.mu.Unlock()
		return false
	}
	if isLimited(lv) && l.isRepeat(y, lv, line[text:]) {
		l.mu.Unlock()
		return true
	}
	// Only a fatal line may exceed the bound: it is the last one.
	refused := l.closing || lv != levelFatal && len(l.queue)+len(line) > l.limit
	if !refused {
		l.queue = append(l.queue, line...)
	}
	l.mu.Unlock()
	if refused {
		l.dropped.Add(1)
	}
	l.ring()
	return true
}

func (l *Logger) ring() {
	select {
	case l.doorbell <- struct{}{}:
	default:
	}
}

// Flush waits until the lines queued so far were offered to the sink. False
// means that the sink did not accept them in time.
func (l *Logger) Flush() bool {
	inTime, _ := l.control(func() error { return nil })
	return inTime
}

// Reopen closes the log file and opens its path again, for log rotation by
// renaming. Lines queued before the call go to the old file. ok is false, and
// nothing happens, when the sink is not a file. On an error the old file stays
// in use.
func (l *Logger) Reopen() (ok bool, err error) {
	l.mu.Lock()
	ok = l.toFile
	l.mu.Unlock()
	if !ok {
		return false, nil
	}
	inTime, err := l.control(l.swapFile)
	if !inTime {
		err = fmt.Errorf("the log file did not accept writes for %v", flushPatience)
	}
	return true, err
}

// Close flushes, ends the writer and closes the sink. Later lines are dropped. A
// sink that is stuck is abandoned after a bounded wait.
func (l *Logger) Close() {
	l.endRepeats()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.ring()
	wait(l.done)
}

// control runs do on the writer behind the lines queued so far and waits, not
// for ever, for its result.
func (l *Logger) control(do func() error) (inTime bool, err error) {
	done := make(chan struct{})
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return true, nil
	}
	var result error
	l.controls = append(l.controls, func() {
		result = do()
		close(done)
	})
	l.mu.Unlock()
	l.ring()
	if !wait(done) {
		return false, nil
	}
	return true, result
}

// wait waits for done, but not longer than flushPatience.
func wait(done <-chan struct{}) bool {
	timer := time.NewTimer(flushPatience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
