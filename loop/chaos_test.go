package loop

import (
	"flag"
	"testing"
	"time"
)

var (
	seedFlag = flag.Uint64("seed", 0, "run the simulation with this seed only")
	runsFlag = flag.Uint64("runs", 16, "how many seeds the simulation runs")
)

// chaos is one random run.
type chaos struct {
	*sim
	subs, pubs []*simSock
	mortal     map[*simSock]bool // may be closed or run over a limit
}

// TestChaos lets publishers on every loop send to subscribers on every loop
// while sockets fill, peers pause and vanish and connections are closed, and
// checks order (I1), counts (I6) and that everything is given back.
func TestChaos(t *testing.T) {
	first, last := uint64(1), *runsFlag
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	stalls, reasons := int64(0), map[string]int{}
	defer func() { t.Logf("%d stalls; closed: %v", stalls, reasons) }()
	for seed := first; seed <= last; seed++ {
		t.Logf("seed %d", seed)
		simRun(t, 2+int(seed%4), seed, 3+int(seed%5), func(s *sim) {
			c := &chaos{sim: s, mortal: map[*simSock]bool{}}
			c.run()
			for _, st := range s.g.Stats() {
				stalls += st.Stalls
			}
			for _, k := range s.socks {
				if k.conn.closing {
					reasons[k.handler.err.Error()]++
				}
			}
		})
		if t.Failed() {
			t.Fatalf("again with -run TestChaos -seed %d", seed)
		}
	}
}

func (c *chaos) run() {
	for i := range 2 + c.rng.IntN(8) {
		c.subscriber(i % len(c.engines))
	}
	for range 1 + c.rng.IntN(6) {
		p := c.adopt(c.rng.IntN(len(c.engines)), &Limits{})
		c.maybeSecure(p)
		c.pubs = append(c.pubs, p)
	}
	for range 300 {
		c.act()
		for range c.rng.IntN(6) {
			c.step()
		}
		if c.rng.IntN(8) == 0 {
			c.sleep(time.Duration(c.rng.IntN(int(30 * time.Millisecond))))
		}
	}
	c.finish()
}

func (c *chaos) subscriber(loop int) {
	unit := int64(1000 << c.rng.IntN(7)) // of the thresholds
	lim := &Limits{StallSoft: unit, StallHard: 2 * unit}
	mortal := c.rng.IntN(2) == 0
	if mortal && c.rng.IntN(2) == 0 {
		lim = &Limits{PendingMax: 4 * unit, StallSoft: unit, StallHard: 3 * unit, WriteDeadline: 500 * time.Millisecond}
	}
	k := c.adopt(loop, lim)
	c.maybeSecure(k)
	k.window = c.rng.IntN(4 << 10)
	c.mortal[k] = mortal
	c.subs = append(c.subs, k)
}

// maybeSecure makes one in three sockets use TLS.
func (c *chaos) maybeSecure(k *simSock) {
	if c.rng.IntN(3) == 0 {
		o, client := testServer()
		preempt := c.preempt
		c.preempt = 0 // workers must not take turns
		k.secure(o, client, wide)
		c.preempt = preempt
	}
}

// act does something to a socket from outside.
func (c *chaos) act() {
	k := c.subs[c.rng.IntN(len(c.subs))]
	switch n := c.rng.IntN(20); {
	case n < 9:
		c.publish()
	case n < 16:
		k.window += c.rng.IntN(1 << (4 + c.rng.IntN(14)))
	case n == 16 && c.mortal[k] && c.rng.IntN(3) == 0:
		k.eof = true
	case n == 17 && c.mortal[k] && c.rng.IntN(3) == 0:
		k.broken = true
	case n == 18 && c.rng.IntN(4) == 0 && len(c.subs) < 20:
		c.subscriber(c.rng.IntN(len(c.engines)))
	case n == 19:
		c.sleep(time.Duration(c.rng.IntN(int(3 * time.Second))))
	}
}

func (c *chaos) publish() {
	p := c.pubs[c.rng.IntN(len(c.pubs))]
	if len(p.in) > 2<<20 {
		return
	}
	for range 1 + c.rng.IntN(10) {
		var flags byte
		if c.rng.IntN(4) == 0 {
			flags |= flagRefer
		}
		if c.rng.IntN(10) == 0 {
			flags |= flagPosted
		}
		if c.rng.IntN(3) == 0 {
			flags |= flagLend
		}
		var to []int
		for range 1 + c.rng.IntN(4) {
			to = append(to, c.subs[c.rng.IntN(len(c.subs))].index)
		}
		if first := c.socks[to[0]]; c.mortal[first] && c.rng.IntN(20) == 0 {
			flags |= []byte{flagClose, flagClose, flagAbort}[c.rng.IntN(3)]
		}
		p.send(frame(flags, c.size(), to...))
	}
}

// size draws a payload length: mostly small, seldom larger than any buffer.
func (c *chaos) size() int {
	switch n := c.rng.IntN(100); {
	case n < 80:
		return c.rng.IntN(200)
	case n < 97:
		return c.rng.IntN(20 << 10)
	case n < 99:
		return c.rng.IntN(300 << 10)
	}
	return c.rng.IntN(1 << 20)
}

// finish opens all windows and checks that all that was published arrives.
func (c *chaos) finish() {
	for _, k := range c.socks {
		k.window = 1 << 30
	}
	for range 400 {
		c.settle()
		c.sleep(10 * time.Millisecond)
	}
	c.settle()
	for _, p := range c.pubs {
		if len(p.in) > 0 {
			c.fail("conn %d: %d bytes are never read, paused by %b", p.index, len(p.in), p.conn.pauses)
		}
	}
	for _, k := range c.socks {
		n := k.conn
		if n.inflight.Load() != 0 || n.flying.Load() != 0 {
			c.fail("conn %d: %d items, %d bytes under way", k.index, n.inflight.Load(), n.flying.Load())
		}
		if n.closing && n.fd >= 0 {
			c.fail("conn %d is closing for ever", k.index)
		}
		if n.closing {
			if !c.mortal[k] {
				c.fail("conn %d was closed: %v", k.index, k.handler.err)
			}
			continue
		}
		if !k.arrived() {
			c.fail("conn %d: records are missing: %d arrived", k.index, k.next)
		}
		if n.Pending() != 0 || !n.out.empty() || (n.baton.Load() != batonFree || n.holding) != (n.tls != nil) || n.blocked || n.pauses != 0 {
			c.fail("conn %d is not at rest: pending %d, baton %d, holding %v, blocked %v, pauses %b",
				k.index, n.Pending(), n.baton.Load(), n.holding, n.blocked, n.pauses)
		}
	}
}
