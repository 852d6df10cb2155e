package engine

import (
	"sync/atomic"

	"peregrine/jetstream/commitlog"
)

// A Mark counts the log records of a shard. What was changed when Shard.Mark
// answered m is durable once Shard.Durable is at least m.
type Mark uint64

// An App is what lives on a shard. Its methods are called on the shard's
// goroutine, one at a time.
type App interface {
	// Turn does a bounded piece of work at a time now, in Unix nanoseconds, and
	// tells whether more is waiting; Shard.Ring makes that it is called again. It
	// is not called while the log takes no more, so that whoever feeds the
	// application has to wait.
	Turn(now int64) (more bool)
	// Durable tells that Shard.Durable has grown to m.
	Durable(m Mark)
	// Failed tells that a stream or consumer has stopped, or the whole shard if
	// both are nil: changes are refused from now on, reads go on.
	Failed(st *Stream, c *Consumer, err error)
}

// A Shard owns streams and consumers, on one goroutine. It collects their log
// records and hands them to the log once a step, so that everything one step
// changed is in one batch.
//
//	Turn ─▶ stores ─▶ records ──flush──▶ log ──committed──▶ Durable
//	                     │ refused: no Turn
//	assets with work ─▶ jobs on workers ─▶ finish ─▶ Need: segments go
type Shard struct {
	engine *Engine
	index  int
	app    App
	bell   bell
	inbox  inbox

	safe atomic.Uint64 // synced, for the first shard

	// Owned by the goroutine.
	writer    *commitlog.Writer
	sealer    *recordSealer // nil: records are in the clear
	scratch   []byte
	streams   map[ID]*Stream
	consumers map[ID]*Consumer
	list      []*Stream // the streams, to go round

	mark    Mark               // records written
	handed  Mark               // records that the log has
	durable Mark               // records that are committed
	synced  Mark               // records that are on disk: durable, but for a sync interval
	end     commitlog.Position // behind what the log has of this shard
	batches []*commitlog.Batch // not handed over, oldest first; the last collects
	spare   []*commitlog.Batch
	flights []flight // handed over and not on disk, oldest first
	landed  int      // how many of them are committed

	refused bool // the log is full: wait for Room
	relief  bool // an urgent batch went: wait until the log has shrunk
	failed  error

	touched    []*asset
	due        []*asset // may have a job
	waiting    []*asset // for the log to commit, or to take their records
	removals   []removal
	running    int // jobs with workers
	timers     expiryHeap
	trimAt     int64
	trimmed    int       // index in list
	kept       *snapshot // of the catalog, waits for the log
	keeping    bool      // it is being written
	keepAt     int64
	keepBefore commitlog.Position // as asset.before, of the catalog
	noted      Mark               // of the newest change of the catalog
	scrubs     scrubber
	closing    bool
	idle       bool // closed: nothing is left to do
}

// flight is a batch that the log has.
type flight struct {
	end  commitlog.Position
	mark Mark
}

const (
	batchBytes = 1 << 20   // a batch takes no more records beyond that
	lookBytes  = 128 << 10 // of records, after which a store may have a job
	loadMax    = 4 << 20   // of records that the log has not taken: no Turn
)

func newShard(e *Engine, index int) *Shard {
	return &Shard{engine: e, index: index, bell: make(bell, 1), streams: map[ID]*Stream{}, consumers: map[ID]*Consumer{}}
}

// Index is the shard's number, from 0.
func (s *Shard) Index() int { return s.index }

// Mark is that of the newest record.
func (s *Shard) Mark() Mark { return s.mark }

// Durable is the mark up to which everything is committed.
func (s *Shard) Durable() Mark { return s.durable }

// Err is why the shard takes no more changes, nil if it does.
func (s *Shard) Err() error { return s.failed }

// Stream finds a stream, nil if there is none.
func (s *Shard) Stream(id ID) *Stream { return s.streams[id] }

// Consumer finds a consumer, nil if there is none.
func (s *Shard) Consumer(id ID) *Consumer { return s.consumers[id] }

// Streams calls visit for each stream, in no order.
func (s *Shard) Streams(visit func(*Stream)) {
	for _, st := range s.list {
		visit(st)
	}
}

// Full tells that the log takes no more for now: Turn is not called.
func (s *Shard) Full() bool { return s.refused || s.relief || s.unhanded() > loadMax }

