package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

func chain(all ...*x509.Certificate) tls.ConnectionState {
	return tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{all}}
}

// defaults are the options of a block that says nothing.
var defaults = PeerOptions{Timeout: 2 * time.Second, ClockSkew: 30 * time.Second, TTLUnsetNextUpdate: time.Hour}

// TestPeerAnswers: every kind of answer with every option that lets peers pass.
func TestPeerAnswers(t *testing.T) {
	const fetch, parse, window = "Failed OCSP response fetch", "Failed OCSP response parse", "OCSP response not in effectivity window"
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	leaf := a.issue("peer", asked).Leaf
	cases := map[string]struct {
		set    func(r *responder)
		reason string // of the refusal; "": none
		pass   string // options with which there is none
	}{
		"good":              {func(r *responder) { r.set(nil) }, "", ""},
		"revoked":           {func(r *responder) { r.set(state(ocsp.Revoked)) }, "Invalid OCSP response status: revoked", "warn"},
		"unknown":           {func(r *responder) { r.set(state(ocsp.Unknown)) }, "Invalid OCSP response status: unknown", "warn unknown"},
		"stale":             {func(r *responder) { r.set(times(-time.Hour, -31*time.Second)) }, window, "warn"},
		"almost stale":      {func(r *responder) { r.set(times(-time.Hour, -29*time.Second)) }, "", ""},
		"of the future":     {func(r *responder) { r.set(times(31*time.Second, time.Hour)) }, window, "warn"},
		"of soon":           {func(r *responder) { r.set(times(29*time.Second, time.Hour)) }, "", ""},
		"without end":       {func(r *responder) { r.set(times(-time.Hour, 0)) }, "", ""},
		"without end, old":  {func(r *responder) { r.set(times(-time.Hour-31*time.Second, 0)) }, window, "warn"},
		"about another":     {func(r *responder) { r.set(about(77)) }, parse, "warn"},
		"of another":        {func(r *responder) { r.replace(says(200, other.sign(good(leaf), other))) }, parse, "warn"},
		"by a delegate":     {func(r *responder) { r.set(by(a.signer("delegate", signs))) }, "", ""},
		"by no delegate":    {func(r *responder) { r.set(by(a.signer("anybody"))) }, "Invalid OCSP response delegation: CN=peer", "warn"},
		"by the peer":       {func(r *responder) { r.set(by(&authority{t: t, cert: leaf, key: a.key})) }, parse, "warn"},
		"by a stranger":     {func(r *responder) { r.set(by(other.signer("delegate", signs))) }, parse, "warn"},
		"damaged":           {func(r *responder) { r.replace(says(200, damaged(a.sign(good(leaf), a)))) }, parse, "warn"},
		"cut":               {func(r *responder) { b := a.sign(good(leaf), a); r.replace(says(200, b[:len(b)-1])) }, parse, "warn"},
		"garbage":           {func(r *responder) { r.replace(says(200, []byte("<html>"))) }, parse, "warn"},
		"try later":         {func(r *responder) { r.replace(says(200, ocsp.TryLaterErrorResponse)) }, parse, "warn"},
		"unauthorized":      {func(r *responder) { r.replace(says(200, ocsp.UnauthorizedErrorResponse)) }, parse, "warn"},
		"empty":             {func(r *responder) { r.replace(says(200, nil)) }, fetch, "warn unreachable"},
		"server error":      {func(r *responder) { r.replace(says(500, nil)) }, fetch, "warn unreachable"},
		"created":           {func(r *responder) { r.replace(says(201, a.sign(good(leaf), a))) }, fetch, "warn unreachable"},
		"endless":           {func(r *responder) { r.replace(endless) }, fetch, "warn unreachable"},
		"late":              {func(r *responder) { r.replace(late) }, fetch, "warn unreachable"},
		"slow":              {func(r *responder) { r.replace(slowBody) }, fetch, "warn unreachable"},
		"down":              {func(r *responder) { r.replace(down) }, fetch, "warn unreachable"},
		"redirects":         {func(r *responder) { r.replace(around) }, fetch, "warn unreachable"},
		"redirect to files": {func(r *responder) { r.replace(elsewhere("file:///etc/passwd")) }, fetch, "warn unreachable"},
	}
	for name, c := range cases {
		for option, change := range map[string]func(o *PeerOptions){
			"": func(*PeerOptions) {}, "warn": func(o *PeerOptions) { o.WarnOnly = true },
			"unknown":     func(o *PeerOptions) { o.UnknownIsGood = true },
			"unreachable": func(o *PeerOptions) { o.AllowWhenCAUnreachable = true },
		} {
			synctest.Test(t, func(t *testing.T) {
				o, r, d := defaults, newResponder(t, a), new(diary)
				change(&o)
				c.set(r)
				o.transport = r
				begun := time.Now()
				err := NewPeers(o, false, nil, d, d).Verify(chain(leaf, a.cert))
				if took := time.Since(begun); took > o.Timeout {
					t.Errorf("%s: it took %v", name, took)
				}
				if c.reason == "" || option != "" && strings.Contains(c.pass, option) {
					if err != nil || d.has("PEER") || d.has("LINK") {
						t.Errorf("%s, %s: refused, %v: %q", name, option, err, d.lines)
					}
					return
				}
				if !errors.Is(err, ErrClientRefused) {
					t.Errorf("%s, %s: %v, want %v: %q", name, option, err, ErrClientRefused, d.lines)
				}
				d.want(t, name, "LINK CN=peer of CN=peer: "+c.reason, "PEER CN=peer: client not OCSP valid")
			})
		}
	}
}

