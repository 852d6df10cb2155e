package loop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// sim runs a group of loops on the goroutine of the test: a fake engine hands
// their events out, one at a time, in an order that a seed decides. Sockets
// take scripted numbers of bytes. While a loop is inside a call of its engine,
// other loops may take whole turns, which is what happens to it on a real
// machine when its thread is preempted there. Time is the bubble's.
type sim struct {
	t        *testing.T
	rng      *rand.Rand
	g        *Group
	engines  []*simEngine
	socks    []*simSock
	byFD     map[int]*simSock
	seq      [][]uint32 // by loop, by target: records queued so far
	busy     []bool     // loops that are in the middle of a turn
	depth    int
	preempt  int         // one yield in so many lets others run; 0: none
	sleeping atomic.Bool // bells rung meanwhile come from timers
	onWrite  func(by int, k *simSock)
	onPause  func()
	after    func() // runs when the group has stopped
	waste    int    // writes in a row that moved no byte
	chunks0  int64
	shared0  int64
}

// simEngine is the fake engine of one loop.
type simEngine struct {
	s      *sim
	index  int
	ev     Events
	ready  chan struct{}
	stop   chan struct{}
	woken  atomic.Bool
	closed atomic.Bool
	ended  bool
	err    error
}

// simSock is a descriptor and the peer behind it.
type simSock struct {
	s       *sim
	index   int
	fd      int // a real one, so that closing and reusing numbers is real
	far     int // the other end, never read
	conn    *Conn
	handler *simHandler
	peer    *simPeer // nil: plain

	reading, wantWrite, added, removed bool

	in     []byte // sent by the peer, not read yet
	eof    bool
	window int // bytes that the socket takes now
	broken bool
	writes int

	got      []byte // received by the peer, not parsed yet
	next     []uint32
	onRecord func(payload int)
}

// simRun runs body in a bubble with a group of n loops.
func simRun(t *testing.T, n int, seed uint64, preempt int, body func(s *sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), byFD: map[int]*simSock{}, preempt: preempt}
		s.chunks0, s.shared0 = BuffersInUse()
		s.busy = make([]bool, n)
		s.seq = make([][]uint32, n)
		g, err := NewGroup(Config{Loops: n, NewEngine: s.newEngine})
		if err != nil {
			t.Fatal(err)
		}
		s.g = g
		g.write = s.foreignWrite
		if seed%2 == 1 {
			g.keepMin = 1 << (seed % 13) // queues keep read buffers, not copies
		}
		for _, e := range s.engines {
			<-e.ready
		}
		t.Cleanup(s.shutdown)
		body(s)
	})
}

func (s *sim) newEngine() (Engine, error) {
	e := &simEngine{s: s, index: len(s.engines), ready: make(chan struct{}), stop: make(chan struct{})}
	s.engines = append(s.engines, e)
	return e, nil
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf(format, args...)
}

// Run gives the events to the scheduler and waits for the end.
func (e *simEngine) Run(ev Events) error {
	e.ev = ev
	close(e.ready)
	<-e.stop
	return e.err
}

func (e *simEngine) Wake() error {
	if e.closed.Load() {
		e.s.fail("loop %d was woken after its engine was closed", e.index)
	}
	e.woken.Store(true)
	if !e.s.sleeping.Load() {
		e.s.yield()
	}
	return nil
}

func (e *simEngine) Close() error { e.closed.Store(true); return nil }

func (e *simEngine) Add(fd int) error {
	k := e.s.byFD[fd]
	if k.added || k.removed {
		e.s.fail("Add(%d) twice", fd)
	}
	k.added, k.reading = true, true
	return nil
}

func (e *simEngine) Remove(fd int) error {
	k := e.known(fd, "Remove")
	e.s.yield()
	k.added, k.removed = false, true
	return nil
}

func (e *simEngine) Pause(fd int) error {
	k := e.known(fd, "Pause")
	k.reading = false
	if f := e.s.onPause; f != nil {
		f()
	}
	e.s.yield()
	return nil
}

func (e *simEngine) Resume(fd int) error {
	k := e.known(fd, "Resume")
	if k.reading {
		e.s.fail("Resume(%d) of a descriptor that is read", fd)
	}
	k.reading = true
	return nil
}

func (e *simEngine) known(fd int, call string) *simSock {
	k := e.s.byFD[fd]
	if k == nil || !k.added || k.removed {
		panic(fmt.Sprintf("%s(%d): not in the engine", call, fd))
	}
	if k.conn.loop.index != e.index {
		e.s.fail("%s(%d) on loop %d, owner is %d", call, fd, e.index, k.conn.loop.index)
	}
	return k
}

