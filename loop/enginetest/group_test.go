package enginetest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peregrine/loop"
)

// hub is a small server on real loops and loopback sockets: what a client
// sends is sent on to every subscriber.
type hub struct {
	t        *testing.T
	g        *loop.Group
	ln       *loop.Listener
	addr     string
	sub, pub *loop.Limits
	echo     atomic.Bool // publishers get each frame back

	mu    sync.Mutex // guards the next three
	subs  []*loop.Conn
	peers map[uint32]*peer // by the number that the client has given
	count uint32
	news  *sync.Cond // one of them has changed

	list atomic.Pointer[[]*loop.Conn] // subs, for the loops
}

// peer is the server's side of a client.
type peer struct {
	h      *hub
	conn   *loop.Conn
	subs   bool
	closed chan error
}

// Frames of the hub. Shape, little-endian: length u32 of the whole | kind u8 |
// publisher u8 | blank u16 | seq u32 | payload.
const (
	hubHead  = 12
	kindSub  = 1 // the client becomes a subscriber
	kindPub  = 2
	kindName = 4 // seq is the client's number
	kindQuit = 3 // the server sends a last frame, seq 0 with seq KiB, and closes
)

func hubFrame(kind, publisher byte, seq uint32, payload int) []byte {
	b := make([]byte, hubHead+payload)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	b[4], b[5] = kind, publisher
	binary.LittleEndian.PutUint32(b[8:], seq)
	fillPattern(b[hubHead:], seq)
	return b
}

// fillPattern writes what belongs into the payload of frame seq.
func fillPattern(b []byte, seq uint32) {
	for len(b) > 0 {
		b = b[copy(b, pattern[seq%1000:]):]
	}
}

var pattern = func() (b [5000]byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}()

