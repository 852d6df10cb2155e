package loop

import (
	"errors"
	"sync/atomic"
	"time"
)

// Reasons that the loop itself has for closing a connection. Others come from
// the socket or from the caller of Close.
var (
	ErrPendingExceeded = errors.New("loop: outbound queue over its limit")
	ErrWriteDeadline   = errors.New("loop: write deadline exceeded")
	ErrStopped         = errors.New("loop: stopped")
)

// Handler is what a connection's owner does with bytes; server implements it.
// All calls come from the connection's loop.
type Handler interface {
	// Data parses b, which is borrowed. consumed ≤ len(b); the rest is offered
	// again with more behind it. need is the length of the frame that is cut,
	// counted from b[consumed], or 0 if unknown: a large one is then read
	// straight into a buffer of its own. When b is such a buffer, sh is it and
	// parts of b may be queued by reference; otherwise sh is nil.
	Data(c *Conn, b []byte, sh *Shared) (consumed, need int)
	// Closed is the last call. err is io.EOF when the peer closed, one of the
	// loop's errors, what Close was given, or the socket's error. It may come
	// while Data or Loop.Queue, called for this connection, has not returned.
	Closed(c *Conn, err error)
}

// Lagging is implemented by handlers of connections with Limits.RetryWrites.
type Lagging interface {
	// Late says that what waited has not left within the write deadline, though
	// some of it has. Conn.Backlog tells what waits. It is called again for each
	// deadline passed until Recovered is.
	Late(c *Conn)
	// Recovered says that what waited when Late was called last, and what came
	// behind it until then, has left after all.
	Recovered(c *Conn, l Lag)
}

// Lag is a write that was late.
type Lag struct {
	Took          time.Duration // since Late was called last
	Pieces, Bytes int           // that waited then
}

// Limits bound one connection. They may be changed by its loop only.
type Limits struct {
	// PendingMax is how many bytes may wait for the socket. 0: no limit.
	PendingMax int64
	// StallSoft is where producers start to be slowed while this connection
	// makes progress, StallHard where they are slowed in any case. 0: never.
	StallSoft, StallHard int64
	// WriteDeadline is how long bytes may wait for a socket that is full.
	WriteDeadline time.Duration
	// RetryWrites gives a connection that passes its write deadline another one
	// as long as its socket takes anything. Its handler hears of it, see Lagging.
	RetryWrites bool
	// NeverStalled connections, links between servers, are read on when one of
	// their receivers is over its threshold.
	NeverStalled bool
}

// baton values: who may write to the socket.
const (
	batonFree   uint32 = iota
	batonHeld          // by the owner or by another loop
	batonWanted        // by another loop, which has to give it to the owner
)

// Conn is one connection.
type Conn struct {
	// Fixed at open, readable anywhere.
	id   uint64
	loop *Loop
	slot uint32
	fd   int

	// Shared between loops.
	baton      atomic.Uint32
	inflight   atomic.Int32 // mailbox items for this connection not yet handled
	flying     atomic.Int64 // bytes in them
	queued     atomic.Int64 // bytes in out, published by the owner
	progressAt atomic.Int64 // when the socket last took bytes, loop time
	limit      atomic.Pointer[Limits]
	gone       atomic.Bool // closing or closed: nothing more is queued
	outMsgs    atomic.Int64
	outBytes   atomic.Int64

	// Owned by the loop.
	h                   Handler
	partial             *chunk  // a cut frame
	bulk                bool    // most of the last read was lent
	fill                *Shared // a large frame being read, filled bytes of it are there
	filled              int
	fillNeed            int
	out                 Queue
	holding             bool // this loop has the baton for out
	dirty               bool
	blocked             bool   // waiting for Writable
	sent                uint64 // bytes ever written by the owner
	mark                uint64 // sent must pass this before the write deadline
	wait                waitState
	deadline            Timer
	tls                 *secure // nil: plain
	pauses              uint8   // why it is not read; 0: it is read
	inEngine            bool
	closing             bool
	aborted             bool
	closeErr            error
	lostSegs, lostBytes int // what was queued when it began to close
	linger              Timer
	stall               stallState
	waiters             []*Conn // producers that wait for this queue to drain
}

// ID is unique in the group while the process lives.
func (c *Conn) ID() uint64 { return c.id }

// Loop returns the owner.
func (c *Conn) Loop() *Loop { return c.loop }

// FD returns the descriptor, for socket options at open.
func (c *Conn) FD() int { return c.fd }

// Pending returns the bytes that wait for the socket, without those that the
// current turn of another loop has staged. Any goroutine.
func (c *Conn) Pending() int64 { return c.queued.Load() + c.flying.Load() }

// Sent returns how many messages and payload bytes were queued for the
// connection. Any goroutine.
func (c *Conn) Sent() (msgs, bytes int64) { return c.outMsgs.Load(), c.outBytes.Load() }