func (s *Shard) unhanded() (n int) {
	for _, b := range s.batches {
		n += b.Bytes()
	}
	return n
}

// add collects a record. head is copied at once, body is borrowed until the log
// has the batch: a store's records do not change once they are written.
func (s *Shard) add(owner *commitlog.Owner, kind commitlog.Kind, head, body []byte) {
	s.mark++
	b := s.batch()
	switch {
	case s.sealer != nil:
		plain := append(append(s.scratch[:0], head...), body...)
		n := len(plain)
		sealed := s.sealer.append(plain, plain, owner.ID(), kind)
		s.scratch = sealed
		b.AddParts(owner, kind|kindSealed, sealed[n:], nil)
		if cap(s.scratch) > batchBytes {
			s.scratch = nil
		}
	case len(head) == 0:
		b.Add(owner, kind, body)
	default:
		b.AddParts(owner, kind, head, body)
	}
}

// batch is the one that collects.
func (s *Shard) batch() *commitlog.Batch {
	if n := len(s.batches); n > 0 && s.batches[n-1].Bytes() < batchBytes {
		return s.batches[n-1]
	}
	var b *commitlog.Batch
	if n := len(s.spare); n > 0 {
		b, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		b = &commitlog.Batch{}
	}
	s.batches = append(s.batches, b)
	return b
}

// Step does one round: it takes what happened elsewhere, gives the application a
// turn, hands the records over and starts jobs. It tells whether it should be
// called again at once.
func (s *Shard) Step(now int64) (more bool) {
	s.collect()
	s.confirm()
	if !s.closing && s.engine.closing.Load() {
		s.closing = true
		s.wantAll()
	}
	if !s.closing && s.failed == nil && !s.Full() {
		if s.app != nil {
			more = s.app.Turn(now)
		}
		more = s.expire(now) || more
	}
	s.flush()
	s.settle(now)
	s.clean()
	s.work()
	s.keep(now)
	s.hasten()
	s.trim(now)
	s.scrub(now)
	s.idle = s.closing && s.finished()
	return more && !s.Full()
}

// collect takes what other goroutines left in the inbox.
func (s *Shard) collect() {
	s.inbox.mu.Lock()
	room, asks, done, calls := s.inbox.room, s.inbox.asks, s.inbox.done, s.inbox.calls
	s.inbox.room, s.inbox.asks, s.inbox.done, s.inbox.calls = false, nil, nil, nil
	s.inbox.mu.Unlock()
	if room {
		s.refused = false
	}
	if s.relief && !s.engine.log.Full() {
		s.relief = false
	}
	for _, a := range asks {
		s.asked(a)
	}
	for _, t := range done {
		s.running--
		t.finish()
	}
	for _, call := range calls {
		call(s)
	}
}

// asked begins what lets the log forget an owner's oldest records. The log asks
// once: if a checkpoint turns out to be too old, another follows, and if the asset
// stops meanwhile its records are set aside.
func (s *Shard) asked(q ask) {
	id := ID(q.owner)
	if q.owner == catalogOwner {
		s.keepBefore = max(s.keepBefore, q.before)
		s.keepAt = 0
		s.engine.catalog.touch()
		return
	}
	a := (*asset)(nil)
	if st := s.streams[id]; st != nil {
		a = &st.asset
	} else if c := s.consumers[id]; c != nil {
		a = &c.asset
	}
	if a != nil {
		a.before = max(a.before, q.before)
		a.want = true
		s.enqueue(a)
	}
}

// confirm moves durable on.
func (s *Shard) confirm() {
	committed, synced := s.engine.log.Committed(), s.engine.log.Synced()
	durable, n := s.durable, 0
	for ; s.landed < len(s.flights) && s.flights[s.landed].end <= committed; s.landed++ {
		s.durable = s.flights[s.landed].mark
	}
	for ; n < s.landed && s.flights[n].end <= synced; n++ {
		s.synced = s.flights[n].mark
	}
	if err := s.engine.log.Err(); err != nil && s.failed == nil {
		s.fail(err)
	}
	if n > 0 {
		s.flights = append(s.flights[:0], s.flights[n:]...)
		s.landed -= n
		s.safe.Store(uint64(s.synced))
		if first := s.engine.shards[0]; first != s {
			first.bell.ring()
		}
	}
	if n > 0 || s.durable > durable {
		s.wake()
	}
	if s.durable > durable && s.app != nil {
		s.app.Durable(s.durable)
	}
}