func (e *simEngine) Write(fd int, iov [][]byte) (int, error) {
	k := e.s.byFD[fd]
	n, err := e.s.write(e.index, fd, iov)
	k.wantWrite = err == ErrAgain && k.added
	return n, err
}

func (s *sim) foreignWrite(fd int, iov [][]byte) (int, error) { return s.write(-1, fd, iov) }

// write moves bytes to the peer, as many as its window takes.
func (s *sim) write(by, fd int, iov [][]byte) (int, error) {
	k := s.byFD[fd]
	s.checkOpen(k, fd)
	k.writes++
	if s.onWrite != nil {
		s.onWrite(by, k)
	}
	s.yield()
	s.checkOpen(k, fd)
	if k.broken {
		return 0, unix.EPIPE
	}
	n, total := 0, 0
	for _, b := range iov {
		total += len(b)
		m := min(len(b), k.window)
		if k.peer != nil {
			k.peer.take(b[:m])
		} else {
			k.got = append(k.got, b[:m]...)
		}
		k.window -= m
		n += m
	}
	if s.waste++; n > 0 {
		s.waste = 0
	}
	if s.waste > 1000 {
		s.fail("a loop writes nothing for ever")
		return 0, unix.EPIPE
	}
	k.parse()
	s.yield()
	s.checkOpen(k, fd)
	if n < total {
		return n, ErrAgain
	}
	return n, nil
}

// checkOpen proves I4: the descriptor that is written to is the one that was
// meant.
func (s *sim) checkOpen(k *simSock, fd int) {
	if k == nil || k.removed || s.byFD[fd] != k || (k.conn.fd != fd) {
		panic(fmt.Sprintf("write to descriptor %d after it was closed", fd))
	}
}

// yield lets loops that are not in a turn run in the middle of one that is.
func (s *sim) yield() {
	if s.preempt == 0 || s.depth >= len(s.engines) || s.rng.IntN(s.preempt) != 0 {
		return
	}
	for range 1 + s.rng.IntN(4) {
		s.step()
	}
}

// turn runs one event of loop i.
func (s *sim) turn(i int, f func(ev Events)) {
	if s.busy[i] {
		panic("turn within a turn")
	}
	s.busy[i] = true
	s.depth++
	f(s.engines[i].ev)
	s.depth--
	s.busy[i] = false
	s.invariants()
}

// invariants checks I3.
func (s *sim) invariants() {
	for _, k := range s.socks {
		if c := k.conn; c.fd >= 0 && !s.busy[c.loop.index] && !c.out.empty() && c.baton.Load() == batonFree {
			s.fail("conn %d: %d bytes queued and the baton is free (I3)", k.index, c.out.bytes)
		}
	}
}

func (s *sim) canWake(i int) bool {
	e := s.engines[i]
	return e.woken.Load() && !s.busy[i] && !e.ended
}

// wake delivers the bell of loop i.
func (s *sim) wake(i int) {
	e := s.engines[i]
	e.woken.Store(false)
	s.turn(i, func(ev Events) { e.err = ev.Woken() })
	e.ended = e.err != nil
}

func (k *simSock) canRead() bool {
	return k.added && k.reading && !k.s.busy[k.conn.loop.index] && (len(k.in) > 0 || k.eof)
}

// read delivers up to max bytes.
func (k *simSock) read(max int) {
	k.s.turn(k.conn.loop.index, func(ev Events) {
		b := ev.ReadBuffer(k.fd)
		if b == nil {
			return
		}
		if len(b) == 0 {
			k.s.fail("conn %d: empty read buffer", k.index)
			k.in, k.eof = nil, false
			return
		}
		if k.conn.fill == nil && len(b) > bulkReadSize {
			k.s.fail("conn %d: one read may take %d bytes", k.index, len(b))
		}
		n := copy(b[:min(len(b), max)], k.in)
		k.in = k.in[n:]
		if n == 0 {
			k.eof = false
			ev.Received(k.fd, 0, io.EOF)
			return
		}
		borrowed := k.conn.fill == nil || k.conn.tls != nil
		buffer := k.conn.loop.rbuf
		ev.Received(k.fd, n, nil)
		borrowed = borrowed && k.conn.loop.rbuf == buffer // or queues have kept it
		for i := range b[:n] {
			if borrowed { // whoever kept an alias sees it now
				b[i] = 0xDB
			}
		}
		if l := k.conn.loop; l.tls.plain != nil {
			clear(l.tls.plain[:l.tls.used])
		}
	})
}

func (k *simSock) canWrite() bool {
	return k.added && k.wantWrite && (k.window > 0 || k.broken) && !k.s.busy[k.conn.loop.index]
}

