package loop

import (
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBufferSize bounds one read, and so what one connection may cause in
	// a turn; bulkReadSize bounds it where most bytes go on without a look.
	readBufferSize = 256 << 10
	bulkReadSize   = 512 << 10
	// partialMin is how much of a cut frame can at least be kept in front of
	// the next read; Config.PartialMax raises it.
	partialMin = 16 << 10
	// fillMin is the frame length from which a cut frame is read into a buffer
	// of its own, fillStep what is allocated for it at first: a peer must send
	// bytes before it gets more.
	fillMin  = 8 << 10
	fillStep = 512 << 10
	iovMax   = 64
)

// Loop is one event loop.
type Loop struct {
	group  *Group
	index  int
	engine Engine
	cpu    int // pinned to it; -1: not pinned

	// Local is for the handler's per-loop state. Owner only.
	Local any

	// Any goroutine.
	mail       mailbox
	bell       atomic.Bool
	life       sync.RWMutex // held for writing while the engine is closed
	stopped    bool         // guarded by life
	conns      atomic.Int64
	turns      atomic.Int64
	turnMax    atomic.Int64
	stalls     atomic.Int64
	stallNanos atomic.Int64
	wakeTimer  *time.Timer

	// Owned by the loop.
	turnAt    int64 // loop time at which the turn began
	current   *Conn // whose bytes are being parsed
	byFD      []*Conn
	live      int
	rbuf      *Shared // reads go there; its one reference is the loop's
	rbufKept  bool    // queues have parts of it
	lent      int     // bytes lent since the last read
	chunks    chunkStore
	segSpare  [][]seg
	kept      map[*byte]*Shared // copies of what was lent this turn, by last byte
	stages    []*Queue          // by slot: what this turn has for other loops' connections
	staged    []*Queue
	direct    []*Queue // staged ones whose baton this turn has
	stageFree []*Queue
	dirty     []*Conn
	links     []*link
	linksOpen []*link
	starving  []*Conn
	resumed   []*Conn // have bytes that were kept while their handler waited
	stallOn   *Conn
	stallFor  time.Duration
	iovs      [][]byte
	tls       tlsScratch
	fine      wheel
	coarse    wheel
	wakeAt    int64
	stopping  bool
}

// Index is the loop's number in its group.
func (l *Loop) Index() int { return l.index }

// Now returns the time at which the current turn began, in nanoseconds since
// the group started. Owner only.
func (l *Loop) Now() int64 { return l.turnAt }

// Clock returns the time on the scale of Now, as it is at the call. Any
// goroutine.
func (l *Loop) Clock() int64 { return l.now() }

func (l *Loop) now() int64 { return int64(time.Since(l.group.start)) }

// Current returns the connection whose bytes are being parsed, or nil.
func (l *Loop) Current() *Conn { return l.current }

// Queue returns where output for c goes in this turn, whichever loop owns it,
// or nil if c takes nothing more. The pointer is good until the turn ends.
// size is a bound on what the caller will add: beyond c's limit the connection
// is closed as a slow consumer, and nil returned. Owner of l only.
func (l *Loop) Queue(c *Conn, size int) *Queue {
	if c.gone.Load() {
		return nil
	}
	q := l.queueOf(c)
	if pending := q.base + q.bytes + size; pending >= q.look && !l.admit(c, int64(pending)) {
		return nil
	}
	return q
}

// queueOf returns where output for c goes in this turn.
func (l *Loop) queueOf(c *Conn) *Queue {
	if c.loop == l {
		if !c.dirty {
			l.markDirty(c)
		}
		return &c.out
	}
	if q := l.stage(c.slot); q != nil && q.conn == c {
		return q
	}
	return l.openStage(c)
}

// QueueRun is Queue for several messages of size bytes in all. It is false, and
// nothing has happened, if c takes nothing more or comes near its limits with
// them: then they are queued one by one.
func (l *Loop) QueueRun(c *Conn, size int) (*Queue, bool) {
	if c.gone.Load() {
		return nil, false
	}
	q := l.queueOf(c)
	return q, q.base+q.bytes+size < q.look
}

