package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificateFiles makes a certificate for 127.0.0.1 that is its own authority.
func certificateFiles(t *testing.T) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// I1: what the TLS options say arrives in the configuration.
func TestTLSOptions(t *testing.T) {
	cert, key := certificateFiles(t)
	o := configured(t, "--tls --tlscert "+cert+" --tlskey "+key+" --tlscacert "+cert+" --tlsverify -ms 8443")
	if o.TLS == nil || o.TLS.CertFile != cert || o.TLS.KeyFile != key || o.TLS.CAFile != cert || !o.TLS.Verify || o.HTTPSPort != 8443 {
		t.Errorf("%+v", o.TLS)
	}
	s, err := serverOptions(o)
	if err != nil || s.TLS == nil || len(s.TLS.Certificates) != 1 || len(s.TLS.Authorities) != 1 || !s.TLS.Verify {
		t.Errorf("%+v, %v", s.TLS, err)
	}
	expect(t, "--tls", 1, "", "nats-server: TLS Server certificate must be present and valid")
	expect(t, "--tlsverify --tlscert "+cert, 1, "", "nats-server: TLS Server private key must be present and valid")
	expect(t, "--tls --tlscert /no/such --tlskey /no/such", 1, "", "nats-server: error parsing X509 certificate/key pair: open /no/such")
	if out := tlsHelp; !strings.Contains(out, "verify_and_map") {
		t.Error(out)
	}
	expect(t, "--help_tls", 0, "TLS_AES_128_GCM_SHA256", "")
}

// A resolver that no operator uses is asked as one that is used would be: over TLS
// its authority has to be known.
func TestIdleResolverTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(authority, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "server.conf")
	start := func(more string) *child {
		text := fmt.Sprintf("port: -1\nresolver: URL(%s/)\n%s\n", web.URL, more)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return startChild(t, "-c", file)
	}
	known := start(fmt.Sprintf("resolver_tls { ca_file: %q }", authority))
	known.waitLog("Server is ready")
	known.signal(os.Interrupt)
	known.waitEnd()
	if status, log := start("").waitEnd(); status != 1 || !strings.Contains(log, "certificate") {
		t.Errorf("an authority that is not known: status %d in\n%s", status, log)
	}
}
