package server

import (
	"errors"
	"io"
	"time"

	"peregrine/codec/proxyproto"
)

// preface is what comes before the protocol, in this order and each only if the
// options say so:
//
//	wait whether the client speaks first   (handshake_first with a fallback)
//	INFO, unless TLS comes first
//	PROXY header
//	wait whether the client wants TLS      (allow_non_tls)
//	TLS handshake
//	INFO, if TLS came first
//
// Each wait has the session's ping timer, which is free until then.
type preface struct {
	phase phase
	first bool // TLS comes, or came, before INFO
	proxy bool // a PROXY header may come
	sniff bool // the client chooses
	seen  int  // bytes of a header that is cut
	skip  int  // bytes of a header, still to come, that say nothing
	tls   *listenerTLS
}

// phase is what a session waits for.
type phase uint8

const (
	speaking phase = iota // nothing: the protocol has begun
	awaitingFirst
	awaitingHeader
	awaitingChoice
	securing
)

const (
	// proxyTimeout is the time for a PROXY header.
	proxyTimeout = 5 * time.Second
	// tlsFirstByte is the type of the record that a TLS client begins with.
	tlsFirstByte = 0x16
	// errThrottled is the -ERR for a handshake over the rate limit.
	errThrottled = "Connection throttling is active. Please try again later."
)

// greet starts the preface. full says that there are too many connections.
func (c *session) greet(full bool) {
	p := &c.preface
	p.tls, p.proxy = c.w.srv.tls.Load(), c.w.srv.options().ProxyProtocol
	if p.tls != nil {
		p.first = p.tls.o.HandshakeFirst
		p.sniff = p.tls.o.AllowNonTLS && !p.first
	}
	if !p.first {
		c.firstInfo()
	}
	switch {
	case full:
		c.sendErr(errMaxConnections)
		c.errorf("%s", errMaxConnections)
		c.close(MaxConnectionsExceeded)
	case p.first && p.tls.o.HandshakeFallback > 0:
		c.await(awaitingFirst, p.tls.o.HandshakeFallback, func() {
			p.phase, p.first, p.sniff = speaking, false, p.tls.o.AllowNonTLS
			c.firstInfo()
			c.advance(nil)
		})
	default:
		c.advance(nil)
	}
}

// await goes to phase f; then runs if it is not over in time.
func (c *session) await(f phase, d time.Duration, then func()) {
	c.preface.phase = f
	c.w.lp.AfterFunc(&c.pinging.timer, d, func() {
		if !c.stage.closing && c.preface.phase == f {
			then()
		}
	})
}

// firstInfo sends the INFO that a client begins with. In clear behind a proxy it
// leaves the address out, which would be the proxy's.
func (c *session) firstInfo() {
	info := c.w.srv.infoFor(c)
	info.AuthRequired, info.Nonce = c.w.srv.authAnnounced(), c.auth.nonce
	if c.preface.first {
		info.TLSRequired = true
	} else if c.preface.proxy {
		info.ClientIP = ""
	}
	c.sendInfo(info)
}

// early takes b, what a client sends in its preface. It reports how much it used
// and whether what is behind that is protocol.
func (c *session) early(b []byte) (used int, open bool) {
	used, open = c.advance(b)
	if c.stage.closing {
		return len(b), false
	}
	return used, open
}

// advance goes through the phases that are ahead as far as b allows.
func (c *session) advance(b []byte) (used int, open bool) {
	p := &c.preface
	if p.proxy {
		if used, open = c.proxyHeader(b); !open {
			return used, false
		}
		p.proxy = false
	}
	rest := b[used:]
	switch {
	case p.tls == nil:
	case !p.sniff, len(rest) > 0 && rest[0] == tlsFirstByte:
		c.secure(rest)
		return len(b), false
	case len(rest) == 0:
		if p.phase != awaitingChoice {
			c.await(awaitingChoice, p.tls.o.Timeout, c.begin)
		}
		return used, false
	}
	c.begin()
	return used, true
}

// proxyHeader takes the header of a proxy from the front of b. done says that it
// is over, or that there is none.
func (c *session) proxyHeader(b []byte) (used int, done bool) {
	p := &c.preface
	if p.phase != awaitingHeader {
		c.await(awaitingHeader, proxyTimeout, func() { c.badProxy(errors.New(p.cut("i/o timeout", "i/o timeout"))) })
	}
	if p.skip > 0 {
		used = min(p.skip, len(b))
		p.skip -= used
		return used, p.skip == 0
	}
	if len(b) == 0 {
		return 0, false
	}
	h, n, err := proxyproto.Parse(b)
	switch {
	case errors.Is(err, proxyproto.ErrShort):
		p.seen = len(b)
		return 0, false
	case errors.Is(err, proxyproto.ErrNone):
		return 0, true
	case err != nil:
		c.badProxy(err)
		return len(b), false
	}
	if h.Source.IsValid() {
		c.peer = h.Source
	}
	more := min(h.Skip, len(b)-n)
	p.skip = h.Skip - more
	return n + more, p.skip == 0
}

// cut tells where a header was cut: none of it was there, or some.
func (p *preface) cut(none, some string) string {
	switch {
	case p.skip > 0 || p.seen >= proxyproto.Detect:
		return "failed to read header: " + some
	case p.seen > 0:
		return "failed to read protocol version: " + some
	}
	return "failed to read protocol version: " + none
}

func (c *session) badProxy(err error) {
	c.w.srv.log.Warnf("Error reading PROXY protocol header from %s: %v", c.peer, err)
	c.close(ProtocolViolation)
}

// secure starts the handshake. b is its beginning, as far as it is here.
func (c *session) secure(b []byte) {
	t := c.preface.tls
	if limit := t.o.RateLimit; limit > 0 && !c.w.srv.handshakes.allow(limit, time.Now()) {
		c.sendErr(errThrottled)
		c.close(MaxConnectionsExceeded)
		return
	}
	c.debugf("Starting TLS client connection handshake")
	c.w.lp.Cancel(&c.pinging.timer)
	c.preface.phase = securing
	c.c.StartTLS(t.loop, b)
}

// begin ends the preface.
func (c *session) begin() {
	c.preface.phase = speaking
	if c.preface.first {
		c.firstInfo()
	}
	if c.w.srv.authRequired() {
		c.startAwaiting()
	}
	c.startPing()
}

// closedEarly corrects the reason of a connection that ended in its preface.
func (c *session) closedEarly(r Reason, err error) Reason {
	switch c.preface.phase {
	case awaitingHeader:
		if errors.Is(err, io.EOF) {
			c.w.srv.log.Warnf("Error reading PROXY protocol header from %s: %s", c.peer, c.preface.cut("EOF", "unexpected EOF"))
			return ProtocolViolation
		}
	case securing:
		if r == SlowConsumerWriteDeadline || r == ReadError || r == ClientClosed {
			return TLSHandshakeError
		}
	}
	return r
}
