package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"peregrine/account"
	"peregrine/certs"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{next: 1}
	pair := a.issue(t, "authority", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate for 127.0.0.1, signed by a or, before a has one, by
// itself.
func (a *authority) issue(t testing.TB, name string, change func(c *x509.Certificate)) tls.Certificate {
	t.Helper()
	a.next++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// client is what trusts a and shows show.
func (a *authority) client(show ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Certificates: show}
}

// startTLSServer runs a server whose TLS change can refine.
func startTLSServer(t *testing.T, a *authority, change func(o *Options)) (*Server, *quietLog) {
	t.Helper()
	return startServer(t, func(o *Options) {
		o.Debug = true
		o.TLS = &TLSOptions{Options: certs.Options{Certificates: []tls.Certificate{a.issue(t, "server", nil)}, Authorities: []*x509.Certificate{a.cert}}}
		if change != nil {
			change(o)
		}
	})
}

// rawDial connects and bounds the test's patience.
func rawDial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	nc, err := netDial(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(clientTimeout))
	return nc
}

// readInfo reads the line byte by byte: what follows it may be TLS.
func readInfo(t *testing.T, nc net.Conn) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := nc.Read(b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		if line = append(line, b[0]); b[0] == '\n' {
			return string(line)
		}
	}
}

// upgrade does INFO, then the handshake.
func upgrade(t *testing.T, s *Server, config *tls.Config) (*client, string, error) {
	t.Helper()
	nc := rawDial(t, s)
	info := readInfo(t, nc)
	c := tls.Client(nc, config)
	err := c.Handshake()
	return newClient(t, c), info, err
}

// secureConnect is connect over TLS.
func secureConnect(t *testing.T, s *Server, config *tls.Config) *client {
	t.Helper()
	c, info, err := upgrade(t, s, config)
	if err != nil {
		t.Fatalf("handshake: %v, after %s", err, info)
	}
	c.send(`CONNECT {"verbose":false}` + "\r\n")
	c.sync()
	return c
}

// ended reads until the server closes and returns what it said.
func ended(c net.Conn) string {
	b, err := io.ReadAll(c)
	if err != nil && len(b) == 0 {
		return err.Error()
	}
	return string(b)
}

// closedAs waits until a connection has ended for a reason.
func closedAs(t *testing.T, s *Server, reason string) {
	t.Helper()
	eventually(t, "a connection closed as "+reason, func() { time.Sleep(time.Millisecond) }, func() bool {
		for _, c := range s.ClosedConnections() {
			if c.Reason == reason {
				return true
			}
		}
		return false
	})
}

func TestTLSMessages(t *testing.T) {
	a := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s, log := startTLSServer(t, a, nil)
		config := a.client()
		config.MaxVersion = version
		sub, pub := secureConnect(t, s, config), secureConnect(t, s, config)
		sub.send("SUB foo 1\r\n")
		sub.sync()
		for _, n := range []int{0, 10, 5000, 20_000, 300_000} {
			payload := strings.Repeat("x", n)
			pub.send(fmt.Sprintf("PUB foo %d\r\n%s\r\n", n, payload))
			sub.expect(fmt.Sprintf("MSG foo 1 %d", n), payload)
		}
		infos := s.OpenConnections(false)
		want := tlsVersion(version)
		if len(infos) != 2 || infos[0].TLS == nil || infos[0].TLS.Version != want || infos[0].TLS.CipherSuite == "" || infos[0].TLS.First || len(infos[0].TLS.Peer) != 0 {
			t.Errorf("%+v", infos)
		}
		if !log.has("TLS handshake complete") || !log.has("TLS version "+want+", cipher suite TLS_") || !log.has("TLS required for client connections") {
			t.Error("lines are missing in the log")
		}
	}
}

