package server

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account"
	"peregrine/account/operator"
	"peregrine/codec"
)

// CalloutOptions name the service that has the last word about who connects,
// where there is no operator; accounts of operators name theirs themselves.
type CalloutOptions struct {
	Issuer          string   // public account key that signs its answers
	Account         string   // where it listens; empty is the global one
	AuthUsers       []string // users that it is not asked about, itself among them
	XKey            string   // public curve key; empty is not encrypted
	AllowedAccounts []string // whose users it is asked about; empty is all
}

// calloutFor returns the service for a client, nil if there is none. asked is
// false for those that it is not asked about.
func (s *Server) calloutFor(c *account.Client, v finding) (service *operator.Callout, asked bool) {
	if u := v.user; u != nil {
		x := u.Account.External()
		if x == nil || v.err != nil {
			return nil, false
		}
		service = s.service(u.Account.Name, x.XKey)
		service.Claims = u.Account
		service.Lookup = s.claims.lookup
		return service, u.Account.Judges(u.Claims.Subject)
	}
	o := s.options().Callout
	if s.claims != nil || o == nil || !o.delegates(v) {
		return nil, false
	}
	name := o.Account
	if name == "" {
		name = account.Global
	}
	service = s.service(name, o.XKey)
	service.Issuer = o.Issuer
	service.Lookup = func(name string) (*operator.Account, error) {
		if name == "" || s.accounts.find(name) == nil {
			return nil, operator.ErrMissing
		}
		return nil, nil
	}
	return service, !slices.Contains(o.AuthUsers, s.configuredUser(c))
}

// delegates tells whether clients of the account that v puts them in are the
// service's. The global account is that of everybody nobody knows.
func (o *CalloutOptions) delegates(v finding) bool {
	if v.err != nil || v.id.Account == "" || v.id.Account == account.Global {
		return true
	}
	return len(o.AllowedAccounts) == 0 || slices.Contains(o.AllowedAccounts, v.id.Account)
}

// configuredUser returns the name or key of the configured user that a client
// claims to be, empty if there is no such user.
func (s *Server) configuredUser(c *account.Client) string {
	d := s.directory()
	k := d.Contents()
	id := c.Nkey
	switch {
	case id != "":
	case c.Credentials.Empty():
		id = k.NoAuthUser
	default:
		id = c.User
	}
	if u := d.User(id); u != nil {
		return u.ID()
	}
	if k.Token == "" && k.User != "" && c.User == k.User {
		return k.User
	}
	return ""
}

// service returns the part of a service that is the same for all.
func (s *Server) service(name, xkey string) *operator.Callout {
	info := s.info.Load()
	return &operator.Callout{
		Account: name, XKey: xkey, ServerKey: s.pair, CurveKey: s.curve,
		Server: jwt.ServerID{Name: info.Name, Host: info.Host, ID: s.id, Version: Version, Cluster: info.Cluster, XKey: s.xkey},
	}
}

// callout asks a service about a client. It does not wait for the answer.
func (s *Server) callout(service *operator.Callout, c *account.Client, v finding, done func(*account.Identity, error)) {
	acc := s.accounts.find(service.Account)
	if acc == nil {
		s.refuseCallout(service, done, fmt.Errorf("No valid account %q for auth callout request: %w", service.Account, operator.ErrMissing)) //nolint:staticcheck // a log line
		return
	}
	q, err := question(c, v)
	if err != nil {
		s.refuseCallout(service, done, err)
		return
	}
	timeout := s.options().AuthTimeout
	body, xkey, err := service.Ask(q, time.Now(), timeout)
	if err != nil {
		s.refuseCallout(service, done, err)
		return
	}
	m := &internalMsg{subject: operator.CalloutSubject, payload: body}
	if xkey != "" {
		m.header = codec.AppendHeaderEnd(codec.AppendHeaderLine(codec.AppendHeaderStart(nil), operator.CalloutXKey, xkey))
	}
	w := new(calloutWait)
	silent := func() {
		s.log.Debugf("Authorization callout response not received in time on account %q", service.Account)
		done(nil, &account.Denial{Account: service.Account})
	}
	cancel, err := s.queues.answers.ask(acc, m, func(m *internalMsg) {
		if w.over() {
			// The signature and perhaps an account have to be looked at.
			go func() { done(s.calloutAnswer(service, q, m.payload)) }()
		}
	}, func() {
		if w.over() {
			silent()
		}
	})
	if err != nil {
		s.refuseCallout(service, done, fmt.Errorf("Error sending authorization request: %w", err)) //nolint:staticcheck // a log line
		return
	}
	w.start(cancel, timeout, silent)
}

