package loop

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how many loops there are and what runs on them.
type Config struct {
	// Loops is their number, at least 1.
	Loops int
	// PinCPUs, if not empty, holds a CPU for each loop.
	PinCPUs []int
	// NewEngine makes the engine of one loop.
	NewEngine func() (Engine, error)
	// Start runs on each loop before its first event; it may set Local.
	Start func(l *Loop)
	// PartialMax is how much of a cut frame, less than a large one, a handler
	// may leave for the next read, in bytes.
	PartialMax int
	// Fail is told when a loop ends without being asked. Any goroutine.
	Fail func(l *Loop, err error)
}

// Group is a set of loops that deliver to each other.
type Group struct {
	loops      []*Loop
	start      time.Time
	partialMax int
	write      func(fd int, iov [][]byte) (n int, err error) // for other loops' sockets
	shaking    chan struct{}                                 // one token a handshake that computes
	done       sync.WaitGroup
	stop       sync.Once
	nextLoop   atomic.Uint32
	nextID     atomic.Uint64

	readBuffers sync.Pool // of *Shared
	keepMin     int       // bytes of one that a queue must have left to keep it: bounds what it pins

	slotMu sync.Mutex // guards the next two
	slots  uint32
	freed  []uint32
}

// newReadBuffer returns a buffer for reads behind a cut frame.
func (g *Group) newReadBuffer() *Shared {
	return newShared(&g.readBuffers, g.readBufferLen(), g.readBufferLen())
}

func (g *Group) readBufferLen() int { return g.partialMax + bulkReadSize }

// NewGroup starts the loops. They run until Stop.
func NewGroup(cfg Config) (*Group, error) {
	if cfg.Loops < 1 {
		return nil, fmt.Errorf("loop: %d loops", cfg.Loops)
	}
	if n := len(cfg.PinCPUs); n != 0 && n != cfg.Loops {
		return nil, fmt.Errorf("loop: %d CPUs for %d loops", n, cfg.Loops)
	}
	g := &Group{start: time.Now(), partialMax: max(cfg.PartialMax, partialMin), write: writev, shaking: make(chan struct{}, handshakeSlots())}
	g.keepMin = g.readBufferLen() / 2
	for i := range cfg.Loops {
		l := &Loop{group: g, index: i, cpu: -1, iovs: make([][]byte, iovMax), rbuf: g.newReadBuffer()}
		if len(cfg.PinCPUs) > 0 {
			l.cpu = cfg.PinCPUs[i]
		}
		e, err := cfg.NewEngine()
		if err != nil {
			for _, o := range g.loops {
				_ = o.engine.Close()
			}
			return nil, err
		}
		l.engine = e
		l.fine.init(fineTick, 0)
		l.coarse.init(coarseTick, 0)
		l.wakeTimer = time.AfterFunc(time.Hour, l.ring)
		l.wakeTimer.Stop()
		g.loops = append(g.loops, l)
	}
	for _, l := range g.loops {
		for _, to := range g.loops {
			l.links = append(l.links, &link{to: to})
		}
	}
	ready := make(chan error, len(g.loops))
	for _, l := range g.loops {
		g.done.Add(1)
		go g.run(l, cfg, ready)
	}
	var errs []error
	for range g.loops {
		if err := <-ready; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		g.Stop()
		return nil, errors.Join(errs...)
	}
	return g, nil
}

func (g *Group) run(l *Loop, cfg Config, ready chan<- error) {
	defer g.done.Done()
	if l.cpu >= 0 {
		runtime.LockOSThread() // never unlocked: the thread dies with its affinity
		if err := pinThread(l.cpu); err != nil {
			ready <- err
			return
		}
	}
	if cfg.Start != nil {
		cfg.Start(l)
	}
	ready <- nil
	err := l.engine.Run(l)
	if !errors.Is(err, ErrStop) && cfg.Fail != nil {
		cfg.Fail(l, err)
	}
}

// Loops returns the loops.
func (g *Group) Loops() []*Loop { return g.loops }

// NextID hands out a connection id; other kinds of clients share the counter.
func (g *Group) NextID() uint64 { return g.nextID.Add(1) }