func TestTLSInfo(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		change func(o *Options)
		want   []string
		not    []string
	}{
		{nil, []string{`"tls_required":true`}, []string{"tls_verify", "tls_available"}},
		{func(o *Options) { o.TLS.Verify = true }, []string{`"tls_required":true`, `"tls_verify":true`}, nil},
		{func(o *Options) { o.TLS.AllowNonTLS = true }, []string{`"tls_available":true`}, []string{"tls_required"}},
		{func(o *Options) { o.TLS = nil }, nil, []string{"tls_"}},
	} {
		s, _ := startTLSServer(t, a, c.change)
		info := readInfo(t, rawDial(t, s))
		for _, part := range c.want {
			if !strings.Contains(info, part) {
				t.Errorf("%s is not in %s", part, info)
			}
		}
		for _, part := range c.not {
			if strings.Contains(info, part) {
				t.Errorf("%s is in %s", part, info)
			}
		}
	}
}

// TestTLSRefusals: who must not come in does not, and the log says why.
func TestTLSRefusals(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	verify := func(o *Options) { o.TLS.Verify = true }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	good := a.issue(t, "good", nil)
	for name, c := range map[string]struct {
		change func(o *Options)
		client *tls.Config
		log    string
	}{
		"none":            {verify, a.client(), "TLS handshake error: tls: client didn't provide a certificate"},
		"stranger":        {verify, a.client(other.issue(t, "stranger", nil)), "x509: certificate signed by unknown authority"},
		"expired":         {verify, a.client(a.issue(t, "late", expired)), "x509: certificate has expired or is not yet valid"},
		"not pinned":      {func(o *Options) { o.TLS.Verify = true; o.TLS.Pinned = []string{strings.Repeat("0", 64)} }, a.client(good), "TLS handshake error: certificate not pinned"},
		"pinned but none": {func(o *Options) { o.TLS.Pinned = []string{certs.KeySum(good.Leaf)} }, a.client(), "TLS handshake error: certificate not pinned"},
		"old":             {func(o *Options) { o.TLS.MinVersion = tls.VersionTLS13 }, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}, "tls: client offered only unsupported versions"},
	} {
		t.Run(name, func(t *testing.T) {
			s, log := startTLSServer(t, a, c.change)
			cl, _, err := upgrade(t, s, c.client)
			if err == nil {
				cl.send("PING\r\n")
				if text := ended(cl); strings.Contains(text, "PONG") {
					t.Errorf("let in: %q", text)
				}
			}
			closedAs(t, s, "TLS Handshake Failure")
			eventually(t, c.log, func() { time.Sleep(time.Millisecond) }, func() bool { return log.has(c.log) })
		})
	}
	s, _ := startTLSServer(t, a, func(o *Options) { o.TLS.Verify, o.TLS.Pinned = true, []string{certs.KeySum(good.Leaf)} })
	secureConnect(t, s, a.client(good))
	if infos := s.OpenConnections(false); len(infos) != 1 || len(infos[0].TLS.Peer) != 1 || infos[0].TLS.Peer[0].Subject != "CN=good" || infos[0].TLS.Peer[0].KeySum != certs.KeySum(good.Leaf) {
		t.Errorf("%+v", infos)
	}
}

// TestTLSWithoutTLS: a client that does not do TLS, and one that does nothing.
func TestTLSWithoutTLS(t *testing.T) {
	a := newAuthority(t)
	s, log := startTLSServer(t, a, func(o *Options) { o.TLS.Timeout = 200 * time.Millisecond })
	nc := rawDial(t, s)
	readInfo(t, nc)
	_, _ = io.WriteString(nc, "CONNECT {}\r\nPING\r\n")
	if text := ended(nc); strings.Contains(text, "PONG") || strings.Contains(text, "-ERR") {
		t.Errorf("the server said %q", text)
	}
	closedAs(t, s, "TLS Handshake Failure")
	if !log.has("DBG 127.0.0.1:") || !log.has("TLS handshake error: tls: first record does not look like a TLS handshake") {
		t.Error("no debug line about the first record")
	}
	silent := rawDial(t, s)
	readInfo(t, silent)
	_ = ended(silent)
	eventually(t, "the timeout in the log", func() { time.Sleep(time.Millisecond) }, func() bool { return log.has("TLS handshake timeout") })
}

