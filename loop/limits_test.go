package loop

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPendingMax: a connection that takes nothing is closed when more than its
// limit waits, not before, wherever the bytes come from.
func TestPendingMax(t *testing.T) {
	for i := range 4 {
		size, from := []int{100, 10_000}[i/2], i%2 // of a record; the publisher's loop
		simRun(t, 2, 1, 0, func(s *sim) {
			lim := &Limits{PendingMax: int64(20 * size)}
			sub, p, other := s.adopt(0, lim), s.adopt(from, nil), s.adopt(0, nil)
			other.window = wide
			f := frame(0, size-recordHead, sub.index, other.index)
			for range 20 {
				p.feed(f)
				s.settle()
			}
			if sub.handler.closed != 0 || sub.conn.Pending() != int64(20*size) {
				t.Errorf("closed %d times at the limit, pending %d", sub.handler.closed, sub.conn.Pending())
			}
			p.feed(f)
			s.settle()
			if !errors.Is(sub.handler.err, ErrPendingExceeded) {
				t.Errorf("closed with %v", sub.handler.err)
			}
			if _, n := sub.conn.Backlog(); n != 20*size {
				t.Errorf("backlog of %d bytes reported", n)
			}
			p.feed(f)
			s.settle()
			if !other.arrived() || other.next[from] != 22 {
				t.Errorf("the other subscriber has %d of 22 records", other.next[from])
			}
		})
	}
}

// TestPendingCountsOnce: bytes that move from the mailbox into the queue while
// the owner queues too are counted once.
func TestPendingCountsOnce(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		const size = 40_000
		sub := s.adopt(0, &Limits{PendingMax: 100_000, StallSoft: 100_000})
		po, px := s.adopt(0, nil), s.adopt(1, nil)
		f := frame(0, size, sub.index)
		px.feed(f) // refused by the socket: on the way to the owner
		px.feed(f)
		s.turn(0, func(ev Events) {
			l := s.g.loops[0]
			s.record(l, sub, []byte("while both are on the way"), nil, 0)
			ev.Woken()
		})
		px.feed(frame(0, 10, sub.index))
		po.feed(frame(0, 10, sub.index)) // 80,000 wait, not 160,000
		if sub.handler.closed != 0 {
			t.Fatal("closed below its limit")
		}
		sub.window = wide
		s.settle()
		if !sub.arrived() {
			t.Errorf("records missing: %d", sub.next)
		}
	})
}

// TestWriteDeadline: a socket that takes nothing for the write deadline ends
// the connection; one that takes everything in time does not.
func TestWriteDeadline(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		lim := &Limits{WriteDeadline: 500 * time.Millisecond}
		stuck, slow, p := s.adopt(0, lim), s.adopt(0, lim), s.adopt(0, nil)
		p.feed(frame(0, 1000-recordHead, stuck.index, slow.index))
		for range 9 {
			slow.window += 112
			s.settle()
			s.sleep(50 * time.Millisecond)
		}
		s.settle()
		if stuck.handler.closed != 0 {
			t.Error("closed before its deadline")
		}
		for range 3 {
			p.feed(frame(0, 1000-recordHead, slow.index))
			s.sleep(100 * time.Millisecond)
			slow.window += 1000
			s.settle()
		}
		if !errors.Is(stuck.handler.err, ErrWriteDeadline) {
			t.Errorf("a socket that takes nothing: %v", stuck.handler.err)
		}
		if segs, n := stuck.conn.Backlog(); segs != 1 || n != 1000 {
			t.Errorf("backlog of %d pieces, %d bytes reported", segs, n)
		}
		if slow.handler.closed != 0 {
			t.Errorf("a socket that is slow: %v", slow.handler.err)
		}
	})
}

