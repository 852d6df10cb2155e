package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"
)

// rdn makes one part of a subject.
func rdn(pairs ...any) pkix.RelativeDistinguishedNameSET {
	var set pkix.RelativeDistinguishedNameSET
	for i := 0; i < len(pairs); i += 2 {
		set = append(set, pkix.AttributeTypeAndValue{Type: pairs[i].(asn1.ObjectIdentifier), Value: pairs[i+1]})
	}
	return set
}

var (
	oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU = asn1.ObjectIdentifier{2, 5, 4, 11}
)

// certificate makes one with the given subject; change adds names.
func certificate(t *testing.T, subject pkix.RDNSequence, change func(c *x509.Certificate)) *x509.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: raw, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	if change != nil {
		change(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestUserOfCertificate(t *testing.T) {
	subject := pkix.RDNSequence{rdn(domainComponent, "com"), rdn(domainComponent, "acme"), rdn(oidOU, "people"), rdn(oidCN, "Ann, of Acme")}
	named := certificate(t, subject, func(c *x509.Certificate) {
		c.EmailAddresses = []string{"ann@acme.com", "a@acme.com"}
		c.DNSNames = []string{"ann.acme.com"}
		u, _ := url.Parse("spiffe://acme/ann")
		c.URIs = []*url.URL{u}
	})
	bare := certificate(t, subject, nil)
	simple := certificate(t, pkix.RDNSequence{rdn(oidO, "Acme"), rdn(oidCN, "ann")}, nil)
	double := certificate(t, pkix.RDNSequence{rdn(oidO, "Acme"), rdn(oidCN, "ann", oidOU, "people")}, nil)
	odd := certificate(t, pkix.RDNSequence{rdn(asn1.ObjectIdentifier{1, 2, 3}, "x"), rdn(oidCN, "ann")}, nil)
	empty := certificate(t, pkix.RDNSequence{}, nil)
	for _, c := range []struct {
		cert  *x509.Certificate
		want  string // of these the first one
		users []string
	}{
		{named, "a@acme.com", []string{"spiffe://acme/ann", "ann.acme.com", "a@acme.com"}},
		{named, "ann@acme.com", []string{"a@acme.com", "ann@acme.com"}},
		{named, "ann.acme.com", []string{"spiffe://acme/ann", "ann.acme.com"}},
		{named, "spiffe://acme/ann", []string{`CN=Ann\, of Acme,OU=people,DC=acme,DC=com`, "spiffe://acme/ann"}},
		{named, `CN=Ann\, of Acme,OU=people,DC=acme,DC=com`, []string{`CN=Ann\, of Acme,OU=people,DC=acme,DC=com`}},
		{bare, `cn = Ann\2c of Acme , ou=people,dc=acme,dc=com`, []string{`cn = Ann\2c of Acme , ou=people,dc=acme,dc=com`}},
		{bare, `DC=acme,DC=com,OU=people,CN=Ann\, of Acme`, []string{`DC=acme,DC=com,OU=people,CN=Ann\, of Acme`}},
		{bare, "", []string{`CN=Ann\, of Acme,OU=people,DC=acme`, `CN=Ann,OU=people`, "ann"}},
		{simple, "CN=ann,O=Acme", []string{"O=Acme,CN=ann", "CN=ann,O=Acme"}},
		{simple, "O=Acme,CN=ann", []string{"O=Acme,CN=ann"}},
		{simple, "", []string{"CN=Ann,O=Acme", "CN=ann", "CN=ann,O=Acme,O=Acme", "CN=ann+O=Acme"}},
		{double, "OU=people+CN=ann,O=Acme", []string{"CN=ann,OU=people,O=Acme", "OU=people+CN=ann,O=Acme"}},
		{odd, odd.Subject.ToRDNSequence().String(), []string{"CN=ann", odd.Subject.ToRDNSequence().String()}},
		{empty, "", []string{"", "CN="}},
	} {
		x := NewCertificateIndex(c.users)
		name, note, ok := x.Find(c.cert, func(name string) bool { return slices.Contains(c.users, name) })
		if name != c.want || ok != (c.want != "") || note == "" {
			t.Errorf("%v of users %q: %q, %v (%s), want %q", c.cert.Subject, c.users, name, ok, note, c.want)
		}
		if _, _, ok := x.Find(c.cert, func(string) bool { return false }); ok {
			t.Errorf("%v: a user that may not be used was found", c.cert.Subject)
		}
	}
}

func TestParseDN(t *testing.T) {
	for _, bad := range []string{"a", "=b", "CN=a+", "CN", "CN=#04", `CN=a\`, `CN=a\4`, `CN=a\zz`, "CN=a,b", ",CN=a", "CN=a,,O=b"} {
		if dn, err := parseDN(bad); err == nil {
			t.Errorf("%q is %q", bad, dn)
		}
	}
	for text, want := range map[string]string{
		" CN =  a b ,O=c":       `"cn"="a b","o"="c"`,
		`CN=\ a\ `:              `"cn"=" a "`,
		`CN=a\+b+O=\C3\A9`:      `"cn"="a+b"+"o"="é"`,
		`CN=a=b`:                `"cn"="a=b"`,
		`CN=`:                   `"cn"=""`,
		`2.5.4.3=x\22\\,OU=y,z`: "",
	} {
		dn, err := parseDN(text)
		if got, _ := dn.keys(); got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
}

// FuzzParseDN: no text may make the parser fail in other ways than by an error.
func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=a,O=b", `CN=a\,+OU=\20`, "=", `\`, "CN=a+,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if dn, err := parseDN(s); err == nil {
			dn.keys()
		}
	})
}