func TestTLSMixed(t *testing.T) {
	a := newAuthority(t)
	s, log := startTLSServer(t, a, func(o *Options) { o.TLS.AllowNonTLS, o.TLS.Timeout = true, 300*time.Millisecond })
	plain, secure := connect(t, s), secureConnect(t, s, a.client())
	plain.send("SUB foo 1\r\n")
	plain.sync()
	secure.send("PUB foo 2\r\nhi\r\n")
	plain.expect("MSG foo 1 2", "hi")
	late := newClient(t, rawDial(t, s)) // says nothing until its choice is made for it
	late.line()
	eventually(t, "the choice is made", func() { time.Sleep(time.Millisecond) }, func() bool { return inPhase(s, awaitingChoice) == 0 })
	late.sync()
	if !log.has("TLS available for client connections") {
		t.Errorf("%q", log.lines)
	}
}

// inPhase counts the sessions in a phase of their preface.
func inPhase(s *Server, f phase) int {
	sum := make(chan int, len(s.workers))
	for _, w := range s.workers {
		w.lp.Post(func() {
			n := 0
			w.each(func(c *session) {
				if c.preface.phase == f {
					n++
				}
			})
			sum <- n
		})
	}
	n := 0
	for range s.workers {
		n += <-sum
	}
	return n
}

func TestTLSFirst(t *testing.T) {
	a := newAuthority(t)
	s, log := startTLSServer(t, a, func(o *Options) { o.TLS.HandshakeFirst = true })
	c := tls.Client(rawDial(t, s), a.client())
	first := newClient(t, c)
	if info := first.line(); !strings.HasPrefix(info, "INFO ") || !strings.Contains(info, `"client_ip":"127.0.0.1"`) {
		t.Errorf("%s", info)
	}
	first.sync()
	if infos := s.OpenConnections(false); len(infos) != 1 || !infos[0].TLS.First {
		t.Errorf("%+v", infos)
	}
	if !log.has(`Clients that are not using "TLS Handshake First" option will fail to connect`) {
		t.Errorf("%q", log.lines)
	}
}

func TestTLSFirstWithFallback(t *testing.T) {
	a := newAuthority(t)
	for _, mixed := range []bool{false, true} {
		s, _ := startTLSServer(t, a, func(o *Options) {
			o.TLS.HandshakeFirst, o.TLS.HandshakeFallback, o.TLS.AllowNonTLS = true, 100*time.Millisecond, mixed
		})
		first := newClient(t, tls.Client(rawDial(t, s), a.client()))
		if info := first.line(); !strings.Contains(info, `"tls_required":true`) {
			t.Errorf("%s", info)
		}
		first.sync()
		secureConnect(t, s, a.client())
		if mixed {
			connect(t, s)
		}
	}
}

func TestTLSRateLimit(t *testing.T) {
	a := newAuthority(t)
	s, log := startTLSServer(t, a, func(o *Options) { o.TLS.RateLimit = 3 })
	throttled := 0
	for range 6 {
		nc := rawDial(t, s)
		r := bufio.NewReader(nc)
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if line, _ := r.ReadString('\n'); line == "-ERR 'Connection throttling is active. Please try again later.'\r\n" {
			throttled++
		}
	}
	if throttled == 0 || throttled > 3 {
		t.Errorf("%d of 6 connections were throttled", throttled)
	}
	closedAs(t, s, "Maximum Connections Exceeded")
	eventually(t, "the count in the log", func() { time.Sleep(time.Millisecond) }, func() bool { return log.has("connections due to TLS rate limiting") })
}

