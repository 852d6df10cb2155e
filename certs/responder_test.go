package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// authority signs certificates. They are good at the time of a bubble and at
// that of the machine.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    crypto.Signer
	issued int64
}

const at = "http://responder.test" // where responders are

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	pair := a.issue(name, isAuthority)
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
	return a
}

// under returns an authority signed by a.
func (a *authority) under(name string, change func(c *x509.Certificate)) *authority {
	pair := a.issue(name, func(c *x509.Certificate) { isAuthority(c); change(c) })
	return &authority{t: a.t, cert: pair.Leaf, key: pair.PrivateKey.(crypto.Signer), issued: 100}
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
}

func asked(c *x509.Certificate) { c.OCSPServer = []string{at} }

// stapled makes a certificate that asks to be stapled.
func stapled(c *x509.Certificate) {
	asked(c)
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: tlsFeature, Value: []byte{0x30, 3, 2, 1, 5}})
}

func (a *authority) issue(name string, changes ...func(c *x509.Certificate)) tls.Certificate {
	a.t.Helper()
	a.issued++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.issued), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	for _, change := range changes {
		change(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	check(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	check(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// responder is a transport behind which authorities answer.
type responder struct {
	t           *testing.T
	authorities []*authority

	mu sync.Mutex // guards the rest
	// answer refines what is about to be signed, by whom.
	answer func(r *ocsp.Response, signer *authority) (*ocsp.Response, *authority)
	// instead, if set, is asked instead.
	instead func(*http.Request) (*http.Response, error)
	seen    []string // methods
}

func newResponder(t *testing.T, all ...*authority) *responder {
	return &responder{t: t, authorities: all}
}

func (r *responder) set(answer func(r *ocsp.Response, signer *authority) (*ocsp.Response, *authority)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.instead = answer, nil
}

func (r *responder) replace(instead func(*http.Request) (*http.Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instead = instead
}

// asks returns how often the responder was asked.
func (r *responder) asks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// RoundTrip implements http.RoundTripper.
func (r *responder) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen = append(r.seen, q.Method)
	answer, instead := r.answer, r.instead
	r.mu.Unlock()
	if instead != nil {
		return instead(q)
	}
	request, err := requestOf(q)
	if err != nil {
		return status(http.StatusBadRequest, []byte(err.Error())), nil
	}
	for _, a := range r.authorities {
		keyHash, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: request.SerialNumber}, a.cert, nil)
		check(r.t, err)
		if own, err := ocsp.ParseRequest(keyHash); err != nil || !bytes.Equal(own.IssuerKeyHash, request.IssuerKeyHash) {
			continue
		}
		template, signer := &ocsp.Response{
			Status: ocsp.Good, SerialNumber: request.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		}, a
		if answer != nil {
			template, signer = answer(template, a)
		}
		return status(http.StatusOK, a.sign(template, signer)), nil
	}
	return status(http.StatusOK, ocsp.UnauthorizedErrorResponse), nil
}

// sign makes an answer in the name of a. If somebody else signs, his
// certificate comes along.
func (a *authority) sign(r *ocsp.Response, signer *authority) []byte {
	a.t.Helper()
	if signer != a {
		r.Certificate = signer.cert
	}
	der, err := ocsp.CreateResponse(a.cert, signer.cert, *r, signer.key)
	check(a.t, err)
	return der
}

func requestOf(q *http.Request) (*ocsp.Request, error) {
	if q.Method == http.MethodPost {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		return ocsp.ParseRequest(b)
	}
	path := q.URL.EscapedPath()
	for _, folder := range []string{"/a/", "/b/", "/get/", "/"} {
		if rest, ok := strings.CutPrefix(path, folder); ok {
			path = rest
			break
		}
	}
	text, err := url.QueryUnescape(path)
	if err != nil {
		return nil, err
	}
	// An escaped text has no plus of its own, which would be a blank otherwise.
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return nil, err
	}
	return ocsp.ParseRequest(b)
}

func status(code int, body []byte) *http.Response {
	return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, ContentLength: -1}
}

// says makes every answer the same.
func says(code int, body []byte) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return status(code, body), nil }
}

var errDown = errors.New("connection refused")

func down(*http.Request) (*http.Response, error) { return nil, errDown }

