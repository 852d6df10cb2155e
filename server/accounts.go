package server

import (
	"sync"

	"peregrine/account"
)

// liveAccount is an account as this server keeps it.
type liveAccount = account.Account[subscription]

// liveAccounts are the accounts that exist, by name. An account outlives the
// definitions it has had; its interest survives a reload.
type liveAccounts struct {
	srv   *Server
	loops int

	mu      sync.RWMutex // guards the rest
	byName  map[string]*liveAccount
	created func(*liveAccount) // told of new accounts; nil: nobody
}

func newLiveAccounts(srv *Server, loops int, d *account.Directory) *liveAccounts {
	l := &liveAccounts{srv: srv, loops: loops, byName: make(map[string]*liveAccount)}
	for _, def := range d.Accounts() {
		l.byName[def.Name] = l.start(def)
	}
	return l
}

// start brings an account to life.
func (l *liveAccounts) start(def *account.Definition) *liveAccount {
	a := account.New[subscription](def, l.loops)
	a.Local = newExchange(l.srv, a)
	return a
}

// find returns the account of that name, the global one for "", or nil.
func (l *liveAccounts) find(name string) *liveAccount {
	if name == "" {
		name = account.Global
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byName[name]
}

// define makes def hold, for an account that exists or for a new one.
func (l *liveAccounts) define(def *account.Definition) *liveAccount {
	l.mu.Lock()
	a := l.byName[def.Name]
	if a != nil {
		a.Definition.Store(def)
		l.mu.Unlock()
		return a
	}
	a = l.start(def)
	l.byName[def.Name] = a
	created := l.created
	l.mu.Unlock()
	if created != nil {
		created(a)
	}
	return a
}

// watch calls f for every account there is and will be.
func (l *liveAccounts) watch(f func(*liveAccount)) {
	l.mu.Lock()
	l.created = f
	all := make([]*liveAccount, 0, len(l.byName))
	for _, a := range l.byName {
		all = append(all, a)
	}
	l.mu.Unlock()
	for _, a := range all {
		f(a)
	}
}

// follow makes the accounts those of d, and those that keep names. Others are
// forgotten; the sessions in them are for the caller to close.
func (l *liveAccounts) follow(d *account.Directory, keep func(name string) bool) {
	for _, def := range d.Accounts() {
		l.define(def)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.byName {
		if d.Accounts()[name] == nil && !keep(name) {
			delete(l.byName, name)
		}
	}
}

// all returns the accounts, in no order.
func (l *liveAccounts) all() []*liveAccount {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]*liveAccount, 0, len(l.byName))
	for _, a := range l.byName {
		all = append(all, a)
	}
	return all
}

// moveTo makes a the session's account. The session must have no subscriptions.
// It is false, and nothing has changed, if a has no room.
func (c *session) moveTo(a *liveAccount) bool {
	if a == c.acc {
		return true
	}
	if !a.Join(false) {
		return false
	}
	c.w.publishTally(c)
	c.acc.Leave(false)
	c.w.srv.connsChanged(c.acc)
	c.acc = a
	c.w.srv.connsChanged(a)
	return true
}

// system tells whether a is the system account.
func (s *Server) system(a *liveAccount) bool {
	name := s.directory().System()
	return name != "" && a.Name == name
}

// directory returns who may connect at the moment.
func (s *Server) directory() *account.Directory { return s.options().Directory }