// begin notes, at the first use in a turn, how much of c's output is elsewhere
// and from where on its limits have to be looked at.
func (q *Queue) begin(c *Conn, base int64) {
	q.base, q.look = int(base), math.MaxInt
	if lim := c.limit.Load(); lim != nil {
		for _, at := range [...]int64{lim.PendingMax, lim.StallSoft} {
			if at > 0 {
				q.look = min(q.look, int(at))
			}
		}
	}
}

// admit holds c's pending bytes against its limits. It reports false if c is a
// slow consumer and closed.
func (l *Loop) admit(c *Conn, pending int64) bool {
	lim := c.limit.Load()
	if lim == nil {
		return true
	}
	if lim.PendingMax > 0 && pending > lim.PendingMax {
		l.overflow(c)
		return false
	}
	if l.current != nil {
		if over, bound := c.overThreshold(lim, pending, l.turnAt); over {
			l.noteStall(c, bound)
		}
	}
	return true
}

// overflow closes a connection that is over its limit.
func (l *Loop) overflow(c *Conn) {
	if c.loop == l {
		c.Abort(ErrPendingExceeded)
		return
	}
	c.gone.Store(true)
	n := l.post(c.loop)
	n.items = append(n.items, item{kind: itemCall, fn: func() { c.Abort(ErrPendingExceeded) }})
}

func (l *Loop) stage(slot uint32) *Queue {
	if int(slot) < len(l.stages) {
		return l.stages[slot]
	}
	return nil
}

func (l *Loop) openStage(c *Conn) *Queue {
	if int(c.slot) >= len(l.stages) {
		grown := make([]*Queue, max(int(c.slot)+64, 2*len(l.stages)))
		copy(grown, l.stages)
		l.stages = grown
	}
	if old := l.stages[c.slot]; old != nil {
		// The slot's last user closed in this very turn.
		old.drop(l)
		l.staged = slices.DeleteFunc(l.staged, func(q *Queue) bool { return q == old })
		l.unstage(old)
	}
	var q *Queue
	if n := len(l.stageFree); n > 0 {
		q = l.stageFree[n-1]
		l.stageFree = l.stageFree[:n-1]
	} else {
		q = new(Queue)
	}
	q.conn = c
	q.begin(c, c.Pending())
	l.stages[c.slot] = q
	l.staged = append(l.staged, q)
	return q
}

// Reserve returns room for n more bytes in q: append at most n to it and give
// the result to Commit.
func (l *Loop) Reserve(q *Queue, n int) []byte { return q.reserve(l, n) }

// Commit takes what was appended to a Reserve.
func (l *Loop) Commit(q *Queue, b []byte) { q.commit(b) }

// AppendPair copies head and then tail into q.
func (l *Loop) AppendPair(q *Queue, head string, tail []byte) { q.appendPair(l, head, tail) }

// AppendRun copies messages into q: head and then what follows the first skip
// bytes of each frame of b. Frames have the same length.
func (l *Loop) AppendRun(q *Queue, head, b []byte, frame, skip int) {
	q.appendRun(l, head, b, frame, skip)
}

// Append copies b into q.
func (l *Loop) Append(q *Queue, b []byte) { q.append(l, b) }

// Lend queues b without copying it. b is borrowed until the turn ends; what the
// socket has not taken by then is kept. It must not be empty.
func (l *Loop) Lend(q *Queue, b []byte) {
	l.lent += len(b)
	q.lend(l, b)
}

// AppendShared queues b, a part of sh, by reference.
func (l *Loop) AppendShared(q *Queue, sh *Shared, b []byte) { q.appendShared(l, sh, b) }

// markDirty puts c on the list of what is flushed when the turn ends and gets
// the baton for it.
func (l *Loop) markDirty(c *Conn) {
	if !c.dirty {
		c.dirty = true
		c.out.begin(c, c.flying.Load())
		l.dirty = append(l.dirty, c)
		if !c.blocked {
			c.takeBaton()
		}
	}
}