// late never answers: it ends when the one who asks has had enough.
func late(q *http.Request) (*http.Response, error) {
	<-q.Context().Done()
	return nil, q.Context().Err()
}

// slowBody answers at once, but its body never ends.
func slowBody(q *http.Request) (*http.Response, error) {
	r := status(http.StatusOK, nil)
	r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
		<-q.Context().Done()
		return 0, q.Context().Err()
	}))
	return r, nil
}

// endless answers zeros without end.
func endless(*http.Request) (*http.Response, error) {
	r := status(http.StatusOK, nil)
	r.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) { return len(p), nil }))
	return r, nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Ways to answer.
func state(s int) func(*ocsp.Response, *authority) (*ocsp.Response, *authority) {
	return func(r *ocsp.Response, a *authority) (*ocsp.Response, *authority) {
		r.Status, r.RevokedAt = s, time.Now().Add(-time.Hour)
		return r, a
	}
}

func times(this, next time.Duration) func(*ocsp.Response, *authority) (*ocsp.Response, *authority) {
	return func(r *ocsp.Response, a *authority) (*ocsp.Response, *authority) {
		r.ThisUpdate, r.NextUpdate = time.Now().Add(this), time.Now().Add(next)
		if next == 0 {
			r.NextUpdate = time.Time{}
		}
		return r, a
	}
}

func by(signer *authority) func(*ocsp.Response, *authority) (*ocsp.Response, *authority) {
	return func(r *ocsp.Response, _ *authority) (*ocsp.Response, *authority) { return r, signer }
}

func about(serial int64) func(*ocsp.Response, *authority) (*ocsp.Response, *authority) {
	return func(r *ocsp.Response, a *authority) (*ocsp.Response, *authority) {
		r.SerialNumber = big.NewInt(serial)
		return r, a
	}
}

// signs makes a certificate for signing answers.
func signs(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }

// signer returns somebody a has given a certificate.
func (a *authority) signer(name string, changes ...func(c *x509.Certificate)) *authority {
	pair := a.issue(name, changes...)
	return &authority{t: a.t, cert: pair.Leaf, key: pair.PrivateKey.(crypto.Signer)}
}

// diary is a Logger and a Witness.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(level, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, level+" "+fmt.Sprintf(format, args...))
}

func (d *diary) Noticef(f string, a ...any) { d.add("INF", f, a...) }
func (d *diary) Warnf(f string, a ...any)   { d.add("WRN", f, a...) }
func (d *diary) Errorf(f string, a ...any)  { d.add("ERR", f, a...) }
func (d *diary) Debugf(f string, a ...any)  { d.add("DBG", f, a...) }

func (d *diary) LinkInvalid(peer, link *x509.Certificate, reason string) {
	d.add("LINK", "%s of %s: %s", link.Subject, peer.Subject, reason)
}
func (d *diary) PeerRejected(peer *x509.Certificate, reason string) {
	d.add("PEER", "%s: %s", peer.Subject, reason)
}

func (d *diary) has(part string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.lines {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// want fails without these parts in the diary.
func (d *diary) want(t *testing.T, name string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !d.has(part) {
			t.Errorf("%s: no %q in\n%s", name, part, strings.Join(d.lines, "\n"))
		}
	}
}

// TestMustStaple: which certificates ask to be stapled.
func TestMustStaple(t *testing.T) {
	for _, c := range []struct {
		value []byte
		want  bool
	}{
		{[]byte{0x30, 3, 2, 1, 5}, true},
		{[]byte{0x30, 6, 2, 1, 17, 2, 1, 5}, true},
		{[]byte{0x30, 3, 2, 1, 17}, false},
		{[]byte{0x30, 0}, false},
		{[]byte{0x30, 3, 2, 1, 5, 0}, false},
		{[]byte{5}, false},
		{nil, false},
	} {
		cert := &x509.Certificate{Extensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{0x30, 3, 2, 1, 5}}, {Id: tlsFeature, Value: c.value},
		}}
		if got := mustStaple(cert); got != c.want {
			t.Errorf("% x: %v", c.value, got)
		}
	}
	if mustStaple(new(x509.Certificate)) {
		t.Error("without an extension")
	}
}

// pass lets d go by on the clock of a synctest bubble, which no machine waits for,
// and what is due by then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
