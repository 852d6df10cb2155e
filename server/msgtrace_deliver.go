package server

import "peregrine/sublist"

// deliverAllTraced is deliverAll for a message that is traced.
func (w *worker) deliverAllTraced(m *message, r *sublist.Result[subscription]) (reached bool) {
	for _, sub := range r.Plain {
		if w.deliverTraced(m, sub) {
			reached = true
		}
	}
	for i := range r.Groups {
		members := r.Groups[i].Members
		n, at := len(members), r.Groups[i].Pick(w.random())
		for k := range n {
			if w.deliverTraced(m, members[(at+k)%n]) {
				reached = true
				break
			}
		}
	}
	return reached
}

// deliverTraced is deliver for a message that is traced. Receivers that are not
// clients look at the trace themselves.
func (w *worker) deliverTraced(m *message, sub *subscription) bool {
	if sub.sess == nil {
		return sub.via.receive(w, m, sub)
	}
	return w.deliverNoted(m, sub, sub)
}

// deliverNoted delivers to a client's subscription, unless nobody is to get the
// message, and notes it as shown.
func (w *worker) deliverNoted(m *message, sub, shown *subscription) bool {
	t, to := m.trace, sub.sess
	why := w.obstacle(m, sub)
	if why == "" && !t.only && !w.deliver(m, sub) {
		why = traceGone
		if max := sub.max.Load(); max > 0 && sub.delivered.Load() > max {
			why = traceMaxExceeded
		}
	}
	e := &traceEgress{
		traceEvent: happens("eg"), Kind: kindClient, CID: to.c.ID(),
		Subscription: shown.subject, Queue: sub.queue, Error: why,
	}
	if id := to.ident.Load(); id != nil {
		e.Name = id.name
	}
	if t.here != t.acc.Name {
		e.Account = t.here
	}
	t.note(e)
	return why == ""
}

// obstacle returns what keeps a message from a client's subscription, before
// it is counted; empty is nothing.
func (w *worker) obstacle(m *message, sub *subscription) string {
	switch g := sub.guard.Load(); {
	case sub.sess == m.from && !m.from.connect.Echo:
		return traceNoEcho
	case g != nil && !w.passes(g, m, sub):
		return traceDenied
	case sub.closed.Load():
		return traceSubClosed
	}
	return ""
}

// receiveTraced is receive for a message that is traced; h is what it becomes.
func (s *shadow) receiveTraced(w *worker, h *hop) bool {
	m := &h.msg
	t := m.trace
	t.note(&traceStream{happens("se"), s.into.Name, string(h.subject)})
	if !s.source.im.AllowTrace {
		m.trace = nil
		return t.only || w.deliver(m, s.owner)
	}
	here := t.here
	t.here = s.into.Name
	reached := w.deliverNoted(m, s.owner, &s.sub)
	t.here = here
	return reached
}

// tracedHop is what a hop needs to know of a message that is traced.
type tracedHop struct {
	from    string // subject before the boundary
	allowed bool   // the trace goes on behind it
	before  string // account before the boundary
}

// crossTraced notes that h's message gets to the account of to. It is false if
// the message ends here.
func (h *hop) crossTraced(w *worker, to *exchange) bool {
	m := &h.msg
	t := m.trace
	t.note(&traceService{happens("si"), to.acc.Name, h.traced.from, string(m.Subject)})
	if h.traced.allowed {
		t.here = to.acc.Name
		// Other servers would send what they note to where it is passed on.
		to.replies.listen()
		h.setTraceDest(string(randomDigits([]byte(to.replies.prefix), replyDigits, w.random())))
		return true
	}
	m.trace = nil
	h.setTraceDest(traceOff)
	return !t.only
}

// setTraceDest makes receivers see another destination. Of a request the headers
// are made when somebody gets it.
func (h *hop) setTraceDest(dest string) {
	if h.info.asked {
		h.traceDest = dest
		return
	}
	h.frame, h.msg.shared = *withHeader(&h.frame, traceDestHeader, dest), nil
}

// markTraced prepares h for a boundary behind which traces go on if allowed.
func (h *hop) markTraced(m *message, allowed bool) {
	h.traced = tracedHop{from: string(m.Subject), allowed: allowed, before: m.trace.here}
}