// TestWriteDeadlineTrickle: a socket that takes a byte now and then does not
// save its connection: all that waits when it fills must leave in time.
func TestWriteDeadlineTrickle(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, &Limits{WriteDeadline: 500 * time.Millisecond}), s.adopt(0, nil)
		p.feed(frame(0, 1000, sub.index))
		for range 12 {
			sub.window++
			s.settle()
			s.sleep(50 * time.Millisecond)
		}
		s.settle()
		if !errors.Is(sub.handler.err, ErrWriteDeadline) {
			t.Errorf("closed with %v", sub.handler.err)
		}
	})
}

// TestWriteRetry: with RetryWrites a socket that takes a little keeps its
// connection, and the handler hears of each deadline and of the end. One that
// takes nothing is closed all the same.
func TestWriteRetry(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		lim := &Limits{WriteDeadline: 500 * time.Millisecond, RetryWrites: true}
		sub, p := s.adopt(0, lim), s.adopt(0, nil)
		p.feed(frame(0, 1000-recordHead, sub.index))
		for range 23 {
			sub.window++
			s.settle()
			s.sleep(50 * time.Millisecond)
		}
		if h := sub.handler; h.closed != 0 || h.late != 2 || len(h.lags) != 0 {
			t.Errorf("closed %d times with %v, late %d times, recovered %v", h.closed, h.err, h.late, h.lags)
		}
		sub.window = 1000
		s.settle()
		if l := sub.handler.lags; len(l) != 1 || l[0].Pieces != 1 || l[0].Bytes < 970 || l[0].Bytes > 985 || l[0].Took < 100*time.Millisecond || l[0].Took > 200*time.Millisecond {
			t.Errorf("recovered: %+v", l)
		}
		p.feed(frame(0, 3000-recordHead, sub.index))
		s.settle()
		for range 12 {
			s.sleep(50 * time.Millisecond)
			s.settle()
		}
		if h := sub.handler; !errors.Is(h.err, ErrWriteDeadline) || h.late != 2 || len(h.lags) != 1 {
			t.Errorf("a socket that takes nothing: %v, late %d times, recovered %v", h.err, h.late, h.lags)
		}
	})
}

// TestWriteError: the error of the socket reaches the handler, also if another
// loop met it first.
func TestWriteError(t *testing.T) {
	for from := range 2 {
		simRun(t, 2, 1, 0, func(s *sim) {
			sub, p := s.adopt(0, nil), s.adopt(from, nil)
			sub.broken = true
			p.feed(frame(0, 10, sub.index))
			s.settle()
			if !errors.Is(sub.handler.err, unix.EPIPE) {
				t.Errorf("closed with %v", sub.handler.err)
			}
		})
	}
}

// stallLimits slow producers at 100,000 bytes, and in any case at 300,000.
var stallLimits = &Limits{PendingMax: 400_000, StallSoft: 100_000, StallHard: 300_000}

// TestStallEndsWhenDrained: the producer of a full queue is read again as soon
// as it is half empty, before the bound is over (I6).
func TestStallEndsWhenDrained(t *testing.T) {
	for from := range 2 {
		simRun(t, 2, 1, 0, func(s *sim) {
			sub, p := s.adopt(0, stallLimits), s.adopt(from, &Limits{})
			sub.window = 5000
			f := frame(0, 50_000-recordHead, sub.index)
			for i := 0; p.reading; i++ {
				if i == 4 {
					t.Fatal("not paused over the threshold")
				}
				p.feed(f)
				s.settle()
			}
			sub.window = 40_000
			s.settle()
			if p.reading {
				t.Error("read again while the queue is more than half full")
			}
			sub.window = 60_000
			s.settle()
			if !p.reading || len(sub.conn.waiters) != 0 {
				t.Error("not read again although the queue is half empty")
			}
			if st := s.g.Stats()[from]; st.Stalls != 1 {
				t.Errorf("%d stalls counted", st.Stalls)
			}
		})
	}
}