// Stalls returns how often the connection was slowed as a producer. Any
// goroutine.
func (c *Conn) Stalls() int64 { return c.stall.count.Load() }

// Backlog returns how many pieces and bytes waited when the connection was
// aborted, or wait now. Owner only.
func (c *Conn) Backlog() (segments, bytes int) {
	if c.closing {
		return c.lostSegs, c.lostBytes
	}
	segments = len(c.out.segs) - c.out.head
	if c.tls != nil {
		segments += len(c.tls.out.segs) - c.tls.out.head
	}
	return segments, c.unsent()
}

// SetLimits replaces the limits. Owner only.
//
// l is shared: it must not change any more.
func (c *Conn) SetLimits(l *Limits) { c.limit.Store(l) }

// Gone reports that nothing can be queued any more. Any goroutine.
func (c *Conn) Gone() bool { return c.gone.Load() }

// Why a connection is not read.
const (
	pauseStall   = 1 << iota // a receiver is behind
	pauseMailbox             // another loop is behind
	pauseClosing
	pauseHandler // Conn.PauseReading
)

func (c *Conn) pause(why uint8) {
	if c.pauses == 0 && c.inEngine {
		if err := c.loop.engine.Pause(c.fd); err != nil {
			c.Abort(err)
			return
		}
	}
	c.pauses |= why
}

func (c *Conn) resume(why uint8) {
	if c.pauses&why == 0 {
		return
	}
	c.pauses &^= why
	if c.pauses == 0 && c.inEngine {
		if err := c.loop.engine.Resume(c.fd); err != nil {
			c.Abort(err)
		}
	}
}

// PauseReading stops or continues reading on behalf of the handler, which
// waits for something outside the loop. What Data leaves while it is on, one
// read at most, is kept whatever its size and offered again when it is off.
// Owner only.
func (c *Conn) PauseReading(on bool) {
	if on {
		c.pause(pauseHandler)
		return
	}
	if c.pauses&pauseHandler != 0 && (c.partial != nil || c.tls != nil) {
		c.loop.resumed = append(c.loop.resumed, c)
	}
	c.resume(pauseHandler)
}

// Close ends the connection after what is queued is written, or after
// lingerMax. err is given to Handler.Closed. Owner only; repeated calls keep
// the first reason.
func (c *Conn) Close(err error) { c.startClose(err, true) }

// Abort ends the connection without writing what is queued. Owner only.
func (c *Conn) Abort(err error) { c.startClose(err, false) }

// lingerMax is how long a closing connection may take to accept its last
// bytes.
const lingerMax = 2 * time.Second

func (c *Conn) startClose(err error, flush bool) {
	if c.closing {
		if !flush && !c.aborted { // no more waiting for the peer to take its last bytes
			c.aborted = true
			c.out.drop(c.loop)
			c.loop.finishClose(c)
		}
		return
	}
	c.lostSegs, c.lostBytes = c.Backlog()
	c.closing = true
	c.closeErr = err
	c.gone.Store(true)
	c.pause(pauseClosing)
	l := c.loop
	l.wakeWaiters(c, true)
	if !flush || c.out.empty() && c.tls == nil {
		c.aborted = !flush
		c.out.drop(l)
		l.finishClose(c)
		if c.fd < 0 || !flush {
			return
		}
		// Another loop is writing: what it cannot write is for this one.
	} else {
		l.markDirty(c)
	}
	l.AfterFunc(&c.linger, lingerMax, func() {
		c.aborted = true
		c.out.drop(c.loop)
		c.loop.finishClose(c)
	})
}

// finishClose closes the descriptor. If another loop is writing to it, that
// loop's itemFlush or itemRest comes first and calls again.
func (l *Loop) finishClose(c *Conn) {
	if c.fd < 0 || !c.takeBaton() {
		return
	}
	fd := c.fd
	c.fd = -1
	l.byFD[fd] = nil
	if c.inEngine {
		_ = l.engine.Remove(fd)
		c.inEngine = false
	}
	// The handler lets go first: a peer that sees the end finds everything of it
	// gone, its place among the connections too.
	if c.h != nil {
		c.h.Closed(c, c.closeErr)
	}
	if !c.aborted {
		lastWords(fd)
	}
	closeFD(fd)
	if c.tls != nil {
		c.tls.shut(l)
	}
	for _, t := range []*Timer{&c.deadline, &c.linger, &c.stall.timer} {
		l.Cancel(t)
	}
	c.dropPartial()
	if c.fill != nil {
		c.fill.Release()
		c.fill = nil
	}
	c.queued.Store(0)
	l.group.freeSlot(c.slot)
	l.live--
	l.conns.Add(-1)
	if l.stopping && l.live == 0 {
		l.ring()
	}
}
