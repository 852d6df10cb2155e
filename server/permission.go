package server

import (
	"bytes"
	"hash/maphash"

	"peregrine/account"
)

// Permissions are compiled once for all who have them; what they said of a
// subject is kept on each loop.
//
//	PUB ─▶ last allowed subject of the session ─▶ cache of the loop ─▶ rules ─▶ answers
//	deliver ─▶ guard of the subscription (most have none) ─▶ cache of the loop ─▶ rules

// guard is what has to be looked at before a message goes to a subscription. It
// does not change; a session with other permissions gives its subscriptions
// other guards.
type guard struct {
	deny    *account.Rules // nil: every message may be delivered
	answers *answers       // nil: replies are of no interest
}

// permissions is what a session may do. Owned by the loop but for the guards,
// which are shared with all loops through its subscriptions.
type permissions struct {
	rules   *account.Rules // nil: everything
	allowed []byte         // the last subject that rules let it publish to
	open    *guard         // of subscriptions that nothing denied overlaps; may be nil
	closed  *guard         // of the others
}

// setPermissions makes p the session's permissions. Its subscriptions are left
// alone: see reviewSubs.
func (c *session) setPermissions(p *account.Permissions) {
	rules := p.Rules()
	if rules == c.perms.rules {
		return
	}
	old := c.perms
	c.perms = permissions{rules: rules}
	if rules == nil {
		return
	}
	for _, text := range rules.Complaints() {
		c.errorf("%s", text)
	}
	var a *answers
	if rules.Responses() != nil {
		a = newAnswers(rules, old.answers())
		c.perms.open = &guard{answers: a}
	}
	c.perms.closed = &guard{deny: rules, answers: a}
}

func (p *permissions) answers() *answers {
	if p.open == nil {
		return nil
	}
	return p.open.answers
}

// guardOf returns the guard for a subscription that the rules allow.
func (p *permissions) guardOf(subject, queue string) *guard {
	if p.rules.Filters(subject, queue) {
		return p.closed
	}
	return p.open
}

// mayPublish tells whether the session may publish to subject. It counts as an
// answer if that is what allows it.
func (c *session) mayPublish(subject []byte) bool {
	p := &c.perms
	if bytes.Equal(subject, p.allowed) {
		return true
	}
	if !p.rules.LimitsPublish() {
		return true
	}
	if !c.w.verdicts.mayPublish(p.rules, subject) {
		a := p.answers()
		return a != nil && a.take(subject, c.w.lp.Now())
	}
	if len(subject) <= verdictSubjectMax {
		p.allowed = append(p.allowed[:0], subject...)
	}
	return true
}

// passes tells whether a message may go to a subscription with guard g.
func (w *worker) passes(g *guard, m *message, sub *subscription) bool {
	return g.deny == nil || w.verdicts.mayReceive(g.deny, m.Subject, sub.queue)
}

// noteReply remembers that the receiver of a request may answer it.
func (w *worker) noteReply(g *guard, reply []byte) {
	if !w.verdicts.mayPublish(g.answers.rules, reply) {
		g.answers.note(reply, w.lp.Now())
	}
}

// Sizes of the cache of verdicts of a loop.
const (
	verdictLines      = 4096
	verdictSubjectMax = 256 // bytes; longer subjects are worked out each time
)

// verdicts are what rules have said, by subject: direct-mapped, made at first
// use. Owned by the loop.
type verdicts struct {
	lines []verdict
	seed  maphash.Seed
}

// verdict is one answer. Its subject's memory is used again.
type verdict struct {
	rules   uint64 // their ID; 0: empty
	kind    verdictKind
	yes     bool
	subject []byte
	queue   string
}

type verdictKind uint8

const (
	publishing verdictKind = iota
	receiving
)

// line returns where the answer for subject belongs.
func (v *verdicts) line(rules uint64, kind verdictKind, subject []byte) *verdict {
	if v.lines == nil {
		v.lines, v.seed = make([]verdict, verdictLines), maphash.MakeSeed()
	}
	h := maphash.Bytes(v.seed, subject) + rules*0x9e3779b97f4a7c15 + uint64(kind)
	return &v.lines[(h^h>>32)%verdictLines]
}

// holds tells whether e is the answer for these.
func (e *verdict) holds(rules uint64, kind verdictKind, subject []byte, queue string) bool {
	return e.rules == rules && e.kind == kind && e.queue == queue && bytes.Equal(e.subject, subject)
}

func (e *verdict) set(rules uint64, kind verdictKind, subject []byte, queue string, yes bool) {
	e.rules, e.kind, e.queue, e.yes = rules, kind, queue, yes
	e.subject = append(e.subject[:0], subject...)
}

func (v *verdicts) mayPublish(r *account.Rules, subject []byte) bool {
	if len(subject) > verdictSubjectMax {
		return r.MayPublish(subject)
	}
	e := v.line(r.ID, publishing, subject)
	if !e.holds(r.ID, publishing, subject, "") {
		e.set(r.ID, publishing, subject, "", r.MayPublish(subject))
	}
	return e.yes
}

func (v *verdicts) mayReceive(r *account.Rules, subject []byte, queue string) bool {
	if len(subject) > verdictSubjectMax {
		return r.MayReceive(subject, queue)
	}
	e := v.line(r.ID, receiving, subject)
	if !e.holds(r.ID, receiving, subject, queue) {
		e.set(r.ID, receiving, subject, queue, r.MayReceive(subject, queue))
	}
	return e.yes
}

// maySubscribe tells whether the session may listen to subject.
func (c *session) maySubscribe(subject, queue []byte) bool {
	return c.perms.rules == nil || c.perms.rules.MaySubscribe(string(subject), string(queue))
}

// reviewSubs looks at every subscription again, after the permissions changed:
// those that are not allowed any more end, with a word to the client.
func (c *session) reviewSubs() {
	var lost []*subscription
	for _, sub := range c.subs {
		if c.perms.rules == nil {
			sub.guard.Store(nil)
		} else if c.perms.rules.MaySubscribe(sub.subject, sub.queue) {
			sub.guard.Store(c.perms.guardOf(sub.subject, sub.queue))
		} else {
			lost = append(lost, sub)
		}
	}
	for _, sub := range lost {
		text, where := quoted("Permissions Violation for Subscription to ", []byte(sub.subject)), ""
		if sub.queue != "" {
			where = quoted(" using queue ", []byte(sub.queue))
		}
		c.sendErr(text + where + quoted(" (sid ", []byte(sub.sid)) + ")")
		c.w.srv.log.Noticef("Removed sub %q%s (sid %q) for %s - not authorized", sub.subject, where, sub.sid, c.whoText())
		c.dropSub(sub)
	}
}
