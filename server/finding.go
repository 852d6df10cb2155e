package server

import (
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"peregrine/account"
	"peregrine/account/operator"
)

// ownAuthenticator decides by what the server knows: trusted proxies, then the
// directory or the accounts' tokens, then a service that has the last word.
//
//	proxied ─▶ judged ─▶ asked ─▶ done
//
// What takes long is done by the server's workers.
type ownAuthenticator Server

// Authenticate implements Authenticator.
func (d *ownAuthenticator) Authenticate(c *account.Client, done func(*account.Identity, error)) {
	s := (*Server)(d)
	if c.ProxySig == "" || len(s.options().TrustedProxies) == 0 {
		s.decide(c, done)
		return
	}
	s.proofs.do(func() {
		key := s.proxyKey(c)
		if key == "" {
			done(nil, &account.Denial{Kind: account.ProxyNotTrusted, Detail: "proxy is not trusted"})
			return
		}
		proxied := *c
		proxied.ProxyKey = key
		s.decide(&proxied, done)
	})
}

// proxyKey returns the key of the trusted proxy that signed the client's nonce,
// empty if none did.
func (s *Server) proxyKey(c *account.Client) string {
	sig, err := base64.RawURLEncoding.DecodeString(c.ProxySig)
	if err != nil || c.Nonce == "" {
		return ""
	}
	for _, key := range s.options().TrustedProxies {
		if pub, err := nkeys.FromPublicKey(key); err == nil && pub.Verify([]byte(c.Nonce), sig) == nil {
			return key
		}
	}
	return ""
}

// finding is what the server itself says of a client.
type finding struct {
	id   *account.Identity
	err  error
	user *operator.User // in operator mode, if the token was one of a known account
}

// decide finds out who a client is by what the server knows itself.
func (s *Server) decide(c *account.Client, done func(*account.Identity, error)) {
	if s.claims != nil {
		s.proofs.do(func() { s.judge(c, done) })
		return
	}
	r := s.directory().Decide(c)
	s.noteDecision(c, &r)
	if r.Proof == nil {
		s.conclude(c, finding{id: r.Identity, err: r.Err}, done)
		return
	}
	s.proofs.do(func() {
		v := finding{id: r.Identity, err: r.Err}
		if err := r.Proof(); err != nil {
			v = finding{err: err}
		}
		s.conclude(c, v, done)
	})
}

// judge judges by tokens. An account that has to be fetched first is fetched
// beside the workers, since that may take a while.
func (s *Server) judge(c *account.Client, done func(*account.Identity, error)) {
	missing := ""
	u, err := s.judgeBy(c, func(name string) (*operator.Account, error) {
		a, err := s.claims.loaded(name)
		if errors.Is(err, errFetchFirst) {
			missing = name
		}
		return a, err
	})
	if missing == "" {
		s.judged(c, u, err, done)
		return
	}
	go func() {
		a, err := s.claims.lookup(missing)
		s.proofs.do(func() {
			u, err := s.judgeBy(c, func(string) (*operator.Account, error) { return a, err })
			s.judged(c, u, err, done)
		})
	}()
}

func (s *Server) judgeBy(c *account.Client, lookup func(string) (*operator.Account, error)) (*operator.User, error) {
	mode := s.options().Operator
	j := operator.Judge{
		Lookup: lookup, Pinned: mode.Pinned, Sentinel: mode.Sentinel,
		NotPinned: func() { s.notPinned.Add(1) },
	}
	return j.User(c, c.ProxyKey != "", time.Now())
}

func (s *Server) judged(c *account.Client, u *operator.User, err error, done func(*account.Identity, error)) {
	v := finding{err: err, user: u}
	if err == nil {
		v.id = u.Identity
	}
	s.conclude(c, v, done)
}

// conclude asks the service that has the last word, if there is one for this
// client.
func (s *Server) conclude(c *account.Client, v finding, done func(*account.Identity, error)) {
	if v.id != nil {
		v.id.ProxyKey = c.ProxyKey
	}
	service, asked := s.calloutFor(c, v)
	if service == nil {
		done(s.sharing(v.id), v.err)
		return
	}
	finish := func(id *account.Identity, err error) {
		if err == nil && id.Account == service.Account {
			id = withoutCallout(id)
		}
		done(s.sharing(id), err)
	}
	if !asked {
		finish(v.id, v.err)
		return
	}
	s.callout(service, c, v, finish)
}

// sharing gives id, which nobody else has, the permissions of others who have
// the same. id may be nil.
func (s *Server) sharing(id *account.Identity) *account.Identity {
	if id != nil && id.Configured == nil && !id.DefaultPermissions {
		id.Permissions = s.permissions.Of(id.Permissions)
	}
	return id
}

// withoutCallout takes away what nobody but the server may publish in the
// account of the service.
func withoutCallout(id *account.Identity) *account.Identity {
	next := *id
	p, pub := new(account.Permissions), new(account.SubjectPermission)
	if old := id.Permissions; old != nil {
		p.Subscribe, p.Responses = old.Subscribe, old.Responses
		if old.Publish != nil {
			*pub = *old.Publish
		}
	}
	pub.Deny = append(slices.Clip(pub.Deny), operator.CalloutSubject)
	p.Publish = pub
	next.Permissions, next.DefaultPermissions = p, false
	return &next
}

// stillGood finds whether the account has changed since id was decided, such
// that id does not count any more. It is called on a loop.
func (s *Server) stillGood(id *account.Identity) error {
	if s.claims == nil {
		return nil
	}
	a := s.claims.snapshot(id.Account)
	switch {
	case a == nil:
		return account.Denied("Account JWT has expired")
	case id.Key != "" && a.Revoked(id.Key, id.IssuedAt):
		return account.Denied("User authentication revoked")
	case id.Bearer && a.Claims.Limits.DisallowBearer:
		return account.Denied("Account does not allow bearer tokens")
	}
	if id.IssuedBy != "" {
		if _, ok := a.Signer(id.IssuedBy); !ok {
			return account.Denied("User JWT issuer is not known")
		}
	}
	return nil
}

// reviewProxy closes a session that came through a proxy that is not trusted any
// more.
func (c *session) reviewProxy(trusted []string) {
	if who := c.auth.who; who != nil && who.ProxyKey != "" && !slices.Contains(trusted, who.ProxyKey) {
		c.violation(ProxyNotTrusted)
	}
}
