package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"peregrine/account"
	"peregrine/account/claimstore"
	"peregrine/account/operator"
)

// OperatorMode says that accounts and users show JWTs, and whose count.
type OperatorMode struct {
	Trust    *operator.Trust
	Pinned   []string // accounts that clients may be of; nil is all
	Sentinel string   // token of clients that show none

	Resolver ResolverOptions
	// Preload are tokens by account that the resolver is to know from the start.
	Preload map[string]string

	// Banner is what is logged of the operators at the start.
	Banner []string
	// Tokens are those of the operators, Claims what is in them, for monitors.
	Tokens []string
	Claims []any
}

// ResolverOptions say where the tokens of accounts are.
type ResolverOptions struct {
	Kind ResolverKind

	// Of URLResolver.
	URL string // the account's key is appended
	TLS *tls.Config

	// Of FullResolver and CacheResolver.
	Dir      string
	Limit    int64         // 0 is none, for a cache cacheLimit
	TTL      time.Duration // of a cache; 0 is none
	Interval time.Duration // between comparisons with others; 0 is a minute
	Timeout  time.Duration // of a look-up at others; 0 is fetchTimeout
	Deletion claimstore.Deletion
}

// ResolverKind is a kind of resolver.
type ResolverKind int

// The kinds of resolvers: what is preloaded; a web server; all tokens in a
// folder, kept the same on all servers; those in use in a folder.
const (
	MemoryResolver ResolverKind = iota
	URLResolver
	FullResolver
	CacheResolver
)

const (
	cacheLimit   = 1000
	fetchTimeout = 1900 * time.Millisecond
)

// resolver finds the tokens of accounts.
type resolver interface {
	// fetch returns an account's token. It may wait, but not for longer than it
	// is to, and not when the server ends.
	fetch(name string) (string, error)
	// store keeps a token unless it has a newer one.
	store(name, token string) error
	// start begins to listen to others.
	start() error
	// reload looks whether tokens have changed by other means.
	reload()
	close()
}

// internalQueues are the queues for the server's own subscriptions. What may
// wait for something of another queue is not in the same one.
type internalQueues struct {
	claims  *internalQueue // pushed tokens; asks lookups and answers
	lookups *internalQueue // tokens that others want
	answers *internalQueue // to what the server asked
	info    *internalQueue // about clients
}

// startQueues makes the queues and, where there is a system account, listens to
// clients that ask who they are.
func (s *Server) startQueues() {
	const bytes = 64 << 20
	s.queues = internalQueues{
		claims:  s.newInternalQueue("claims", 4<<10, bytes),
		lookups: s.newInternalQueue("lookups", 4<<10, bytes),
		answers: s.newInternalQueue("answers", 16<<10, bytes),
		info:    s.newInternalQueue("info", 16<<10, bytes/4),
	}
	s.traces = s.newTraceQueue()
	s.internal.queues.Go(s.runOutbox)
	if s.systemAccount() != nil {
		s.accounts.watch(s.listenForUserInfo)
		s.internal.queues.Go(s.repeatConns)
	}
}

// loadClaims opens the resolver and gets the system account, as far as that is
// possible before the server runs.
func (s *Server) loadClaims() (err error) {
	mode := s.options().Operator
	if mode == nil {
		return s.checkIdleResolver()
	}
	c := newClaims(s)
	r, err := newResolver(c, mode.Resolver)
	if err != nil {
		return err
	}
	c.resolver.Store(&r)
	s.claims = c
	if err := s.preload(mode); err != nil {
		return err
	}
	if u, ok := c.source().(*urlResolver); ok {
		if _, err := u.fetch(""); err != nil {
			return err
		}
	}
	sys := s.directory().System()
	if sys == "" {
		return nil
	}
	if err := c.fetchOnce(sys); err != nil {
		if mode.Resolver.Kind == MemoryResolver || sys == account.System {
			return fmt.Errorf("error resolving system account: %w", err)
		}
		c.bootstrap(sys)
	}
	return nil
}

// checkIdleResolver finds whether somebody is there, where the resolver asks a
// web server.
func (s *Server) checkIdleResolver() error {
	o := s.options().IdleResolver
	if o == nil || o.Kind != URLResolver {
		return nil
	}
	u := newURLResolver(s, *o)
	defer u.close()
	_, err := u.fetch("")
	return err
}

var errNoOperator = errors.New("no operator key found")

// startError words why a resolver does not start.
func startError(err error) error {
	return fmt.Errorf("Could not start resolver: %w", err) //nolint:staticcheck // the text is the reference's
}

