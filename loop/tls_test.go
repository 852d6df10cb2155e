package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestTLSSplits: records arrive whole wherever the ciphertext is cut.
func TestTLSSplits(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		simTLS(t, 2, func(s *sim) {
			o, client := testServer()
			client = client.Clone()
			client.MaxVersion = version
			p := s.adopt(0, nil)
			p.secure(o, client, wide)
			a, b := s.adopt(0, nil), s.adopt(1, nil)
			a.window, b.window = wide, wide
			two := func() []byte {
				p.send(frame(0, 10, a.index, b.index))
				p.send(frame(0, 30, b.index, a.index))
				return p.in
			}
			rounds := len(two())
			p.read(wide)
			for cut := 1; cut < rounds; cut++ {
				two()
				p.read(cut)
				p.read(wide)
			}
			s.settle()
			if want := uint32(2 * rounds); a.next[0] != want || b.next[0] != want || !a.arrived() || !b.arrived() {
				t.Errorf("%d and %d of %d records", a.next[0], b.next[0], want)
			}
		})
	}
}

// TestTLSIdleKeepsNothing: what a peer sent to shake hands is not kept.
func TestTLSIdleKeepsNothing(t *testing.T) {
	simTLS(t, 1, func(s *sim) {
		o, client := testServer()
		p := s.adopt(0, nil)
		p.secure(o, client, wide)
		w := &p.conn.tls.wire
		if w.left != nil || w.in != nil || w.shake != nil || p.conn.tls.hs != nil || p.conn.partial != nil {
			t.Errorf("an idle connection holds %d bytes of input, %v, %v", cap(w.left), w.shake, p.conn.tls.hs)
		}
	})
}

// TestTLSByteByByte: handshake and data one byte at a time, on both sides.
func TestTLSByteByByte(t *testing.T) {
	for _, dial := range []bool{false, true} {
		simTLS(t, 1, func(s *sim) {
			o, client := testServer()
			if dial {
				o, client = &TLS{Config: client, Client: true}, o.Config
			}
			p := s.adopt(0, nil)
			p.secure(o, client, 1)
			p.window = wide
			p.send(frame(0, 300, p.index))
			for len(p.in) > 0 {
				p.read(1)
			}
			if !p.arrived() || p.next[0] != 1 {
				t.Errorf("dial %v: %d of 1 record", dial, p.next[0])
			}
		})
	}
}

// TestTLSFrameSizes: frames around every size at which the way of reading
// changes, with what is lent and referred to.
func TestTLSFrameSizes(t *testing.T) {
	for _, n := range []int{0, 100, fillMin - 100, fillMin, recordMax, 100_000, readBufferSize, fillStep + 1, 3 << 20} {
		for _, flags := range []byte{0, flagLend, flagRefer} {
			for _, step := range []int{wide, 5000} {
				simTLS(t, 2, func(s *sim) {
					o, client := testServer()
					p, a, b := s.adopt(0, nil), s.adopt(0, nil), s.adopt(1, nil)
					for _, k := range []*simSock{p, a, b} {
						k.secure(o, client, wide)
					}
					a.window, b.window = wide, wide
					for range 3 {
						p.send(frame(flags, n, a.index, b.index))
						p.send(frame(flags, 10, a.index, b.index))
					}
					for len(p.in) > 0 {
						p.read(step)
					}
					s.settle()
					if !a.arrived() || !b.arrived() || a.next[0] != 6 || b.next[0] != 6 {
						t.Errorf("%d bytes, flags %b, steps of %d: %d and %d of 6 records", n, flags, step, a.next[0], b.next[0])
					}
				})
			}
		}
	}
}

// TestTLSSlowSocket: ciphertext that the socket takes byte by byte.
func TestTLSSlowSocket(t *testing.T) {
	simTLS(t, 2, func(s *sim) {
		o, client := testServer()
		p, sub := s.adopt(0, nil), s.adopt(1, nil)
		sub.secure(o, client, wide)
		sub.window = 0
		for _, n := range []int{0, 1, 100, 20_000} {
			p.feed(frame(flagLend, n, sub.index))
		}
		for i := 0; !sub.arrived(); i++ {
			if sub.window++; i > 1<<16 {
				t.Fatal("the records do not come")
			}
			s.settle()
		}
		if sub.next[0] != 4 {
			t.Errorf("%d of 4 records", sub.next[0])
		}
	})
}