// TestTLSReload: a new certificate is shown to new clients, old ones stay;
// clients whose keys are not pinned any more go.
func TestTLSReload(t *testing.T) {
	a := newAuthority(t)
	one, two := a.issue(t, "one", nil), a.issue(t, "two", nil)
	s, _ := startTLSServer(t, a, func(o *Options) { o.TLS.Verify = true })
	stays, goes := secureConnect(t, s, a.client(one)), secureConnect(t, s, a.client(two))
	serial := func(c *client) int64 {
		return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	o := s.Options()
	next := *o.TLS
	next.Certificates = []tls.Certificate{a.issue(t, "renewed", nil)}
	o.TLS = &next
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	stays.sync()
	if fresh := secureConnect(t, s, a.client(one)); serial(fresh) == serial(stays) {
		t.Error("a new client sees the old certificate")
	}
	pinned := next
	pinned.Pinned = []string{certs.KeySum(one.Leaf)}
	o.TLS = &pinned
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	stays.sync()
	if text := ended(goes); text != "" {
		t.Errorf("%q", text)
	}
	closedAs(t, s, "TLS Handshake Failure")
	stays.sync()
	changed := pinned
	changed.RateLimit = 7
	o.TLS = &changed
	if err := s.Reload(o); err == nil || !strings.Contains(err.Error(), "config reload not supported for TLSRateLimit: old=0, new=7") {
		t.Errorf("%v", err)
	}
	o.TLS = nil
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	connect(t, s)
	stays.sync()
}

func TestTLSMapsUsers(t *testing.T) {
	a := newAuthority(t)
	d, err := account.NewDirectory(account.Contents{
		Accounts:       []*account.Definition{account.NewDefinition("A")},
		Users:          []*account.User{{Name: "ann@acme.com", Account: "A"}, {Name: "CN=bob"}, {Name: "carl", Password: "x"}},
		CertificateMap: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, log := startTLSServer(t, a, func(o *Options) { o.TLS.Verify, o.TLS.Map, o.Directory = true, true, d })
	ann := a.issue(t, "x", func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@acme.com"} })
	for user, cert := range map[string]tls.Certificate{"ann@acme.com": ann, "CN=bob": a.issue(t, "bob", nil)} {
		c := secureConnect(t, s, a.client(cert))
		infos := s.OpenConnections(false)
		if len(infos) != 1 || infos[0].User != user {
			t.Errorf("%+v, want %s", infos, user)
		}
		_ = c.Close()
		eventually(t, "no connection", func() { time.Sleep(time.Millisecond) }, func() bool { return len(s.OpenConnections(false)) == 0 })
	}
	for _, name := range []string{"eve", "carl"} {
		c, _, err := upgrade(t, s, a.client(a.issue(t, name, func(c *x509.Certificate) { c.DNSNames = []string{name} })))
		if err != nil {
			t.Fatal(err)
		}
		c.send(`CONNECT {"user":"carl"}` + "\r\n")
		c.expect("-ERR 'Authorization Violation'")
	}
	if !log.has(`Using email found in cert for auth ["ann@acme.com"]`) || !log.has(`User in cert ["CN=eve"], not found`) {
		t.Errorf("%q", log.lines)
	}
}

// TestTLSFlood: handshakes that do not end leave plain clients alone.
func TestTLSFlood(t *testing.T) {
	a := newAuthority(t)
	s, _ := startTLSServer(t, a, func(o *Options) { o.TLS.AllowNonTLS, o.TLS.Timeout = true, time.Minute })
	plain := connect(t, s)
	hello := clientHello(t, a)
	for i := range 300 {
		nc := rawDial(t, s)
		cut := len(hello)
		if i%3 > 0 {
			cut = i % len(hello)
		}
		if _, err := nc.Write(hello[:cut]); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			plain.sync()
		}
	}
	plain.sync()
	secureConnect(t, s, a.client())
}

// clientHello returns what a client begins with.
func clientHello(t *testing.T, a *authority) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, a.client()).Handshake() }()
	_ = far.SetDeadline(time.Now().Add(clientTimeout))
	b := make([]byte, 16<<10)
	n, err := far.Read(b)
	_, _ = near.Close(), far.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
