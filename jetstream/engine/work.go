package engine

import "peregrine/jetstream/store"

// task is work with files that a worker does for a shard.
type task struct {
	shard  *Shard
	run    func()
	finish func() // on the shard's goroutine, afterwards
}

// enqueue notes that an asset may have a job.
func (s *Shard) enqueue(a *asset) {
	if !a.queued && !a.removed && a.owner != nil {
		a.queued = true
		s.due = append(s.due, a)
	}
}

// work starts jobs of the assets that are due, as many as there are workers for.
func (s *Shard) work() {
	n := 0
	for ; n < len(s.due) && s.running < s.engine.options.Workers; n++ {
		s.start(s.due[n])
	}
	if n > 0 {
		rest := copy(s.due, s.due[n:])
		clear(s.due[rest:])
		s.due = s.due[:rest]
	}
}

// start begins an asset's next job, if it has one.
//
// The position of a checkpoint is that of the shard's last batch, so the log must
// have all of the asset's records before one begins.
func (s *Shard) start(a *asset) {
	a.queued = false
	if a.removed || a.busy || s.failed != nil {
		return
	}
	if a.kept.stopped() != nil {
		s.spillStopped(a)
		return
	}
	going := a.kept.unfinished()
	if a.want && !going {
		if a.marked > s.handed {
			s.wait(a)
			return
		}
		a.want = false
		a.kept.begin()
		going = true
	}
	j := a.kept.job()
	if j == nil && !going && a.kept.stale() {
		if a.marked > s.handed {
			a.want = true
			s.wait(a)
			return
		}
		a.kept.begin()
		going = true
		j = a.kept.job()
	}
	if j == nil {
		if going {
			s.wait(a)
		}
		return
	}
	a.busy = true
	s.submit(j.Run, func() { s.done(a, j) })
}

// wait keeps an asset until the log moves.
func (s *Shard) wait(a *asset) {
	a.queued = true
	s.waiting = append(s.waiting, a)
}

// done takes a job back.
func (s *Shard) done(a *asset, j *store.Job) {
	a.busy = false
	a.kept.finish(j)
	if a.removed {
		return
	}
	if err := a.kept.stopped(); err != nil {
		s.assetFailed(a, err)
		s.enqueue(a) // the log may wait for it
		return
	}
	if a.kept.unfinished() {
		s.enqueue(a)
		return
	}
	if oldest := a.owner.Oldest(); oldest != 0 && oldest < a.before {
		a.want = true
	}
	s.enqueue(a)
}

func (s *Shard) submit(run, finish func()) {
	s.running++
	s.engine.tasks.push(task{shard: s, run: run, finish: finish})
}

// keepEvery is how often the catalog's files are written at most.
const keepEvery = 2e9

// keep writes the catalog's files, a while after it changed and at the end. It is
// the first shard's business. What it writes waits until the log has put
// every change that is in it to disk, so that none is there before what came before it.
func (s *Shard) keep(now int64) {
	e := s.engine
	c := e.catalog
	if s.index != 0 || s.keeping || s.failed != nil {
		return
	}
	if s.kept == nil {
		if !c.changed() || now < s.keepAt && !s.closing {
			return
		}
		s.keepAt = now + keepEvery
		s.kept = c.snapshot(e.log.Synced(), len(e.shards), e.ring)
		e.keepWaits.Store(true)
		for _, other := range e.shards[1:] {
			other.bell.ring() // what it waits for may be with them
		}
	}
	k := s.kept
	for i, other := range e.shards {
		if Mark(other.safe.Load()) < k.marks[i] {
			return
		}
	}
	s.kept, s.keeping = nil, true
	e.keepWaits.Store(false)
	s.submit(func() {
		if k.err == nil {
			k.err = writeCatalog(e.fs, k.content)
		}
	}, func() {
		s.keeping = false
		if k.err != nil {
			s.fail(k.err)
			return
		}
		c.kept(k)
		e.catalogOwner.Need(k.position)
		if oldest := e.catalogOwner.Oldest(); oldest != 0 && oldest < s.keepBefore {
			s.keepAt = 0
			c.touch()
		}
	})
}

const (
	trimEvery = int64(1e9)
	trimRound = 10 // ticks to get to every stream
)

// trim gives back memory of some streams, a different part each time.
func (s *Shard) trim(now int64) {
	if now < s.trimAt {
		return
	}
	s.trimAt = now + trimEvery
	for n := (len(s.list) + trimRound - 1) / trimRound; n > 0; n-- {
		if s.trimmed >= len(s.list) {
			s.trimmed = 0
		}
		st := s.list[s.trimmed]
		s.trimmed++
		keep := 0
		if st.active {
			keep = st.cache / 2
		}
		st.active = false
		st.Messages.Trim(keep)
	}
}
