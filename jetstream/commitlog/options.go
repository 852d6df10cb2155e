package commitlog

import (
	"errors"
	"time"

	"peregrine/vfs"
)

// Errors callers test with errors.Is.
var (
	// ErrFull refuses an Append for now: the batch is still the caller's, and
	// Events.Room will tell when to try again.
	ErrFull = errors.New("commitlog: full")
	// ErrStopped is every answer after a failed write or sync. What was not
	// committed is presumed lost; only a new Open tells.
	ErrStopped = errors.New("commitlog: stopped")
	// ErrTooLarge refuses a record or batch that no segment can hold.
	ErrTooLarge = errors.New("commitlog: too large")
	// ErrGone is a position below what owners said they need.
	ErrGone = errors.New("commitlog: position is gone")
	// ErrDamaged is a position within a fenced range, see Damage.
	ErrDamaged = errors.New("commitlog: position is damaged")
	// ErrCorrupt is a record that is not what was written there.
	ErrCorrupt = errors.New("commitlog: corrupt record")
	// ErrForeign is a log that is not the one that was expected.
	ErrForeign = errors.New("commitlog: not the log that was expected")
	// ErrClosed is every answer after Close.
	ErrClosed = errors.New("commitlog: closed")
)

// Options configures a Log. The zero value is a good default.
type Options struct {
	// SyncInterval 0 commits a batch when it is on disk. Otherwise a batch
	// commits when it is written, and Tick syncs, see Log.TickAfter.
	SyncInterval time.Duration
	// SettleAfter is how long the log is idle before it notes on disk that its
	// last batch was synced, so that later damage to it is told from a write cut
	// short. Default 1 s; negative never.
	SettleAfter time.Duration
	// QueueBytes bounds what is collected while a batch is written. Default 8 MiB.
	QueueBytes int
	// SegmentBytesMin and SegmentBytesMax bound the size of segment files, which
	// grow with what the log has to hold. Defaults 4 MiB and 64 MiB. A larger
	// batch gets a segment of its own size.
	SegmentBytesMin, SegmentBytesMax int64
	// PressureBytes is how much the log may hold before owners that pin old
	// segments are asked to checkpoint. Default 256 MiB.
	PressureBytes int64
	// LiveBytesMax is how much the log may hold at most; then Append answers
	// ErrFull. Default 4 GiB.
	LiveBytesMax int64
	// Identity is the random number that a new log's checksums are bound to.
	// Default: from crypto/rand.
	Identity uint64
	// Proof, if set, is a position that the log was on disk up to once, as a
	// checkpoint tells: a log that ends before it is damaged, not cut short.
	Proof Position
	// Expect, if set, is the identity that the log must have. Open answers
	// ErrForeign for another one, or if there is none, and touches nothing.
	Expect uint64
	// FenceUnreadable treats blocks the disk cannot read as damaged. Otherwise
	// Open fails, because the next attempt may succeed.
	FenceUnreadable bool
	// Logf, if set, is told what an operator should know.
	Logf func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	setDefault(&o.SettleAfter, time.Second)
	setDefault(&o.QueueBytes, 8<<20)
	setDefault(&o.SegmentBytesMin, 4<<20)
	setDefault(&o.SegmentBytesMax, 64<<20)
	setDefault(&o.PressureBytes, 256<<20)
	setDefault(&o.LiveBytesMax, 4<<30)
	o.PressureBytes = min(o.PressureBytes, o.LiveBytesMax/2)
	o.SegmentBytesMin = max(vfs.AlignUp(o.SegmentBytesMin), segmentHead+vfs.BlockSize)
	o.SegmentBytesMax = min(max(vfs.AlignUp(o.SegmentBytesMax), o.SegmentBytesMin), segmentMax/2)
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Events is how a Log talks to a writer. Calls come from whoever runs Step, one
// at a time and in order; they must not block and must not call Append: post to
// the shard.
type Events interface {
	// Committed says that every record before end is committed: on disk, or
	// written if there is a sync interval.
	Committed(end Position)
	// Room says that an Append refused with ErrFull may be tried again.
	Room()
	// Checkpoint asks for what lets segments go: owner should soon need nothing
	// before the given position, by a checkpoint of its own followed by
	// Owner.Need, or by forwarding the few records that are still live.
	Checkpoint(owner *Owner, before Position)
	// Stopped says that the log has stopped. Nothing will be committed any more.
	Stopped(err error)
}

// A Writer is one appender, usually a shard. Its records keep their order.
type Writer struct {
	log    *Log
	events Events

	// Guarded by the log's lock.
	inOpen   bool // has records in the collecting batch
	inFlight bool // has records in the batch being written
	waiting  bool // was refused with ErrFull
}

// event is a call of Events that is due.
type event struct {
	writer   *Writer
	owner    *Owner // Checkpoint
	position Position
	kind     eventKind
}

type eventKind uint8

const (
	eventCommitted eventKind = iota
	eventRoom
	eventCheckpoint
	eventStopped
)
