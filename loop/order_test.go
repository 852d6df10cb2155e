package loop

import (
	"testing"
	"time"
)

// feed gives a frame to the loop of k at once, in one read.
func (k *simSock) feed(f []byte) {
	k.in = append(k.in, f...)
	k.read(len(k.in))
}

const wide = 1 << 30 // a window that is never full

// TestOrderWhileAnotherLoopWrites: x hands a record to the owner while y is
// writing; when y has finished, the owner has not written it yet. What x sends
// next must not overtake it (I1, I3).
func TestOrderWhileAnotherLoopWrites(t *testing.T) {
	simRun(t, 3, 1, 0, func(s *sim) {
		const x, y, owner = 0, 1, 2
		sub := s.adopt(owner, nil)
		px, py := s.adopt(x, nil), s.adopt(y, nil)
		sub.window = wide
		frame := frame(0, 10, sub.index)
		s.onWrite = func(by int, k *simSock) {
			s.onWrite = nil
			px.feed(frame) // y has the baton: goes through the mailbox
			s.wake(owner)  // refused the baton too
		}
		py.feed(frame)
		px.feed(frame)
		s.settle()
		if !sub.arrived() {
			t.Errorf("records missing: %d", sub.next)
		}
	})
}

// TestOrderBehindCutWrite: the rest of a cut write goes before what the owner
// and other loops have queued meanwhile.
func TestOrderBehindCutWrite(t *testing.T) {
	for cut := range 3 * (recordHead + 5) {
		simRun(t, 3, 1, 0, func(s *sim) {
			const x, y, owner = 0, 1, 2
			sub, po := s.adopt(owner, nil), s.adopt(owner, nil)
			px, py := s.adopt(x, nil), s.adopt(y, nil)
			f := frame(0, 5, sub.index, sub.index, sub.index)
			sub.window = cut
			px.feed(f) // its rest is on the way to the owner
			po.feed(f)
			py.feed(f)
			px.feed(f)
			s.settle()
			sub.window = wide
			s.settle()
			if !sub.arrived() {
				t.Errorf("cut at %d: records missing: %d", cut, sub.next)
			}
		})
	}
}

// TestOneWritePerTurn: whatever a turn queues for one connection leaves in one
// write (I5), also from another loop.
func TestOneWritePerTurn(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		p := s.adopt(0, nil)
		for i := range 2 {
			sub := s.adopt(i, nil)
			sub.window = wide
			p.in = nil
			for range 100 {
				p.in = append(p.in, frame(0, 100, sub.index)...)
			}
			p.read(len(p.in))
			s.settle()
			if sub.writes != 1 || !sub.arrived() {
				t.Errorf("subscriber on loop %d: %d writes", i, sub.writes)
			}
		}
	})
}

// TestCloseWhileOthersAreParsed: closing a connection throws its unread input
// away; that must not land in bytes that the loop is about to parse.
func TestCloseWhileOthersAreParsed(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		sub, p, other := s.adopt(0, nil), s.adopt(0, nil), s.adopt(0, nil)
		sub.window = wide
		f := frame(0, 100, sub.index)
		s.turn(0, func(ev Events) {
			n := copy(ev.ReadBuffer(p.fd), f)
			s.g.loops[0].Post(func() { other.end(flagClose) })
			ev.Received(p.fd, n, nil)
		})
		s.settle()
		if other.handler.closed != 1 || !sub.arrived() || sub.next[0] != 1 {
			t.Errorf("closed %d times, records %d", other.handler.closed, sub.next)
		}
	})
}

// TestCloseBehindCutWrite: a connection that is closed while another loop's
// write is cut waits for its peer, but not for ever.
func TestCloseBehindCutWrite(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, nil), s.adopt(1, nil)
		sub.window = 3
		s.onWrite = func(int, *simSock) {
			s.onWrite = nil
			s.g.loops[0].Post(func() { sub.end(flagClose) })
			s.wake(0)
		}
		p.feed(frame(0, 100, sub.index))
		s.settle()
		if sub.handler.closed != 0 {
			t.Error("closed before its bytes were written")
		}
		s.sleep(lingerMax + time.Second)
		s.settle()
		if sub.handler.closed != 1 {
			t.Error("not closed after lingerMax")
		}
	})
}

// TestAbortBehindCutWrite: an aborted connection is closed when another loop's
// cut write comes back, and nothing more is written.
func TestAbortBehindCutWrite(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, nil), s.adopt(1, nil)
		sub.window = 3
		s.onWrite = func(int, *simSock) {
			s.g.loops[0].Post(func() { sub.end(flagAbort) })
			s.wake(0)
			if sub.conn.fd < 0 {
				t.Error("closed while another loop writes (I4)")
			}
		}
		p.feed(frame(0, 100, sub.index))
		s.settle()
		if sub.handler.closed != 1 || sub.writes != 1 {
			t.Errorf("closed %d times, %d writes", sub.handler.closed, sub.writes)
		}
	})
}

// TestAbortAfterClose: it ends the wait for the peer.
func TestAbortAfterClose(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		sub, p := s.adopt(0, nil), s.adopt(0, nil)
		p.feed(frame(flagClose, 100, sub.index))
		if sub.handler.closed != 0 {
			t.Fatal("closed before its last bytes are written")
		}
		s.turn(0, func(Events) { sub.conn.Abort(ErrStopped) })
		if sub.handler.closed != 1 || sub.handler.err == ErrStopped {
			t.Errorf("closed %d times, with %v", sub.handler.closed, sub.handler.err)
		}
	})
}