// TestStallIsBounded: a receiver that takes nothing slows its producer for a
// bounded time, again and again, whatever it did before; others are not slowed.
func TestStallIsBounded(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		lim := &Limits{StallSoft: 100_000, StallHard: 200_000}
		sub, p, free := s.adopt(0, lim), s.adopt(1, &Limits{}), s.adopt(1, &Limits{})
		p.feed(frame(0, 200_000, sub.index))
		s.settle()
		f := frame(0, 10, sub.index)
		for i := range 2 * waitersPerQueue {
			p.feed(f)
			s.settle()
			if p.reading {
				t.Fatalf("stall %d: not slowed", i)
			}
			s.sleep(stallHardMax / 2)
			s.settle()
			if p.reading {
				t.Fatalf("stall %d: read again early", i)
			}
			s.sleep(stallHardMax/2 + 2*fineTick)
			s.settle()
			if !p.reading {
				t.Fatalf("stall %d: still paused after its bound", i)
			}
		}
		if !free.reading || len(sub.conn.waiters) > waitersPerQueue {
			t.Errorf("%d waiters, others read: %v", len(sub.conn.waiters), free.reading)
		}
	})
}

// TestDeadReceiverSlowsNobody: below StallHard a socket that has taken nothing
// for a while does not slow its producers, and a producer that may not be
// stalled is never paused.
func TestDeadReceiverSlowsNobody(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		dead, p, route := s.adopt(0, stallLimits), s.adopt(1, &Limits{}), s.adopt(1, &Limits{NeverStalled: true})
		s.sleep(2 * stallProgress)
		f := frame(0, 50_000-recordHead, dead.index)
		for range 5 {
			p.feed(f)
			s.settle()
			if !p.reading {
				t.Fatalf("slowed at %d bytes", dead.conn.Pending())
			}
		}
		route.feed(f)
		route.feed(f)
		s.settle()
		if !route.reading {
			t.Error("a connection that is never stalled was paused")
		}
		p.feed(f)
		s.settle()
		if p.reading {
			t.Error("not slowed above StallHard")
		}
	})
}

// TestStallOnAnother: a producer whose stall ended by its bound and that now
// waits for another receiver is not resumed by the first.
func TestStallOnAnother(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		first, second, p := s.adopt(0, stallLimits), s.adopt(0, stallLimits), s.adopt(1, &Limits{})
		p.feed(frame(0, 310_000, first.index, second.index))
		s.settle()
		p.feed(frame(0, 10, first.index))
		s.settle()
		s.sleep(2 * stallHardMax)
		s.settle()
		p.feed(frame(0, 10, second.index))
		s.settle()
		if p.reading {
			t.Fatal("not slowed")
		}
		first.window = wide
		s.settle()
		if p.reading {
			t.Error("resumed by a receiver that it does not wait for")
		}
		second.window = wide
		s.settle()
		if !p.reading {
			t.Error("not resumed")
		}
	})
}

// TestStallEndsWithTheReceiver: producers of a connection that closes are read
// again at once.
func TestStallEndsWithTheReceiver(t *testing.T) {
	for from := range 2 {
		simRun(t, 2, 1, 0, func(s *sim) {
			sub, p := s.adopt(0, stallLimits), s.adopt(from, &Limits{})
			p.feed(frame(0, 310_000, sub.index))
			s.settle()
			p.feed(frame(0, 100, sub.index))
			s.settle()
			if p.reading {
				t.Fatal("not slowed")
			}
			s.g.loops[0].Post(func() { sub.end(flagAbort) })
			s.settle()
			if !p.reading {
				t.Error("still slowed")
			}
		})
	}
}

// TestStallOnTheClosing: the receiver closes while the producer's wish to wait
// for it is on the way.
func TestStallOnTheClosing(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, stallLimits), s.adopt(1, &Limits{})
		p.feed(frame(0, 310_000, sub.index))
		s.settle()
		s.g.loops[0].Post(func() { sub.end(flagAbort) })
		p.feed(frame(0, 100, sub.index))
		if p.reading {
			t.Fatal("not slowed")
		}
		s.settle()
		if !p.reading {
			t.Error("still slowed")
		}
	})
}

