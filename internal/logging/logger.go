package logging

import (
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

// flushPatience is how long Flush, Reopen, Close and Fatalf wait for a sink
// that does not accept writes.
const flushPatience = 2 * time.Second

// Options say where lines go and how they look.
type Options struct {
	File       string // path to append to; empty means standard error
	NoTime     bool   // leave the time out
	UTC        bool   // time in UTC instead of the local zone
	Debug      bool   // write debug lines
	Trace      bool   // write trace lines
	QueueBytes int    // bound of the queue, 0 = 8 MiB

	// Exit ends the process for Fatalf; nil means os.Exit.
	Exit func(code int)
}

// Logger is the server's log. See the package comment for its promises.
type Logger struct {
	layout layout
	path   string // of the log file; "" when the sink is a stream
	exit   func(code int)
	limit  int

	debug   atomic.Bool
	trace   atomic.Bool
	dropped atomic.Uint64
	failed  atomic.Uint64

	doorbell chan struct{} // capacity 1: rung after the queue or controls grew
	done     chan struct{} // closed when the writer has ended

	// mu guards the fields below, never held during I/O.
	mu       sync.Mutex
	queue    []byte
	controls []func() // run by the writer after the lines queued before them
	closing  bool

	// Owned by the writer.
	sink     io.Writer
	reported uint64 // drops already told about
}

// Open starts a logger on o.File, or on standard error when that is empty.
// Labels are coloured when standard error is a terminal. The error names the
// file.
func Open(o Options) (*Logger, error) {
	if o.File == "" {
		return start(os.Stderr, newLayout(o, isTerminal(os.Stderr)), o), nil
	}
	f, err := openFile(o.File)
	if err != nil {
		return nil, err
	}
	return start(f, newLayout(o, false), o), nil
}

// New starts a logger on w, which belongs to the logger until Close returns.
func New(w io.Writer, o Options) *Logger {
	o.File = ""
	return start(w, newLayout(o, false), o)
}

func start(w io.Writer, y layout, o Options) *Logger {
	l := &Logger{
		layout:   y,
		path:     o.File,
		exit:     o.Exit,
		limit:    o.QueueBytes,
		doorbell: make(chan struct{}, 1),
		done:     make(chan struct{}),
		sink:     w,
	}
	if l.exit == nil {
		l.exit = os.Exit
	}
	if l.limit <= 0 {
		l.limit = queueBytes
	}
	l.debug.Store(o.Debug)
	l.trace.Store(o.Trace)
	go l.write()
	return l
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

// Tracef writes a [TRC] line when tracing is on.
func (l *Logger) Tracef(format string, args ...any) {
	if l.trace.Load() {
		l.put(levelTrace, format, args)
	}
}

// DebugOn reports whether debug lines are written.
func (l *Logger) DebugOn() bool { return l.debug.Load() }

// TraceOn reports whether trace lines are written.
func (l *Logger) TraceOn() bool { return l.trace.Load() }

// SetDebug turns debug lines on or off from now on.
func (l *Logger) SetDebug(on bool) { l.debug.Store(on) }

// SetTrace turns trace lines on or off from now on.
func (l *Logger) SetTrace(on bool) { l.trace.Store(on) }

// Dropped counts the lines that a full queue refused.
func (l *Logger) Dropped() uint64 { return l.dropped.Load() }

// WriteErrors counts the batches that the sink refused.
func (l *Logger) WriteErrors() uint64 { return l.failed.Load() }

// put formats one line and queues it.
func (l *Logger) put(lv level, format string, args []any) {
	buf := scratch.Get().(*[]byte)
	line := l.layout.appendLine((*buf)[:0], lv, format, args)
	l.enqueue(lv, line)
	if cap(line) <= scratchMax {
		*buf = line
	}
	scratch.Put(buf)
}

// enqueue copies line, which is borrowed, to the queue. Only a fatal line may
// exceed the bound: it is the last one.
func (l *Logger) enqueue(lv level, line []byte) {
	l.mu.Lock()
	refused := l.closing || lv != levelFatal && len(l.queue)+len(line) > l.limit
	if !refused {
		l.queue = append(l.queue, line...)
	}
	l.mu.Unlock()
	if refused {
		l.dropped.Add(1)
	}
	l.ring()
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
	if l.path == "" {
		return false, nil
	}
	inTime, err := l.control(l.swapFile)
	if !inTime {
		err = fmt.Errorf("re-open of %s: the log file did not accept writes for %v", l.path, flushPatience)
	}
	return true, err
}

// Close flushes, ends the writer and closes the log file. Later lines are
// dropped. A sink that is stuck is abandoned after a bounded wait.
func (l *Logger) Close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.ring()
	timer := time.NewTimer(flushPatience)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
}

// control runs do on the writer behind the lines queued so far and waits, not
// for ever, for its result.
func (l *Logger) control(do func() error) (inTime bool, err error) {
	result := make(chan error, 1)
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return true, nil
	}
	l.controls = append(l.controls, func() { result <- do() })
	l.mu.Unlock()
	l.ring()
	timer := time.NewTimer(flushPatience)
	defer timer.Stop()
	select {
	case err := <-result:
		return true, err
	case <-timer.C:
		return false, nil
	}
}
