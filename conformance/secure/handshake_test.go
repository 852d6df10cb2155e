package secure

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// block is a TLS block with a server's certificate and keys beside it.
func block(a *authority, id identity, more ...string) string {
	return fmt.Sprintf("tls {\n cert_file: %q\n key_file: %q\n ca_file: %q\n %s\n}\n", id.cert, id.key, a.file, strings.Join(more, "\n "))
}

// TestVersions: what a handshake agrees on, and what connections show of it.
func TestVersions(t *testing.T) {
	a := newAuthority(t, "authority")
	server := a.issue(t, "server", nil)
	for _, c := range []struct{ name, more string }{
		{"default", ""},
		{"1.2", `min_version: "1.2"`},
		{"1.3", `min_version: "1.3"`},
		{"suite", `cipher_suites: [ "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" ]`},
		{"suites", `cipher_suites: [ "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" ]`},
		{"insecure suite", `allow_insecure_cipher_suites: true, cipher_suites: [ "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256" ]`},
		{"suite of RSA", `cipher_suites: [ "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" ]`},
		{"curve", `curve_preferences: [ CurveP256 ]`},
		{"curves", `curve_preferences: [ CurveP384, X25519 ]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			compare(t, block(a, server, c.more), func(s *seat) {
				for _, k := range []struct {
					who    string
					change func(c *tls.Config)
				}{
					{"any", func(*tls.Config) {}},
					{"1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }},
					{"1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
					{"1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
					{"AES 128", func(c *tls.Config) {
						c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
					}},
					{"CBC", func(c *tls.Config) {
						c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
					}},
					{"P-384", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }},
					{"X25519", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }},
					{"ML-KEM", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }},
				} {
					sc := s.try(k.who, with(a.client(), k.change), "")
					if sc == nil {
						continue
					}
					state := sc.ConnectionState()
					// Which suite of TLS 1.3 is the better depends on the machine.
					s.note("%s: %s %s", k.who, tls.VersionName(state.Version), state.CurveID)
					if state.Version == tls.VersionTLS12 && !strings.Contains(c.name, "default") {
						s.note("%s: %s", k.who, tls.CipherSuiteName(state.CipherSuite))
					}
				}
				for i, c := range s.open() {
					s.fields(fmt.Sprint("connection ", i), c, "tls_version", "tls_first", "tls_peer_certs")
					s.note("with a suite: %v", c["tls_cipher_suite"] != nil)
				}
				s.fields("varz", s.get("/varz"), "tls_required", "tls_verify", "tls_timeout", "tls_cert_not_after", "auth_required")
			})
		})
	}
}

// TestVerify: whose certificates are good.
func TestVerify(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	between := a.under(t, "between")
	server := a.issue(t, "server", nil)
	none := a.client()
	clients := []struct {
		who string
		c   *tls.Config
	}{
		{"none", none},
		{"good", a.client(a.issue(t, "good", nil))},
		{"stranger", a.client(other.issue(t, "stranger", nil))},
		{"late", a.client(a.issue(t, "late", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))},
		{"early", a.client(a.issue(t, "early", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }))},
		{"alone", a.client((&authority{folder: t.TempDir()}).issue(t, "alone", nil))},
		{"for servers", a.client(a.issue(t, "for servers", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }))},
		{"for clients", a.client(a.issue(t, "for clients", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }))},
		{"between", a.client(between.issue(t, "deep", nil).behind(t, between))},
		{"without between", a.client(between.issue(t, "deep", nil))},
	}
	try := func(s *seat) {
		for _, k := range clients {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				s.try(fmt.Sprint(k.who, " ", tls.VersionName(version)), with(k.c, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }), "")
			}
		}
		for i, c := range s.open() {
			s.fields(fmt.Sprint("connection ", i), c, "tls_version", "tls_peer_certs", "authorized_user")
		}
		s.fields("varz", s.get("/varz"), "tls_required", "tls_verify", "tls_ocsp_peer_verify", "tls_cert_not_after")
	}
	for _, c := range []struct{ name, more string }{
		{"off", ""}, {"on", "verify: true"},
		{"pinned", fmt.Sprintf("verify: true, pinned_certs: [ %q, %q ]", strings.ToUpper(pinOf(t, clients[1].c)), pinOf(t, clients[7].c))},
		{"pinned, not verified", fmt.Sprintf("pinned_certs: [ %q ]", pinOf(t, clients[1].c))},
	} {
		t.Run(c.name, func(t *testing.T) {
			compare(t, block(a, server, c.more), func(s *seat) {
				try(s)
				s.note("%s", strings.Join(s.troubles(), "\n"))
			})
		})
	}
}

// pinOf is the pin of what a client shows.
func pinOf(t *testing.T, c *tls.Config) string {
	t.Helper()
	show, err := c.GetClientCertificate(nil)
	check(t, err)
	return identity{Certificate: *show}.pin()
}

// troubles are the lines about handshakes in the log, once all of them are
// there: there is one for each connection that is closed for it.
func (s *seat) troubles() []string {
	s.t.Helper()
	var all []string
	harness.Poll(s.t, "lines about handshakes", func() bool {
		failed := 0
		for _, c := range s.connections("state=closed") {
			if c["reason"] == "TLS Handshake Failure" {
				failed++
			}
		}
		all = all[:0]
		lines := 0
		for _, text := range s.Log.Lines() {
			if i := strings.Index(text, "TLS handshake error"); i >= 0 {
				lines++
				all = append(all, level(text)+" "+addresses.ReplaceAllString(text[i:], "ADDRESS"))
			} else if i := strings.Index(text, "TLS handshake timeout"); i >= 0 {
				lines++
				all = append(all, level(text)+" "+text[i:])
			} else if i := strings.Index(text, "Failed pinned cert test"); i >= 0 {
				all = append(all, level(text)+" "+text[i:])
			}
		}
		return lines >= failed
	})
	slices.Sort(all) // a line may be late
	return all
}

// level is a log line's mark.
func level(line string) string {
	for _, mark := range []string{"[DBG]", "[INF]", "[WRN]", "[ERR]"} {
		if strings.Contains(line, mark) {
			return mark
		}
	}
	return "[?]"
}

// TestWrongServer: what clients think of servers that are not good.
func TestWrongServer(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	for name, server := range map[string]identity{
		"stranger":     other.issue(t, "server", nil),
		"late":         a.issue(t, "server", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"another name": a.issue(t, "server", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"example.com"} }),
		"for clients":  a.issue(t, "server", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }),
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, block(a, server), func(s *seat) {
				sc := s.upgrade("client", a.client(), false)
				if sc != nil {
					s.t.Error("the client is content")
				}
				s.closedFor(1)
				s.note("%s", strings.Join(s.troubles(), "\n"))
			})
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		compare(t, "tls {}", func(s *seat) {
			s.upgrade("client", a.client(), false)
			s.closedFor(1)
			s.note("%s", strings.Join(s.troubles(), "\n"))
		})
	})
}

// TestNames: of several certificates the one for the name is shown.
func TestNames(t *testing.T) {
	a := newAuthority(t, "authority")
	named := func(names ...string) identity {
		return a.issue(t, names[0], func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil })
	}
	one, two := named("one.example", "uno.example"), named("*.two.example")
	config := fmt.Sprintf("tls {\n ca_file: %q\n certs: [ { cert_file: %q, key_file: %q }, { cert_file: %q, key_file: %q } ]\n}", a.file, one.cert, one.key, two.cert, two.key)
	compare(t, config, func(s *seat) {
		for _, name := range []string{"one.example", "uno.example", "a.two.example", "two.example", "a.b.two.example", "three.example", "127.0.0.1"} {
			c := with(a.client(), func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = name, true })
			if sc := s.try(name, c, ""); sc != nil {
				s.note("%s: shown %s", name, sc.ConnectionState().PeerCertificates[0].Subject)
			}
		}
		s.fields("varz", s.get("/varz"), "tls_cert_not_after")
	})
}

// TestChainShown: the file's whole chain is shown.
func TestChainShown(t *testing.T) {
	a := newAuthority(t, "authority")
	between := a.under(t, "between")
	server := between.issue(t, "server", nil).behind(t, between)
	compare(t, block(a, server), func(s *seat) {
		sc := s.try("client", a.client(), "")
		for _, cert := range sc.ConnectionState().PeerCertificates {
			s.note("%s", cert.Subject)
		}
	})
}

// TestRefusedFiles: blocks with which no server starts.
func TestRefusedFiles(t *testing.T) {
	a := newAuthority(t, "authority")
	one, two := a.issue(t, "one", nil), a.issue(t, "two", nil)
	mixed := one
	mixed.key = two.key
	swapped := one
	swapped.cert, swapped.key = one.key, one.cert
	missing := one
	missing.cert = "/nowhere/cert.pem"
	for name, config := range map[string]string{
		"mixed": block(a, mixed), "swapped": block(a, swapped), "missing": block(a, missing),
		"authority":         block(&authority{file: one.key}, one),
		"ocsp not verified": block(a, one, "ocsp_peer: true"),
	} {
		t.Run(name, func(t *testing.T) {
			harness.Compare(t, func(t *testing.T, which harness.Seat) string { return refused(t, which, config) })
		})
	}
}

// TestPlainOnTLS: bytes that are no handshake.
func TestPlainOnTLS(t *testing.T) {
	a := newAuthority(t, "authority")
	compare(t, block(a, a.issue(t, "server", nil)), func(s *seat) {
		for _, text := range []string{
			"", "CONNECT {}\r\nPING\r\n", "GET / HTTP/1.0\r\n\r\n", strings.Repeat("\x00", 100),
			"\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x01\xff\xff\x01", "\x17\x03\x03\x00\x03abc", "\x16",
		} {
			nc := s.dial()
			_, err := readLine(nc)
			check(s.t, err)
			_, err = io.WriteString(nc, text)
			check(s.t, err)
			check(s.t, closeWrite(nc))
			b, err := io.ReadAll(nc)
			if err != nil && plain(err) != "closed" {
				s.t.Errorf("%q: %v", text, err)
			}
			if strings.Contains(string(b), "PONG") || strings.Contains(string(b), "-ERR") {
				s.t.Errorf("%q: the server said %q", text, b)
			}
		}
		s.closedFor(8)
		s.note("%s", strings.Join(s.troubles(), "\n"))
		sc := s.try("afterwards", a.client(), "")
		s.note("%s", sc.ping())
	})
}
