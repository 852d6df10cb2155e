package server

import "peregrine/account"

// shadow is a subscription's share of a stream import: an interest in another
// account whose messages go to a subscription here. Its owner's loop makes and
// ends it; any loop delivers to it.
//
//	exporter's interest: "s.>" ──▶ shadow ──▶ owner: "p.s.>" of the importer
//
// The owner is told of a message's subject as it is in its own account. What
// reaches the owner through a shadow counts for the owner's maximum.
type shadow struct {
	sub    subscription // in the exporter's interest
	owner  *subscription
	source streamSource
	into   *liveAccount // the owner's
	next   *shadow      // of the owner
}

// streamSource is a stream import and the account that it is from.
type streamSource struct {
	im   *account.StreamImport
	from *exchange
}

// receive implements receiver.
func (s *shadow) receive(w *worker, m *message, _ *subscription) bool {
	h := s.enter(w, m)
	if h == nil {
		return false
	}
	var ok bool
	if m.trace != nil {
		ok = s.receiveTraced(w, h)
	} else {
		ok = w.deliver(&h.msg, s.owner)
	}
	w.leave(h)
	return ok
}

// enter makes of m what it is in the owner's account; nil if it does not get
// there.
func (s *shadow) enter(w *worker, m *message) *hop {
	if m.crossed() {
		return nil // what a service is asked or answers is in no stream
	}
	h := w.enter(m, nil)
	if h != nil {
		h.subject = s.source.im.AppendLocal(h.subject[:0], m.Subject)
		h.frame.Subject = h.subject
	}
	return h
}

// repeats implements receiver.
func (s *shadow) repeats(*worker, *message) bool { return true }

func (s *shadow) receiveRun(w *worker, r *run) {
	if h := s.enter(w, &r.first); h != nil {
		w.deliverRun(h.runOf(r), s.owner)
		h.run.end()
		w.leave(h)
	}
}

// addShadows gives sub its share of the account's stream imports.
func (c *session) addShadows(sub *subscription) {
	for _, source := range exchangeOf(c.acc).streams() {
		if s := c.newShadow(sub, source); s != nil {
			s.next, sub.shadows = sub.shadows, s
		}
	}
}

// newShadow puts sub's share of source into the exporter's interest; nil if it
// has none.
func (c *session) newShadow(sub *subscription, source streamSource) *shadow {
	subject, ok := source.im.Source(sub.subject)
	if !ok {
		return nil
	}
	s := &shadow{owner: sub, source: source, into: c.acc}
	s.sub.via, s.sub.subject, s.sub.queue = s, subject, sub.queue
	c.debugf("Creating import subscription on %q from account %q", subject, source.im.Account)
	if err := source.from.acc.Interest.Insert(subject, sub.queue, c.w.index, 1, &s.sub); err != nil {
		c.debugf("Could not add shadow import subscription for account %q", source.im.Account)
		return nil
	}
	return s
}

// dropShadows takes sub's shares back.
func (c *session) dropShadows(sub *subscription) {
	for s := sub.shadows; s != nil; s = s.next {
		s.end()
	}
	sub.shadows = nil
}

func (s *shadow) end() {
	s.source.from.acc.Interest.Remove(s.sub.subject, s.sub.queue, &s.sub)
}

// renewShadows makes the session's shares agree with the imports that its
// account has. Shares that stay are not touched; new ones are there before old
// ones go.
func (c *session) renewShadows() {
	sources := exchangeOf(c.acc).streams()
	for _, sub := range c.subs {
		old := sub.shadows
		sub.shadows = nil
		for _, source := range sources {
			s := takeShadow(&old, source)
			if s == nil {
				s = c.newShadow(sub, source)
			}
			if s != nil {
				s.next, sub.shadows = sub.shadows, s
			}
		}
		for ; old != nil; old = old.next {
			old.end()
		}
	}
}

// takeShadow takes the shadow of source out of the list.
func takeShadow(list **shadow, source streamSource) *shadow {
	for at := list; *at != nil; at = &(*at).next {
		if s := *at; s.source == source {
			*at = s.next
			return s
		}
	}
	return nil
}
