package engine

import (
	"fmt"
	"path"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
)

// A Stream is a stream of an engine. It belongs to its shard's goroutine.
type Stream struct {
	asset
	// Messages is the stream itself. Its jobs and checkpoints are the engine's:
	// do not call Work, Finish, Checkpoint, Trim, Expire or Close.
	Messages *store.Stream

	consumers map[ID]*Consumer
	expiry    int64 // when Expire is due, Unix nanoseconds; 0 for never
	heapIndex int   // in the shard's heap, if expiry is set
	rank      int   // in the shard's list
	active    bool  // changed since it was last trimmed
	cache     int
	leaving   int // consumers that are deleted and whose files are not
}

// A Consumer is a consumer of a stream of an engine. It belongs to the goroutine
// of its stream's shard.
type Consumer struct {
	asset
	// State is the consumer itself. Its jobs and checkpoints are the engine's.
	State *store.Consumer

	stream *Stream
}

// asset is what streams and consumers have in common: they write log records and
// make checkpoints, so that the log may forget those. It implements store.Log.
type asset struct {
	id    ID
	meta  []byte // immutable
	shard *Shard
	owner *commitlog.Owner // nil in memory
	kept  keeper

	position commitlog.Position // records before it are in the last checkpoint
	tail     commitlog.Position // of the newest record in its tail, 0 if it has none
	before   commitlog.Position // of which the log wants to be told that it is not needed
	marked   Mark               // of its newest record
	saved    Mark               // what the last checkpoint holds
	begun    Mark               // what the running one will hold
	bytes    int                // of records since it was last looked at

	tailName string

	want    bool // a checkpoint is due
	queued  bool // in one of the shard's lists of assets with work
	busy    bool // a job is running
	touched bool // changed in this step
	retimed bool // its next expiry must be looked up again
	removed bool
	noting  bool    // its checkpoint will tell of damage of the log
	stream  *Stream // nil for a consumer
}

// keeper is a store with jobs.
type keeper interface {
	begin()
	job() *store.Job
	finish(*store.Job)
	unfinished() bool // a checkpoint was begun or asked for, and is not done
	stopped() error
	stop(error)
	close()
	scrub(*store.Scrub) *store.Job
	stale() bool // the files should be written again
}

// ID numbers the stream or consumer.
func (a *asset) ID() ID { return a.id }

// Meta is what the creator or the last Update gave. It is immutable.
func (a *asset) Meta() []byte { return a.meta }

// Shard is whose goroutine it belongs to.
func (a *asset) Shard() *Shard { return a.shard }

// AppendDirect implements store.DirectLog.
func (a *asset) AppendDirect(kind uint8, head []byte, d *store.Direct, n int) {
	a.Append(kind, head, nil)
	a.bytes += n
	a.shard.batches[len(a.shard.batches)-1].AddDirect(d, n)
}

// Append implements store.Log.
func (a *asset) Append(kind uint8, head, body []byte) {
	if kind != store.LogMessage && kind != store.LogReference {
		a.retimed = true
	}
	if !a.touched {
		a.touched = true
		a.shard.touched = append(a.shard.touched, a)
	}
	a.bytes += len(head) + len(body)
	if a.owner != nil {
		a.shard.add(a.owner, commitlog.Kind(kind), head, body)
		a.marked = a.shard.mark
	}
}

// End implements store.Log. It is asked when a checkpoint begins, which waits
// until the log has what the asset wrote.
func (a *asset) End() uint64 {
	if a.marked > a.shard.handed {
		panic("engine: checkpoint before the log has the records")
	}
	a.begun = a.marked
	return uint64(a.shard.end)
}

// Committed implements store.Log. What a checkpoint relies on must be on disk, also
// where the log commits before that.
func (a *asset) Committed() uint64 { return uint64(a.shard.engine.log.Synced()) }

// Need implements store.Log: a checkpoint is done.
func (a *asset) Need(position uint64) {
	a.position = commitlog.Position(position)
	a.saved = a.begun
	if a.owner != nil {
		a.owner.Need(a.position)
	}
	if a.noting {
		a.noting = false
		a.shard.engine.noted()
	}
	if a.tail != 0 && a.position > a.tail {
		a.shard.removeTail(a)
	}
}

// Consumers calls visit for each consumer of the stream, in no order.
func (st *Stream) Consumers(visit func(*Consumer)) {
	for _, c := range st.consumers {
		visit(c)
	}
}

// Stream is what the consumer is of.
func (c *Consumer) Stream() *Stream { return c.stream }

func (st *Stream) begin()              { st.Messages.Checkpoint() }
func (st *Stream) job() *store.Job     { return st.Messages.Work() }
func (st *Stream) finish(j *store.Job) { st.Messages.Finish(j) }
func (st *Stream) unfinished() bool    { return st.Messages.Pending() }
func (st *Stream) stopped() error      { return st.Messages.Stopped() }
func (st *Stream) stop(err error)      { st.Messages.Stop(err) }
func (st *Stream) close()              { st.Messages.Close() }

func (st *Stream) stale() bool { return st.Messages.Stale() }

func (st *Stream) scrub(sc *store.Scrub) *store.Job { return st.Messages.Scrub(sc) }

func (c *Consumer) begin()              { c.State.Checkpoint() }
func (c *Consumer) job() *store.Job     { return c.State.Work() }
func (c *Consumer) finish(j *store.Job) { c.State.Finish(j) }
func (c *Consumer) unfinished() bool    { return c.State.Checkpointing() }
func (c *Consumer) stopped() error      { return c.State.Stopped() }
func (c *Consumer) stop(err error)      { c.State.Stop(err) }
func (c *Consumer) close()              { c.State.Stop(ErrClosing) }

func (c *Consumer) stale() bool { return c.State.Stale() }

func (c *Consumer) scrub(sc *store.Scrub) *store.Job { return c.State.Scrub(sc) }

// Folders of the data directory.
const (
	streamsDir    = "streams"
	messagesDir   = "messages"
	consumersDir  = "consumers"
	quarantineDir = "quarantine"
	logDir        = "log"
	lockName      = "lock"
)

func streamDir(id ID) string { return path.Join(streamsDir, fmt.Sprintf("%016x", uint64(id))) }

func consumerName(id ID) string { return fmt.Sprintf("%016x", uint64(id)) }

// files is where a stream is kept.
func (e *Engine) files(id ID, o *StreamOptions) store.Files {
	return store.Files{FS: e.fs, Dir: path.Join(streamDir(id), messagesDir), Compress: o.Compress, Keys: o.Keys,
		Random: e.options.Random, FlushBytes: o.FlushBytes, DirectBytes: o.DirectBytes, CacheBytes: o.CacheBytes, Logf: e.options.Logf}
}

// consumerFiles is where a stream's consumers are kept.
func (e *Engine) consumerFiles(id, stream ID, meta []byte) store.Files {
	return store.Files{FS: e.fs, Dir: path.Join(streamDir(stream), consumersDir), Keys: e.options.Consumer(id, stream, meta),
		Random: e.options.Random, Logf: e.options.Logf}
}