// flush ends a turn. Other loops' connections go first: when a client sees the
// answer to its PING, what it sent before is already on its way (I2).
func (l *Loop) flush() {
	for len(l.staged) > 0 || len(l.dirty) > 0 {
		// Hand over first, write second: no receiver may see the later message
		// of a turn while the earlier one, for somebody else, is still here.
		direct := l.direct[:0]
		for i := 0; i < len(l.staged); i++ {
			q := l.staged[i]
			l.staged[i] = nil
			if l.takeStaged(q) {
				direct = append(direct, q)
			}
		}
		l.staged = l.staged[:0]
		if len(l.linksOpen) > 0 {
			l.sendNodes()
		}
		for i, q := range direct {
			direct[i] = nil
			l.writeDirect(q)
		}
		l.direct = direct[:0]
		if len(l.linksOpen) > 0 {
			l.sendNodes()
		}
		for i := 0; i < len(l.dirty); i++ {
			c := l.dirty[i]
			l.dirty[i] = nil
			c.dirty = false
			l.flushConn(c)
		}
		l.dirty = l.dirty[:0]
	}
	if len(l.linksOpen) > 0 {
		l.sendNodes()
	}
	if len(l.kept) > 0 || l.rbufKept {
		l.endLoans()
	}
	if l.live == 0 {
		l.chunks.publish()
	}
}

// flushConn writes what is queued, once, and keeps what was only lent.
func (l *Loop) flushConn(c *Conn) {
	l.writeOut(c)
	if c.out.lent > 0 {
		c.out.keep(l)
	}
}

func (l *Loop) writeOut(c *Conn) {
	q := &c.out
	if q.Msgs != 0 {
		c.outMsgs.Add(q.Msgs)
		c.outBytes.Add(q.Payload)
		q.Msgs, q.Payload = 0, 0
	}
	if c.fd < 0 {
		q.drop(l) // queued through a pointer from before the close
		return
	}
	if c.tls != nil {
		l.writeTLS(c)
		return
	}
	if c.blocked || !c.takeBaton() {
		if n := int64(q.bytes); c.queued.Load() != n {
			c.queued.Store(n)
		}
		return
	}
	var err error
	for !q.empty() {
		iov := q.iov(l.iovs[:0], iovMax)
		n := 0
		n, err = l.engine.Write(c.fd, iov)
		c.sent += uint64(n)
		q.sent(l, n)
		if n > 0 && err != nil {
			c.progressAt.Store(l.turnAt)
		}
		if err != nil {
			break
		}
	}
	if n := int64(q.bytes); c.queued.Load() != n {
		c.queued.Store(n)
	}
	if err == nil {
		c.dropBaton()
		c.unblock()
		if c.closing {
			l.finishClose(c)
		}
		return
	}
	if err == ErrAgain {
		c.block()
		l.wakeWaiters(c, false)
		return
	}
	q.drop(l)
	c.queued.Store(0)
	if c.closing {
		l.finishClose(c)
	} else {
		c.Abort(err)
	}
}

// begin starts a turn: what other loops posted before comes first (I2).
func (l *Loop) begin() {
	l.turnAt = l.now()
	if !l.mail.idle() {
		l.drain()
	}
}

// end flushes and measures.
func (l *Loop) end() {
	if l.stallOn != nil {
		l.applyStall(l.current)
	}
	l.flush()
	if len(l.resumed) > 0 {
		l.readResumed()
	}
	l.current = nil
	l.turns.Store(l.turns.Load() + 1)
	if d := l.now() - l.turnAt; d > l.turnMax.Load() {
		l.turnMax.Store(d)
	}
}

// Woken implements Events.
func (l *Loop) Woken() error {
	l.bell.Store(false)
	l.begin()
	l.runTimers()
	l.end()
	l.chunks.publish()
	if l.stopping && l.live == 0 {
		return ErrStop
	}
	return nil
}

// ReadBuffer implements Events.
func (l *Loop) ReadBuffer(fd int) []byte {
	c := l.connOf(fd)
	if c == nil {
		return nil
	}
	if c.tls != nil {
		return l.rbuf.buf[:readBufferSize]
	}
	if c.fill != nil {
		return c.fill.buf[c.filled:]
	}
	n, size := c.partialLen(), readBufferSize
	if c.bulk {
		size = bulkReadSize
	}
	return l.rbuf.buf[n : n+size]
}

func (l *Loop) connOf(fd int) *Conn {
	if fd < len(l.byFD) {
		return l.byFD[fd]
	}
	return nil
}

