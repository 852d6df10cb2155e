package server

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"peregrine/account"
	"peregrine/codec"
	"peregrine/loop"
	"peregrine/sublist"
)

// worker is what the server keeps on one loop.
type worker struct {
	srv      *Server
	lp       *loop.Loop
	index    int
	counters *account.Counters

	// Owned by the loop.
	cache    *sublist.Cache[subscription]
	scratch  sublist.Result[subscription]
	frame    codec.Frame
	verdicts verdicts
	msg      message     // what publish delivers; here because receivers get a pointer
	hops     []*hop      // what is behind account boundaries, by depth
	depth    int         // of hops in use
	mapFrame codec.Frame // a publish with its mapped subject, which is in mapRoom
	mapRoom  []byte
	run      run
	head     []byte // of the messages of a run
	tally    tally
	rng      *rand.PCG
	debug    bool
	trace    bool
	noBodies bool // traces show headers alone
	sweeper  loop.Timer
	sessions *session // a list
	count    atomic.Int64
}

func newWorker(s *Server, lp *loop.Loop) *worker {
	return &worker{
		srv: s, lp: lp, index: lp.Index(), counters: &s.counters[lp.Index()],
		cache: sublist.NewCache[subscription](sublist.CacheOptions{}),
		rng:   rand.NewPCG(rand.Uint64(), rand.Uint64()),
		debug: s.options().Debug, trace: s.options().Trace, noBodies: s.options().TraceHeaders,
	}
}

// random returns 64 random bits; queue groups and timers need no better ones.
func (w *worker) random() uint64 { return w.rng.Uint64() }

func (w *worker) link(c *session) {
	c.next = w.sessions
	if c.next != nil {
		c.next.prev = c
	}
	w.sessions = c
	if w.count.Add(1) == 1 {
		w.lp.AfterFunc(&w.sweeper, sweepInterval, w.sweep)
	}
}

const (
	sweepInterval = time.Second
	sweepLines    = 1024
)

// sweep drops results from the match cache that hold on to subscriptions that
// are gone, a part of it at a time and all of it when nobody is left.
func (w *worker) sweep() {
	if w.count.Load() > 0 {
		w.cache.Sweep(sweepLines)
		w.lp.AfterFunc(&w.sweeper, sweepInterval, w.sweep)
		return
	}
	w.cache.Sweep(math.MaxInt)
	w.scratch = sublist.Result[subscription]{}
}

func (w *worker) unlink(c *session) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.sessions = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	w.count.Add(-1)
	w.srv.connections.Add(-1)
}

// each calls f for every session of the loop. f may close it.
func (w *worker) each(f func(c *session)) {
	for c := w.sessions; c != nil; {
		next := c.next
		f(c)
		c = next
	}
}
