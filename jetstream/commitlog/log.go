package commitlog

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Log is the log of one disk. Append and the methods of Owner and Reader may
// be called from any goroutine. The I/O is done by whoever calls Step and
// Prepare: goroutines started by Start, or a simulation.
type Log struct {
	committed atomic.Uint64
	synced    atomic.Uint64

	mu      sync.Mutex // guards core, damages, closing
	core    *core
	damages []Damage
	closing bool

	files *files // of whoever calls Prepare
	lock  io.Closer

	commit   bell
	preparer bell
	stop     chan struct{} // closed by Close
	running  sync.WaitGroup
	timer    *time.Timer // with mu
	armed    bool        // with mu: the timer runs
	batches  uint64      // with mu: when it was armed
	events   []event     // of whoever calls Step
}

// bell wakes one sleeping goroutine.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func newLog(c *core, f *files, lock io.Closer) *Log {
	l := &Log{core: c, files: f, lock: lock, commit: make(bell, 1), preparer: make(bell, 1), stop: make(chan struct{})}
	l.committed.Store(uint64(c.committed))
	l.synced.Store(uint64(c.synced))
	return l
}

// NewWriter registers an appender. events may be nil for one that polls
// Committed.
func (l *Log) NewWriter(events Events) *Writer {
	if events == nil {
		events = silent{}
	}
	w := &Writer{log: l, events: events}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.writers = append(l.core.writers, w)
	return w
}

// silent ignores events.
type silent struct{}

func (silent) Committed(Position)          {}
func (silent) Room()                       {}
func (silent) Checkpoint(*Owner, Position) {}
func (silent) Stopped(error)               {}

// Close removes the writer: no event comes any more once Close has returned and
// Step has been called or is not running. Its owners stay, unclaimed.
func (w *Writer) Close() {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.writers = slices.DeleteFunc(l.core.writers, func(other *Writer) bool { return other == w })
	for _, o := range l.core.owners {
		if o.writer == w {
			o.writer = nil
		}
	}
}

// Owner claims an owner for this writer, who is then asked to checkpoint it. One
// that is not in the log yet is made.
func (w *Writer) Owner(id OwnerID) *Owner {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.core.claim(l, id)
	o.writer = w
	return o
}

// Append adds the batch to the log, whole or, with an error, not at all. Then
// Batch.Position and Batch.End tell where; it is committed when Events.Committed
// says so. Errors: ErrFull, ErrStopped, ErrClosed, ErrTooLarge.
func (w *Writer) Append(b *Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	err := l.core.append(w, b)
	if err == ErrFull && l.core.prepare.starved {
		l.files.hurry.Store(true) // also a segment that is being pre-written now
	}
	l.wake()
	return err
}

// wake rings for what there is to do; the lock is held.
func (l *Log) wake() {
	c := l.core
	if !c.busy && (c.open.used > 0 || c.syncDue || c.settleDue || len(c.events) > 0) {
		l.commit.ring()
	}
	if c.taskDue() {
		l.preparer.ring()
	}
}

// Committed is the end of what is committed.
func (l *Log) Committed() Position { return Position(l.committed.Load()) }

// Synced is the end of what is on disk: that of what is committed, or less if
// there is a sync interval.
func (l *Log) Synced() Position { return Position(l.synced.Load()) }

// Sync asks that what was appended so far gets to the disk soon, whatever the sync
// interval; Committed is told again when it is there.
func (l *Log) Sync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.syncDue = l.core.synced < l.core.end
	l.wake()
}

// Step delivers due events and does the next transfer to disk, if there is one.
// It returns false if there was nothing to do. Only one Step may run at a time.
func (l *Log) Step() bool {
	l.mu.Lock()
	t, ok := l.core.next()
	told := l.takeEvents()
	l.mu.Unlock()
	l.deliver()
	if !ok {
		return told
	}
	err := l.transfer(t)
	l.mu.Lock()
	l.core.done(t, err)
	l.synced.Store(uint64(l.core.synced))
	l.committed.Store(uint64(l.core.committed))
	l.takeEvents()
	l.wake()
	l.arm()
	l.mu.Unlock()
	l.deliver()
	return true
}