// TestTLSClearFirst: what is queued before StartTLS leaves in clear, what is
// queued during the handshake waits for its end.
func TestTLSClearFirst(t *testing.T) {
	simTLS(t, 1, func(s *sim) {
		o, client := testServer()
		k := s.adopt(0, nil)
		k.window = 5
		k.conn.loop.Post(func() { k.conn.loop.Append(k.conn.loop.Queue(k.conn, 5), []byte("clear")) })
		s.settle()
		if string(k.got) != "clear" {
			t.Fatalf("the peer has %q", k.got)
		}
		k.got = nil
		p := k.startTLS(o, client)
		k.conn.loop.Post(func() { s.record(k.conn.loop, k, []byte("secret"), nil, 0) })
		p.pump(wide)
		s.sleeping.Store(false)
		if !k.arrived() || k.next[0] != 1 {
			t.Errorf("%d of 1 record", k.next[0])
		}
	})
}

// TestTLSEarlyData: what comes with the last bytes of the handshake is not lost,
// also if the peer ends there.
func TestTLSEarlyData(t *testing.T) {
	simTLS(t, 1, func(s *sim) {
		o, client := testServer()
		k, sub := s.adopt(0, nil), s.adopt(0, nil)
		sub.window = wide
		p := k.startTLS(o, client)
		for !func() bool { p.mu.Lock(); defer p.mu.Unlock(); return !p.shaking }() {
			p.pumpOnce()
		}
		// The client has its Finished in out, the server has not seen it.
		k.send(frame(0, 100, sub.index))
		k.eof = true
		p.pump(wide)
		s.sleeping.Store(false)
		s.settle()
		if sub.next[0] != 1 || !sub.arrived() {
			t.Errorf("%d of 1 record", sub.next[0])
		}
		if k.handler.closed != 1 || k.handler.err != io.EOF || k.handler.secureErr != nil {
			t.Errorf("closed %d times: %v; %v", k.handler.closed, k.handler.err, k.handler.secureErr)
		}
	})
}

// TestTLSClose: Close sends all that is queued and a close_notify; a
// close_notify of the peer is its end.
func TestTLSClose(t *testing.T) {
	simTLS(t, 2, func(s *sim) {
		o, client := testServer()
		k, p := s.adopt(0, nil), s.adopt(0, nil)
		k.secure(o, client, wide)
		p.feed(frame(flagClose, 50_000, k.index))
		s.settle()
		for k.handler.closed == 0 {
			k.window += 777
			s.settle()
		}
		if k.peer.end != io.EOF || !k.arrived() || k.next[0] != 1 {
			t.Errorf("the peer has %d of 1 record, then %v", k.next[0], k.peer.end)
		}
		q := s.adopt(0, nil)
		q.secure(o, client, wide)
		if err := q.peer.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		q.peer.move()
		s.settle()
		q.window = wide
		s.settle()
		if q.handler.closed != 1 || q.handler.err != io.EOF {
			t.Errorf("closed %d times: %v", q.handler.closed, q.handler.err)
		}
	})
}

// TestTLSDamage: a flipped bit anywhere in a record ends the connection and
// gives the handler nothing; the peer is told.
func TestTLSDamage(t *testing.T) {
	simTLS(t, 1, func(s *sim) {
		o, client := testServer()
		for at := 0; at < 80; at++ {
			k, sub := s.adopt(0, nil), s.adopt(0, nil)
			k.secure(o, client, wide)
			k.window, sub.window = wide, wide
			k.send(frame(0, 50, sub.index))
			k.in[at%len(k.in)] ^= 0x10
			k.read(wide)
			k.eof = true
			s.settle()
			if k.handler.closed != 1 || sub.next[0] != 0 {
				t.Errorf("byte %d: closed %d times, %d records", at, k.handler.closed, sub.next[0])
			}
		}
	})
}