// Adopt gives fd, a non-blocking connected socket, to the loop with the fewest
// connections; among equals the turn goes up and down. Clients that connect in a
// pattern, a subscriber and a publisher in turn, would else share their loops
// with their likes. open runs there; it returns the handler, or nil to refuse, and
// may already queue output. id comes from NextID. It reports false, and fd is
// still the caller's, if the group has stopped.
func (g *Group) Adopt(fd int, id uint64, open func(c *Conn) Handler) bool {
	n := uint32(len(g.loops))
	turn := g.nextLoop.Add(1) - 1
	first := turn % n
	if turn/n%2 == 1 {
		first = n - 1 - first
	}
	best := g.loops[first]
	for i := uint32(1); i < n; i++ {
		if l := g.loops[(first+i)%n]; l.conns.Load() < best.conns.Load() {
			best = l
		}
	}
	best.conns.Add(1)
	c := &Conn{id: id, loop: best, fd: fd, slot: g.takeSlot()}
	c.out.conn = c
	if !best.Post(func() { best.open(c, open) }) {
		best.conns.Add(-1)
		g.freeSlot(c.slot)
		return false
	}
	return true
}

func (l *Loop) open(c *Conn, open func(c *Conn) Handler) {
	for c.fd >= len(l.byFD) {
		l.byFD = append(l.byFD, make([]*Conn, max(64, len(l.byFD)))...)
	}
	l.byFD[c.fd] = c
	l.live++
	if l.stopping {
		c.Abort(ErrStopped)
		return
	}
	if c.h = open(c); c.h == nil {
		c.Close(ErrStopped)
		return
	}
	if c.fd < 0 || c.closing {
		return
	}
	if err := l.engine.Add(c.fd); err != nil {
		c.Abort(err)
		return
	}
	c.inEngine = true
	if c.pauses != 0 {
		_ = l.engine.Pause(c.fd)
	}
}

func (g *Group) takeSlot() uint32 {
	g.slotMu.Lock()
	defer g.slotMu.Unlock()
	if n := len(g.freed); n > 0 {
		s := g.freed[n-1]
		g.freed = g.freed[:n-1]
		return s
	}
	g.slots++
	return g.slots - 1
}

func (g *Group) freeSlot(s uint32) {
	g.slotMu.Lock()
	g.freed = append(g.freed, s)
	g.slotMu.Unlock()
}

// Stop aborts every connection and ends the loops. It returns when they have
// ended. No loop may call it.
func (g *Group) Stop() {
	for _, l := range g.loops {
		l.Post(func() {
			l.stopping = true
			for _, c := range l.byFD {
				if c != nil {
					c.Abort(ErrStopped)
				}
			}
		})
	}
	g.done.Wait()
	g.stop.Do(g.finish)
}

// finish handles what the loops sent each other last, so that no buffer and no
// socket is lost, and frees the engines. Nothing runs any more.
func (g *Group) finish() {
	for _, l := range g.loops {
		l.wakeTimer.Stop()
		l.life.Lock()
		l.stopped = true
		l.life.Unlock()
	}
	for range g.loops {
		for _, l := range g.loops {
			l.stopping = true
			l.begin()
			l.flush()
		}
	}
	for _, l := range g.loops {
		l.chunks.publish()
		_ = l.engine.Close()
	}
}

// Stats is what a monitor shows of one loop.
type Stats struct {
	Index, CPU  int // CPU is -1 if the loop is not pinned
	Conns       int64
	Turns       int64
	LongestTurn time.Duration
	Stalls      int64
	Stalled     time.Duration
}

// Stats reads the counters of every loop. Any goroutine.
func (g *Group) Stats() []Stats {
	out := make([]Stats, len(g.loops))
	for i, l := range g.loops {
		out[i] = Stats{
			Index: i, CPU: l.cpu, Conns: l.conns.Load(), Turns: l.turns.Load(),
			LongestTurn: time.Duration(l.turnMax.Load()),
			Stalls:      l.stalls.Load(), Stalled: time.Duration(l.stallNanos.Load()),
		}
	}
	return out
}
