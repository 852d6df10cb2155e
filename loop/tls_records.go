package loop

import (
	"errors"
	"io"
)

const (
	pauseTLS = pauseHandler << 1 // the handshake has enough, or has failed

	// recordMax is the plaintext of a full record.
	recordMax = 16 << 10
	// sealAhead is how much ciphertext is made before the socket is asked
	// whether it takes it: what is not sealed can still be dropped or counted.
	sealAhead = 128 << 10
	// plainSize is the plaintext that one turn makes of what it reads: that of
	// a read, and that of what came with the end of a handshake.
	plainSize = readBufferSize + 2*handshakeAhead
)

// tlsScratch is what the TLS connections of a loop share.
type tlsScratch struct {
	plain  []byte // decrypted this turn; lent to handlers, so not used twice in it
	used   int
	turn   int64 // in which used counts
	gather []byte
}

// plain returns the part of the buffer that this turn has not used.
func (l *Loop) plain() []byte {
	t := &l.tls
	if t.plain == nil {
		t.plain = make([]byte, l.group.partialMax+plainSize)
		t.gather = make([]byte, 0, recordMax)
	}
	if turn := l.turns.Load(); t.turn != turn {
		t.turn, t.used = turn, 0
	}
	return t.plain[t.used:]
}

// readTLS opens n new bytes of ciphertext, at the beginning of the read buffer,
// and gives the handler what is in them.
func (c *Conn) readTLS(n int) {
	l, s := c.loop, c.tls
	if s.hs != nil {
		c.feedHandshake(l.rbuf.buf[:n])
		return
	}
	if !s.open {
		return // the handshake has failed, the connection is about to end
	}
	s.wire.in = l.rbuf.buf[:n]
	err := c.openRecords()
	if n := len(s.wire.in); n > 0 && !c.closing && err == nil {
		// The turn is out of room: the ciphertext waits for the next one.
		s.wire.left = append(s.wire.left, s.wire.in...)
	}
	s.wire.in = nil
	if !s.out.empty() { // an alert, or an answer to a new key
		l.markDirty(c)
		if lim := c.limit.Load(); lim != nil && lim.PendingMax > 0 && int64(c.unsent()) > lim.PendingMax {
			c.Abort(ErrPendingExceeded)
		}
	}
	if s.end != nil && errors.Is(err, errNoMore) {
		err = s.end
	}
	switch {
	case c.closing:
	case c.pauses&pauseHandler != 0: // goes on when the handler does; an end is found again then
	case err == nil:
		l.Post(func() {
			if c.fd >= 0 && !c.closing {
				before := l.current
				l.current = c
				c.readTLS(0)
				l.current = before
			}
		})
	case err == s.end && err != io.EOF:
		c.Abort(err)
	case !errors.Is(err, errNoMore):
		c.Close(err)
	}
}

// openRecords decrypts until no more is there (errNoMore), the peer has ended
// (io.EOF) or broken the protocol, or the turn's buffer is full (nil).
func (c *Conn) openRecords() (err error) {
	l, conn := c.loop, c.tls.conn
	for err == nil && !c.closing && c.pauses&pauseHandler == 0 {
		if c.fill != nil {
			var n int
			if n, err = conn.Read(c.fill.buf[c.filled:]); n > 0 {
				c.readFill(n)
			}
			continue
		}
		room := l.plain()
		kept := c.partialLen()
		if len(room) <= kept+recordMax {
			return nil
		}
		at := kept
		for err == nil && at < len(room) {
			var n int
			n, err = conn.Read(room[at:])
			at += n
		}
		if at == kept {
			break
		}
		if kept > 0 {
			copy(room, c.partial.buf)
			c.dropPartial()
		}
		l.tls.used += at
		c.consume(room[:at])
	}
	return err
}

// writeTLS seals what is queued and writes it. It is writeOut for a connection
// that uses TLS.
func (l *Loop) writeTLS(c *Conn) {
	s, q := c.tls, &c.out
	if c.closing && !s.open {
		q.drop(l) // nobody could read it
	}
	if c.blocked || !c.takeBaton() {
		c.noteUnsent()
		return
	}
	var err error
	for {
		if s.open && !s.mute {
			if err = s.seal(l, q); err != nil && c.closing {
				// After an alert nothing can be sealed, but it still has to go.
				s.mute, err = true, nil
				q.drop(l)
			}
			if err != nil {
				break
			}
		}
		if s.out.empty() {
			if !c.closing || !s.open || s.bye {
				break
			}
			s.bye = true
			if s.mute || s.conn.CloseWrite() != nil {
				break
			}
			continue
		}
		n := 0
		n, err = l.engine.Write(c.fd, s.out.iov(l.iovs[:0], iovMax))
		c.sent += uint64(n)
		s.out.sent(l, n)
		if err != nil {
			if n > 0 {
				c.progressAt.Store(l.turnAt)
			}
			break
		}
	}
	c.noteUnsent()
	switch {
	case err == nil:
		c.unblock()
		if c.closing {
			l.finishClose(c)
		}
	case err == ErrAgain:
		c.block()
		l.wakeWaiters(c, false)
	default:
		q.drop(l)
		s.out.drop(l)
		c.queued.Store(0)
		if c.closing {
			l.finishClose(c)
		} else {
			c.Abort(err)
		}
	}
}

// noteUnsent publishes what waits for the socket.
func (c *Conn) noteUnsent() {
	if n := int64(c.unsent()); c.queued.Load() != n {
		c.queued.Store(n)
	}
}

// unsent returns the bytes that the owner has queued, sealed or not.
func (c *Conn) unsent() int {
	if c.tls != nil {
		return c.out.bytes + c.tls.out.bytes
	}
	return c.out.bytes
}

// seal encrypts from the front of q until enough ciphertext waits.
func (s *secure) seal(l *Loop, q *Queue) error {
	for !q.empty() && s.out.bytes < sealAhead {
		b := q.segs[q.head].b
		switch {
		case len(b) >= recordMax:
			b = b[:min(len(b)/recordMax*recordMax, sealAhead)]
		case q.head+1 < len(q.segs):
			// Small pieces share a record.
			b = q.gather(l.gatherBuffer())
		}
		if _, err := s.conn.Write(b); err != nil {
			return err
		}
		q.sent(l, len(b))
	}
	return nil
}

func (l *Loop) gatherBuffer() []byte {
	if l.tls.gather == nil {
		l.tls.gather = make([]byte, 0, recordMax)
	}
	return l.tls.gather
}

// gather copies from the front of the queue until dst is full.
func (q *Queue) gather(dst []byte) []byte {
	for i := q.head; i < len(q.segs) && len(dst) < cap(dst); i++ {
		b := q.segs[i].b
		dst = append(dst, b[:min(len(b), cap(dst)-len(dst))]...)
	}
	return dst
}