func (k *simSock) writable() {
	k.s.turn(k.conn.loop.index, func(ev Events) { ev.Writable(k.fd) })
}

// step delivers one event that is due, chosen at random. It reports false if
// nothing is due.
func (s *sim) step() bool {
	n := 0
	var act func()
	offer := func(f func()) {
		if n++; s.rng.IntN(n) == 0 {
			act = f
		}
	}
	for i := range s.engines {
		if s.canWake(i) {
			offer(func() { s.wake(i) })
		}
	}
	for _, k := range s.socks {
		if k.canRead() {
			offer(func() { k.read(1 + s.rng.IntN(1<<(1+s.rng.IntN(18)))) })
		}
		if k.canWrite() {
			offer(k.writable)
		}
	}
	if act == nil {
		return false
	}
	act()
	return true
}

// settle runs until nothing is due.
func (s *sim) settle() {
	for i := 0; s.step(); i++ {
		if i > 1<<20 {
			s.t.Fatal("the loops do not come to rest")
		}
	}
}

// sleep lets time pass; what it makes due is not run yet.
func (s *sim) sleep(d time.Duration) {
	s.sleeping.Store(true)
	time.Sleep(d)
	synctest.Wait()
	s.sleeping.Store(false)
}

// adopt opens a connection on loop i.
func (s *sim) adopt(i int, lim *Limits) *simSock {
	k := s.offer(i, lim, false)
	for k.handler == nil {
		s.wake(i)
	}
	return k
}

// offer is adopt without waiting until the loop has opened the connection.
func (s *sim) offer(i int, lim *Limits, refuse bool) *simSock {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	// Input that nobody reads before the close: it must not turn up elsewhere.
	if _, err := unix.Write(fds[1], []byte("\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee")); err != nil {
		s.t.Fatal(err)
	}
	k := &simSock{s: s, index: len(s.socks), fd: fds[0], far: fds[1], next: make([]uint32, len(s.engines))}
	for l := range s.seq {
		s.seq[l] = append(s.seq[l], 0)
	}
	l := s.g.loops[i]
	k.conn = &Conn{loop: l, fd: k.fd} // stands in until open runs
	s.byFD[k.fd] = k
	s.socks = append(s.socks, k)
	// Adopt looks for the loop with the fewest connections: make it i.
	crowd := func(n int64) {
		for j, o := range s.g.loops {
			if j != i {
				o.conns.Add(n)
			}
		}
	}
	crowd(1 << 30)
	defer crowd(-1 << 30)
	ok := s.g.Adopt(k.fd, s.g.NextID(), func(c *Conn) Handler {
		k.conn, k.handler = c, &simHandler{k: k}
		if refuse {
			return nil
		}
		if lim != nil {
			c.SetLimits(lim)
		}
		return k.handler
	})
	if !ok {
		s.t.Fatal("Adopt refused")
	}
	return k
}

// shutdown stops the group and checks that nothing is left.
func (s *sim) shutdown() {
	clear(s.busy) // a test that gave up did so in the middle of a turn
	done := make(chan struct{})
	s.sleeping.Store(true)
	go func() { s.g.Stop(); close(done) }()
	synctest.Wait()
	s.sleeping.Store(false)
	over := make([]bool, len(s.engines))
	for range 10_000 {
		s.settle()
		left := 0
		for i, e := range s.engines {
			if e.ended && !over[i] {
				over[i] = true
				close(e.stop)
				synctest.Wait()
			}
			if !e.ended {
				left++
			}
		}
		if left == 0 {
			break
		}
		s.sleep(10 * time.Millisecond)
	}
	for i, e := range s.engines {
		if !e.ended {
			s.fail("loop %d does not stop: %d connections live", i, s.g.loops[i].live)
			e.err = ErrStop
			close(e.stop)
		}
	}
	<-done
	if s.after != nil {
		s.after()
	}
	for _, k := range s.socks {
		_ = unix.Close(k.far)
		if h := k.handler; h != nil && h.opened() && h.closed != 1 {
			s.fail("conn %d: Closed was called %d times", k.index, h.closed)
		}
	}
	var live int64
	for _, l := range s.g.loops {
		live += l.chunks.live
		if n := l.conns.Load(); n != 0 {
			s.fail("loop %d counts %d connections", l.index, n)
		}
	}
	if chunks, shared := BuffersInUse(); chunks+live != s.chunks0 || shared != s.shared0 {
		s.fail("%d chunks and %d shared buffers are not back", chunks+live-s.chunks0, shared-s.shared0)
	}
}
