package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"peregrine/config/grammar"
)

// checkTLS finds keys of a TLS block that do not go together, then reads its
// files.
func (r *reader) checkTLS(v *grammar.Value, t *TLS) {
	if len(t.Certs) > 0 && t.CertFile != "" {
		r.errorf(v, tlsTrouble+"cannot combine 'cert_file' option with 'certs' option")
		return
	}
	if insecure := insecureNames(t.Ciphers); len(insecure) > 0 && !t.AllowInsecureCiphers {
		r.errorf(v, "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: %s", strings.Join(insecure, ", "))
		return
	}
	if err := t.load(r.env); err != nil {
		r.errorf(v, "%v", err)
	}
}

// load reads the files of t.
func (t *TLS) load(env Env) error {
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		return errors.New("missing 'key_file' in TLS configuration")
	case t.CertFile == "" && t.KeyFile != "":
		return errors.New("missing 'cert_file' in TLS configuration")
	case t.CertFile != "":
		if err := t.loadPair(env, CertPair{t.CertFile, t.KeyFile}); err != nil {
			return fmt.Errorf("error parsing X509 certificate/key pair: %w", err)
		}
	}
	for i, pair := range t.Certs {
		if err := t.loadPair(env, pair); err != nil {
			return fmt.Errorf("error parsing X509 certificate/key pair %d/%d: %w", i+1, len(t.Certs), err)
		}
	}
	if t.CAFile == "" {
		return nil
	}
	pem, err := env.ReadFile(t.CAFile)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return errors.New("failed to parse root ca certificate")
	}
	t.authorities = pem
	return nil
}

// loadPair reads a certificate with its key.
func (t *TLS) loadPair(env Env, files CertPair) error {
	cert, err := env.ReadFile(files.CertFile)
	if err != nil {
		return err
	}
	secret, err := env.ReadFile(files.KeyFile)
	if err != nil {
		return err
	}
	if _, err := tls.X509KeyPair(cert, secret); err != nil {
		return err
	}
	t.pairs = append(t.pairs, [2][]byte{cert, secret})
	return nil
}

// Certificates returns the certificates as they were when the configuration was
// read, in the order of the file.
func (t *TLS) Certificates() ([]tls.Certificate, error) {
	all := make([]tls.Certificate, len(t.pairs))
	for i, pair := range t.pairs {
		var err error
		if all[i], err = tls.X509KeyPair(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Authorities returns those of the CA file; nil stands for those of the machine.
func (t *TLS) Authorities() *x509.CertPool {
	if t.authorities == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(t.authorities)
	return pool
}

// AuthorityList returns the certificates of the CA file, nil without one.
func (t *TLS) AuthorityList() []*x509.Certificate {
	var list []*x509.Certificate
	for rest := t.authorities; len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			list = append(list, cert)
		}
	}
	return list
}

// curves are the key exchanges, the best first.
var curves = []struct {
	name string
	id   tls.CurveID
}{
	{"X25519MLKEM768", tls.X25519MLKEM768},
	{"SecP384r1MLKEM1024", tls.SecP384r1MLKEM1024},
	{"SecP256r1MLKEM768", tls.SecP256r1MLKEM768},
	{"X25519", tls.X25519},
	{"CurveP256", tls.CurveP256},
	{"CurveP384", tls.CurveP384},
	{"CurveP521", tls.CurveP521},
}

// CurveNames returns the names of key exchanges, the best first.
func CurveNames() []string {
	names := make([]string, len(curves))
	for i, c := range curves {
		names[i] = c.name
	}
	return names
}

func readCurves(r *reader, k key, t *TLS) {
	list, ok := r.list(k.Value)
	if !ok {
		return
	}
	if len(list) == 0 {
		r.errorf(k.Value, tlsTrouble+"'curve_preferences' cannot be empty")
		return
	}
items:
	for _, e := range list {
		name, ok := r.str(e)
		if !ok {
			return
		}
		for _, c := range curves {
			if c.name == name {
				t.Curves = append(t.Curves, c.id)
				continue items
			}
		}
		r.errorf(e, "unrecognized curve preference %s", name)
		return
	}
}

func readCiphers(r *reader, k key, t *TLS) {
	list, ok := r.list(k.Value)
	if !ok {
		return
	}
	if len(list) == 0 {
		r.errorf(k.Value, tlsTrouble+"'cipher_suites' cannot be empty")
		return
	}
	for _, e := range list {
		name, ok := r.str(e)
		if !ok {
			return
		}
		suite := cipherSuite(func(s *tls.CipherSuite) bool { return s.Name == name })
		if suite == nil {
			r.errorf(e, "unrecognized cipher %s", name)
			return
		}
		t.Ciphers = append(t.Ciphers, suite.ID)
	}
}

// cipherSuite returns the suite of Go that is wanted, secure or not.
func cipherSuite(wanted func(*tls.CipherSuite) bool) *tls.CipherSuite {
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			if wanted(s) {
				return s
			}
		}
	}
	return nil
}

func insecureNames(ids []uint16) (names []string) {
	for _, id := range ids {
		if s := cipherSuite(func(s *tls.CipherSuite) bool { return s.ID == id }); s != nil && s.Insecure {
			names = append(names, s.Name)
		}
	}
	return names
}

func readMinVersion(r *reader, k key, t *TLS) {
	if k.Kind != grammar.String {
		r.errorf(k.Value, "error parsing tls config: 'min_version' wrong type: %v", k.Value)
		return
	}
	switch k.Str {
	case "1.2":
		t.MinVersion = tls.VersionTLS12
	case "1.3":
		t.MinVersion = tls.VersionTLS13
	case "1.0", "1.1":
		r.errorf(k.Value, "error parsing tls config: unsupported TLS version: TLS %s", k.Str)
	default:
		r.errorf(k.Value, "error parsing tls config: unknown version: %s", k.Str)
	}
}