func (s *Server) preload(mode *OperatorMode) error {
	for name, token := range mode.Preload {
		if mode.Resolver.Kind == URLResolver {
			return errPreload
		}
		if _, err := operator.DecodeAccount(token); err != nil {
			return fmt.Errorf("preload account error for %q: %w", name, err)
		}
		if err := s.claims.source().store(name, token); err != nil {
			s.log.Warnf("Preloaded account [%s] not stored: %v", name, err)
		}
	}
	return nil
}

// startClaims begins to take tokens from others.
func (s *Server) startClaims() error {
	mode := s.options().Operator
	if mode == nil {
		if o := s.options().IdleResolver; o != nil && (o.Kind == FullResolver || o.Kind == CacheResolver) {
			return startError(errNoOperator)
		}
		return nil
	}
	for _, line := range mode.Banner {
		s.log.Noticef("%s", line)
	}
	if len(mode.Tokens) > 0 && s.directory().System() == "" {
		s.log.Warnf("Trusted Operators should utilize a System Account")
	}
	c := s.claims
	if mode.Resolver.Kind == MemoryResolver || mode.Resolver.Kind == URLResolver {
		if err := c.listenForUpdates(); err != nil {
			return err
		}
	}
	if err := c.source().start(); err != nil {
		return startError(err)
	}
	if c.bootstrapping() {
		s.log.Noticef("Using bootstrapping system account")
		s.internal.queues.Go(c.endBootstrap)
	}
	return nil
}

func (s *Server) stopClaims() {
	if s.claims != nil {
		s.claims.close()
		s.claims.source().close()
	}
}

// reloadClaims looks whether the tokens of accounts in use have changed by other
// means than a push.
func (s *Server) reloadClaims() {
	c := s.claims
	if c == nil {
		return
	}
	mode := s.options().Operator
	if !mode.Resolver.keepsFolder() {
		c.replaceResolver(mode.Resolver)
	}
	m, ok := c.source().(*memoryResolver)
	if !ok {
		c.source().reload()
		return
	}
	preload := mode.Preload
	m.replace(preload)
	for _, name := range c.names() {
		token, ok := preload[name]
		if !ok {
			c.remove(name)
			continue
		}
		if _, err := c.push(name, token); err != nil {
			s.log.Errorf("Error updating account %q: %v", name, err)
		}
	}
}

// judgesAs tells whether the users of an account are treated alike in o and in p.
func (o *OperatorMode) judgesAs(p *OperatorMode) bool {
	return o == nil || p == nil || slices.Equal(o.Pinned, p.Pinned) && o.Sentinel == p.Sentinel
}

// fixedOperator returns an error for what of operator mode cannot change.
func fixedOperator(old, o *OperatorMode) error {
	switch {
	case (old == nil) != (o == nil):
		return errors.New("config reload does not support moving to or from an account resolver")
	case o == nil:
		return nil
	case o.Resolver.Kind == URLResolver && len(o.Preload) > 0:
		return errPreload
	case !old.Resolver.keepsFolder() && !o.Resolver.keepsFolder():
		return nil
	case old.Resolver.withoutTLS() != o.Resolver.withoutTLS():
		return errors.New("config reload not supported for AccountResolver")
	}
	return nil
}

// keepsFolder tells whether the resolver is one with a folder. Such a one stays as
// it was started.
func (o ResolverOptions) keepsFolder() bool { return o.Kind == FullResolver || o.Kind == CacheResolver }

// withoutTLS returns what can be compared.
func (o ResolverOptions) withoutTLS() ResolverOptions { o.TLS = nil; return o }

var errPreload = errors.New("resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR")

// claimed tells whether an account is known by its token.
func (s *Server) claimed(name string) bool { return s.claims != nil && s.claims.known(name) }

// bootstrap makes do with a system account that only its own key speaks for,
// until its token is known: somebody has to push that.
func (c *claims) bootstrap(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.trust().Bootstrap(name)
	c.accounts[name] = &claimed{current: a}
	c.now.Store(name, a)
	c.define(a.Definition)
}

func (c *claims) bootstrapping() bool {
	a, err := c.loaded(c.srv.directory().System())
	return err == nil && a.Token == ""
}

// endBootstrap looks for the system account's token once a second.
func (c *claims) endBootstrap() {
	name := c.srv.directory().System()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for c.bootstrapping() {
		select {
		case <-c.srv.quit:
			return
		case <-tick.C:
		}
		if token, err := c.source().fetch(name); err == nil && c.take(name, token) == nil {
			c.srv.log.Noticef("System account fetched and updated")
			return
		}
	}
}
