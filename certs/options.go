package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// Logger takes log lines without waiting for where they go.
type Logger interface {
	Noticef(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
	Debugf(format string, args ...any)
}

// Options are what a TLS block says.
type Options struct {
	Certificates []tls.Certificate
	CertFile     string              // where the first one is from, for messages
	Authorities  []*x509.Certificate // of peers; none: those of the machine
	Verify       bool                // peers must have a certificate
	Insecure     bool                // servers that are dialled are not verified
	MinVersion   uint16              // 0: TLS 1.2
	Ciphers      []uint16            // of TLS 1.2; none: the secure ones
	Curves       []tls.CurveID       // none: all
	Pinned       []string            // hex of SHA-256 of peers' public keys, small letters; none: all
	OCSPPeer     *PeerOptions        // nil: peers' certificates are not asked about
}

// ErrNotPinned is the end of a handshake with a peer whose key is not pinned.
var ErrNotPinned = errors.New("certificate not pinned")

// curves are the key exchanges of a block that names none.
var curves = []tls.CurveID{
	tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
}

// Config returns the configuration of a side that listens, and that dials with
// the same block. It is the caller's to change before its first use.
func (o *Options) Config() *tls.Config {
	c := &tls.Config{
		MinVersion: max(o.MinVersion, tls.VersionTLS12), CipherSuites: o.Ciphers, CurvePreferences: o.Curves,
		Certificates: o.Certificates, InsecureSkipVerify: o.Insecure,
		// Small records at the beginning help pages to appear early; messages
		// come in writes that fit.
		DynamicRecordSizingDisabled: true,
	}
	if len(c.CipherSuites) == 0 {
		for _, s := range tls.CipherSuites() {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
	}
	if len(c.CurvePreferences) == 0 {
		c.CurvePreferences = curves
	}
	if len(o.Authorities) > 0 {
		pool := x509.NewCertPool()
		for _, cert := range o.Authorities {
			pool.AddCert(cert)
		}
		c.ClientCAs, c.RootCAs = pool, pool
	}
	if o.Verify {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c
}

// CheckPinned returns ErrNotPinned if keys are pinned and the peer's is none of
// them. note is a line for the debug log.
func (o *Options) CheckPinned(peer []*x509.Certificate) (note string, err error) {
	if len(o.Pinned) == 0 {
		return "", nil
	}
	if len(peer) == 0 {
		return "Failed pinned cert test as client did not provide a certificate", ErrNotPinned
	}
	key := KeySum(peer[0])
	for _, pinned := range o.Pinned {
		if pinned == key {
			return "", nil
		}
	}
	return "Failed pinned cert test for key id: " + key, ErrNotPinned
}

// KeySum returns the hex SHA-256 of a certificate's public key.
func KeySum(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Fingerprint returns the base64 SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// NotAfter returns when the first certificate ends, zero without any.
func (o *Options) NotAfter() time.Time {
	if len(o.Certificates) > 0 {
		if leaf := leafOf(&o.Certificates[0]); leaf != nil {
			return leaf.NotAfter
		}
	}
	return time.Time{}
}

// leafOf returns the certificate without those that lead to its authority.
func leafOf(c *tls.Certificate) *x509.Certificate {
	if c.Leaf != nil {
		return c.Leaf
	}
	if len(c.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// ForHost tells whether a certificate is for one of hosts by a DNS name: the
// labels are equal, of which the leftmost may be a wildcard
// (verify_cert_and_check_known_urls).
func ForHost(c *x509.Certificate, hosts []string) bool {
	for _, name := range c.DNSNames {
		labels := strings.Split(strings.ToLower(name), ".")
	hosts:
		for _, host := range hosts {
			other := strings.Split(strings.ToLower(host), ".")
			if len(other) != len(labels) {
				continue
			}
			for i := range labels {
				if labels[i] != other[i] && (i > 0 || labels[i] != "*") {
					continue hosts
				}
			}
			return true
		}
	}
	return false
}
