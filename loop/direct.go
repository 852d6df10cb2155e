package loop

// The baton of a connection is the right to write to its socket.
//
//	          owner queues its first byte            owner's queue is empty
//	 free ─────────────────────────────▶ held by owner ────────────────▶ free
//	   │                                   ▲
//	   │ other loop, nothing of it under   │ socket was full: the rest goes to
//	   ▼ way, little to write              │ the owner, the baton with it
//	 held by other loop ───────────────────┘
//	   │ all written
//	   ▼
//	 free, or if the owner asked meanwhile: the owner's (itemFlush)
//
// The descriptor cannot be closed, and so not reused, under a foreign write:
// closing takes the baton and never gives it back.

// directMax is how many bytes another loop writes itself. Up to there a
// hand-over (copying nothing, but waking a thread) costs more than the write;
// beyond it the owner's CPU is worth waking, unless the bytes are lent and would
// have to be copied for it. Measured, see docs/decisions.
const directMax = 32 << 10

// takeBaton tries to get the right to write for the owner. On refusal the
// holder passes it on with itemFlush or itemRest: it is not free in between,
// so that nobody overtakes what the owner has queued (I1, I3).
func (c *Conn) takeBaton() bool {
	if c.holding {
		return true
	}
	for {
		if c.baton.CompareAndSwap(batonFree, batonHeld) {
			c.holding = true
			return true
		}
		if c.baton.CompareAndSwap(batonHeld, batonWanted) || c.baton.Load() == batonWanted {
			return false
		}
	}
}

// gotBaton is takeBaton for the owner that another loop passes it to.
func (c *Conn) gotBaton() {
	c.holding = true
	c.baton.Store(batonHeld)
}

// dropBaton gives the right back; the owner's queue is empty.
func (c *Conn) dropBaton() {
	c.holding = false
	c.baton.Store(batonFree)
}

// takeStaged hands what this turn staged for another loop's connection to its
// owner, or reports that this loop may write it: it has the baton then.
func (l *Loop) takeStaged(q *Queue) (direct bool) {
	c := q.conn
	l.stages[c.slot] = nil
	if q.Msgs != 0 {
		c.outMsgs.Add(q.Msgs)
		c.outBytes.Add(q.Payload)
	}
	switch {
	case q.empty():
	case c.gone.Load():
		q.drop(l)
	case (q.bytes <= directMax || q.lent > 0) && len(q.segs) <= len(l.iovs) && c.inflight.Load() == 0 &&
		c.baton.CompareAndSwap(batonFree, batonHeld):
		return true
	default:
		l.handOver(c, q, itemBytes)
	}
	l.unstage(q)
	return false
}

// unstage keeps an empty staging queue for later.
func (l *Loop) unstage(q *Queue) {
	q.conn, q.Msgs, q.Payload, q.class = nil, 0, 0, 0
	l.stageFree = append(l.stageFree, q)
}

// writeDirect writes with the baton in hand.
func (l *Loop) writeDirect(q *Queue) {
	c := q.conn
	defer l.unstage(q)
	if c.gone.Load() {
		// The owner began to close between the check and the baton.
		q.drop(l)
		l.releaseForeign(c)
		return
	}
	n, err := l.group.write(c.fd, q.iov(l.iovs[:0], len(l.iovs)))
	if n > 0 {
		c.progressAt.Store(l.turnAt)
		q.sent(l, n)
	}
	if err == nil && q.empty() {
		l.releaseForeign(c)
		return
	}
	// Full, or broken: the owner finds out which when it goes on.
	l.handOver(c, q, itemRest)
}

func (l *Loop) releaseForeign(c *Conn) {
	if !c.baton.CompareAndSwap(batonHeld, batonFree) {
		n := l.post(c.loop)
		n.items = append(n.items, item{kind: itemFlush, conn: c})
	}
}

// handOver gives the segments of q to c's loop.
func (l *Loop) handOver(c *Conn, q *Queue, kind itemKind) {
	if q.lent > 0 {
		q.keep(l)
	}
	n := l.post(c.loop)
	lo := len(n.segs)
	n.segs = append(n.segs, q.segs[q.head:]...)
	c.inflight.Add(1)
	c.flying.Add(int64(q.bytes))
	n.items = append(n.items, item{kind: kind, conn: c, lo: lo, hi: len(n.segs)})
	clear(q.segs)
	q.bytes = 0
	q.reset(l)
}

// receive is the owner's end of handOver.
func (c *Conn) receive(segs []seg) {
	l := c.loop
	before := c.out.bytes
	if c.gone.Load() {
		n := 0
		for i := range segs {
			n += len(segs[i].b)
			l.freeSeg(&c.out, &segs[i])
		}
		c.arrived(n)
		return
	}
	l.markDirty(c)
	c.out.take(l, segs)
	c.arrived(c.out.bytes - before)
}

// receiveRest takes over a write that another loop could not finish: its bytes
// go first and the baton is this loop's now.
func (c *Conn) receiveRest(segs []seg) {
	l := c.loop
	c.gotBaton()
	before := c.out.bytes
	c.out.prepend(segs)
	c.arrived(c.out.bytes - before)
	if c.aborted {
		c.out.drop(l)
		l.finishClose(c)
		return
	}
	l.markDirty(c)
}

// arrived moves n bytes from flying to queued.
func (c *Conn) arrived(n int) {
	c.out.base = int(c.flying.Add(-int64(n)))
	c.queued.Store(int64(c.out.bytes))
	c.inflight.Add(-1)
}