// TestMemoryIsFlat: a producer that never stops fills the queue of a receiver
// that does not read to its limit and no further; it is read less and less,
// and a receiver next to it gets everything.
func TestMemoryIsFlat(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		lim := &Limits{PendingMax: 8 << 20, StallSoft: 64 << 10, StallHard: 128 << 10}
		stuck, good, p := s.adopt(0, lim), s.adopt(0, lim), s.adopt(1, &Limits{})
		good.window = wide
		f := frame(0, 1000, stuck.index, good.index)
		turns, start := 0, time.Now()
		for time.Since(start) < 300*time.Millisecond {
			for len(p.in) < readBufferSize {
				p.in = append(p.in, f...)
			}
			for p.canRead() {
				p.read(readBufferSize)
				turns++
			}
			s.settle()
			s.sleep(time.Millisecond)
		}
		// One read in each stallHardMax, and what it took to get there.
		if most := int(300*time.Millisecond/stallHardMax) + 3; turns > most {
			t.Errorf("the producer was read %d times, %d expected at most", turns, most)
		}
		if n := stuck.conn.Pending(); n > lim.PendingMax || stuck.handler.closed != 0 {
			t.Errorf("%d bytes wait, closed %d times", n, stuck.handler.closed)
		}
		if !good.arrived() || good.next[1] == 0 {
			t.Errorf("the good receiver has %d records", good.next)
		}
		stuck.window = wide
		s.settle()
		s.sleep(time.Second)
		s.settle()
		if !stuck.arrived() || !p.reading {
			t.Errorf("after the receiver came back: %d records, producer read: %v", stuck.next, p.reading)
		}
	})
}

// TestMailboxBound: when the receiving loop does not run, connections that
// send to it stop being read at mailboxMax; nothing is lost, and they go on
// when it has caught up.
func TestMailboxBound(t *testing.T) {
	simRun(t, 3, 1, 0, func(s *sim) {
		sub, near := s.adopt(0, nil), s.adopt(1, nil)
		a, b := s.adopt(1, nil), s.adopt(1, nil)
		near.window = wide
		f := frame(0, 10, sub.index)
		for i := 0; a.reading; i++ {
			if i > mailboxMax+1 {
				t.Fatal("never paused")
			}
			a.feed(f)
		}
		b.feed(frame(0, 10, near.index))
		if !b.reading {
			t.Error("paused, but it sends nothing to the full loop")
		}
		b.feed(f)
		if b.reading {
			t.Error("not paused with the mailbox full")
		}
		sub.window = wide
		s.wake(0)
		s.settle()
		if !a.reading || !b.reading {
			t.Error("still paused with the mailbox empty")
		}
		if !sub.arrived() || sub.next[1] < mailboxMax {
			t.Errorf("%d records arrived", sub.next[1])
		}
	})
}

// TestMailboxDrainsMeanwhile: the receiver catches up between the sender's look
// at the mailbox and the pause that follows from it.
func TestMailboxDrainsMeanwhile(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, nil), s.adopt(1, nil)
		paused := false
		s.onPause = func() {
			if !paused {
				paused = true
				s.wake(0)
			}
		}
		for !paused {
			p.feed(frame(0, 10, sub.index))
		}
		s.settle()
		if !p.reading {
			t.Error("paused for ever")
		}
	})
}

// TestPauseReading: the handler's own pause is independent of the others.
func TestPauseReading(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, stallLimits), s.adopt(0, &Limits{})
		p.conn.PauseReading(true)
		p.conn.PauseReading(true)
		if p.reading {
			t.Fatal("read although paused")
		}
		// What was in the buffer already is not lost.
		s.turn(0, func(ev Events) {
			n := copy(ev.ReadBuffer(p.fd), frame(0, 1000, sub.index))
			ev.Received(p.fd, n, nil)
		})
		p.conn.PauseReading(false)
		if !p.reading || s.seq[0][sub.index] != 1 {
			t.Errorf("reading %v, %d records", p.reading, s.seq[0][sub.index])
		}
	})
}