// TestLastBytes: what was queued before Close arrives before the end, however
// slowly the peer takes it; Abort drops it.
func TestLastBytes(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		polite, rude, p := s.adopt(0, nil), s.adopt(0, nil), s.adopt(0, nil)
		p.feed(append(frame(flagClose, 50, polite.index, polite.index), frame(flagAbort, 50, rude.index)...))
		for i := 0; polite.handler.closed == 0; i++ {
			if i > 2*(recordHead+50) {
				t.Fatal("not closed when all is written")
			}
			if polite.arrived() {
				t.Fatal("not closed in the turn that wrote the last byte")
			}
			polite.window++
			s.settle()
		}
		if !polite.arrived() || polite.next[0] != 2 {
			t.Errorf("%d of 2 records arrived", polite.next[0])
		}
		if rude.handler.closed != 1 || rude.writes != 0 {
			t.Errorf("aborted: closed %d times, %d writes", rude.handler.closed, rude.writes)
		}
	})
}

// TestRefused: a connection that open refuses is closed, and one that open
// closes gets its last bytes although the engine never knew it.
func TestRefused(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		k := s.offer(0, nil, true)
		s.settle()
		if k.conn.fd != -1 || k.added {
			t.Errorf("refused connection is open: fd %d", k.conn.fd)
		}
	})
}

// TestSlotReuse: a slot that is free again and taken within one turn of another
// loop leads to the new connection only.
func TestSlotReuse(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		old := s.adopt(1, nil)
		p := s.adopt(0, nil)
		l := s.g.loops[0]
		s.turn(0, func(Events) {
			l.begin()
			s.record(l, old, []byte("for nobody"), nil, 0)
			s.g.loops[1].Post(func() { old.end(flagAbort) })
			s.wake(1)
			fresh := s.adopt(1, nil)
			if fresh.conn.slot != old.conn.slot {
				t.Fatalf("slot %d was not reused, got %d", old.conn.slot, fresh.conn.slot)
			}
			fresh.window = wide
			s.record(l, fresh, []byte("for the new one"), nil, 0)
			s.record(l, old, []byte("still for nobody"), nil, 0)
			s.record(l, fresh, []byte("again"), nil, 0)
			l.end()
			if !fresh.arrived() || fresh.next[0] != 2 {
				t.Errorf("%d of 2 records arrived", fresh.next[0])
			}
		})
		_ = p
	})
}

// TestQueueAfterAbort: a pointer from before an Abort in the same turn is
// harmless, and nothing that is put there is kept.
func TestQueueAfterAbort(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		k := s.adopt(0, nil)
		s.turn(0, func(Events) {
			l := s.g.loops[0]
			l.begin()
			q := l.Queue(k.conn, 10)
			l.Append(q, []byte("before"))
			k.end(flagAbort)
			l.Append(q, []byte("after"))
			l.end()
		})
	})
}

// TestNothingQueued: room that is reserved and not used, and empty references,
// do not keep a loop busy.
func TestNothingQueued(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		for i := range 2 {
			k := s.adopt(i, nil)
			k.window = wide
			s.turn(0, func(Events) {
				l := s.g.loops[0]
				l.begin()
				q := l.Queue(k.conn, 10)
				l.Reserve(q, 10)
				sh := NewShared(10)
				l.AppendShared(q, sh, nil)
				sh.Release()
				l.end()
			})
			s.settle()
			if c := k.conn; !c.out.empty() || c.inflight.Load() != 0 || c.baton.Load() != batonFree {
				t.Errorf("loop %d: not at rest", i)
			}
		}
	})
}

// TestLargeFrames: frames around every size at which the way of reading
// changes arrive whole.
func TestLargeFrames(t *testing.T) {
	for _, n := range []int{fillMin - 100, fillMin, partialMin, readBufferSize, fillStep - 1, fillStep, fillStep + 1, 4*fillStep + 1, 5 << 20} {
		for _, step := range []int{1 << 20, 100_000, 4096} {
			simRun(t, 2, 1, 0, func(s *sim) {
				p := s.adopt(0, nil)
				a, b := s.adopt(0, nil), s.adopt(1, nil)
				a.window, b.window = wide, wide
				p.in = append(frame(flagRefer, n, a.index, b.index), frame(0, 10, a.index, b.index)...)
				for len(p.in) > 0 {
					p.read(step)
				}
				s.settle()
				if !a.arrived() || !b.arrived() || a.next[0] != 2 || b.next[0] != 2 {
					t.Errorf("%d bytes in steps of %d: %d and %d of 2 records", n, step, a.next[0], b.next[0])
				}
			})
		}
	}
}

// TestByteByByte: a frame that comes one byte at a time.
func TestByteByByte(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		p, sub := s.adopt(0, nil), s.adopt(0, nil)
		sub.window = wide
		p.in = append(frame(0, 300, sub.index), frame(flagRefer, 9000, sub.index)...)
		for len(p.in) > 0 {
			p.read(1)
		}
		if !sub.arrived() || sub.next[0] != 2 {
			t.Errorf("%d of 2 records", sub.next[0])
		}
	})
}
