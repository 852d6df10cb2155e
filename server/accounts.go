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

	mu     sync.RWMutex // guards byName
	byName map[string]*liveAccount
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
	defer l.mu.Unlock()
	a := l.byName[def.Name]
	if a == nil {
		a = l.start(def)
		l.byName[def.Name] = a
	} else {
		a.Definition.Store(def)
	}
	return a
}

// follow makes the accounts those of d. Accounts that are not in d any more are
// forgotten; the sessions in them are for the caller to close.
func (l *liveAccounts) follow(d *account.Directory) {
	for _, def := range d.Accounts() {
		l.define(def)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.byName {
		if d.Accounts()[name] == nil {
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
	c.acc = a
	return true
}

// system tells whether a is the system account.
func (s *Server) system(a *liveAccount) bool {
	name := s.directory().System()
	return name != "" && a.Name == name
}

// directory returns who may connect at the moment.
func (s *Server) directory() *account.Directory { return s.options().Directory }