// takeEvents exchanges the list of due events for an empty one.
func (l *Log) takeEvents() bool {
	l.events, l.core.events = l.core.events, l.events[:0]
	return len(l.events) > 0
}

// deliver calls the writers, without the lock.
func (l *Log) deliver() {
	for i, e := range l.events {
		switch e.kind {
		case eventCommitted:
			e.writer.events.Committed(e.position)
		case eventRoom:
			e.writer.events.Room()
		case eventCheckpoint:
			e.writer.events.Checkpoint(e.owner, e.position)
		case eventStopped:
			e.writer.events.Stopped(l.Err())
		}
		l.events[i] = event{}
	}
	l.events = l.events[:0]
}

func (l *Log) transfer(t transfer) error {
	if len(t.directs) > 0 {
		if err := putDirects(t.directs); err != nil {
			return err
		}
	}
	switch {
	case t.buf == nil:
		return t.target.file.SyncData()
	case t.sync:
		return t.target.file.WriteSync(t.buf, t.off)
	default:
		_, err := t.target.file.WriteAt(t.buf, t.off)
		return err
	}
}

// putDirects writes what the records of a batch refer to and makes it durable (I7).
func putDirects(list []Direct) (err error) {
	for _, d := range list {
		if err = d.Write(); err != nil {
			break
		}
	}
	for _, d := range list {
		err = errors.Join(err, d.Sync())
	}
	return err
}

// Prepare does the next piece of work on segment files, if there is one: making
// one ready, removing superfluous ones. It returns false if there was nothing to
// do. Only one Prepare may run at a time, beside Step.
func (l *Log) Prepare() bool {
	l.mu.Lock()
	t, ok := l.core.nextTask()
	l.files.hurry.Store(l.core.prepare.starved)
	l.mu.Unlock()
	if !ok {
		return false
	}
	made, err := l.files.run(t, l.core.id)
	l.mu.Lock()
	l.core.taskDone(t, made, err)
	l.wake()
	l.mu.Unlock()
	return true
}

// Replay gives once more what Open gave: everything, if nothing has been appended
// since and the log is not started; with before, what is in the segments from that of
// one position to the one before that of another, at any time, as long as an owner
// needs the first of them. It reads files and waits for the disk.
func (l *Log) Replay(from, before Position, replay Replay) error {
	l.mu.Lock()
	c := l.core
	r := &recovery{replay: replay, owners: map[OwnerID]*ownerSeen{}, used: map[*segment]bool{}}
	if before == 0 {
		r.clean, r.cleanChain = c.end, c.chain
	}
	for _, s := range c.live {
		if s.number >= from.Segment() && (before == 0 || s.number < before.Segment()) {
			own := *s // what the scan finds is known, or found by the next Open
			r.live = append(r.live, &own)
		}
	}
	r.window.fence = c.options.FenceUnreadable
	l.mu.Unlock()
	if len(r.live) == 0 {
		return nil
	}
	return r.run()
}

// Err is why the log has stopped, nil if it has not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.stopped
}

// Stats returns counters and sizes.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.core.stats
	s.Segments, s.Free, s.LiveBytes = len(l.core.live), len(l.core.free), l.core.liveBytes()
	s.First, s.Committed = at(l.core.live[0].number, segmentHead), l.core.committed
	return s
}

// Full tells whether the log holds as much as it may: only urgent batches get a
// segment.
func (l *Log) Full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.liveBytes() >= l.core.options.LiveBytesMax
}

// Damages are the fenced ranges found at Open.
func (l *Log) Damages() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.damages)
}

// DamageNoted says that every owner durably knows what the damage found at Open
// took. Until then each Open tells of it, and its segments are kept; afterwards
// they go into quarantine once no owner needs them.
func (l *Log) DamageNoted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.hold = false
	l.core.released()
	l.wake()
}

// Unclaimed are the owners that have records but no writer. They hold their
// segments: claim them, or have them dropped and released.
func (l *Log) Unclaimed() []OwnerID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []OwnerID
	for id, o := range l.core.owners {
		if o.writer == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
