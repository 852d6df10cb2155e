package server

import (
	"cmp"
	"slices"
	"sync"

	"peregrine/account"
	"peregrine/account/operator"
)

// accountChanged tells the sessions of an account that its token is another one.
// from is nil for a new account.
func (s *Server) accountChanged(from, to *operator.Account) {
	if from == nil || !s.internal.ready.Load() {
		return
	}
	s.withYoungest(to.Name, to.Definition.Limits.Connections, func(w *worker, over map[uint64]bool) {
		w.eachOf(to.Name, func(c *session) {
			if over[c.c.ID()] {
				c.tooManyInAccount()
				return
			}
			c.followAccount(from, to)
		})
	})
}

// accountExpired closes the sessions of an account.
func (s *Server) accountExpired(name string) {
	if !s.internal.ready.Load() {
		return
	}
	for _, w := range s.workers {
		w.lp.Post(func() {
			w.eachOf(name, func(c *session) { c.closeWith(errAccountExpired, AuthenticationExpired) })
		})
	}
}

// eachOf calls f for the open sessions in an account. f may close them.
func (w *worker) eachOf(name string, f func(c *session)) {
	w.each(func(c *session) {
		if c.acc.Name == name && !c.stage.closing && c.auth.who != nil {
			f(c)
		}
	})
}

// withYoungest runs f on every loop, with the sessions of the account that came
// last and are over its limit.
func (s *Server) withYoungest(name string, limit int64, f func(w *worker, over map[uint64]bool)) {
	acc := s.accounts.find(name)
	if limit < 0 || acc == nil || acc.Connections() <= limit {
		for _, w := range s.workers {
			w.lp.Post(func() { f(w, nil) })
		}
		return
	}
	// Each loop says whom it has; the last one to do so decides for all.
	type candidate struct {
		id     uint64
		opened int64
	}
	var mu sync.Mutex // guards the next two
	var all []candidate
	left := len(s.workers)
	for _, w := range s.workers {
		w.lp.Post(func() {
			var mine []candidate
			w.eachOf(name, func(c *session) { mine = append(mine, candidate{c.c.ID(), c.opened.UnixNano()}) })
			mu.Lock()
			all = append(all, mine...)
			left--
			last := left == 0
			mu.Unlock()
			if !last {
				return
			}
			slices.SortFunc(all, func(a, b candidate) int {
				return cmp.Or(cmp.Compare(a.opened, b.opened), cmp.Compare(a.id, b.id))
			})
			over := make(map[uint64]bool)
			for _, k := range all[min(int64(len(all)), limit):] {
				over[k.id] = true
			}
			for _, w := range s.workers {
				w.lp.Post(func() { f(w, over) })
			}
		})
	}
}

// followAccount makes what the account's new token says hold for a session. The
// order is that of what the client learns.
func (c *session) followAccount(from, to *operator.Account) {
	who := c.auth.who
	c.refresh(to)
	if c.stage.closing {
		return
	}
	switch {
	case who.JWT != "" && who.Bearer && to.Claims.Limits.DisallowBearer:
		c.debugf("Bearer User JWT not allowed")
		c.violation(AuthenticationFailure)
		return
	case who.Key != "" && to.Revoked(who.Key, who.IssuedAt):
		c.closeWith(errAuthRevoked, CredentialsRevoked)
		return
	}
	if who.IssuedBy != "" && !from.SameSigner(to, who.IssuedBy) {
		c.close(AuthenticationFailure)
	}
}

// refresh takes over the limits of the account, and its default permissions if
// the session has those.
func (c *session) refresh(to *operator.Account) {
	if who := c.auth.who; who.DefaultPermissions && who.Permissions != to.Definition.DefaultPermissions {
		next := *who
		next.Permissions = to.Definition.DefaultPermissions
		c.adopt(&next)
	}
	c.applyLimits()
	if max := c.auth.maxSubs; max >= 0 && int64(len(c.subs)) >= max {
		c.closeWith(errMaxSubscriptions, MaxSubscriptionsExceeded)
	}
}

// adopt gives a session another identity in the same account.
func (c *session) adopt(id *account.Identity) {
	c.auth.who = id
	c.setPermissions(id.Permissions)
	c.reviewSubs()
}

// closeWith closes a session and tells the client why.
func (c *session) closeWith(text string, r Reason) {
	if c.stage.closing {
		return
	}
	c.sendErr(text)
	c.debugf("%s", text)
	c.close(r)
}

// tooManyInAccount closes a session that its account has no room for any more.
func (c *session) tooManyInAccount() {
	c.sendErr(errMaxAccountConnections)
	c.errorf("%s", errMaxAccountConnections)
	c.close(MaxAccountConnectionsExceeded)
}

// violation closes a session that has no right to be there any more.
func (c *session) violation(r Reason) {
	if c.stage.closing {
		return
	}
	if who := c.auth.who; who != nil && who.User != "" {
		c.errorf("authentication error - JWT User %q", who.User)
	} else {
		c.errorf("authentication error")
	}
	c.sendErr(errAuthorization)
	c.close(r)
	c.tellAuthError(r)
}