// good is an answer about a certificate.
func good(c *x509.Certificate) *ocsp.Response {
	return &ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
}

// damaged flips a bit of the signature.
func damaged(b []byte) []byte {
	b[len(b)-3] ^= 1
	return b
}

// around redirects to itself.
func around(q *http.Request) (*http.Response, error) { return elsewhere(q.URL.String())(q) }

func elsewhere(to string) func(*http.Request) (*http.Response, error) {
	return func(q *http.Request) (*http.Response, error) {
		if q.URL.Scheme == "file" {
			return nil, errors.New("a file was opened")
		}
		r := status(http.StatusFound, nil)
		r.Header.Set("Location", to)
		r.Request = q
		return r, nil
	}
}

// TestPeerChains: which certificates of which chains are asked about.
func TestPeerChains(t *testing.T) {
	a := newAuthority(t, "authority")
	silent, between := a.under("silent", func(*x509.Certificate) {}), a.under("between", asked)
	deep, quiet := between.issue("deep", asked).Leaf, silent.issue("quiet").Leaf
	strange := a.issue("strange", func(c *x509.Certificate) { c.OCSPServer = []string{"ldap://x", "%", "http://[", ""} }).Leaf
	two := a.issue("two", func(c *x509.Certificate) { c.OCSPServer = []string{"ftp://x", at + "/a/", at + "/b"} }).Leaf
	revoke := func(subject string) func(*ocsp.Response, *authority) (*ocsp.Response, *authority) {
		return func(r *ocsp.Response, s *authority) (*ocsp.Response, *authority) {
			for _, c := range []*x509.Certificate{deep, between.cert} {
				if c.Subject.CommonName == subject && c.SerialNumber.Cmp(r.SerialNumber) == 0 && c.Issuer.CommonName == s.cert.Subject.CommonName {
					r.Status = ocsp.Revoked
				}
			}
			return r, s
		}
	}
	verify := func(r *responder, state tls.ConnectionState) (error, *diary) {
		o, d := defaults, new(diary)
		o.transport = r
		return NewPeers(o, true, nil, d, d).Verify(state), d
	}
	synctest.Test(t, func(t *testing.T) {
		r := newResponder(t, a, between, silent)
		for _, c := range []struct {
			name  string
			state tls.ConnectionState
			asks  int
			good  bool
		}{
			{"alone", chain(a.cert), 0, true},
			{"no responder", chain(quiet, silent.cert, a.cert), 0, true},
			{"no usable responder", chain(strange, a.cert), 0, true},
			{"both links", chain(deep, between.cert, a.cert), 2, true},
			{"two responders", chain(two, a.cert), 1, true},
			{"none", tls.ConnectionState{}, 0, false},
			{"empty", chain(), 0, false},
		} {
			before := r.asks()
			err, d := verify(r, c.state)
			if (err == nil) != c.good || r.asks()-before != c.asks || err != nil && !errors.Is(err, ErrServerRefused) {
				t.Errorf("%s: %v, asked %d times: %q", c.name, err, r.asks()-before, d.lines)
			}
		}
		for _, subject := range []string{"deep", "between"} {
			r.set(revoke(subject))
			err, d := verify(r, chain(deep, between.cert, a.cert))
			if err == nil {
				t.Errorf("%s is revoked: let in", subject)
			}
			d.want(t, subject, "LINK CN="+subject+" of CN=deep: Invalid OCSP response status: revoked", "PEER CN=deep: server not OCSP valid")
			// One chain that is good suffices.
			if err, d := verify(r, tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{deep, between.cert, a.cert}, {quiet, silent.cert, a.cert}}}); err != nil || !d.has("LINK") || d.has("PEER") {
				t.Errorf("with another chain: %v, %q", err, d.lines)
			}
		}
	})
}

