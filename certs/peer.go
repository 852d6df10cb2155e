package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// PeerOptions say how peers' certificates are asked about.
type PeerOptions struct {
	Timeout                time.Duration // of a responder
	ClockSkew              time.Duration
	TTLUnsetNextUpdate     time.Duration // how long an answer holds that does not say so
	WarnOnly               bool
	UnknownIsGood          bool
	AllowWhenCAUnreachable bool

	transport http.RoundTripper // to responders; nil: the usual one
}

// Witness is told of peers that are refused. It must not wait.
type Witness interface {
	// LinkInvalid: link, of the chain of peer, is not good.
	LinkInvalid(peer, link *x509.Certificate, reason string)
	// PeerRejected: peer is let in by none of its chains.
	PeerRejected(peer *x509.Certificate, reason string)
}

// ErrMTLSRequired is the trouble with a block that asks about certificates which
// peers need not have.
var ErrMTLSRequired = errors.New("OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled")

// Texts that a peer gets as the reason of its refusal.
var (
	ErrClientRefused = errors.New("client not OCSP valid")
	ErrServerRefused = errors.New("server not OCSP valid")
)

// Peers asks whether certificates of peers were revoked.
type Peers struct {
	options PeerOptions
	cache   *Cache // nil: none
	log     Logger
	witness Witness // nil: nobody
	refusal error
	client  *http.Client
}

// NewPeers returns what checks the clients of a listener, or, with dialled, the
// servers that are dialled.
func NewPeers(o PeerOptions, dialled bool, cache *Cache, log Logger, witness Witness) *Peers {
	p := &Peers{options: o, cache: cache, log: log, witness: witness, refusal: ErrClientRefused}
	if dialled {
		p.refusal = ErrServerRefused
	}
	p.client = &http.Client{Timeout: o.Timeout, Transport: o.transport}
	if o.Timeout <= 0 {
		p.client.Timeout = 2 * time.Second
	}
	return p
}

// Verify is the last word on a peer whose chains are verified: in one of them
// no certificate may be revoked. Chains without responders, and certificates
// that are their own authority, are good. It may wait for responders.
func (p *Peers) Verify(state tls.ConnectionState) error {
	chains := state.VerifiedChains
	p.log.Debugf("Peer OCSP enabled: %d TLS client chain(s) will be evaluated", len(chains))
	if len(chains) == 0 || len(chains[0]) == 0 {
		p.log.Errorf("Peer certificate is nil, rejecting OCSP peer")
		return p.refusal
	}
	for i, chain := range chains {
		if p.goodChain(i, chain) {
			return nil
		}
	}
	p.log.Debugf("No OCSP valid chains, thus peer is invalid")
	if p.witness != nil {
		p.witness.PeerRejected(chains[0][0], p.refusal.Error())
	}
	return p.refusal
}

// link is a certificate that can be asked about.
type link struct {
	leaf, issuer *x509.Certificate
	responders   []string
}

func (p *Peers) goodChain(index int, chain []*x509.Certificate) bool {
	p.log.Debugf("Chain [%d]: %d total link(s)", index, len(chain))
	if len(chain) == 1 {
		p.log.Debugf("Chain [%d] is self-signed, thus peer is valid", index)
		return true
	}
	var links []link
	for i := range chain[:len(chain)-1] {
		if r := responders(chain[i]); len(r) > 0 {
			links = append(links, link{chain[i], chain[i+1], r})
		}
	}
	if len(links) == 0 {
		p.log.Debugf("Chain [%d] has no OCSP eligible links, thus peer is valid", index)
		return true
	}
	p.log.Debugf("Chain [%d] has %d OCSP eligible link(s)", index, len(links))
	for _, l := range links {
		if reason := p.wrongWith(l); reason != "" {
			p.log.Debugf("%s", reason)
			if p.witness != nil {
				p.witness.LinkInvalid(chain[0], l.leaf, reason)
			}
			return false
		}
	}
	p.log.Debugf("Chain [%d] is OCSP valid for all eligible links, thus peer is valid", index)
	return true
}

// wrongWith says why a link is not good, or nothing.
func (p *Peers) wrongWith(l link) string {
	subject := l.leaf.Subject.ToRDNSequence().String()
	key := Fingerprint(l.leaf) // in the cache
	p.log.Debugf("Checking OCSP peer cache for [%s], key [%s]", subject, key)
	answer, revoked := p.cached(l, subject, key)
	if answer == nil {
		var reason string
		var err error
		if answer, reason, err = p.ask(l, subject); err != nil {
			return p.despite(subject, reason, err, revoked)
		}
		p.cache.put(key, answer, subject, p.log)
	}
	if answer.Status == ocsp.Revoked || answer.Status != ocsp.Good && !p.options.UnknownIsGood {
		p.log.Warnf("OCSP verify fail for [%s] with CA status [%s]", subject, statusText(answer.Status))
		return p.unlessWarned(subject, "Invalid OCSP response status: "+statusText(answer.Status))
	}
	p.log.Debugf("OCSP verify pass for [%s]", subject)
	return ""
}