// TestTLSBadRecords: records that no handshake and no session may have.
func TestTLSBadRecords(t *testing.T) {
	for name, b := range map[string][]byte{
		"text":        []byte("CONNECT {}\r\nPING\r\n"),
		"oversized":   {22, 3, 1, 0xff, 0xff, 1, 2, 3},
		"empty":       {22, 3, 1, 0, 0, 22, 3, 1, 0, 0},
		"application": {23, 3, 3, 0, 1, 0},
		"alert":       {21, 3, 3, 0, 2, 2, 40},
		"sslv2":       {0x80, 0x2e, 1, 0, 2, 0, 0, 0},
	} {
		simTLS(t, 1, func(s *sim) {
			o, _ := testServer()
			k := s.adopt(0, nil)
			k.window = wide
			k.conn.loop.Post(func() { k.conn.StartTLS(o, nil) })
			s.settle()
			k.in = b
			s.settle()
			s.sleep(0)
			s.settle()
			k.eof = true
			s.settle()
			s.sleep(0)
			s.settle()
			if k.handler.secured != 1 || k.handler.secureErr == nil || k.handler.closed != 1 {
				t.Errorf("%s: Secured %d times with %v, closed %d times", name, k.handler.secured, k.handler.secureErr, k.handler.closed)
			}
		})
	}
}

// TestTLSTimeout: a handshake that does not come, or stops in the middle, ends
// in time and holds no worker.
func TestTLSTimeout(t *testing.T) {
	sizes, middle := []int{0, 1, 4, 100}, 0
	for n := 1400; n < 1700; n += 20 {
		sizes = append(sizes, n) // around the end of the first flight
	}
	for _, sent := range sizes {
		simTLS(t, 1, func(s *sim) {
			o, client := testServer()
			k := s.adopt(0, nil)
			p := k.startTLS(o, client)
			p.window(sent)
			if k.conn.tls.open {
				return
			}
			if k.conn.tls.hs.started {
				middle++
			}
			s.sleep(o.Timeout - 100*time.Millisecond)
			s.settle()
			if k.handler.secured != 0 {
				t.Errorf("%d bytes: Secured before the time: %v", sent, k.handler.secureErr)
			}
			s.sleep(200 * time.Millisecond)
			s.settle()
			if k.handler.secured != 1 || !errors.Is(k.handler.secureErr, ErrHandshakeTimeout) || k.handler.closed != 1 {
				t.Errorf("%d bytes: Secured %d times with %v, closed %d times", sent, k.handler.secured, k.handler.secureErr, k.handler.closed)
			}
			p.giveUp()
			if n := len(s.g.shaking); n != 0 {
				t.Errorf("%d slots are held", n)
			}
		})
	}
	if middle == 0 {
		t.Error("no handshake was cut in the middle")
	}
}

// TestTLSEnds: the peer goes, or the loop closes, at every point of the
// handshake.
func TestTLSEnds(t *testing.T) {
	for sent := 0; sent < 3000; sent += 97 {
		for _, how := range []byte{0, flagClose, flagAbort} {
			simTLS(t, 1, func(s *sim) {
				o, client := testServer()
				k := s.adopt(0, nil)
				p := k.startTLS(o, client)
				p.window(sent)
				if how == 0 {
					k.in, k.eof = nil, true
				} else {
					k.conn.loop.Post(func() { k.end(how) })
				}
				s.settle()
				s.sleep(0)
				s.settle()
				if k.handler.closed != 1 {
					t.Errorf("%d bytes, way %d: closed %d times", sent, how, k.handler.closed)
				}
				p.giveUp()
			})
		}
	}
}

// TestTLSVerify: the last word on a peer is spoken without a slot, so others go
// on meanwhile.
func TestTLSVerify(t *testing.T) {
	simTLS(t, 1, func(s *sim) {
		o, client := testServer()
		wait, refusal := make(chan struct{}), errors.New("not him")
		first := &TLS{Config: o.Config, Verify: func(tls.ConnectionState) error { <-wait; return refusal }}
		k := s.adopt(0, nil)
		p := k.startTLS(first, client)
		p.pump(wide)
		if k.handler.secured != 0 || len(s.g.shaking) != 0 {
			t.Errorf("Secured %d times, %d slots held", k.handler.secured, len(s.g.shaking))
		}
		other := s.adopt(0, nil)
		other.secure(o, client, wide)
		s.sleeping.Store(true)
		close(wait)
		p.pump(wide)
		if k.handler.secured != 1 || !errors.Is(k.handler.secureErr, refusal) {
			t.Errorf("Secured %d times: %v", k.handler.secured, k.handler.secureErr)
		}
		s.sleeping.Store(false)
	})
}

