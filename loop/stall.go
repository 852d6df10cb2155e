package loop

import (
	"slices"
	"sync/atomic"
	"time"
)

// A receiver that falls behind slows its producers before anything is dropped
// (I6). Two thresholds of its queue matter:
//
//   - StallSoft, while the socket takes bytes: producers wait until the queue
//     is half empty. It will be soon, and a short queue stays in the cache.
//   - StallHard, in any case: a receiver that has stopped is about to be
//     closed; its producers are slowed so that it has a last chance.
//
// Between the two a receiver that takes nothing slows nobody, so one dead
// subscriber does not throttle a producer that serves a hundred live ones.
const (
	stallSoftMax    = 20 * time.Millisecond
	stallHardMax    = 10 * time.Millisecond
	stallProgress   = 50 * time.Millisecond
	waitersPerQueue = 4096
)

// stallState is the producer's side.
type stallState struct {
	timer   Timer
	since   int64
	stalled bool
	// on is the connection in whose list of waiters the producer is. Set and
	// cleared by that connection's loop.
	on    atomic.Pointer[Conn]
	count atomic.Int64
}

// StallCounters tell how often and how long producers were slowed.
type StallCounters struct{ Stalls, Nanos int64 }

// overThreshold tells whether a queue with pending bytes slows its producers.
func (c *Conn) overThreshold(lim *Limits, pending, now int64) (bool, time.Duration) {
	if lim.StallSoft == 0 || pending < lim.StallSoft {
		return false, 0
	}
	if lim.StallHard != 0 && pending >= lim.StallHard {
		return true, stallHardMax
	}
	if now-c.progressAt.Load() < int64(stallProgress) {
		return true, stallSoftMax
	}
	return false, 0
}

// noteStall remembers that the current turn's producer ran into a full queue;
// the longest bound wins.
func (l *Loop) noteStall(c *Conn, bound time.Duration) {
	if l.stallOn == nil || bound > l.stallFor {
		l.stallOn, l.stallFor = c, bound
	}
}

// applyStall pauses the producer p at the end of its turn.
func (l *Loop) applyStall(p *Conn) {
	on, bound := l.stallOn, l.stallFor
	l.stallOn, l.stallFor = nil, 0
	if p == nil || p.closing || p.stall.stalled || p == on || on.Gone() {
		return
	}
	if lim := p.limit.Load(); lim == nil || lim.NeverStalled {
		return
	}
	p.stall.stalled = true
	p.stall.count.Add(1)
	p.stall.since = l.now()
	p.pause(pauseStall)
	l.AfterFunc(&p.stall.timer, bound, func() { l.resumeProducer(p) })
	if on.loop == l {
		l.addWaiter(on, p)
		return
	}
	n := l.post(on.loop)
	n.items = append(n.items, item{kind: itemWait, conn: on, producer: p})
	l.sendNodes()
}

// addWaiter registers producer p with c, or resumes it if c has drained. If
// too many wait, p is left to its timer.
func (l *Loop) addWaiter(c, p *Conn) {
	lim := c.limit.Load()
	if c.gone.Load() || lim == nil || c.Pending() < lim.StallSoft/2 {
		l.sendResume(p)
		return
	}
	if p.stall.on.Load() == c {
		return
	}
	if len(c.waiters) >= waitersPerQueue {
		c.waiters = slices.DeleteFunc(c.waiters, func(w *Conn) bool { return w.stall.on.Load() != c })
		if len(c.waiters) >= waitersPerQueue {
			return
		}
	}
	p.stall.on.Store(c)
	c.waiters = append(c.waiters, p)
}

// wakeWaiters resumes the producers of c if it has drained, or in any case.
func (l *Loop) wakeWaiters(c *Conn, always bool) {
	if len(c.waiters) == 0 {
		return
	}
	if lim := c.limit.Load(); !always && lim != nil && c.Pending() >= lim.StallSoft/2 {
		return
	}
	for i, p := range c.waiters {
		if p.stall.on.CompareAndSwap(c, nil) {
			l.sendResume(p)
		}
		c.waiters[i] = nil
	}
	c.waiters = c.waiters[:0]
}

func (l *Loop) sendResume(p *Conn) {
	if p.loop == l {
		l.resumeProducer(p)
		return
	}
	n := l.post(p.loop)
	n.items = append(n.items, item{kind: itemResume, conn: p})
}

func (l *Loop) resumeProducer(p *Conn) {
	if !p.stall.stalled {
		return
	}
	p.stall.stalled = false
	l.Cancel(&p.stall.timer)
	l.stalls.Add(1)
	l.stallNanos.Add(l.now() - p.stall.since)
	p.resume(pauseStall)
}
