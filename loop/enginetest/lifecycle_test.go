package enginetest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peregrine/loop"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("counting descriptors: %v", err)
	}
	return len(list)
}

// TestChurn: clients come, publish, subscribe and go, politely or not, while
// others are served. Afterwards descriptors, connections and buffers are back,
// and those that stayed have missed nothing.
func TestChurn(t *testing.T) { each(t, testChurn) }

func testChurn(t *testing.T) {
	const workers, rounds, each = 4, 60, 2000
	h := newHub(t, 3, &loop.Limits{StallSoft: 256 << 10, StallHard: 512 << 10})
	stays := h.subscriber()
	before := descriptors(t)
	var wg sync.WaitGroup
	wg.Go(func() { stays.receiveAll(each) })
	for w := range workers {
		wg.Go(func() {
			for round := range rounds {
				k := h.subscriber()
				switch (round + w) % 4 {
				case 0:
					_ = k.SetLinger(0) // a reset
				case 1:
					k.send(hubFrame(kindQuit, 0, 1, 0))
					_, _ = io.Copy(io.Discard, k.in)
				case 2:
					k.send(hubFrame(kindPub, 0, 0, 0)[:7]) // half a frame
				case 3:
					k.send(hubFrame(kindPub, 0, 0, 1<<20)[:100<<10]) // a tenth of a large one
				}
				_ = k.Close()
				<-k.peer.closed
			}
		})
	}
	p := h.dial()
	for seq := range each {
		p.send(hubFrame(kindPub, 1, uint32(seq), payloadSize(seq)))
	}
	wg.Wait()
	_ = p.Close()
	<-p.peer.closed
	wait(t, "descriptors", func() bool { return descriptors(t) <= before })
}

// TestByteByByteReal: a client that sends one byte at a time.
func TestByteByByteReal(t *testing.T) { each(t, testByteByByteReal) }

func testByteByByteReal(t *testing.T) {
	h := newHub(t, 2, &loop.Limits{})
	k, p := h.subscriber(), h.dial()
	_ = p.SetNoDelay(true)
	for seq := range 5 {
		for _, b := range hubFrame(kindPub, 1, uint32(seq), 50) {
			p.send([]byte{b})
		}
	}
	k.receiveAll(5)
}

// TestFirstIsRefused: a connection that is closed while it opens, on a loop
// that has never had one, gets its last bytes.
func TestFirstIsRefused(t *testing.T) { each(t, testFirstIsRefused) }

func testFirstIsRefused(t *testing.T) {
	g, err := loop.NewGroup(loop.Config{Loops: 2, NewEngine: newEngine})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	near, far := pair(t)
	closed := make(chan error, 1)
	g.Adopt(far, g.NextID(), func(c *loop.Conn) loop.Handler {
		l := c.Loop()
		l.Append(l.Queue(c, 4), []byte("full"))
		c.Close(io.ErrShortWrite)
		return refused(closed)
	})
	if err := <-closed; !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("closed with %v", err)
	}
	b := make([]byte, 10)
	if n, err := unix.Read(near, b); string(b[:n]) != "full" {
		t.Errorf("received %q, %v", b[:max(n, 0)], err)
	}
}

type refused chan error

func (r refused) Data(_ *loop.Conn, b []byte, _ *loop.Shared) (int, int) { return len(b), 0 }
func (r refused) Closed(_ *loop.Conn, err error)                         { r <- err }

// TestStopUnderLoad: Stop returns while clients publish and subscribers are
// behind, however many call it, and everything is given back.
func TestStopUnderLoad(t *testing.T) { each(t, testStopUnderLoad) }

func testStopUnderLoad(t *testing.T) {
	for range 10 {
		h := newHub(t, 3, &loop.Limits{})
		var clients []*client
		for range 4 {
			clients = append(clients, h.subscriber()) // nobody reads
		}
		var sent atomic.Int64
		var wg sync.WaitGroup
		for p := range 4 {
			k := h.dial()
			clients = append(clients, k)
			wg.Go(func() {
				for seq := uint32(0); ; seq++ {
					if _, err := k.Write(hubFrame(kindPub, byte(p), seq, payloadSize(int(seq)))); err != nil {
						return
					}
					sent.Add(1)
				}
			})
		}
		wait(t, "traffic", func() bool { return sent.Load() > 500 })
		var stops sync.WaitGroup
		for range 3 {
			stops.Go(h.g.Stop)
		}
		stops.Wait()
		for _, l := range h.g.Loops() {
			if l.Post(func() { t.Error("ran after Stop") }) {
				t.Error("Post succeeds after Stop")
			}
		}
		for _, k := range clients {
			if err := <-k.peer.closed; !errors.Is(err, loop.ErrStopped) {
				t.Errorf("closed with %v", err)
			}
		}
		wg.Wait()
	}
}

