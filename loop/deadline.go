package loop

import "time"

// waitState is what a connection knows of the time for which its socket has been
// full, beside Conn.mark.
type waitState struct {
	since  int64  // loop time when the deadline was armed
	from   uint64 // Conn.sent then
	pieces int    // that waited then
	late   bool   // the deadline before was passed
}

// block arms the write deadline: what is queued now must have left by then.
func (c *Conn) block() {
	l := c.loop
	c.blocked = true
	if lim := c.limit.Load(); lim != nil && lim.WriteDeadline > 0 && !c.deadline.Armed() && !c.closing {
		pieces, bytes := c.Backlog()
		c.mark = c.sent + uint64(bytes)
		c.wait.since, c.wait.from, c.wait.pieces = l.now(), c.sent, pieces
		l.AfterFunc(&c.deadline, lim.WriteDeadline, c.checkDeadline)
	}
}

func (c *Conn) checkDeadline() {
	if c.closing || !c.blocked {
		return
	}
	if c.sent >= c.mark {
		c.recovered()
		c.block()
		return
	}
	h, ok := c.h.(Lagging)
	if lim := c.limit.Load(); !ok || lim == nil || !lim.RetryWrites || c.sent == c.wait.from {
		c.Abort(ErrWriteDeadline)
		return
	}
	c.wait.late = true
	h.Late(c)
	c.block()
}

func (c *Conn) unblock() {
	c.blocked = false
	if c.deadline.Armed() {
		c.loop.Cancel(&c.deadline)
	}
	c.recovered()
	c.loop.wakeWaiters(c, false)
}

// recovered tells the handler of a late write that has ended.
func (c *Conn) recovered() {
	if !c.wait.late || c.closing {
		return
	}
	c.wait.late = false
	if h, ok := c.h.(Lagging); ok {
		h.Recovered(c, Lag{
			Took:   time.Duration(c.loop.now() - c.wait.since),
			Pieces: c.wait.pieces, Bytes: int(c.mark - c.wait.from),
		})
	}
}
