package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// TLS lies between the socket and the handler of a connection:
//
//	socket ─▶ ciphertext ─▶ tls.Conn.Read ─▶ Handler.Data        on the loop
//	socket ◀─ secure.out ◀─ tls.Conn.Write ◀─ Conn.out           on the loop
//	                  ▲ ▼
//	              handshake (bytes in, bytes out, a lock)
//	                  ▲ ▼
//	              tls.Conn.Handshake                              on a worker
//
// The tls.Conn belongs to the worker until the handshake is done, then to the
// loop. The loop never waits in it: the wire under it answers "no more for now"
// with a temporary error, which a tls.Conn forgets.
//
// The owner keeps the baton of a connection from StartTLS on, so no other loop
// writes to its socket: what they queue comes through the mailbox.

// TLS says how connections are secured. It is shared by connections and does
// not change.
type TLS struct {
	Config *tls.Config
	// Client is the side that begins the handshake.
	Client bool
	// Timeout bounds the handshake. 0: no bound.
	Timeout time.Duration
	// Verify, if set, is the last word on the peer. It runs on a worker and may
	// wait, for instance for an answer from the network: other handshakes go
	// on meanwhile. Its error fails the handshake.
	Verify func(tls.ConnectionState) error
}

// SecureHandler is the handler of a connection that uses TLS.
type SecureHandler interface {
	Handler
	// Secured tells how the handshake ended. Input comes after a nil err. With
	// an error, from crypto/tls, the socket or ErrHandshakeTimeout, it has to
	// close the connection: Close lets an alert go out first.
	Secured(c *Conn, err error)
}

var (
	// ErrHandshakeTimeout is what Secured is told when TLS.Timeout has passed.
	ErrHandshakeTimeout = errors.New("loop: TLS handshake timeout")

	errUpgrade = errors.New("loop: TLS cannot start while another loop writes")
)

// secure is the TLS state of a connection. Owned by the loop.
type secure struct {
	c    *Conn
	conn *tls.Conn // the worker's while hs is not nil
	wire wire
	out  Queue // ciphertext, and what was queued before TLS
	hs   *handshake
	open bool  // the handshake succeeded
	bye  bool  // close_notify was sent
	mute bool  // an alert was sent: nothing more can be sealed
	end  error // of the socket's input, if it came in the handshake
}

// StartTLS secures the connection from here on: what is queued already is sent
// in clear, what follows is encrypted. early, which is borrowed, is what the
// handler has seen of the peer's bytes and not used: the handler must take them
// as consumed. The handler must be a SecureHandler. Owner only, once, and
// before any other loop may queue for the connection.
func (c *Conn) StartTLS(o *TLS, early []byte) {
	l := c.loop
	if c.closing || c.tls != nil {
		return
	}
	if !c.takeBaton() {
		c.Abort(errUpgrade)
		return
	}
	s := &secure{c: c}
	s.wire.s = s
	s.out.conn = c
	s.adopt(l, &c.out)
	c.tls = s
	s.begin(o, early)
	l.markDirty(c)
}

// adopt takes over what is queued in q.
func (s *secure) adopt(l *Loop, q *Queue) {
	if q.lent > 0 {
		q.keep(l)
	}
	s.out.segs, s.out.head, s.out.bytes, s.out.tail, s.out.class = q.segs, q.head, q.bytes, q.tail, q.class
	q.segs, q.head, q.bytes, q.tail, q.class = nil, 0, 0, nil, 0
}

// TLSState returns what the handshake agreed on. It reports false if the
// connection is not secure, or not yet. Owner only.
func (c *Conn) TLSState() (tls.ConnectionState, bool) {
	if c.tls == nil || !c.tls.open {
		return tls.ConnectionState{}, false
	}
	return c.tls.conn.ConnectionState(), true
}

// shut lets go of everything when the descriptor is closed.
func (s *secure) shut(l *Loop) {
	if s.hs != nil {
		s.endHandshake(net.ErrClosed)
	}
	s.out.drop(l)
	s.wire.left = nil
}

// wire is the net.Conn under the tls.Conn: memory, filled and emptied by the
// loop.
type wire struct {
	s *secure
	// shake is where a handshake finds bytes and leaves them, nil after it.
	shake *handshake
	left  []byte // what the handshake has not read
	in    []byte // borrowed from the read buffer
}

// noMore tells a tls.Conn that no more bytes are there now.
type noMore struct{}

func (noMore) Error() string   { return "loop: no more input for now" }
func (noMore) Timeout() bool   { return true }
func (noMore) Temporary() bool { return true }

var errNoMore net.Error = noMore{}

func (w *wire) Read(p []byte) (int, error) {
	if w.shake != nil {
		return w.shake.read(p)
	}
	if len(w.left) > 0 {
		n := copy(p, w.left)
		if w.left = w.left[n:]; len(w.left) == 0 {
			w.left = nil
		}
		return n, nil
	}
	if len(w.in) == 0 {
		return 0, errNoMore
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.shake != nil {
		return w.shake.write(p)
	}
	if w.s.c.fd < 0 {
		return 0, io.ErrClosedPipe
	}
	w.s.out.append(w.s.c.loop, p)
	return len(p), nil
}

// The rest of net.Conn. Deadlines are the loop's.
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return wireAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return wireAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

type wireAddr struct{}

func (wireAddr) Network() string { return "tcp" }
func (wireAddr) String() string  { return "memory" }