// Received implements Events.
func (l *Loop) Received(fd, n int, err error) {
	c := l.connOf(fd)
	if c == nil {
		return
	}
	l.begin()
	switch {
	case c.closing || c.pauses != 0:
		// Paused by what came through the mailbox a moment ago: the bytes are
		// in the buffer already and must not be lost.
		if n > 0 && !c.closing {
			l.current = c
			c.read(n)
		}
	case n > 0:
		l.current = c
		c.read(n)
	}
	if err != nil && c.tls != nil && c.tls.hs != nil {
		c.endOfHandshakeInput(err)
	} else if err == io.EOF {
		c.Close(err) // the peer may still read: it gets what is queued
	} else if err != nil {
		c.Abort(err)
	}
	l.end()
}

// read gives n new bytes to the handler and keeps what it leaves.
func (c *Conn) read(n int) {
	l := c.loop
	if c.tls != nil {
		c.readTLS(n)
		return
	}
	if c.fill != nil {
		c.readFill(n)
		return
	}
	kept := c.partialLen()
	b := l.rbuf.buf[:kept+n]
	if kept > 0 {
		copy(b, c.partial.buf)
		c.dropPartial()
	}
	l.lent = 0
	c.consume(b)
	c.bulk = l.lent > len(b)/2
}

// consume gives b, borrowed for the turn, to the handler and keeps what it
// leaves.
func (c *Conn) consume(b []byte) {
	l := c.loop
	for len(b) > 0 && !c.closing {
		used, need := c.h.Data(c, b, nil)
		b = b[used:]
		if c.closing || len(b) == 0 {
			return
		}
		if need >= fillMin && need > len(b) {
			c.startFill(b, need)
			return
		}
		if used == 0 || need > len(b) || need == 0 {
			break
		}
	}
	if c.closing || len(b) == 0 {
		return
	}
	if len(b) > l.group.partialMax && c.pauses&pauseHandler == 0 {
		// The handler refuses to take a frame it has not bounded.
		c.Abort(io.ErrShortBuffer)
		return
	}
	c.partial = l.chunks.getSized(len(b), 0)
	c.partial.buf = append(c.partial.buf, b...)
}

// readResumed gives handlers that go on what was kept while they waited. It
// comes behind the flush: what the turn has lent of the read buffer is gone.
func (l *Loop) readResumed() {
	for i := 0; i < len(l.resumed); i++ {
		c := l.resumed[i]
		l.resumed[i] = nil
		if c.closing || c.pauses&pauseHandler != 0 {
			continue
		}
		l.current = c
		if c.partial != nil {
			b := l.rbuf.buf
			if n := c.partialLen(); n > len(b) {
				b = make([]byte, n)
			}
			b = b[:copy(b, c.partial.buf)]
			c.dropPartial()
			c.consume(b)
		}
		if c.tls != nil && !c.closing {
			c.readTLS(0)
		}
		if l.stallOn != nil {
			l.applyStall(c)
		}
		l.flush()
	}
	l.resumed = l.resumed[:0]
}

func (c *Conn) partialLen() int {
	if c.partial == nil {
		return 0
	}
	return len(c.partial.buf)
}

func (c *Conn) dropPartial() {
	if c.partial != nil {
		c.loop.chunks.put(c.partial)
		c.partial = nil
	}
}

// startFill begins to read a large frame, of which head is there, into a
// buffer of its own.
func (c *Conn) startFill(head []byte, need int) {
	c.fillNeed = need
	c.fill = NewShared(min(need, max(fillStep, 2*len(head))))
	c.filled = copy(c.fill.buf, head)
}

func (c *Conn) readFill(n int) {
	c.filled += n
	if c.filled < len(c.fill.buf) {
		return
	}
	if c.filled < c.fillNeed {
		grown := NewShared(min(c.fillNeed, 4*len(c.fill.buf)))
		copy(grown.buf, c.fill.buf)
		c.fill.Release()
		c.fill = grown
		return
	}
	sh := c.fill
	c.fill, c.filled, c.fillNeed = nil, 0, 0
	if used, _ := c.h.Data(c, sh.buf, sh); used < len(sh.buf) && !c.closing {
		c.Abort(io.ErrUnexpectedEOF)
	}
	sh.Release()
}

// Writable implements Events.
func (l *Loop) Writable(fd int) {
	c := l.connOf(fd)
	if c == nil || !c.blocked {
		return
	}
	l.begin()
	c.blocked = false
	l.markDirty(c)
	l.end()
}
