package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peregrine/account"
	"peregrine/loop"
)

// Authenticator decides who a client is. Options.Authenticator puts one in
// place of the server's own, which decides by Options.Directory.
type Authenticator interface {
	// Authenticate calls done once, with an identity or with an error, at once
	// or later and from any goroutine. It is called on an event loop and must
	// not wait: what takes long belongs to a goroutine. The client is not read
	// meanwhile. c must not be changed; it may be kept until done is called.
	//
	// An error that is an *account.Denial says how the connection is closed; any
	// other one closes it for bad credentials. An answer that takes longer than
	// two minutes is too late.
	Authenticate(c *account.Client, done func(*account.Identity, error))
}

// authHoldMax is how long a session waits for its authenticator.
const authHoldMax = 2 * time.Minute

// authState is how far a session is known.
type authState struct {
	timer    loop.Timer // until CONNECT, until the answer, then until the identity expires
	nonce    string
	awaiting bool // nothing but CONNECT is taken
	held     bool // the authenticator has not answered
	told     bool // the operators know that it is there
	who      *account.Identity
	maxSubs  int64 // account.NoLimit: none
}

// startAuth prepares what a new session is told and what it has to show.
func (c *session) startAuth() {
	srv := c.w.srv
	c.applyLimits()
	if srv.nonceNeeded() {
		c.auth.nonce = newNonce()
	}
}

// startAwaiting takes nothing but CONNECT from now on, and that soon.
func (c *session) startAwaiting() {
	c.auth.awaiting = true
	c.w.lp.AfterFunc(&c.auth.timer, c.w.srv.options().AuthTimeout, c.authTimeout)
}

