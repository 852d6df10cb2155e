package server

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"peregrine/certs"
	"peregrine/loop"
)

// TLSOptions say how clients use TLS.
type TLSOptions struct {
	certs.Options
	Timeout     time.Duration // of a handshake; 0 is DefaultTLSTimeout
	AllowNonTLS bool          // clients may do without
	// HandshakeFirst begins with the handshake instead of INFO; with a fallback,
	// INFO is sent if no handshake comes in that time.
	HandshakeFirst    bool
	HandshakeFallback time.Duration
	RateLimit         int64 // handshakes a second; 0 is no limit
	Map               bool  // certificates say which users clients are
}

// DefaultTLSTimeout is the time for a handshake.
const DefaultTLSTimeout = 2 * time.Second

// listenerTLS is TLS with clients at the moment. It does not change: a reload
// makes another one for later connections.
type listenerTLS struct {
	o       *TLSOptions
	loop    *loop.TLS
	stapler *certs.Stapler // nil: nothing is stapled
	peers   bool           // certificates of clients are asked about
	pages   *tls.Config    // of monitoring pages
}

// setTLS makes what o says of TLS hold for later connections. It may wait for
// responders. On an error nothing has changed.
func (s *Server) setTLS(o *Options, running bool) error {
	next, err := s.prepareTLS(o)
	if err != nil {
		return err
	}
	if old := s.tls.Swap(next); old != nil {
		go old.stapler.Close()
	}
	if running {
		next.run()
	}
	return nil
}

func (c *listenerTLS) run() {
	if c != nil && c.stapler != nil {
		c.stapler.Run()
	}
}

// prepareTLS makes what later connections use, nil for no TLS.
func (s *Server) prepareTLS(o *Options) (*listenerTLS, error) {
	t := o.TLS
	if t == nil {
		return nil, nil
	}
	config := t.Config()
	c := &listenerTLS{o: t}
	staple := o.Staple
	staple.Kind = "Client"
	staple.Revoked = func() { go s.Shutdown() }
	var err error
	if c.stapler, err = certs.NewStapler(staple, &t.Options, s.log); err != nil {
		return nil, err
	}
	if c.stapler != nil {
		c.stapler.Plug(config)
	}
	c.loop = &loop.TLS{Config: config, Timeout: t.Timeout}
	if t.OCSPPeer != nil {
		s.log.Debugf("Plugging TLS OCSP peer for [%s]", "Client")
		if !t.Verify {
			c.stapler.Close()
			return nil, certs.ErrMTLSRequired
		}
		c.peers = true
		c.loop.Verify = certs.NewPeers(*t.OCSPPeer, false, s.peerCache.open(o.PeerCache, s.log), s.log, ocspEvents{s}).Verify
	}
	c.pages = config.Clone()
	if c.peers {
		c.pages.VerifyConnection = c.loop.Verify
	} else {
		c.pages.ClientAuth = tls.NoClientCert
	}
	return c, nil
}

// closeTLS ends what runs for TLS.
func (s *Server) closeTLS() {
	if t := s.tls.Load(); t != nil {
		t.stapler.Close()
	}
	s.peerCache.close()
}

// peerCache is the cache of answers about clients, opened when it is needed.
type peerCache struct {
	mu      sync.Mutex // guards the rest
	options certs.CacheOptions
	cache   *certs.Cache
	off     bool
}

// open returns the cache that o describes, nil for none: the one that is open,
// if it is the same.
func (p *peerCache) open(o *certs.CacheOptions, log Logger) *certs.Cache {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cache != nil && (o == nil || *o != p.options) {
		p.cache.Close()
		p.cache = nil
	}
	if o == nil || p.off {
		return nil
	}
	if p.cache == nil {
		p.cache, p.options = certs.OpenCache(*o, log), *o
	}
	return p.cache
}

// stats returns the counters, nil without a cache.
func (p *peerCache) stats() *certs.CacheStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cache == nil {
		return nil
	}
	stats := p.cache.Stats()
	return &stats
}

func (p *peerCache) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	p.cache.Close()
	p.cache = nil
}

// TLSStats are what a monitor shows of TLS with clients.
type TLSStats struct {
	Required, Verify, OCSPPeerVerify bool
	Timeout                          time.Duration
	NotAfter                         time.Time         // of the certificate that ends first; zero without TLS
	PeerCache                        *certs.CacheStats // nil: nothing is kept about clients' certificates
}

// TLSStats tells how clients use TLS. Any goroutine.
func (s *Server) TLSStats() TLSStats {
	t := s.tls.Load()
	if t == nil {
		return TLSStats{}
	}
	st := TLSStats{
		Required: !t.o.AllowNonTLS, Verify: t.o.Verify, OCSPPeerVerify: t.peers && !t.o.AllowNonTLS,
		Timeout: t.o.Timeout, NotAfter: t.o.NotAfter(),
	}
	if t.peers {
		st.PeerCache = s.peerCache.stats()
	}
	return st
}

// MonitorTLS returns the configuration of pages for browsers, nil without TLS:
// that of clients at the time of each handshake, without asking for
// certificates unless they are asked about.
func (s *Server) MonitorTLS() *tls.Config {
	if s.tls.Load() == nil {
		return nil
	}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if t := s.tls.Load(); t != nil {
			return t.pages, nil
		}
		return nil, errors.New("TLS was turned off")
	}}
}

// rateLimit bounds handshakes. Any goroutine.
type rateLimit struct {
	mu      sync.Mutex // guards the rest
	count   int64
	end     time.Time // of the second in which count counts
	blocked int64
}