// TestPinning: a pinned loop runs on its CPU alone; a CPU that is not there is
// refused.
func TestPinning(t *testing.T) { each(t, testPinning) }

func testPinning(t *testing.T) {
	for _, cpu := range []int{-1, 1023, 5000} {
		if err := loop.CheckCPU(cpu); err == nil {
			t.Errorf("CPU %d is accepted", cpu)
		}
	}
	var usable unix.CPUSet
	if err := unix.SchedGetaffinity(0, &usable); err != nil {
		t.Skipf("this system does not tell the CPU affinity: %v", err)
	}
	if g, err := loop.NewGroup(loop.Config{Loops: 2, PinCPUs: []int{0}, NewEngine: newEngine}); err == nil {
		g.Stop()
		t.Error("one CPU for two loops is accepted")
	}
	var cpus []int
	for cpu := 0; len(cpus) < 2 && cpu < 1024; cpu++ {
		if usable.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	for _, cpu := range cpus {
		if err := loop.CheckCPU(cpu); err != nil {
			t.Error(err)
		}
	}
	g, err := loop.NewGroup(loop.Config{Loops: len(cpus), PinCPUs: cpus, NewEngine: newEngine})
	if err != nil {
		t.Skipf("CPU affinity cannot be set here: %v", err)
	}
	defer g.Stop()
	for i, l := range g.Loops() {
		for range 20 {
			got := make(chan unix.CPUSet)
			l.Post(func() {
				runtime.Gosched()
				var set unix.CPUSet
				_ = unix.SchedGetaffinity(0, &set)
				got <- set
			})
			if set := <-got; set.Count() != 1 || !set.IsSet(cpus[i]) {
				t.Fatalf("loop %d may run on %d CPUs, on CPU %d: %v", i, set.Count(), cpus[i], set.IsSet(cpus[i]))
			}
		}
		if st := g.Stats()[i]; st.CPU != cpus[i] {
			t.Errorf("loop %d reports CPU %d", i, st.CPU)
		}
	}
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &now); err != nil || now.Count() != usable.Count() {
		t.Errorf("this thread may run on %d CPUs now, %d before", now.Count(), usable.Count())
	}
}

// TestListenerWithoutDescriptors: connections that find no descriptor are
// accepted when there are some again.
func TestListenerWithoutDescriptors(t *testing.T) { each(t, testListenerWithoutDescriptors) }

func testListenerWithoutDescriptors(t *testing.T) {
	ln, err := loop.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	const clients = 5
	for range clients {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// The lowest free number is the first that is refused.
	free, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(free)
	low := old
	low.Cur = uint64(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Skipf("the limit of descriptors cannot be set here: %v", err)
	}
	restore := sync.OnceFunc(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
	defer restore()
	accepted, refused := make(chan int, clients), make(chan error, 100)
	err = ln.Serve(func(fd int, from netip.AddrPort) {
		if !from.Addr().IsLoopback() {
			t.Errorf("accepted from %v", from)
		}
		accepted <- fd
	}, func(err error, retry time.Duration) {
		if retry <= 0 || retry > time.Second {
			t.Errorf("%v, again in %v", err, retry)
		}
		refused <- err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, unix.EMFILE) {
		t.Errorf("refused with %v", err)
	}
	if len(accepted) != 0 {
		t.Error("accepted without a descriptor")
	}
	restore()
	for range clients {
		loop.CloseFD(<-accepted)
	}
	ln.Close()
	ln.Close()
}

// TestListenerClose: it may be called at any time, by several, and ends the
// listening.
func TestListenerClose(t *testing.T) { each(t, testListenerClose) }

func testListenerClose(t *testing.T) {
	ln, err := loop.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // never served
	if ln, err = loop.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	err = ln.Serve(func(fd int, _ netip.AddrPort) { loop.CloseFD(fd) }, func(error, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(ln.Close)
	}
	wg.Wait()
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("a closed listener accepts")
	}
	if _, err := loop.Listen("127.0.0.1:notaport"); err == nil {
		t.Error("listening on a bad address succeeds")
	}
}