// TestTLSPending: what waits, sealed or not, counts against the limit.
func TestTLSPending(t *testing.T) {
	simTLS(t, 2, func(s *sim) {
		o, client := testServer()
		sub, p := s.adopt(0, &Limits{PendingMax: 400_000}), s.adopt(1, nil)
		sub.secure(o, client, wide)
		sub.window = 0
		for range 3 {
			p.feed(frame(0, 100_000, sub.index))
			s.settle()
		}
		if n := sub.conn.Pending(); sub.handler.closed != 0 || n < 300_000 || n > 310_000 {
			t.Errorf("pending %d, closed %d times", n, sub.handler.closed)
		}
		p.feed(frame(0, 110_000, sub.index))
		s.settle()
		if !errors.Is(sub.handler.err, ErrPendingExceeded) {
			t.Errorf("closed with %v", sub.handler.err)
		}
	})
}

// goOn lets a handler go on that waits.
func (k *simSock) goOn() {
	k.conn.loop.Post(func() {
		k.handler.held = false
		k.conn.PauseReading(false)
	})
	k.s.settle()
}

// TestTLSHeld: a handler that waits gets the rest when it goes on, also what came
// with the peer's end or with the handshake.
func TestTLSHeld(t *testing.T) {
	for _, step := range []int{wide, 5000, 7} {
		for _, n := range []int{10, 20_000, 300_000} {
			if n/step > 4000 {
				continue
			}
			for _, notify := range []bool{false, true} {
				simTLS(t, 2, func(s *sim) {
					o, client := testServer()
					k, sub := s.adopt(0, nil), s.adopt(1, nil)
					k.secure(o, client, wide)
					sub.window = wide
					k.send(frame(flagHold, 10, sub.index))
					for range 3 {
						k.send(frame(0, n, sub.index))
					}
					if notify {
						if err := k.peer.conn.CloseWrite(); err != nil {
							t.Fatal(err)
						}
						k.peer.move()
					}
					for k.canRead() {
						k.read(step)
					}
					k.eof = !notify
					k.window = wide
					s.settle()
					if sub.next[0] != 1 || k.handler.closed != 0 {
						t.Fatalf("held: %d of 1 record, closed %d times", sub.next[0], k.handler.closed)
					}
					k.goOn()
					if sub.next[0] != 4 || !sub.arrived() || k.handler.closed != 1 || k.handler.err != io.EOF {
						t.Errorf("%d bytes in steps of %d: %d of 4 records, closed %d times: %v", n, step, sub.next[0], k.handler.closed, k.handler.err)
					}
				})
			}
		}
	}
}

// readToEnd gives the loop all that the peer has sent, and its end, in one event.
func (k *simSock) readToEnd() {
	k.s.turn(k.conn.loop.index, func(ev Events) {
		n := copy(ev.ReadBuffer(k.fd), k.in)
		k.in = k.in[n:]
		ev.Received(k.fd, n, io.EOF)
	})
}

// TestTLSHeldEarly: the same when all of it comes with the end of the handshake,
// the peer's end before the loop knows that the handshake is over or after.
func TestTLSHeldEarly(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		simTLS(t, 1, func(s *sim) {
			o, client := testServer()
			k, sub := s.adopt(0, nil), s.adopt(0, nil)
			sub.window = wide
			p := k.startTLS(o, client)
			for done := false; !done; {
				synctest.Wait()
				p.mu.Lock()
				done = !p.shaking
				p.mu.Unlock()
				if !done {
					p.pumpOnce()
				}
			}
			k.send(frame(flagHold, 10, sub.index))
			k.send(frame(0, 100, sub.index))
			if atOnce {
				k.readToEnd()
				if k.conn.tls.hs == nil {
					t.Fatal("the handshake was over before the end of input")
				}
			} else {
				k.eof = true
			}
			p.pump(wide)
			s.sleeping.Store(false)
			s.settle()
			if sub.next[0] != 1 || k.handler.closed != 0 {
				t.Fatalf("held: %d of 1 record, closed %d times", sub.next[0], k.handler.closed)
			}
			k.goOn()
			if sub.next[0] != 2 || k.handler.closed != 1 || k.handler.err != io.EOF {
				t.Errorf("%d of 2 records, closed %d times: %v", sub.next[0], k.handler.closed, k.handler.err)
			}
		})
	}
}
