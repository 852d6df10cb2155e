package server

import (
	"cmp"
	"slices"

	"peregrine/account"
)

// After a reload every session is looked at again, on its loop: it stays who it
// is, perhaps with other permissions and limits; or has to show again who it is,
// with what it said in CONNECT; or is closed.

// reviewIdentity applies new options to a session.
func (c *session) reviewIdentity(before, after *Options) {
	srv, old, new := c.w.srv, before.Directory, after.Directory
	c.applyLimits()
	switch {
	case c.stage.closing || c.auth.held: // who waits is asked again when the answer is there
	case !c.stage.connected && !c.auth.awaiting && srv.authRequired():
		// It has not said anything yet; what it did without that it may no more.
		c.dropAllSubs()
		c.startAwaiting()
	case !c.stage.connected:
		c.auth.awaiting = srv.authRequired()
		if !c.auth.awaiting {
			c.w.lp.Cancel(&c.auth.timer)
		}
	case srv.options().Authenticator != nil, !before.Operator.judgesAs(after.Operator):
		c.authenticate(c.reviewSubs)
	case c.auth.who.Configured != nil:
		c.reviewUser(new)
	case srv.accounts.find(c.acc.Name) != c.acc:
		c.close(ClientClosed)
	case !sameForAll(old, new):
		c.reviewStranger(new)
	}
	if !c.stage.closing && c.auth.maxSubs >= 0 && int64(len(c.subs)) > c.auth.maxSubs {
		c.sendErr(errMaxSubscriptions)
		c.errorf("%s", errMaxSubscriptions)
		c.close(MaxSubscriptionsExceeded)
	}
}

// sameForAll tells whether clients that are no users of their own are treated
// alike.
func sameForAll(old, new *account.Directory) bool {
	a, b := old.Contents(), new.Contents()
	return old.Required() == new.Required() && a.User == b.User && a.Password == b.Password && a.Token == b.Token &&
		a.ProxyRequired == b.ProxyRequired && (len(a.Users) > 0) == (len(b.Users) > 0)
}

// reviewUser looks at a session that is a configured user.
func (c *session) reviewUser(d *account.Directory) {
	was := c.auth.who.Configured
	is := d.User(was.ID())
	switch {
	case is == nil || is.AccountName() != c.acc.Name || c.w.srv.accounts.find(c.acc.Name) != c.acc:
		// As in the reference: the client is to come back and find out.
		c.close(ClientClosed)
	case is.Password != was.Password || is.ConnectionTypes != was.ConnectionTypes || is.ProxyRequired != was.ProxyRequired:
		c.authenticate(c.reviewSubs)
	default:
		id := *c.auth.who
		id.Configured = is
		if !is.Permissions.Equal(id.Permissions) {
			id.Permissions = is.Permissions
		}
		rules := c.perms.rules
		if err := c.become(&id); err != nil {
			c.denied(err)
		} else if c.perms.rules != rules {
			c.reviewSubs()
		}
	}
}

// reviewStranger looks at a session that is nobody's in particular: everybody
// was let in, or one secret was everybody's.
func (c *session) reviewStranger(d *account.Directory) {
	if id := cmp.Or(c.connect.Nkey, c.connect.User); id != "" {
		if u := d.User(id); u == nil || u.AccountName() != c.acc.Name {
			c.close(ClientClosed)
			return
		}
	}
	c.authenticate(c.reviewSubs)
}

// evictFrom closes the youngest connections of accounts that have more than they
// may.
func (s *Server) evictFrom() {
	if len(s.crowded()) == 0 {
		return
	}
	open := s.OpenConnections(false) // the loops have closed what else had to be
	over := s.crowded()
	slices.SortFunc(open, func(a, b ConnInfo) int { return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(b.ID, a.ID)) })
	for _, info := range open {
		if over[info.Account] <= 0 {
			continue
		}
		over[info.Account]--
		s.closeOn(info, func(c *session) { c.denied(&account.Denial{Kind: account.TooManyConnections}) })
	}
}

// crowded returns the accounts with more connections than they may have, and by
// how many.
func (s *Server) crowded() map[string]int64 {
	over := make(map[string]int64)
	for _, a := range s.accounts.all() {
		limit := a.Definition.Load().Limits.Connections
		if n := a.Connections() - limit; limit >= 0 && n > 0 {
			over[a.Name] = n
		}
	}
	return over
}

// closeOn runs f for the session that info describes, if it is still there.
func (s *Server) closeOn(info ConnInfo, f func(c *session)) {
	w := s.workers[info.Loop]
	w.lp.Post(func() {
		w.each(func(c *session) {
			if c.c.ID() == info.ID && !c.stage.closing {
				f(c)
			}
		})
	})
}