// allow tells whether one more is within limit, as the reference counts: the
// call that begins a second is its zeroth.
func (r *rateLimit) allow(limit int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.After(r.end) {
		r.count, r.end = 0, now.Add(time.Second)
	} else {
		r.count++
	}
	if r.count < limit {
		return true
	}
	r.blocked++
	return false
}

// watch logs each second how many were refused, until quit is closed.
func (r *rateLimit) watch(quit <-chan struct{}, log Logger) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-quit:
			return
		case <-t.C:
		}
		r.mu.Lock()
		n := r.blocked
		r.blocked = 0
		r.mu.Unlock()
		if n > 0 {
			log.Warnf("Rejected %d connections due to TLS rate limiting", n)
		}
	}
}

// Secured implements loop.SecureHandler.
func (c *session) Secured(_ *loop.Conn, err error) {
	if c.stage.closing {
		return
	}
	state, _ := c.c.TLSState()
	if err == nil {
		var note string
		if note, err = c.preface.tls.o.CheckPinned(state.PeerCertificates); err != nil {
			c.debugf("%s", note)
		}
	}
	if err != nil {
		c.handshakeFailed(err)
		return
	}
	c.begin()
	if c.w.debug {
		c.debugf("TLS handshake complete")
		c.debugf("TLS version %s, cipher suite %s", tlsVersion(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
}

// handshakeFailed logs why and closes. What a probe of the port does is not
// worth an error.
func (c *session) handshakeFailed(err error) {
	var header tls.RecordHeaderError
	var network net.Error
	switch {
	case errors.Is(err, loop.ErrHandshakeTimeout):
		c.debugf("TLS handshake timeout")
	case errors.As(err, &header) && header.Conn != nil, errors.As(err, &network) && network.Timeout():
		c.debugf("TLS handshake error: %v", err)
	default:
		c.errorf("TLS handshake error: %v%s", err, unverified(err))
	}
	c.close(TLSHandshakeError)
}

// unverified names the certificates that were not accepted.
func unverified(err error) string {
	var v *tls.CertificateVerificationError
	if !errors.As(err, &v) || len(v.UnverifiedCertificates) == 0 {
		return ""
	}
	var names []string
	for _, cert := range v.UnverifiedCertificates {
		sum := sha256.Sum256(cert.Raw)
		names = append(names, fmt.Sprintf("%s SHA-256: %s", cert.Subject.String(), hex.EncodeToString(sum[:])))
	}
	return " (" + strings.Join(names, "; ") + ")"
}

// tlsVersion is how monitors and logs write a version.
func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return fmt.Sprintf("Unknown [0x%x]", v)
}

// ConnTLS is what a monitor shows of a connection that uses TLS.
type ConnTLS struct {
	Version, CipherSuite string
	First                bool // the handshake came before INFO
	Peer                 []PeerCert
}

// PeerCert is a certificate that a peer has shown.
type PeerCert struct {
	Subject         string
	KeySum, CertSum string // hex of SHA-256
}

// describeTLS returns nil for a connection without TLS. Owner only.
func (c *session) describeTLS() *ConnTLS {
	state, ok := c.c.TLSState()
	if !ok {
		return nil
	}
	t := &ConnTLS{Version: tlsVersion(state.Version), CipherSuite: tls.CipherSuiteName(state.CipherSuite), First: c.preface.first}
	for _, cert := range state.PeerCertificates {
		t.Peer = append(t.Peer, peerCert(cert))
	}
	return t
}

func peerCert(cert *x509.Certificate) PeerCert {
	sum := sha256.Sum256(cert.Raw)
	return PeerCert{Subject: cert.Subject.String(), KeySum: certs.KeySum(cert), CertSum: hex.EncodeToString(sum[:])}
}

// recheckPinned closes the connections whose keys are not pinned any more.
func (s *Server) recheckPinned(old, new *TLSOptions) {
	if old == nil || new == nil || slices.Equal(old.Pinned, new.Pinned) {
		return
	}
	for _, w := range s.workers {
		w.lp.Post(func() {
			w.each(func(c *session) {
				state, ok := c.c.TLSState()
				if !ok || c.stage.closing {
					return
				}
				if note, err := new.CheckPinned(state.PeerCertificates); err != nil {
					c.debugf("%s", note)
					c.close(TLSHandshakeError)
				}
			})
		})
	}
}

// tlsState returns what the handshake agreed on, nil without TLS. Owner only.
func (c *session) tlsState() *tls.ConnectionState {
	state, ok := c.c.TLSState()
	if !ok {
		return nil
	}
	return &state
}

// What cannot change while the server runs, as values to compare.
func (t *TLSOptions) allowsNonTLS() bool { return t != nil && t.AllowNonTLS }
func (t *TLSOptions) maps() bool         { return t != nil && t.Map }
func (t *TLSOptions) rateLimit() int64 {
	if t == nil {
		return 0
	}
	return t.RateLimit
}

// startTLS keeps what is shown fresh and logs what clients have to do.
func (s *Server) startTLS() {
	s.tls.Load().run()
	t := s.options().TLS
	if t == nil {
		return
	}
	firstOnly := t.HandshakeFirst && t.HandshakeFallback == 0
	if t.AllowNonTLS && !firstOnly {
		s.log.Noticef("TLS available for client connections")
	} else {
		s.log.Noticef("TLS required for client connections")
	}
	if firstOnly {
		s.log.Warnf("Clients that are not using \"TLS Handshake First\" option will fail to connect")
	}
	if t.RateLimit > 0 {
		go s.handshakes.watch(s.quit, s.log)
	}
}
