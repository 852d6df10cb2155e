package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ocsp"
)

// StapleOptions say which certificates are stapled.
type StapleOptions struct {
	Mode       string   // "auto", "always", "must", "never"; "": as auto
	Responders []string // instead of those of the certificates
	Folder     string   // of files with staples; "": none
	Kind       string   // of connections, for messages: "Client"
	// Revoked is called when the server must not go on with its certificate.
	Revoked func()

	transport http.RoundTripper // to responders; nil: the usual one
}

const (
	// stapleUnset is when a responder is asked again that does not say.
	stapleUnset = 24 * time.Hour
	// stapleRetry is the time between two questions when the staple has run
	// out, stapleLeast between any two.
	stapleRetry     = 2 * time.Minute
	stapleLeast     = time.Second
	stapleTimeout   = 30 * time.Second
	stapleFolder    = "ocsp"
	stapleFilesPerm = 0o750
)

// Stapler keeps the staples of a listener's certificates fresh.
type Stapler struct {
	monitors []*monitor // by certificate; nil: not stapled
	certs    []tls.Certificate
	quit     chan struct{}
	done     sync.WaitGroup
}

// NewStapler gets the staples of those certificates of o that are stapled, from
// memory of earlier (files) or from responders, for which it waits. It returns
// nil if there are none. The error is why a certificate cannot be used.
func NewStapler(s StapleOptions, o *Options, log Logger) (*Stapler, error) {
	st := &Stapler{certs: o.Certificates, monitors: make([]*monitor, len(o.Certificates)), quit: make(chan struct{})}
	some := false
	for i := range o.Certificates {
		cert := &o.Certificates[i]
		leaf := leafOf(cert)
		if leaf == nil {
			return nil, errors.New("no certificate found")
		}
		wanted := mustStaple(leaf)
		fatal := false
		switch s.Mode {
		case "never":
			if wanted {
				log.Warnf("Certificate at '%s' has MustStaple but OCSP is disabled", o.CertFile)
			}
			continue
		case "always":
			wanted, fatal = true, true
		case "must":
			fatal = wanted
		}
		if !wanted {
			continue
		}
		m, err := newMonitor(s, o, cert, leaf, fatal, log)
		if err != nil {
			return nil, err
		}
		st.monitors[i], some = m, true
	}
	if !some {
		return nil, nil
	}
	return st, nil
}

// Plug makes c show the stapled certificates.
func (st *Stapler) Plug(c *tls.Config) {
	c.Certificates = nil
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		chosen := 0
		for i := range st.certs {
			if hello.SupportsCertificate(&st.certs[i]) == nil {
				chosen = i
				break
			}
		}
		return st.stapled(chosen)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return st.stapled(0)
	}
}

func (st *Stapler) stapled(i int) (*tls.Certificate, error) {
	cert := st.certs[i]
	if m := st.monitors[i]; m != nil {
		staple := m.staple.Load()
		if err := inTime(staple.answer, time.Now()); err != nil {
			select {
			case m.hurry <- struct{}{}:
			default:
			}
			return nil, err
		}
		cert.OCSPStaple = staple.raw
	}
	return &cert, nil
}

// Run asks for fresh staples until Close.
func (st *Stapler) Run() {
	for _, m := range st.monitors {
		if m == nil {
			continue
		}
		m.log.Noticef("OCSP Stapling enabled for %s connections", m.options.Kind)
		st.done.Add(1)
		go func() {
			defer st.done.Done()
			m.run(st.quit)
		}()
	}
}

// Close ends Run.
func (st *Stapler) Close() {
	if st == nil {
		return
	}
	close(st.quit)
	st.done.Wait()
}

// monitor is the staple of one certificate.
type monitor struct {
	options      StapleOptions
	log          Logger
	file         string // of the certificate, for messages
	leaf, issuer *x509.Certificate
	fatal        bool // the server ends with the certificate
	client       *http.Client
	staple       atomic.Pointer[staple]
	hurry        chan struct{} // holds one token when a client could not be shown a staple
}

