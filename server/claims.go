package server

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys"

	"peregrine/account"
	"peregrine/account/operator"
)

// claims are the accounts that are known by their tokens.
//
//	token ─ fetched, pushed ─▶ operator.Account ─ commit ─▶ live account, links ─▶ sessions
//
// Fetching and judging happen on the goroutines that want an account; what is
// known changes under one lock, so sessions see the changes of one account in
// order.
type claims struct {
	srv      *Server
	resolver atomic.Pointer[resolver] // replaced by a reload
	fetching chan struct{}            // bounds the look-ups under way

	// now holds what counts of each account, *operator.Account by name, for
	// loops, which must not wait; none of accounts whose time is over.
	now sync.Map

	mu       sync.Mutex // guards the rest
	accounts map[string]*claimed
	fetches  map[string]*accountFetch
}

// claimed is an account of which a token was good once.
type claimed struct {
	current *operator.Account
	updated time.Time
	expired bool // its time is over, or it was deleted
	expiry  *time.Timer
	// activations ends the first activation token of its imports.
	activations *time.Timer
}

// accountFetch is a look-up under way.
type accountFetch struct {
	done chan struct{} // closed at the end
	err  error
}

var (
	errFetchFirst = errors.New("server: account not loaded")
	errTooSoon    = errors.New("account resolver update too soon")
)

func newClaims(s *Server) *claims {
	return &claims{
		srv: s, fetching: make(chan struct{}, fetchesMax),
		accounts: make(map[string]*claimed), fetches: make(map[string]*accountFetch),
	}
}

// fetchesMax bounds the accounts that are looked up at the same time: clients
// can name as many as they like.
const fetchesMax = 64

// source returns the resolver in use.
func (c *claims) source() resolver { return *c.resolver.Load() }

// replaceResolver puts a resolver without a folder in place of another one.
func (c *claims) replaceResolver(o ResolverOptions) {
	_, memory := c.source().(*memoryResolver)
	if memory && o.Kind == MemoryResolver {
		return
	}
	r, err := newResolver(c, o)
	if err != nil { // there is nothing to open
		c.srv.log.Errorf("The old account resolver stays in use: %v", err)
		return
	}
	(*c.resolver.Swap(&r)).close()
}

// trust returns whose signatures count at the moment.
func (c *claims) trust() *operator.Trust { return c.srv.options().Operator.Trust }

// underOperators makes activation tokens count.
func (s *Server) underOperators(o *Options) {
	if o.Operator == nil {
		return
	}
	o.Activate = func(exporter string, ex *account.Export, importer string, im *account.Import) bool {
		return s.claims != nil && s.claims.activates(exporter, ex, importer, im)
	}
}

// activates implements account.Activate.
func (c *claims) activates(exporter string, ex *account.Export, importer string, im *account.Import) bool {
	from, to := c.snapshot(exporter), c.snapshot(importer)
	if from == nil || to == nil {
		return false
	}
	_, ok := from.Activates(ex, to, im, time.Now())
	return ok
}

// loaded returns an account that is known. errFetchFirst says that it has to be
// asked for; it is no error of the account.
func (c *claims) loaded(name string) (*operator.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[name]
	switch {
	case a == nil:
		return nil, errFetchFirst
	case !a.expired:
		return a.current, nil
	case time.Since(a.updated) < time.Second:
		c.srv.log.Debugf("Requested account update for [%s] ignored, too soon", name)
		return nil, operator.ErrExpired
	}
	return nil, errFetchFirst
}

// lookup returns an account, known or fetched. It may wait.
func (c *claims) lookup(name string) (*operator.Account, error) {
	a, err := c.loaded(name)
	if !errors.Is(err, errFetchFirst) {
		return a, err
	}
	if err := c.fetchOnce(name); err != nil {
		if c.known(name) {
			return nil, operator.ErrExpired
		}
		return nil, err
	}
	if a, err = c.loaded(name); errors.Is(err, errFetchFirst) {
		return nil, operator.ErrExpired
	}
	return a, err
}

func (c *claims) known(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accounts[name] != nil
}

// fetchOnce is fetch, once for all that want the same account at the same time.
func (c *claims) fetchOnce(name string) error {
	c.mu.Lock()
	f := c.fetches[name]
	if f != nil {
		c.mu.Unlock()
		<-f.done
		return f.err
	}
	f = &accountFetch{done: make(chan struct{})}
	c.fetches[name] = f
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.fetches, name)
		c.mu.Unlock()
		close(f.done)
	}()
	token, err := c.fetch(name)
	if err == nil {
		err = c.take(name, token)
	}
	f.err = err
	return err
}

// fetch asks the resolver.
func (c *claims) fetch(name string) (string, error) {
	if !nkeys.IsValidPublicAccountKey(name) {
		return "", errors.New("will only fetch valid account keys")
	}
	c.fetching <- struct{}{}
	defer func() { <-c.fetching }()
	begun := time.Now()
	token, err := c.source().fetch(name)
	if d := time.Since(begun); d > time.Second {
		c.srv.log.Warnf("Account [%s] fetch took %v", name, d)
	} else {
		c.srv.log.Debugf("Account [%s] fetch took %v", name, d)
	}
	if err != nil {
		c.srv.log.Warnf("Account fetch failed: %v", err)
	}
	return token, err
}

