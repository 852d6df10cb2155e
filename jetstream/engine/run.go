package engine

import (
	"sync"
	"time"

	"peregrine/jetstream/commitlog"
)

// bell wakes one sleeping goroutine.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// inbox is what other goroutines leave for a shard. It takes no more than there
// are owners, jobs and callers.
type inbox struct {
	mu    sync.Mutex // guards all below
	room  bool
	asks  []ask
	done  []task
	calls []func(*Shard)
}

// ask is that an owner should soon need nothing before a position.
type ask struct {
	owner  commitlog.OwnerID
	before commitlog.Position
}

// Ring makes that the shard does a step. It may be called from any goroutine.
func (s *Shard) Ring() { s.bell.ring() }

// Do has the shard call f on its goroutine. It may be called from any goroutine;
// f is lost if the engine closes first.
func (s *Shard) Do(f func(*Shard)) {
	s.inbox.mu.Lock()
	s.inbox.calls = append(s.inbox.calls, f)
	s.inbox.mu.Unlock()
	s.bell.ring()
}

// logEvents is what the log tells a shard.
type logEvents struct{ s *Shard }

// Committed implements commitlog.Events.
func (e logEvents) Committed(commitlog.Position) { e.s.bell.ring() }

// Stopped implements commitlog.Events.
func (e logEvents) Stopped(error) { e.s.bell.ring() }

// Room implements commitlog.Events.
func (e logEvents) Room() {
	e.s.inbox.mu.Lock()
	e.s.inbox.room = true
	e.s.inbox.mu.Unlock()
	e.s.bell.ring()
}

// Checkpoint implements commitlog.Events.
func (e logEvents) Checkpoint(o *commitlog.Owner, before commitlog.Position) {
	e.s.inbox.mu.Lock()
	e.s.inbox.asks = append(e.s.inbox.asks, ask{o.ID(), before})
	e.s.inbox.mu.Unlock()
	e.s.bell.ring()
}

// Start runs the engine: the log, the workers and each shard on goroutines of
// their own, until Close. app gives each shard its application; it may be nil.
func (e *Engine) Start(app func(*Shard) App) {
	for _, s := range e.shards {
		if app != nil {
			s.app = app(s)
		}
	}
	e.started = true
	e.log.Start()
	for range e.options.Workers {
		e.workers.Add(1)
		go e.worker()
	}
	for _, s := range e.shards {
		e.loops.Add(1)
		go s.loop()
	}
}

// queue is tasks for the workers, of which the shards bound the number.
type queue struct {
	mu     sync.Mutex // guards all below
	more   *sync.Cond
	tasks  []task
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) push(t task) {
	q.mu.Lock()
	q.tasks = append(q.tasks, t)
	q.mu.Unlock()
	q.more.Signal()
}

// pop takes the oldest task; false if there is none, or with wait, if there will
// be none any more.
func (q *queue) pop(wait bool) (task, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.tasks) == 0 {
		if !wait || q.closed {
			return task{}, false
		}
		q.more.Wait()
	}
	t := q.tasks[0]
	q.tasks = append(q.tasks[:0], q.tasks[1:]...)
	return t, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}

// worker runs tasks.
func (e *Engine) worker() {
	defer e.workers.Done()
	for {
		t, ok := e.tasks.pop(true)
		if !ok {
			return
		}
		t.do()
	}
}

// do runs a task and gives it back to its shard.
func (t task) do() {
	t.run()
	in := &t.shard.inbox
	in.mu.Lock()
	in.done = append(in.done, t)
	in.mu.Unlock()
	t.shard.bell.ring()
}

// loop does steps until the shard is closed.
func (s *Shard) loop() {
	defer s.engine.loops.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now().UnixNano()
		more := s.Step(now)
		if s.idle {
			return
		}
		if more {
			continue
		}
		timer.Reset(s.sleep(now))
		select {
		case <-s.bell:
		case <-timer.C:
		}
	}
}

// sleep is how long there is nothing to do without a bell.
func (s *Shard) sleep(now int64) time.Duration {
	if s.relief {
		return 10 * time.Millisecond // nobody tells that another shard made room
	}
	next := s.trimAt
	if len(s.timers) > 0 {
		next = min(next, s.timers[0].expiry)
	}
	if c := &s.scrubs; c.at > 0 && !c.running && s.failed == nil {
		next = min(next, c.at)
	}
	return time.Duration(max(next-now, int64(time.Millisecond)))
}