// calloutAnswer judges an answer.
func (s *Server) calloutAnswer(service *operator.Callout, q *operator.Question, body []byte) (*account.Identity, error) {
	id, err := service.Answer(q, body, time.Now())
	if err != nil {
		reason := err.Error()
		if d, ok := errors.AsType[*account.Denial](err); ok && d.Detail != "" {
			reason = d.Detail
			err = &account.Denial{Kind: d.Kind, Account: service.Account, Reason: reason}
		}
		s.log.Warnf("%s", reason)
		return nil, err
	}
	id.ProxyKey = q.Client.ProxyKey
	return id, nil
}

func (s *Server) refuseCallout(service *operator.Callout, done func(*account.Identity, error), err error) {
	s.log.Warnf("%v", err)
	done(nil, &account.Denial{Account: service.Account, Reason: err.Error()})
}

// calloutWait is one question that has no answer yet. The first answer, or the
// end of the time for it, counts.
type calloutWait struct {
	mu     sync.Mutex // guards all
	ended  bool
	cancel func()
	timer  *time.Timer
}

// start begins to wait; silent runs if nothing comes.
func (w *calloutWait) start(cancel func(), timeout time.Duration, silent func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		cancel()
		return
	}
	w.cancel = cancel
	w.timer = time.AfterFunc(timeout, func() {
		if w.over() {
			silent()
		}
	})
}

// over ends the wait; it is false if it had ended.
func (w *calloutWait) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.ended = true
	if w.cancel != nil {
		w.cancel()
		w.timer.Stop()
	}
	return true
}

// question describes a client to a service.
func question(c *account.Client, v finding) (*operator.Question, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("creating a user key: %w", err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("creating a user key: %w", err)
	}
	q := &operator.Question{
		Client: c, Proxied: c.ProxyKey != "", UserKey: key, Token: c.JWT,
		Info: jwt.ClientInformation{Host: c.Peer.Addr().Unmap().String(), ID: c.ID, Name: c.Name, Kind: "Client", Type: "nats"},
		TLS:  clientTLS(c.TLS),
	}
	q.Info.User, _ = c.Shown()
	if u := v.user; u != nil {
		q.Token, q.ProxyRequired = u.Token, u.Claims.ProxyRequired
		q.Info.Tags, q.Info.NameTag = u.Claims.Tags, u.Claims.Name
		if c.Nkey == "" && c.User == "" {
			q.Info.User = u.Claims.Subject
		}
	}
	return q, nil
}

// clientTLS describes a client's side of TLS, nil for none.
func clientTLS(state *tls.ConnectionState) *jwt.ClientTLS {
	if state == nil {
		return nil
	}
	encode := func(raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	out := &jwt.ClientTLS{Version: tlsVersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
	for _, chain := range state.VerifiedChains {
		var certs jwt.StringList
		for _, cert := range chain {
			certs = append(certs, encode(cert.Raw))
		}
		out.VerifiedChains = append(out.VerifiedChains, certs)
	}
	if len(out.VerifiedChains) == 0 {
		for _, cert := range state.PeerCertificates {
			out.Certs = append(out.Certs, encode(cert.Raw))
		}
	}
	return out
}

// tlsVersionName returns "1.3" for TLS 1.3, and so on.
func tlsVersionName(v uint16) string {
	if v < tls.VersionTLS10 || v > tls.VersionTLS13 {
		return fmt.Sprintf("Unknown [0x%x]", v)
	}
	return fmt.Sprintf("1.%d", v-tls.VersionTLS10)
}
