package loop

import (
	"sync/atomic"
	"testing"
)

// sink is an engine without events whose sockets take everything.
type sink struct {
	stop  chan struct{}
	woken atomic.Bool
}

func (e *sink) Run(Events) error                             { <-e.stop; return ErrStop }
func (e *sink) Wake() error                                  { e.woken.Store(true); return nil }
func (e *sink) Add(int) error                                { return nil }
func (e *sink) Remove(int) error                             { return nil }
func (e *sink) Pause(int) error                              { return nil }
func (e *sink) Resume(int) error                             { return nil }
func (e *sink) Write(_ int, iov [][]byte) (n int, err error) { return take(0, iov) }
func (e *sink) Close() error                                 { return nil }

func take(_ int, iov [][]byte) (n int, err error) {
	for _, b := range iov {
		n += len(b)
	}
	return n, nil
}

// relay sends each byte of input as one message to another connection.
type relay struct {
	to      *Conn
	payload []byte
	shared  *Shared
	lend    bool
}

func (r *relay) Data(c *Conn, b []byte, _ *Shared) (consumed, need int) {
	l := c.Loop()
	for range b {
		q := l.Queue(r.to, 16+len(r.payload))
		if q == nil {
			continue
		}
		q.Msgs++
		if r.lend {
			l.Lend(q, r.payload)
			continue
		}
		if r.shared != nil {
			l.Commit(q, append(l.Reserve(q, 16), r.payload[:16]...))
			l.AppendShared(q, r.shared, r.shared.Bytes())
			continue
		}
		l.Commit(q, append(l.Reserve(q, len(r.payload)), r.payload...))
	}
	return len(b), 0
}

func (r *relay) Closed(*Conn, error) {}

// TestNoAllocations: a message that is queued, handed over or written costs no
// allocation, whichever way it goes.
func TestNoAllocations(t *testing.T) {
	if raceOn {
		t.Skip("the race detector allocates")
	}
	const warm = 2 * chunkSpare
	check := func(name string, receiver, payload, messages int, way byte) {
		t.Run(name, func(t *testing.T) {
			g := sinkGroup(t, 2)
			a, b := g.loops[0], g.loops[receiver]
			r := &relay{payload: make([]byte, payload), lend: way == flagLend}
			if way == flagRefer {
				r.shared = NewShared(payload)
				defer r.shared.Release()
			}
			in := sinkConn(a, 3, r)
			r.to = sinkConn(b, 4, &relay{})
			turn := func() {
				a.ReadBuffer(in.fd)
				a.Received(in.fd, messages, nil)
				if b.engine.(*sink).woken.Swap(false) {
					_ = b.Woken()
				}
			}
			for range warm { // pools and lists reach their size
				turn()
			}
			if n := testing.AllocsPerRun(200, turn); n > 0 {
				t.Errorf("%v allocations in a turn of %d messages", n, messages)
			}
			if msgs, _ := r.to.Sent(); msgs != int64((201+warm)*messages) || r.to.Pending() != 0 {
				t.Errorf("%d messages were sent, %d bytes wait", msgs, r.to.Pending())
			}
		})
	}
	check("own loop", 0, 128, 100, 0)
	check("own loop, by reference", 0, 8<<10, 4, flagRefer)
	check("own loop, lent", 0, 8<<10, 4, flagLend)
	check("written from another loop", 1, 128, 100, 0)
	check("written from another loop, by reference", 1, 8<<10, 3, flagRefer)
	check("written from another loop, lent", 1, 8<<10, 4, flagLend)
	check("handed over", 1, 1000, directMax/1000+50, 0)
	check("handed over, by reference", 1, directMax, 3, flagRefer)
}

func sinkGroup(t *testing.T, loops int) *Group {
	t.Helper()
	stop := make(chan struct{})
	g, err := NewGroup(Config{Loops: loops, NewEngine: func() (Engine, error) { return &sink{stop: stop}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	g.write = take
	t.Cleanup(func() {
		close(stop)
		g.Stop()
	})
	return g
}

// sinkConn puts a connection on a loop that nothing runs. fd is not used.
func sinkConn(l *Loop, fd int, h Handler) *Conn {
	c := &Conn{loop: l, fd: fd, slot: l.group.takeSlot(), h: h}
	c.out.conn = c
	for fd >= len(l.byFD) {
		l.byFD = append(l.byFD, nil)
	}
	l.byFD[fd] = c
	return c
}