func newHub(t *testing.T, loops int, sub *loop.Limits, cpus ...int) *hub {
	t.Helper()
	h := &hub{t: t, sub: sub, pub: &loop.Limits{}, peers: map[uint32]*peer{}}
	h.news = sync.NewCond(&h.mu)
	h.list.Store(&[]*loop.Conn{})
	var err error
	if h.g, err = loop.NewGroup(loop.Config{Loops: loops, PinCPUs: cpus, NewEngine: newEngine}); err != nil {
		t.Fatal(err)
	}
	if h.ln, err = loop.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.addr = h.ln.Addr().String()
	err = h.ln.Serve(func(fd int, _ netip.AddrPort) {
		h.g.Adopt(fd, h.g.NextID(), h.open)
	}, func(err error, _ time.Duration) { t.Errorf("accept: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	return h
}

// stop ends everything and checks that all memory is back.
func (h *hub) stop() {
	h.ln.Close()
	h.g.Stop()
	if chunks, shared := loop.BuffersInUse(); chunks != 0 || shared != 0 {
		h.t.Errorf("%d chunks and %d shared buffers are not back", chunks, shared)
	}
	for _, st := range h.g.Stats() {
		if st.Conns != 0 {
			h.t.Errorf("loop %d counts %d connections", st.Index, st.Conns)
		}
	}
}

func (h *hub) open(c *loop.Conn) loop.Handler {
	p := &peer{h: h, conn: c, closed: make(chan error, 1)}
	c.SetLimits(h.pub)
	return p
}

// Data implements loop.Handler.
func (p *peer) Data(c *loop.Conn, b []byte, sh *loop.Shared) (consumed, need int) {
	for {
		rest := b[consumed:]
		if len(rest) < 4 {
			return consumed, 0
		}
		n := int(binary.LittleEndian.Uint32(rest))
		if n < hubHead || n > 1<<26 {
			c.Abort(io.ErrUnexpectedEOF)
			return len(b), 0
		}
		if n > len(rest) {
			return consumed, n
		}
		p.frame(c.Loop(), rest[:n], sh)
		consumed += n
		if c.Gone() {
			return len(b), 0
		}
	}
}

func (p *peer) frame(l *loop.Loop, f []byte, sh *loop.Shared) {
	h := p.h
	switch f[4] {
	case kindName:
		h.mu.Lock()
		h.peers[binary.LittleEndian.Uint32(f[8:])] = p
		h.mu.Unlock()
		h.news.Broadcast()
	case kindSub:
		p.subs = true
		p.conn.SetLimits(h.sub)
		h.mu.Lock()
		h.subs = append(h.subs, p.conn)
		list := append([]*loop.Conn(nil), h.subs...)
		h.list.Store(&list)
		h.mu.Unlock()
		h.news.Broadcast()
	case kindPub:
		for _, to := range *h.list.Load() {
			q := l.Queue(to, len(f))
			switch {
			case q == nil:
			case sh != nil:
				l.AppendShared(q, sh, f)
			default:
				l.Append(q, f)
			}
		}
		if h.echo.Load() {
			l.Append(l.Queue(p.conn, len(f)), f)
		}
	case kindQuit:
		last := hubFrame(kindQuit, 0, 0, int(binary.LittleEndian.Uint32(f[8:]))<<10)
		l.Append(l.Queue(p.conn, len(last)), last)
		p.conn.Close(io.ErrClosedPipe)
	}
}

// Closed implements loop.Handler.
func (p *peer) Closed(_ *loop.Conn, err error) {
	p.closed <- err
	if !p.subs {
		return
	}
	p.h.mu.Lock()
	var left []*loop.Conn
	for _, c := range p.h.subs {
		if c != p.conn {
			left = append(left, c)
		}
	}
	p.h.subs = left
	p.h.list.Store(&left)
	p.h.mu.Unlock()
}

// client is the other side.
type client struct {
	*net.TCPConn
	t    *testing.T
	peer *peer
	in   *bufio.Reader
	next [256]uint32

	got, want []byte
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

func (h *hub) dial() *client {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	k := &client{TCPConn: c.(*net.TCPConn), t: h.t, in: bufio.NewReaderSize(c, 1<<16)}
	h.t.Cleanup(func() { _ = c.Close() })
	h.mu.Lock()
	h.count++
	name := h.count
	h.mu.Unlock()
	k.send(hubFrame(kindName, 0, name, 0))
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.peers[name] == nil {
		h.news.Wait()
	}
	k.peer = h.peers[name]
	return k
}

// subscriber returns a client that gets everything from now on.
func (h *hub) subscriber() *client {
	h.t.Helper()
	k := h.dial()
	k.send(hubFrame(kindSub, 0, 0, 0))
	h.mu.Lock()
	defer h.mu.Unlock()
	for !slices.Contains(h.subs, k.peer.conn) {
		h.news.Wait()
	}
	return k
}

func (k *client) send(b []byte) {
	if _, err := k.Write(b); err != nil {
		k.t.Errorf("sending: %v", err)
	}
}

// receive reads one frame and checks that it is whole and the next one of its
// publisher.
func (k *client) receive() error {
	head, err := k.in.Peek(hubHead)
	if err != nil {
		return err
	}
	n, publisher, seq := int(binary.LittleEndian.Uint32(head)), head[5], binary.LittleEndian.Uint32(head[8:])
	if seq != k.next[publisher] {
		return fmt.Errorf("frame %d of publisher %d arrives, %d is next", seq, publisher, k.next[publisher])
	}
	k.next[publisher]++
	k.got, k.want = grow(k.got, n), grow(k.want, n-hubHead)
	if _, err := io.ReadFull(k.in, k.got); err != nil {
		return err
	}
	fillPattern(k.want, seq)
	if !bytes.Equal(k.got[hubHead:], k.want) {
		return fmt.Errorf("frame %d of publisher %d is damaged", seq, publisher)
	}
	return nil
}

// receiveAll reads n frames.
func (k *client) receiveAll(n int) {
	for i := range n {
		if err := k.receive(); err != nil {
			k.t.Errorf("frame %d of %d: %v", i, n, err)
			return
		}
	}
}

// wait gives others the processor until ok is true, and up after a time that
// only a fault can need.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

func payloadSize(seq int) int {
	switch {
	case seq%500 == 499:
		return 300 << 10
	case seq%50 == 49:
		return 20 << 10
	}
	return seq * 7 % 300
}

// TestOrderAcrossLoops: publishers and subscribers on all loops; every
// subscriber gets everything, in the order of each publisher.
func TestOrderAcrossLoops(t *testing.T) { each(t, testOrderAcrossLoops) }

func testOrderAcrossLoops(t *testing.T) {
	const publishers, subscribers, each = 5, 4, 1000
	h := newHub(t, 3, &loop.Limits{StallSoft: 256 << 10, StallHard: 4 << 20})
	var wg sync.WaitGroup
	for range subscribers {
		k := h.subscriber()
		wg.Go(func() { k.receiveAll(publishers * each) })
	}
	for p := range publishers {
		k := h.dial()
		wg.Go(func() {
			w := bufio.NewWriterSize(k, 1<<(8+2*p))
			for seq := range each {
				_, _ = w.Write(hubFrame(kindPub, byte(p), uint32(seq), payloadSize(seq)))
			}
			if err := w.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestBurstBeyondMailbox: while a loop is held up, a publisher on another that
// sends to it stops being read at the bound of the mailbox; others go on, and
// afterwards everything is there, in order.
func TestBurstBeyondMailbox(t *testing.T) { each(t, testBurstBeyondMailbox) }

func testBurstBeyondMailbox(t *testing.T) {
	const each, bound = 3000, 512
	h := newHub(t, 2, &loop.Limits{})
	h.echo.Store(true)
	var subs []*client
	for range 4 { // on both loops
		subs = append(subs, h.subscriber())
	}
	held := h.g.Loops()[0]
	gate, entered := make(chan struct{}), make(chan struct{})
	var pubs []*client
	for len(pubs) < 2 { // both on the other loop
		if k := h.dial(); k.peer.conn.Loop() != held {
			pubs = append(pubs, k)
		}
	}
	held.Post(func() { close(entered); <-gate })
	<-entered
	// The socket of a subscriber on the held loop must not be idle, or it is
	// written to directly: more than it takes, first.
	var acks [2]atomic.Int64
	var wg sync.WaitGroup
	for p, k := range pubs {
		wg.Go(func() {
			for seq := range each {
				k.send(hubFrame(kindPub, byte(p), uint32(seq), 2000))
				if err := k.receive(); err != nil {
					t.Error(err)
					return
				}
				acks[p].Add(1)
			}
		})
	}
	for _, k := range subs {
		if k.peer.conn.Loop() != held {
			wg.Go(func() { k.receiveAll(2 * each) })
		}
	}
	// Without readers the sockets on the held loop fill; from then on each
	// turn leaves a node in its mailbox.
	last := int64(-1)
	wait(t, "the publishers to be paused", func() bool {
		now := acks[0].Load() + acks[1].Load()
		still := now == last && now > bound/2
		last = now
		return still || now == 2*each
	})
	close(gate)
	for _, k := range subs {
		if k.peer.conn.Loop() == held {
			wg.Go(func() { k.receiveAll(2 * each) })
		}
	}
	wg.Wait()
}

// TestSlowReader: one subscriber does not read. Memory stays within its limit,
// it is closed as a slow consumer when it exceeds it, and everybody else gets
// everything.
func TestSlowReader(t *testing.T) { each(t, testSlowReader) }

func testSlowReader(t *testing.T) {
	const each, size = 8000, 4000
	lim := &loop.Limits{PendingMax: 8 << 20, StallSoft: 1 << 20, StallHard: 6 << 20}
	h := newHub(t, 2, lim)
	stuck, good := h.subscriber(), h.subscriber()
	_ = stuck.SetReadBuffer(4 << 10)
	p := h.dial()
	var wg sync.WaitGroup
	wg.Go(func() { good.receiveAll(each) })
	var over atomic.Int64
	for seq := range each {
		p.send(hubFrame(kindPub, 1, uint32(seq), size))
		// One turn of another loop may be on top.
		if n := stuck.peer.conn.Pending(); n > lim.PendingMax+1<<20 {
			over.Store(n)
		}
	}
	wg.Wait()
	if n := over.Load(); n != 0 {
		t.Errorf("%d bytes were pending", n)
	}
	if err := <-stuck.peer.closed; !errors.Is(err, loop.ErrPendingExceeded) {
		t.Errorf("the slow one was closed with %v", err)
	}
	if good.peer.conn.Gone() || p.peer.conn.Gone() {
		t.Error("others were closed")
	}
}

// TestSlowReaderComesBack: a subscriber that pauses slows the publisher, and
// misses nothing when it reads again.
func TestSlowReaderComesBack(t *testing.T) { each(t, testSlowReaderComesBack) }

func testSlowReaderComesBack(t *testing.T) {
	const each, size = 4000, 4000
	h := newHub(t, 2, &loop.Limits{StallSoft: 256 << 10, StallHard: 512 << 10})
	stuck, good := h.subscriber(), h.subscriber()
	p := h.dial()
	var wg sync.WaitGroup
	wg.Go(func() { good.receiveAll(each) })
	wg.Go(func() {
		for seq := range each {
			p.send(hubFrame(kindPub, 1, uint32(seq), size))
		}
	})
	wait(t, "a stall", func() bool {
		n := int64(0)
		for _, st := range h.g.Stats() {
			n += st.Stalls
		}
		return n > 0
	})
	stuck.receiveAll(each)
	wg.Wait()
}

// TestWriteDeadlineReal: a subscriber that takes nothing is closed by the clock.
func TestWriteDeadlineReal(t *testing.T) { each(t, testWriteDeadlineReal) }

func testWriteDeadlineReal(t *testing.T) {
	h := newHub(t, 2, &loop.Limits{WriteDeadline: 50 * time.Millisecond})
	stuck, p := h.subscriber(), h.dial()
	go func() {
		f := hubFrame(kindPub, 1, 0, 100<<10)
		for {
			if _, err := p.Write(f); err != nil {
				return
			}
		}
	}()
	if err := <-stuck.peer.closed; !errors.Is(err, loop.ErrWriteDeadline) {
		t.Errorf("closed with %v", err)
	}
	_ = p.Close()
}

// TestLastBytesReal: what is queued when the server closes arrives, although
// unread input is left behind, and then the end.
func TestLastBytesReal(t *testing.T) { each(t, testLastBytesReal) }

func testLastBytesReal(t *testing.T) {
	h := newHub(t, 2, &loop.Limits{})
	for kib := range 40 {
		k := h.dial()
		// More input is behind it: a close with that unread would be a reset.
		k.send(bytes.Repeat(hubFrame(kindQuit, 1, uint32(50*kib), 100), 50))
		if err := k.receive(); err != nil {
			t.Fatalf("%d KiB: %v", 50*kib, err)
		}
		if _, err := k.in.ReadByte(); err != io.EOF {
			t.Fatalf("%d KiB: %v after the last frame", 50*kib, err)
		}
		<-k.peer.closed
	}
}

// TestHalfClose: a client that has sent all and shut its side gets what it is
// still owed.
func TestHalfClose(t *testing.T) { each(t, testHalfClose) }

func testHalfClose(t *testing.T) {
	h := newHub(t, 2, &loop.Limits{})
	h.echo.Store(true)
	k := h.dial()
	const n = 300
	go func() {
		for seq := range n {
			_, _ = k.Write(hubFrame(kindPub, 1, uint32(seq), 20<<10))
		}
		_ = k.CloseWrite()
	}()
	k.receiveAll(n)
	if err := <-k.peer.closed; err != io.EOF {
		t.Errorf("closed with %v", err)
	}
}