type staple struct {
	raw    []byte
	answer *ocsp.Response
}

func newMonitor(s StapleOptions, o *Options, cert *tls.Certificate, leaf *x509.Certificate, fatal bool, log Logger) (*monitor, error) {
	m := &monitor{
		options: s, log: log, file: o.CertFile, leaf: leaf, fatal: fatal,
		client: &http.Client{Timeout: stapleTimeout, Transport: s.transport}, hurry: make(chan struct{}, 1),
	}
	if err := m.makeFolder(); err != nil {
		return nil, err
	}
	var err error
	if m.issuer, err = issuerOf(cert, o.Authorities); err != nil {
		return nil, err
	}
	got, err := m.fromFile()
	if err != nil {
		got, err = m.fromResponder(context.Background())
	}
	if err != nil {
		return nil, fmt.Errorf("bad OCSP status update for certificate at '%s': %s", m.file, err)
	}
	if got.answer.Status != ocsp.Good && fatal {
		return nil, fmt.Errorf("found existing OCSP status for certificate at '%s': %s", m.file, statusText(got.answer.Status))
	}
	m.staple.Store(got)
	return m, nil
}

// makeFolder makes the folder of the files.
func (m *monitor) makeFolder() error {
	if m.options.Folder == "" {
		return nil
	}
	folder := m.folder()
	if err := os.MkdirAll(folder, stapleFilesPerm); err != nil {
		if info, e := os.Stat(folder); e == nil && !info.IsDir() {
			return errors.New("OCSP storage directory is not a directory")
		}
		return fmt.Errorf("could not create OCSP storage directory - %v", err)
	}
	return nil
}

func (m *monitor) folder() string { return filepath.Join(m.options.Folder, stapleFolder) }