// unlessWarned lets a link pass if warnings are all that is wanted.
func (p *Peers) unlessWarned(subject, reason string) string {
	if p.options.WarnOnly {
		p.log.Warnf("OCSP verify fail for [%s] but WarnOnly is true so allowing", subject)
		return ""
	}
	return reason
}

// errUnreachable marks that no responder answered.
var errUnreachable = errors.New("exhausted OCSP responders")

// despite decides about a link of which nothing new is known. revoked says that
// an old answer spoke of a revocation.
func (p *Peers) despite(subject, reason string, err error, revoked bool) string {
	if reason = p.unlessWarned(subject, reason); reason == "" || !errors.Is(err, errUnreachable) || !p.options.AllowWhenCAUnreachable {
		return reason
	}
	if revoked {
		p.log.Warnf("Failed to obtain OCSP CA response for [%s] but AllowWhenCAUnreachable set; cached revocation exists so rejecting", subject)
		return reason
	}
	p.log.Warnf("Failed to obtain OCSP CA response for [%s] but AllowWhenCAUnreachable set; no cached revocation so allowing", subject)
	return ""
}

// cached returns the answer in the cache if it still holds. revoked tells of a
// revocation in an answer that does not.
func (p *Peers) cached(l link, subject, key string) (answer *ocsp.Response, revoked bool) {
	raw := p.cache.get(key, p.log)
	if raw == nil {
		return nil, false
	}
	answer, err := ocsp.ParseResponseForCert(raw, l.leaf, l.issuer)
	if err != nil || !delegated(l.issuer, answer) {
		p.log.Debugf("Invalid cached OCSP response for [%s] with fingerprint [%s]", subject, key)
		p.cache.drop(key, p.log)
		return nil, false
	}
	if p.current(answer) {
		p.log.Debugf("Cached OCSP response is current, status [%s]", statusText(answer.Status))
		return answer, false
	}
	p.log.Debugf("Cached OCSP response is expired, status [%s]", statusText(answer.Status))
	p.cache.drop(key, p.log)
	return nil, answer.Status == ocsp.Revoked
}

// ask gets an answer that holds from the responders of a link. reason is why
// there is none.
func (p *Peers) ask(l link, subject string) (answer *ocsp.Response, reason string, err error) {
	raw, err := p.fetch(l)
	if err != nil {
		p.log.Warnf("Attempt to obtain OCSP response from CA responder for [%s] failed: %s", subject, err)
		return nil, "Failed OCSP response fetch", err
	}
	answer, err = ocsp.ParseResponseForCert(raw, l.leaf, l.issuer)
	switch {
	case err != nil:
		p.log.Errorf("Could not parse OCSP CA response for [%s]: %s", subject, err)
		return nil, "Failed OCSP response parse", err
	case !delegated(l.issuer, answer):
		reason = fmt.Sprintf("Invalid OCSP response delegation: %s", subject)
		p.log.Warnf("%s", reason)
		return nil, reason, errDelegation
	case !p.current(answer):
		p.log.Warnf("New OCSP CA response obtained for [%s] but not current", subject)
		return nil, "OCSP response not in effectivity window", errors.New("not current")
	}
	return answer, "", nil
}

func (p *Peers) fetch(l link) ([]byte, error) {
	request, err := ocsp.CreateRequest(l.leaf, l.issuer, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range l.responders {
		p.log.Debugf("Trying OCSP responder url [%s]", r)
		var raw []byte
		if raw, err = get(context.Background(), p.client, r, request, true); err == nil && len(raw) > 0 {
			return raw, nil
		}
		if err == nil {
			err = errors.New("empty answer")
		}
	}
	return nil, fmt.Errorf("%w: %w", errUnreachable, err)
}

// current tells whether an answer holds now.
func (p *Peers) current(answer *ocsp.Response) bool {
	now, skew := time.Now().UTC(), p.options.ClockSkew
	stamp := func(t time.Time) string { return t.Format(time.RFC3339Nano) }
	if end := answer.NextUpdate; !end.IsZero() && end.Before(now.Add(-skew)) {
		p.log.Debugf("OCSP response NextUpdate [%s] is before now [%s] with clockskew [%s]", stamp(end), stamp(now), skew)
		return false
	}
	if answer.NextUpdate.IsZero() {
		if end := answer.ThisUpdate.Add(p.options.TTLUnsetNextUpdate); end.Before(now.Add(-skew)) {
			p.log.Debugf("OCSP response cache expiry [%s] is before now [%s] with clockskew [%s]", stamp(end), stamp(now), skew)
			return false
		}
	}
	if answer.ThisUpdate.After(now.Add(skew)) {
		p.log.Debugf("OCSP response ThisUpdate [%s] is before now [%s] with clockskew [%s]", stamp(answer.ThisUpdate), stamp(now), skew)
		return false
	}
	return true
}
