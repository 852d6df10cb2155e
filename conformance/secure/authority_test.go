package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates and writes them to files.
type authority struct {
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	file   string // its certificate
	issued int64
}

// identity is a certificate with its key, in memory and in files.
type identity struct {
	tls.Certificate
	cert, key string
}

// newAuthority returns an authority that nobody has signed.
func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	return a.become(a.issue(t, name, isAuthority))
}

// under returns an authority that a has signed.
func (a *authority) under(t *testing.T, name string) *authority {
	t.Helper()
	b := &authority{folder: t.TempDir(), issued: 1000}
	return b.become(a.issue(t, name, isAuthority))
}

func (a *authority) become(id identity) *authority {
	a.cert, a.key, a.file = id.Leaf, id.PrivateKey.(*ecdsa.PrivateKey), id.cert
	return a
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
}

// issue makes a certificate for 127.0.0.1 that change can refine.
func (a *authority) issue(t *testing.T, name string, change func(c *x509.Certificate)) identity {
	t.Helper()
	a.issued++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.issued), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	base := filepath.Join(a.folder, fmt.Sprintf("%d", a.issued))
	id := identity{
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		cert:        base + ".pem", key: base + ".key",
	}
	writePEM(t, id.cert, "CERTIFICATE", der)
	writePEM(t, id.key, "PRIVATE KEY", secret)
	return id
}

// behind adds the certificates of authorities to the end of id's chain.
func (id identity) behind(t *testing.T, all ...*authority) identity {
	t.Helper()
	id.Certificate.Certificate = append([][]byte(nil), id.Certificate.Certificate...)
	for _, a := range all {
		id.Certificate.Certificate = append(id.Certificate.Certificate, a.cert.Raw)
	}
	id.cert += ".chain"
	writePEM(t, id.cert, "CERTIFICATE", id.Certificate.Certificate...)
	return id
}

// pin is how a configuration names the key.
func (id identity) pin() string {
	sum := sha256.Sum256(id.Leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func writePEM(t *testing.T, file, kind string, blocks ...[]byte) {
	t.Helper()
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	check(t, os.WriteFile(file, text, 0o600))
}

// client is a client that trusts a and shows show.
func (a *authority) client(show ...identity) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	for _, id := range show {
		// Show it whomever the server asks for.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &id.Certificate, nil }
	}
	return c
}

// with returns a changed copy.
func with(c *tls.Config, change func(c *tls.Config)) *tls.Config {
	c = c.Clone()
	change(c)
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
