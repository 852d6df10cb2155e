package loop

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
)

const (
	// handshakeAhead is how many bytes of a peer wait for the worker before the
	// socket is not read any more.
	handshakeAhead = 64 << 10
	// recordHeader is the length of what comes before each TLS record.
	recordHeader = 5
	// recordHandshake is the type of the record that a client begins with.
	recordHandshake = 22
)

// handshakeSlots is how many handshakes may compute at the same time. While one
// waits for its peer it has no slot, so peers that are slow hold up nobody, and
// a flood of them leaves the loops their CPUs.
func handshakeSlots() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// handshake is between a loop and the worker that computes.
type handshake struct {
	c       *Conn
	verify  func(tls.ConnectionState) error
	slots   chan struct{}
	wake    chan struct{} // holds one token when in or err may have changed
	timer   Timer         // loop's
	started bool          // loop's: the worker runs
	end     error         // loop's: how the input ended

	mu     sync.Mutex // guards the rest
	in     []byte     // from the peer, not read yet
	out    []byte     // for the peer, not queued yet
	err    error      // ends reading
	posted bool       // the loop will look at out
	starve bool       // the loop does not read the socket because of in
}

// begin starts the handshake; a server's when a first record is there.
func (s *secure) begin(o *TLS, early []byte) {
	c := s.c
	hs := &handshake{c: c, verify: o.Verify, slots: c.loop.group.shaking, wake: make(chan struct{}, 1)}
	s.hs, s.wire.shake = hs, hs
	config := o.Config
	if hs.verify != nil {
		config = config.Clone()
		config.VerifyConnection = hs.verifyOutside
	}
	if o.Client {
		s.conn = tls.Client(&s.wire, config)
	} else {
		s.conn = tls.Server(&s.wire, config)
	}
	if o.Timeout > 0 {
		c.loop.AfterFunc(&hs.timer, o.Timeout, func() { c.handshakeDone(hs, ErrHandshakeTimeout) })
	}
	if o.Client {
		hs.start(s.conn)
	}
	if len(early) > 0 {
		c.feedHandshake(early)
	}
}

// verifyOutside runs the caller's check without a slot.
func (hs *handshake) verifyOutside(state tls.ConnectionState) error {
	<-hs.slots
	err := hs.verify(state)
	hs.slots <- struct{}{}
	return err
}

func (hs *handshake) start(conn *tls.Conn) {
	hs.started = true
	go func() {
		hs.slots <- struct{}{}
		err := hs.failed()
		if err == nil {
			err = conn.Handshake()
		}
		<-hs.slots
		hs.c.loop.Post(func() { hs.c.handshakeDone(hs, err) })
	}()
}

func (hs *handshake) failed() error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if len(hs.in) > 0 && hs.err == io.EOF {
		return nil // to be told where the record is cut
	}
	return hs.err
}

// read gives the worker what has come from the peer, or waits without a slot.
func (hs *handshake) read(p []byte) (int, error) {
	for {
		hs.mu.Lock()
		if len(hs.in) > 0 {
			n := copy(p, hs.in)
			hs.in = hs.in[:copy(hs.in, hs.in[n:])]
			hs.mu.Unlock()
			return n, nil
		}
		err, starve := hs.err, hs.starve
		hs.starve = false
		hs.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if starve {
			hs.c.loop.Post(func() {
				if hs.c.tls.hs == hs && hs.end == nil {
					hs.c.resume(pauseTLS)
				}
			})
		}
		<-hs.slots
		<-hs.wake
		hs.slots <- struct{}{}
	}
}

// write takes what the worker has for the peer.
func (hs *handshake) write(p []byte) (int, error) {
	hs.mu.Lock()
	hs.out = append(hs.out, p...)
	post := !hs.posted
	hs.posted = true
	hs.mu.Unlock()
	if post {
		hs.c.loop.Post(func() { hs.c.sendHandshake(hs) })
	}
	return len(p), nil
}

// signal wakes the worker.
func (hs *handshake) signal() {
	select {
	case hs.wake <- struct{}{}:
	default:
	}
}

// feedHandshake gives bytes of the peer, borrowed, to the worker and starts it
// if the first record is complete, or no record of a handshake.
func (c *Conn) feedHandshake(b []byte) {
	hs := c.tls.hs
	hs.mu.Lock()
	hs.in = append(hs.in, b...)
	ready := hs.started || firstRecord(hs.in)
	full := len(hs.in) >= handshakeAhead
	hs.starve = hs.starve || full
	hs.mu.Unlock()
	if full {
		c.pause(pauseTLS)
	}
	if ready && !hs.started {
		hs.start(c.tls.conn)
	}
	hs.signal()
}

func firstRecord(b []byte) bool {
	return len(b) >= recordHeader && (b[0] != recordHandshake || len(b) >= recordHeader+int(b[3])<<8+int(b[4]))
}

// endOfHandshakeInput tells the worker that the peer, or the socket, has ended.
func (c *Conn) endOfHandshakeInput(err error) {
	hs := c.tls.hs
	c.pause(pauseTLS)
	hs.end = err
	hs.mu.Lock()
	hs.err = err
	none := len(hs.in) == 0
	hs.mu.Unlock()
	switch {
	case hs.started:
		hs.signal()
	case none:
		c.handshakeDone(hs, err)
	default:
		hs.start(c.tls.conn)
	}
}

// sendHandshake queues what the worker has for the peer.
func (c *Conn) sendHandshake(hs *handshake) {
	hs.mu.Lock()
	out := hs.out
	hs.out, hs.posted = nil, false
	hs.mu.Unlock()
	if c.fd < 0 || c.tls.hs != hs {
		return
	}
	c.tls.out.append(c.loop, out)
	c.loop.markDirty(c)
}

// endHandshake takes the connection from the worker, which may still run.
func (s *secure) endHandshake(err error) {
	hs := s.hs
	s.hs = nil
	s.c.loop.Cancel(&hs.timer)
	hs.mu.Lock()
	if hs.err == nil {
		hs.err = err
	}
	hs.mu.Unlock()
	hs.signal()
}

// handshakeDone is the end of the handshake: on success the tls.Conn is the
// loop's. After a timeout or a close the worker may come late and is not heard.
func (c *Conn) handshakeDone(hs *handshake, err error) {
	l, s := c.loop, c.tls
	if s.hs != hs || c.fd < 0 {
		return
	}
	c.sendHandshake(hs)
	s.endHandshake(net.ErrClosed)
	if c.closing {
		return
	}
	if err == nil {
		// Nobody else has hs any more.
		s.open = true
		s.wire.shake, s.end = nil, hs.end
		if len(hs.in) > 0 { // else its memory, of a whole hello, would be kept
			s.wire.left = hs.in
		}
		if hs.end == nil {
			c.resume(pauseTLS)
		}
	} else {
		c.pause(pauseTLS)
	}
	before := l.current
	l.current = c
	c.h.(SecureHandler).Secured(c, err)
	switch {
	case c.closing:
	case err != nil:
		c.Close(err)
	default:
		c.readTLS(0)
	}
	l.current = before
}