// TestPeerCache: answers are kept while they hold.
func TestPeerCache(t *testing.T) {
	a := newAuthority(t, "authority")
	leaf := a.issue("peer", asked).Leaf
	for _, preserve := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			folder := t.TempDir()
			o, r, d := defaults, newResponder(t, a), new(diary)
			o.transport, o.AllowWhenCAUnreachable = r, true
			cache := OpenCache(CacheOptions{Folder: folder, PreserveRevoked: preserve}, d)
			p := NewPeers(o, false, cache, d, d)
			verify := func(what string, good bool, asks int, want CacheStats) {
				t.Helper()
				before := r.asks()
				if err := p.Verify(chain(leaf, a.cert)); (err == nil) != good {
					t.Errorf("%s: %v", what, err)
				}
				if n := r.asks() - before; n != asks {
					t.Errorf("%s: asked %d times", what, n)
				}
				if got := cache.Stats(); got != want {
					t.Errorf("%s: %+v, want %+v", what, got, want)
				}
			}
			verify("first", true, 1, CacheStats{Responses: 1, Misses: 1, Good: 1})
			verify("again", true, 0, CacheStats{Responses: 1, Misses: 1, Good: 1, Hits: 1})
			pass(time.Hour + 31*time.Second)
			r.set(state(ocsp.Revoked))
			verify("run out", false, 1, CacheStats{Responses: 1, Misses: 2, Revoked: 1, Hits: 1})
			verify("revoked", false, 0, CacheStats{Responses: 1, Misses: 2, Revoked: 1, Hits: 2})
			pass(time.Hour + 31*time.Second)
			r.replace(down)
			// The old word of a revocation counts when there is no newer one.
			kept := CacheStats{Misses: 3, Hits: 2}
			if preserve {
				kept.Responses, kept.Revoked = 1, 1
			}
			verify("down", false, 1, kept)
			d.want(t, "down", "cached revocation exists so rejecting")
			kept.Misses++
			// Whether it is remembered is the policy's.
			verify("down again", !preserve, 1, kept)
			cache.Close()
			b, err := os.ReadFile(filepath.Join(folder, cacheFile))
			check(t, err)
			if strings.Contains(string(b), `"resp_status": "revoked"`) != preserve {
				t.Errorf("preserve %v: %s", preserve, b)
			}
		})
	}
}