// flightsMax is how many batches may wait for a sync interval to end.
const flightsMax = 4096

// hasten ends a sync interval early when something waits for the disk: a
// checkpoint, the catalog, files to be removed, a stop.
func (s *Shard) hasten() {
	if s.engine.options.Log.SyncInterval <= 0 || s.failed != nil || s.synced == s.handed {
		return
	}
	if len(s.waiting) > 0 || len(s.removals) > 0 || s.closing || len(s.flights) > flightsMax || s.engine.keepWaits.Load() {
		s.engine.log.Sync()
	}
}

// wake looks again at the assets that waited for the log.
func (s *Shard) wake() {
	s.due = append(s.due, s.waiting...)
	clear(s.waiting)
	s.waiting = s.waiting[:0]
}

// flush hands the collected batches to the log, as long as it takes them.
func (s *Shard) flush() {
	for len(s.batches) > 0 && s.failed == nil {
		b := s.batches[0]
		if s.refused || s.relief {
			// Beyond its limits the log takes what lets a checkpoint begin, which
			// will make room.
			if b.Urgent = s.blocked(); !b.Urgent {
				return
			}
		}
		switch err := s.writer.Append(b); err {
		case nil:
		case commitlog.ErrFull:
			s.refused = true
			if b.Urgent || !s.blocked() {
				return
			}
			continue
		default:
			s.fail(err)
			return
		}
		s.relief = s.relief || b.Urgent
		s.end = b.End()
		s.handed += Mark(b.Len())
		s.flights = append(s.flights, flight{s.end, s.handed})
		b.Reset()
		s.spare = append(s.spare, b)
		s.batches = append(s.batches[:0], s.batches[1:]...)
		s.wake()
	}
}

// blocked tells whether a checkpoint, or the catalog, waits for the log to take
// records.
func (s *Shard) blocked() bool {
	if s.engine.keepWaits.Load() && s.noted > s.handed {
		return true
	}
	for _, list := range [][]*asset{s.waiting, s.due} {
		for _, a := range list {
			if a.want && a.marked > s.handed {
				return true
			}
		}
	}
	return false
}

// settle looks at what changed in this step.
func (s *Shard) settle(now int64) {
	for i, a := range s.touched {
		s.touched[i] = nil
		a.touched = false
		if a.removed {
			continue
		}
		if a.stream != nil {
			a.stream.active = true
			s.schedule(a.stream, now)
		}
		if a.owner != nil && (a.bytes >= lookBytes || a.retimed) {
			a.bytes = 0
			s.enqueue(a)
		}
		a.retimed = false
		if err := a.kept.stopped(); err != nil {
			s.assetFailed(a, err)
		}
	}
	s.touched = s.touched[:0]
}

// fail stops everything on the shard: nothing will be durable any more.
func (s *Shard) fail(err error) {
	if s.failed != nil {
		return
	}
	s.failed = err
	for _, st := range s.list {
		st.stop(err)
	}
	for _, c := range s.consumers {
		c.stop(err)
	}
	if s.app != nil {
		s.app.Failed(nil, nil, err)
	}
}

// assetFailed tells of a stream or consumer that has stopped.
func (s *Shard) assetFailed(a *asset, err error) {
	if s.failed != nil || s.app == nil {
		return
	}
	if a.stream != nil {
		s.app.Failed(a.stream, nil, err)
	} else {
		s.app.Failed(nil, s.consumers[a.id], err)
	}
}

// wantAll makes every asset checkpoint what it has not, for a clean stop.
func (s *Shard) wantAll() {
	want := func(a *asset) {
		if a.owner != nil && a.marked > a.saved {
			a.want = true
			s.enqueue(a)
		}
	}
	for _, st := range s.list {
		want(&st.asset)
	}
	for _, c := range s.consumers {
		want(&c.asset)
	}
}

// finished tells whether nothing is left to do.
func (s *Shard) finished() bool {
	if s.running > 0 {
		return false
	}
	if s.failed != nil {
		return true
	}
	return len(s.batches) == 0 && len(s.due) == 0 && len(s.waiting) == 0 && len(s.removals) == 0 &&
		s.synced == s.mark && !s.keeping && s.kept == nil && (s.index != 0 || !s.engine.catalog.changed())
}
