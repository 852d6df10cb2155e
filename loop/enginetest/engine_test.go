package enginetest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"peregrine/loop"
)

// script is what an engine under test does, step by step, and what happened
// meanwhile. A clock, a socket of its own, leads from step to step. One tick
// goes unused: then everything that was ready before it has been reported.
type script struct {
	t     *testing.T
	e     loop.Engine
	clock [2]int
	ticks int
	steps []func()
	seen  []event
	buf   []byte
	deaf  bool // ReadBuffer gives none
}

type event struct {
	fd, n    int
	writable bool
	err      error
}

func (s *script) ReadBuffer(fd int) []byte {
	if s.deaf && fd != s.clock[0] {
		return nil
	}
	return s.buf
}

func (s *script) Received(fd, n int, err error) {
	if fd != s.clock[0] {
		s.seen = append(s.seen, event{fd: fd, n: n, err: err})
		return
	}
	if s.ticks++; s.ticks%2 == 0 {
		if len(s.steps) == 0 {
			must(s.t, s.e.Wake())
			return
		}
		step := s.steps[0]
		s.steps = s.steps[1:]
		step()
	}
	send(s.t, s.clock[1], ".")
}

func (s *script) Writable(fd int) { s.seen = append(s.seen, event{fd: fd, writable: true}) }

func (s *script) Woken() error { return loop.ErrStop }

// expect takes the events so far.
func (s *script) expect(want ...event) {
	s.t.Helper()
	ok := len(s.seen) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = s.seen[i] == want[i]
	}
	if !ok {
		s.t.Errorf("events %+v, want %+v", s.seen, want)
	}
	s.seen = nil
}

// play runs steps on an engine.
func play(t *testing.T, steps func(s *script, e loop.Engine) []func()) {
	t.Helper()
	e, err := newEngine()
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, e: e, buf: make([]byte, 1<<16)}
	s.clock[0], s.clock[1] = pair(t)
	s.steps = steps(s, e)
	must(t, e.Add(s.clock[0]))
	send(t, s.clock[1], ".")
	if err := e.Run(s); !errors.Is(err, loop.ErrStop) {
		t.Errorf("Run ends with %v", err)
	}
	must(t, e.Close())
	_ = unix.Close(s.clock[1])
}

func pair(t *testing.T) (near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]) })
	return fds[0], fds[1]
}