// take makes a token that is said to be account name's the one that counts.
func (c *claims) take(name, token string) error {
	a, err := c.trust().Account(token, time.Now())
	if err != nil {
		return err
	}
	if a.Name != name {
		return operator.ErrValidation
	}
	c.commit(append([]*operator.Account{a}, c.exporters(a)...))
	return nil
}

// push is take for an account that is known; one that is not is left alone, and
// known is false.
func (c *claims) push(name, token string) (known bool, err error) {
	c.mu.Lock()
	a := c.accounts[name]
	same := a != nil && a.current.Token == token && !a.expired
	c.mu.Unlock()
	switch {
	case a == nil:
		return false, nil
	case same:
		c.srv.log.Debugf("Requested account update for [%s], same claims detected", name)
		return true, nil
	}
	return true, c.take(name, token)
}

// exportersMax bounds the accounts that come along with one that imports from
// them.
const exportersMax = 1024

// exporters fetches the accounts that a imports from, those that they import
// from, and so on, as far as they are not known.
func (c *claims) exporters(a *operator.Account) (found []*operator.Account) {
	seen := map[string]bool{a.Name: true}
	for todo := []*operator.Account{a}; len(todo) > 0; todo = todo[1:] {
		for _, im := range todo[0].Claims.Imports {
			if im == nil || seen[im.Account] || len(seen) > exportersMax || c.known(im.Account) {
				continue
			}
			seen[im.Account] = true
			other, err := c.judged(im.Account)
			if err != nil {
				c.srv.log.Errorf("Can't locate account [%s] for import of [%v] %s (err=%v)", im.Account, im.Subject, im.Type, err)
				continue
			}
			found, todo = append(found, other), append(todo, other)
		}
	}
	return found
}

// judged fetches an account without making anything of it.
func (c *claims) judged(name string) (*operator.Account, error) {
	token, err := c.fetch(name)
	if err != nil {
		return nil, err
	}
	a, err := c.trust().Account(token, time.Now())
	if err == nil && a.Name != name {
		err = operator.ErrValidation
	}
	return a, err
}

// commit makes what tokens say hold: for new accounts, and for those that have
// others, whose sessions are told.
func (c *claims) commit(all []*operator.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	type change struct{ from, to *operator.Account }
	var changes []change
	definitions := make([]*account.Definition, 0, len(all))
	for _, a := range all {
		k := c.accounts[a.Name]
		var old *operator.Account
		switch {
		case k == nil:
			k = new(claimed)
			c.accounts[a.Name] = k
		case k.current.Token == a.Token && !k.expired:
			continue
		default:
			old = k.current
		}
		c.srv.log.Debugf("Updating account claims: %s/%s", a.Name, a.Claims.Name)
		k.current, k.updated, k.expired = a, time.Now(), false
		c.now.Store(a.Name, a)
		c.armExpiry(k)
		c.armActivations(k)
		definitions = append(definitions, a.Definition)
		changes = append(changes, change{old, a})
	}
	c.define(definitions...)
	for _, ch := range changes {
		c.srv.accountChanged(ch.from, ch.to)
	}
}

// define makes definitions hold. It is called with the lock held.
func (c *claims) define(definitions ...*account.Definition) {
	if len(definitions) == 0 {
		return
	}
	for _, p := range c.srv.defineAccounts(definitions...) {
		c.srv.log.Debugf("Error in claims: %v", p)
	}
}

// armExpiry waits for the end of an account's time. It is called with the lock
// held.
func (c *claims) armExpiry(k *claimed) {
	stop(&k.expiry)
	if end := k.current.Expires(); !end.IsZero() {
		a := k.current
		k.expiry = time.AfterFunc(time.Until(end), func() { c.expire(a) })
	}
}

func stop(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// expire ends an account if a is still what it is.
func (c *claims) expire(a *operator.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.accounts[a.Name]; k != nil && k.current == a && !k.expired {
		k.expired = true
		c.now.Delete(a.Name)
		c.srv.accountExpired(a.Name)
	}
}

// remove ends an account that was deleted.
func (c *claims) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.accounts[name]
	if k == nil {
		return
	}
	c.srv.log.Debugf("Disable account %s due to remove", name)
	k.expired, k.updated = true, time.Now()
	c.now.Delete(name)
	stop(&k.expiry)
	stop(&k.activations)
	none := account.NewDefinition(name)
	none.Limits = account.Limits{}
	c.define(none)
	c.srv.accountExpired(name)
}

// armActivations waits for the end of the first activation token of an account.
// It is called with the lock held.
func (c *claims) armActivations(k *claimed) {
	stop(&k.activations)
	end := k.current.ActivationsEnd(time.Now())
	if end.IsZero() {
		return
	}
	a := k.current
	k.activations = time.AfterFunc(time.Until(end), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if now := c.accounts[a.Name]; now != nil && now.current == a {
			c.define(a.Definition)
			c.armActivations(now)
		}
	})
}

// close ends the timers.
func (c *claims) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.accounts {
		stop(&k.expiry)
		stop(&k.activations)
	}
}

// snapshot returns an account as it is, nil if it is not known or its time is
// over. Any goroutine, loops too.
func (c *claims) snapshot(name string) *operator.Account {
	a, ok := c.now.Load(name)
	if !ok {
		return nil
	}
	return a.(*operator.Account)
}

// names returns the accounts that are known.
func (c *claims) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]string, 0, len(c.accounts))
	for name := range c.accounts {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
