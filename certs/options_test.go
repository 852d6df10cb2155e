package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
)

// TestForHost: names of certificates against hosts, label by label.
func TestForHost(t *testing.T) {
	for _, c := range []struct {
		name, host string
		want       bool
	}{
		{"a.example.com", "a.example.com", true},
		{"A.Example.com", "a.eXample.COM", true},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", false},
		{"*.example.com", "example.com", false},
		{"a.*.com", "a.b.com", false},
		{"a*.example.com", "ab.example.com", false},
		{"*", "localhost", true},
		{"*", "a.b", false},
		{"a.example.com", "a.example.com.", false},
		{"", "", true},
		{"a", "", false},
	} {
		if got := ForHost(&x509.Certificate{DNSNames: []string{"other.name", c.name}}, []string{"x.y.z.v", c.host}); got != c.want {
			t.Errorf("%q for %q: %v", c.name, c.host, got)
		}
	}
	if ForHost(&x509.Certificate{DNSNames: []string{"a"}}, nil) || ForHost(new(x509.Certificate), []string{"a"}) {
		t.Error("nothing is for something")
	}
}

// TestPinned: the key counts, not the certificate.
func TestPinned(t *testing.T) {
	a := newAuthority(t, "authority")
	one, two := a.issue("one").Leaf, a.issue("two").Leaf
	o := &Options{}
	if _, err := o.CheckPinned(nil); err != nil {
		t.Error(err)
	}
	o.Pinned = []string{KeySum(two), KeySum(one)}
	for name, c := range map[string]struct {
		peer []*x509.Certificate
		good bool
	}{
		"one": {[]*x509.Certificate{one}, true}, "two": {[]*x509.Certificate{two}, true}, "none": {nil, false},
		"authority": {[]*x509.Certificate{a.cert}, false}, "behind another": {[]*x509.Certificate{a.cert, one}, false},
	} {
		if note, err := o.CheckPinned(c.peer); (err == nil) != c.good || (note == "") != c.good || err != nil && !errors.Is(err, ErrNotPinned) {
			t.Errorf("%s: %q, %v", name, note, err)
		}
	}
}

// TestConfig: what a block says is what a side that listens does.
func TestConfig(t *testing.T) {
	a := newAuthority(t, "authority")
	c := (&Options{}).Config()
	if c.MinVersion != tls.VersionTLS12 || c.ClientAuth != tls.NoClientCert || c.ClientCAs != nil || c.InsecureSkipVerify {
		t.Errorf("%+v", c)
	}
	for _, s := range tls.InsecureCipherSuites() {
		if slices.Contains(c.CipherSuites, s.ID) {
			t.Errorf("%s without being asked for", s.Name)
		}
	}
	o := &Options{
		Authorities: []*x509.Certificate{a.cert}, Verify: true, Insecure: true, MinVersion: tls.VersionTLS13,
		Ciphers: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}, Curves: []tls.CurveID{tls.CurveP384}, Certificates: []tls.Certificate{a.issue("server")},
	}
	c = o.Config()
	if c.MinVersion != tls.VersionTLS13 || c.ClientAuth != tls.RequireAndVerifyClientCert || c.ClientCAs == nil || c.RootCAs == nil || !c.InsecureSkipVerify ||
		!slices.Equal(c.CipherSuites, o.Ciphers) || !slices.Equal(c.CurvePreferences, o.Curves) || len(c.Certificates) != 1 {
		t.Errorf("%+v", c)
	}
	if o.NotAfter().IsZero() || !(&Options{}).NotAfter().IsZero() || !(&Options{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}}}}).NotAfter().IsZero() {
		t.Error("ends of certificates")
	}
}