// newNonce returns 15 characters that nobody can foresee.
func newNonce() string {
	var raw [11]byte
	_, _ = rand.Read(raw[:]) // it does not fail
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func (s *Server) authRequired() bool {
	o := s.options()
	return o.Authenticator != nil || o.Operator != nil || o.Directory.Required()
}

// AuthRequired says whether clients have to say who they are.
func (s *Server) AuthRequired() bool { return s.authAnnounced() }

// authAnnounced is authRequired as the first INFO tells it.
func (s *Server) authAnnounced() bool {
	o := s.options()
	return o.Authenticator != nil || o.Operator != nil || o.Directory.Announced()
}

func (s *Server) nonceNeeded() bool {
	o := s.options()
	return o.AlwaysNonce || o.Operator != nil || len(o.TrustedProxies) > 0 || o.Directory.NonceNeeded()
}

// authenticator returns who decides.
func (s *Server) authenticator() Authenticator {
	if a := s.options().Authenticator; a != nil {
		return a
	}
	return (*ownAuthenticator)(s)
}

// noteDecision logs what a directory has to say about its decision.
func (s *Server) noteDecision(c *account.Client, r *account.Decision) {
	if s.options().Debug {
		for _, note := range r.Notes {
			s.log.Debugf("%s - cid:%d - %s", c.Peer, c.ID, note)
		}
	}
	if r.Warning != "" {
		s.log.Warnf("%s", r.Warning)
	}
}

func (c *session) authTimeout() {
	if c.stage.closing {
		return
	}
	c.sendErr(errAuthTimeout)
	c.debugf("%s", errAuthTimeout)
	c.close(AuthenticationTimeout)
}

func (c *session) authExpired() {
	if c.stage.closing {
		return
	}
	c.sendErr(errAuthExpired)
	c.debugf("%s", errAuthExpired)
	c.close(AuthenticationExpired)
}

// mayStart tells whether a session that has to say who it is may begin with
// first. Where a configured user stands for those who say nothing, it becomes
// that user; reading may be held then.
func (c *session) mayStart(first byte) bool {
	if first == 'C' || first == 'c' {
		return true
	}
	srv := c.w.srv
	d := srv.directory()
	u := d.User(d.Contents().NoAuthUser)
	if u == nil || u.Nkey != "" || u.ProxyRequired || !u.ConnectionTypes.Allows(account.Standard) {
		c.denied(account.Denied(""))
		return false
	}
	c.stage.connected = true
	c.authenticate(func() { c.identify(true) })
	return !c.auth.held && !c.stage.closing
}

// client is what the authenticator is told.
func (c *session) client() *account.Client {
	o := &c.connect
	return &account.Client{
		ID: c.c.ID(), Type: account.Standard, Peer: c.peer, TLS: c.tlsState(), Nonce: c.auth.nonce,
		Credentials: account.Credentials{
			User: o.User, Pass: o.Pass, Token: o.Token,
			Nkey: o.Nkey, JWT: o.JWT, Sig: o.Sig, ProxySig: o.ProxySig,
		},
		Name: o.Name, Lang: o.Lang, Version: o.Version, Protocol: o.Protocol,
	}
}

// How an authenticator's answer and its call can meet.
const (
	calling  uint32 = iota // Authenticate has not returned, nor answered
	answered               // it has answered before the loop looked
	waiting                // it has returned without an answer
)

// answer is what an authenticator said.
type answer struct {
	once  sync.Once // a second one does not count
	state atomic.Uint32
	asked uint64 // generation of the directory at the time
	id    *account.Identity
	err   error
}

// authenticate asks who the client is and then goes on with after, perhaps in a
// later turn; until then nothing more of the client is parsed.
func (c *session) authenticate(after func()) {
	c.auth.awaiting = false
	c.w.lp.Cancel(&c.auth.timer)
	a := &answer{asked: c.w.srv.directory().Generation}
	c.w.srv.authenticator().Authenticate(c.client(), func(id *account.Identity, err error) {
		a.once.Do(func() {
			a.id, a.err = id, err
			if !a.state.CompareAndSwap(calling, answered) {
				c.w.lp.Post(func() { c.resume(a, after) })
			}
		})
	})
	if a.state.CompareAndSwap(calling, waiting) {
		c.auth.held = true
		c.c.PauseReading(true)
		c.w.lp.AfterFunc(&c.auth.timer, authHoldMax, c.authTimeout)
		return
	}
	c.decided(a.id, a.err, after)
}

// resume goes on with a session that waited for its authenticator.
func (c *session) resume(a *answer, after func()) {
	if c.stage.closing {
		return
	}
	c.auth.held = false
	c.w.lp.Cancel(&c.auth.timer)
	if a.asked != c.w.srv.directory().Generation {
		c.authenticate(after) // the answer is of before a reload
	} else {
		c.decided(a.id, a.err, after)
	}
	if !c.auth.held {
		c.c.PauseReading(false)
	}
}

// decided makes the client who it is, or closes the connection.
func (c *session) decided(id *account.Identity, err error, after func()) {
	if err == nil {
		err = c.become(id)
	}
	if err != nil {
		c.tellAccountAuthError(c.denied(err))
		return
	}
	c.tellConnect()
	after()
}

// become gives the session an identity. The error is why it cannot have it;
// nothing has changed then.
func (c *session) become(id *account.Identity) error {
	if id == nil {
		return account.Denied("no identity")
	}
	a := c.w.srv.accounts.find(id.Account)
	if a == nil {
		return &account.Denial{Kind: account.AccountGone, Detail: "account " + id.Account + " does not exist"}
	}
	if err := c.w.srv.stillGood(id); err != nil {
		return err
	}
	if !c.moveTo(a) {
		return &account.Denial{Kind: account.TooManyConnections}
	}
	c.auth.who = id
	c.applyLimits()
	c.setPermissions(id.Permissions)
	c.w.lp.Cancel(&c.auth.timer)
	if !id.Expires.IsZero() {
		c.w.lp.AfterFunc(&c.auth.timer, max(time.Until(id.Expires), 0), c.authExpired)
	}
	return nil
}

// denied closes the connection of a client that is not let in. It returns which
// account is to be told, nil for none, and why.
func (c *session) denied(err error) (acc *liveAccount, reason string) {
	d, ok := errors.AsType[*account.Denial](err)
	if !ok {
		d = account.Denied(err.Error())
	}
	if d.Kind == account.TooManyConnections {
		c.sendErr(errMaxAccountConnections)
		c.errorf("%s", errMaxAccountConnections)
		c.close(MaxAccountConnectionsExceeded)
		return nil, ""
	}
	switch {
	case d.Detail == "":
	case d.Loud:
		c.errorf("%s", d.Detail)
	default:
		c.debugf("%s", d.Detail)
	}
	if who := c.client().Claimed(); who != "" {
		c.errorf("authentication error - %s", who)
	} else {
		c.errorf("authentication error")
	}
	c.sendErr(errAuthorization)
	r := AuthenticationFailure
	switch d.Kind {
	case account.ProxyNotTrusted:
		r = ProxyNotTrusted
	case account.ProxyRequired:
		r = ProxyRequired
	}
	c.close(r)
	c.tellAuthError(r)
	if d.Account != "" {
		return c.w.srv.accounts.find(d.Account), d.Reason
	}
	return c.acc, r.String()
}

// whoText is what the log calls the session's user.
func (c *session) whoText() string {
	id := c.auth.who
	if id == nil || id.Label == "" {
		return `User "N/A"`
	}
	kind, _, _ := strings.Cut(id.Label, ":")
	switch kind {
	case "nkey":
		return fmt.Sprintf("Nkey %q", id.User)
	case "jwt":
		return fmt.Sprintf("JWT User %q", id.User)
	case "token":
		return fmt.Sprintf("Token %q", id.User)
	}
	return fmt.Sprintf("User %q", id.User)
}

// applyLimits works out what server, account and user allow together.
func (c *session) applyLimits() {
	o := c.w.srv.options()
	limits := &c.acc.Definition.Load().Limits
	subs, payload := int64(account.NoLimit), int64(o.MaxPayload)
	if o.MaxSubs > 0 {
		subs = int64(o.MaxSubs)
	}
	subs = tighter(subs, limits.Subscriptions)
	payload = tighter(payload, limits.Payload)
	if id := c.auth.who; id != nil {
		subs = tighter(subs, id.MaxSubscriptions)
		payload = tighter(payload, id.MaxPayload)
	}
	c.auth.maxSubs = subs
	c.parser.MaxPayload = int32(payload)
}

// tighter returns the lower of two limits; negative ones are none.
func tighter(a, b int64) int64 {
	switch {
	case b < 0:
		return a
	case a < 0:
		return b
	}
	return min(a, b)
}