// name is that of the certificate's file: of the whole certificate, not of its
// key, which others may have.
func (m *monitor) name() string {
	sum := sha256.Sum256(m.leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// parse checks an answer: who signed it and when it holds.
func (m *monitor) parse(raw []byte) (*staple, error) {
	answer, err := ocsp.ParseResponseForCert(raw, m.leaf, m.issuer)
	if err != nil {
		return nil, err
	}
	if !delegated(m.issuer, answer) {
		return nil, errDelegation
	}
	if err := inTime(answer, time.Now()); err != nil {
		return nil, err
	}
	return &staple{raw, answer}, nil
}

func (m *monitor) fromFile() (*staple, error) {
	if m.options.Folder == "" {
		return nil, errors.New("store_dir not set")
	}
	raw, err := readBounded(filepath.Join(m.folder(), m.name()), answerMax)
	if err != nil {
		return nil, err
	}
	return m.parse(raw)
}

// fromResponder asks one responder after the other, with POST and then with
// GET, until one has an answer that holds, and keeps that in the file.
func (m *monitor) fromResponder(ctx context.Context) (*staple, error) {
	request, err := ocsp.CreateRequest(m.leaf, m.issuer, nil)
	if err != nil {
		return nil, err
	}
	all := m.leaf.OCSPServer
	if len(m.options.Responders) > 0 {
		all = m.options.Responders
	}
	if len(all) == 0 {
		return nil, errors.New("no available ocsp servers")
	}
	for _, r := range all {
		var got *staple
		if got, err = m.fromOne(ctx, r, request); err == nil {
			if m.options.Folder != "" {
				if err := writeWhole(m.folder(), m.name(), "tmp-cert-status", got.raw); err != nil {
					return nil, fmt.Errorf("failed to write ocsp status: %w", err)
				}
			}
			return got, nil
		}
	}
	return nil, fmt.Errorf("exhausted ocsp servers: %w", err)
}

func (m *monitor) fromOne(ctx context.Context, responder string, request []byte) (*staple, error) {
	start := time.Now()
	raw, err := post(ctx, m.client, responder, request)
	if err != nil {
		var again error
		if raw, again = get(ctx, m.client, responder, request, false); again != nil {
			return nil, errors.Join(err, again)
		}
	}
	m.log.Debugf("Received OCSP response (url=%s, duration=%.3fs)", responder, time.Since(start).Seconds())
	got, err := m.parse(raw)
	if err != nil {
		return nil, fmt.Errorf("failed to get remote status from %s: %w", responder, err)
	}
	return got, nil
}

// next returns when to ask again: in the middle of the time that is left.
func (m *monitor) next() time.Duration {
	end := m.staple.Load().answer.NextUpdate
	if end.IsZero() {
		return stapleUnset
	}
	if left := time.Until(end); left > 0 {
		return max(left/2, stapleLeast)
	}
	return stapleRetry
}

// wait returns when it is time to ask again. It is false when quit is closed.
func (m *monitor) wait(quit <-chan struct{}) bool {
	next, least := time.NewTimer(m.next()), time.NewTimer(stapleLeast)
	defer next.Stop()
	defer least.Stop()
	select {
	case <-quit:
		return false
	case <-least.C:
	}
	select {
	case <-quit:
		return false
	case <-next.C:
	case <-m.hurry:
	}
	return true
}

// run asks for fresh staples until quit is closed or the certificate is revoked.
func (m *monitor) run(quit <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	if got := m.staple.Load(); got.answer.Status == ocsp.Good {
		m.log.Noticef("Found OCSP status for %s certificate at '%s': good, next update %s, checking again in %s",
			m.options.Kind, m.file, got.answer.NextUpdate.Format(time.RFC3339Nano), m.next())
	}
	for m.wait(quit) {
		got, err := m.fromResponder(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			m.log.Errorf("Bad OCSP status update for certificate '%s': %s, trying again in %v", m.file, err, m.next())
			continue
		}
		m.staple.Store(got)
		if got.answer.Status != ocsp.Good {
			m.log.Errorf("Received OCSP status for %s certificate '%s': %s", m.options.Kind, m.file, statusText(got.answer.Status))
			if m.fatal && m.options.Revoked != nil {
				m.options.Revoked()
			}
			return
		}
		m.log.Noticef("Received OCSP status for %s certificate '%s': good, next update %s, checking again in %s",
			m.options.Kind, m.file, got.answer.NextUpdate.Format(time.RFC3339Nano), m.next())
	}
}

// tlsFeature is the extension by which a certificate asks to be stapled (RFC
// 7633), statusRequest the feature in it.
var tlsFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

const statusRequest = 5

// mustStaple tells whether a certificate asks to be stapled.
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if !e.Id.Equal(tlsFeature) {
			continue
		}
		var features []int
		if rest, err := asn1.Unmarshal(e.Value, &features); err != nil || len(rest) > 0 {
			return false
		}
		for _, f := range features {
			if f == statusRequest {
				return true
			}
		}
		return false
	}
	return false
}

// issuerOf returns who signed a certificate: the second one of its file, or one
// of the authorities, or of those of the machine if there are none.
func issuerOf(cert *tls.Certificate, authorities []*x509.Certificate) (*x509.Certificate, error) {
	leaf := leafOf(cert)
	var issuer *x509.Certificate
	if len(cert.Certificate) > 1 {
		second, err := x509.ParseCertificate(cert.Certificate[1])
		if err != nil {
			return nil, fmt.Errorf("failed to parse cert: %v", err)
		}
		if second.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
			issuer = second
		}
	} else {
		o := x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if len(authorities) > 0 {
			o.Roots = x509.NewCertPool()
			for _, a := range authorities {
				o.Roots.AddCert(a)
			}
		}
		if chains, err := leaf.Verify(o); err == nil && len(chains[0]) > 1 {
			issuer = chains[0][1]
		}
	}
	switch {
	case issuer == nil:
		return nil, errors.New("no issuers found")
	case !issuer.IsCA:
		return nil, fmt.Errorf("%s invalid ca basic constraints: is not ca", issuer.Subject)
	}
	return issuer, nil
}