func send(t *testing.T, fd int, text string) {
	t.Helper()
	if n, err := unix.Write(fd, []byte(text)); n != len(text) {
		t.Errorf("sending %q: %d, %v", text, n, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestReadPauseResume: events come while a descriptor is read, and not while
// it is paused or removed; nothing is lost.
func TestReadPauseResume(t *testing.T) { each(t, testReadPauseResume) }

func testReadPauseResume(t *testing.T) {
	near, far := pair(t)
	play(t, func(s *script, e loop.Engine) []func() {
		return []func(){
			func() { must(t, e.Add(near)); send(t, far, "one") },
			func() {
				s.expect(event{fd: near, n: 3})
				must(t, e.Pause(near))
				must(t, e.Pause(near))
				send(t, far, "four")
			},
			func() { s.expect(); must(t, e.Resume(near)) },
			func() { s.expect(event{fd: near, n: 4}); s.deaf = true; send(t, far, "x") },
			func() { s.expect(); s.deaf = false },
			func() { s.expect(event{fd: near, n: 1}); must(t, e.Remove(near)); send(t, far, "nobody") },
			func() { s.expect(); must(t, e.Add(near)) },
			func() { s.expect(event{fd: near, n: 6}); _ = unix.Close(far) },
			func() {
				if len(s.seen) == 0 || s.seen[0] != (event{fd: near, err: io.EOF}) {
					t.Errorf("after the peer closed: %+v", s.seen)
				}
				must(t, e.Remove(near))
				s.seen = nil
			},
			func() { s.expect() },
		}
	})
}

// fill writes until the socket is full.
func fill(t *testing.T, e loop.Engine, fd int) (n int) {
	t.Helper()
	block := bytes.Repeat([]byte("0123456789"), 1000)
	for {
		m, err := e.Write(fd, [][]byte{block, nil, block[:7]})
		n += m
		if err != nil {
			if err != loop.ErrAgain {
				t.Errorf("Write: %v", err)
			}
			return n
		}
		if m != len(block)+7 {
			t.Errorf("Write took %d of %d bytes without an error", m, len(block)+7)
		}
	}
}

func empty(t *testing.T, fd, n int) {
	t.Helper()
	b := make([]byte, 1<<16)
	for n > 0 {
		m, err := unix.Read(fd, b)
		if err != nil {
			t.Fatalf("%d bytes are missing: %v", n, err)
		}
		n -= m
	}
}

// TestWritable: it follows a write that was cut, also while reading is paused,
// and ends with a write that was not.
func TestWritable(t *testing.T) { each(t, testWritable) }

func testWritable(t *testing.T) {
	near, far := pair(t)
	defer func() { _ = unix.Close(far) }()
	for _, paused := range []bool{false, true} {
		play(t, func(s *script, e loop.Engine) []func() {
			full := 0
			return []func(){
				func() {
					must(t, e.Add(near))
					if paused {
						must(t, e.Pause(near))
					}
					full = fill(t, e, near)
				},
				func() { s.expect(); empty(t, far, full) },
				func() {
					if len(s.seen) == 0 || s.seen[0] != (event{fd: near, writable: true}) {
						t.Errorf("events %+v", s.seen)
					}
					if n, err := e.Write(near, [][]byte{[]byte("rest")}); n != 4 || err != nil {
						t.Errorf("Write: %d, %v", n, err)
					}
					s.seen = nil
				},
				func() {
					s.expect()
					empty(t, far, 4)
					if paused {
						must(t, e.Resume(near))
					}
					full = fill(t, e, near)
					must(t, e.Pause(near))
					must(t, e.Resume(near))
					send(t, far, "in")
				},
				func() { s.expect(event{fd: near, n: 2}); must(t, e.Remove(near)); empty(t, far, full) },
				func() { s.expect() },
			}
		})
	}
}

// TestBrokenWhilePaused: the end of a paused connection does not make the
// poller spin, and is reported when reading goes on.
func TestBrokenWhilePaused(t *testing.T) { each(t, testBrokenWhilePaused) }

func testBrokenWhilePaused(t *testing.T) {
	near, far := pair(t)
	play(t, func(s *script, e loop.Engine) []func() {
		return []func(){
			func() {
				must(t, e.Add(near))
				must(t, e.Pause(near))
				send(t, far, "last")
				_ = unix.Close(far)
			},
			func() { s.expect(); must(t, e.Resume(near)) },
			func() {
				if len(s.seen) == 0 || s.seen[0].n != 4 {
					t.Errorf("events %+v", s.seen)
				}
				if n, err := e.Write(near, [][]byte{[]byte("x")}); n != 0 || err == nil || err == loop.ErrAgain {
					t.Errorf("Write to a closed peer: %d, %v", n, err)
				}
				must(t, e.Remove(near))
				s.seen = nil
			},
			func() { s.expect() },
		}
	})
}

// TestUnknownDescriptor: a descriptor that was never added can be written to.
func TestUnknownDescriptor(t *testing.T) { each(t, testUnknownDescriptor) }

func testUnknownDescriptor(t *testing.T) {
	near, far := pair(t)
	defer func() { _ = unix.Close(far) }()
	play(t, func(_ *script, e loop.Engine) []func() {
		return []func(){func() {
			if n, err := e.Write(near, [][]byte{[]byte("bye")}); n != 3 || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			empty(t, far, 3)
		}}
	})
}

// TestWakeFromManyGoroutines: every bell is heard.
func TestWakeFromManyGoroutines(t *testing.T) { each(t, testWakeFromManyGoroutines) }

func testWakeFromManyGoroutines(t *testing.T) {
	e, err := newEngine()
	if err != nil {
		t.Fatal(err)
	}
	const ringers, each = 8, 500
	h := &heard{bells: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	done := make(chan error)
	go func() { done <- e.Run(h) }()
	for range ringers {
		wg.Go(func() {
			for range each {
				must(t, e.Wake())
			}
		})
	}
	wg.Wait()
	for range each { // one bell, one answer: none is lost while the poller sleeps
		select {
		case <-h.bells:
		default:
		}
		must(t, e.Wake())
		<-h.bells
	}
	h.stop()
	must(t, e.Wake())
	if err := <-done; !errors.Is(err, loop.ErrStop) {
		t.Errorf("Run ends with %v", err)
	}
	must(t, e.Close())
}

// heard counts bells.
type heard struct {
	script
	bells chan struct{}
	mu    sync.Mutex
	over  bool
}

func (h *heard) stop() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
}

func (h *heard) Woken() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return loop.ErrStop
	}
	select {
	case h.bells <- struct{}{}:
	default:
	}
	return nil
}
