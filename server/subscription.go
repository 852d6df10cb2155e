package server

import (
	"sync/atomic"

	"peregrine/codec"
	"peregrine/sublist"
)

// receiver takes messages for a subscription that no client holds: the server's
// own ones and imports.
type receiver interface {
	// receive takes m, which is borrowed, on the loop of w, the publisher's. It
	// reports whether the message was taken. It must not wait, and what it
	// matches must use neither w.scratch nor w.msg: the caller still reads them.
	receive(w *worker, m *message, sub *subscription) bool
	// repeats tells whether receive would do for each message with m's control
	// line what it does for m, all of it known beforehand. receiveRun then takes
	// them at once: a run of which first is such a message, not to be delivered.
	repeats(w *worker, m *message) bool
	receiveRun(w *worker, r *run)
}

// subscription is an interest in a subject: a session's, or a receiver's. It is
// in the account's interest, and a session's is in its map too; any loop
// delivers to it.
type subscription struct {
	sess    *session // nil: via takes the messages
	via     receiver
	subject string
	queue   string
	sid     string
	prefix  string // "MSG <subject> <sid> ", for a literal subject
	middle  string // " <sid> ", for a subject with wildcards
	shadows *shadow

	delivered atomic.Int64
	max       atomic.Int64 // 0: no auto-unsubscribe
	closed    atomic.Bool
	guard     atomic.Pointer[guard] // nil: every message may be delivered
}

// admit counts one delivery. last says that it is the one that ends the
// subscription; ok is false when the subscription is over (I1).
func (sub *subscription) admit() (last, ok bool) {
	if sub.closed.Load() {
		return false, false
	}
	n := sub.delivered.Add(1)
	if max := sub.max.Load(); max > 0 {
		return n == max, n <= max
	}
	return false, true
}

// subscribe handles SUB.
func (c *session) subscribe(f *codec.Frame) {
	srv := c.w.srv
	if c.w.trace {
		c.traceIn("SUB", f.Arg)
	}
	if string(f.Queue) == systemQueue || !c.maySubscribe(f.Subject, f.Queue) {
		c.refuseSub(f)
		return
	}
	if max := srv.options().MaxSubTokens; max > 0 && tokens(f.Subject) > max {
		c.sendErr(quoted(`Permissions Violation for Subscription to `, f.Subject) + ", too many tokens")
		c.errorf("Subscription Violation Too Many Tokens - Subject %q, SID %s", f.Subject, f.SID)
		return
	}
	if max := c.auth.maxSubs; max >= 0 && int64(len(c.subs)) >= max {
		c.sendErr(errMaxSubscriptions)
		c.errorf("%s", errMaxSubscriptions)
		return
	}
	if _, live := c.subs[string(f.SID)]; !live && !c.addSub(f) {
		c.sendErr(errInvalidSubject)
		return
	}
	c.ok()
}

// refuseSub tells that a subscription is not allowed.
func (c *session) refuseSub(f *codec.Frame) {
	text := quoted("Permissions Violation for Subscription to ", f.Subject)
	if len(f.Queue) > 0 {
		c.sendErr(text + quoted(" using queue ", f.Queue))
		c.errorf("Subscription Violation - Subject %q, Queue: %q, SID %s", f.Subject, f.Queue, f.SID)
		return
	}
	c.sendErr(text)
	c.errorf("Subscription Violation - Subject %q, SID %s", f.Subject, f.SID)
}

// systemQueue is the queue group that clients may not join.
const systemQueue = "_sys_"

func tokens(subject []byte) int {
	n := 1
	for _, b := range subject {
		if b == '.' {
			n++
		}
	}
	return n
}

// newSubscription keeps what f says, in one string for all parts.
func newSubscription(c *session, f *codec.Frame) *subscription {
	n := len(f.Subject)
	all := make([]byte, 0, len("MSG   ")+n+len(f.SID)+len(f.Queue))
	all = append(append(append(all, "MSG "...), f.Subject...), ' ')
	all = append(append(append(all, f.SID...), ' '), f.Queue...)
	text := string(all)
	at := len("MSG ") + n // end of the subject
	end := at + 1 + len(f.SID) + 1
	sub := &subscription{sess: c, subject: text[len("MSG "):at], sid: text[at+1 : end-1], queue: text[end:]}
	if sublist.HasWildcard(sub.subject) {
		sub.middle = text[at:end]
	} else {
		sub.prefix = text[:end]
	}
	return sub
}

// addSub puts a new subscription into the interest. It is false for a subject
// that cannot be subscribed to, and nothing has changed then.
func (c *session) addSub(f *codec.Frame) bool {
	sub := newSubscription(c, f)
	if c.perms.rules != nil {
		sub.guard.Store(c.perms.guardOf(sub.subject, sub.queue))
	}
	if err := c.acc.Interest.Insert(sub.subject, sub.queue, c.w.index, 1, sub); err != nil {
		return false
	}
	if c.subs == nil {
		c.subs = make(map[string]*subscription, 1)
	}
	c.subs[sub.sid] = sub
	c.addShadows(sub)
	c.numSubs.Store(int64(len(c.subs)))
	return true
}

// unsubscribe handles UNSUB: now, or after f.Max messages in all.
func (c *session) unsubscribe(f *codec.Frame) {
	if c.w.trace {
		c.traceIn("UNSUB", f.Arg)
	}
	c.ok()
	sub := c.subs[string(f.SID)]
	if sub == nil {
		return
	}
	if f.HasMax && f.Max > 0 && f.Max > sub.delivered.Load() {
		sub.max.Store(f.Max)
		// A delivery on another loop may have passed it meanwhile.
		if sub.delivered.Load() < f.Max {
			return
		}
	}
	c.dropSub(sub)
}

// dropSub ends a subscription of this loop's session.
func (c *session) dropSub(sub *subscription) {
	if c.subs[sub.sid] != sub {
		return
	}
	delete(c.subs, sub.sid)
	c.numSubs.Store(int64(len(c.subs)))
	sub.closed.Store(true)
	c.acc.Interest.Remove(sub.subject, sub.queue, sub)
	c.dropShadows(sub)
	exchangeOf(c.acc).interestGone(sub.subject)
	if c.w.trace {
		c.tracef("<-> [DELSUB %s]", sub.sid)
	}
}

// expire ends a subscription that has had its maximum, from whichever loop
// delivered the last message. Its owner, who alone knows the account that it is
// in, removes it.
func (w *worker) expire(sub *subscription) {
	c := sub.sess
	if w.debug {
		c.debugf("Auto-unsubscribe limit of %d reached for sid '%s'", sub.max.Load(), sub.sid)
	}
	if c.w == w {
		c.dropSub(sub)
		return
	}
	sub.closed.Store(true)
	c.w.lp.PostFrom(w.lp, func() { c.dropSub(sub) })
}

// dropBatch is how many subscriptions leave the interest in one turn.
const dropBatch = 2048

// dropAllSubs ends every subscription of the session. None is delivered to any
// more when it returns; if they are many, they leave the interest over the
// next turns.
func (c *session) dropAllSubs() {
	if len(c.subs) == 0 {
		return
	}
	batch := make([]sublist.Subscription[subscription], 0, len(c.subs))
	for _, sub := range c.subs {
		sub.closed.Store(true)
		batch = append(batch, sublist.Subscription[subscription]{Subject: sub.subject, Queue: sub.queue, Sub: sub})
		c.dropShadows(sub)
		if c.w.trace {
			c.tracef("<-> [DELSUB %s]", sub.sid)
		}
	}
	c.subs = nil
	c.numSubs.Store(0)
	c.w.removeInterest(c.acc, batch)
}

func (w *worker) removeInterest(acc *liveAccount, subs []sublist.Subscription[subscription]) {
	n := min(len(subs), dropBatch)
	acc.Interest.RemoveBatch(subs[:n])
	if rest := subs[n:]; len(rest) > 0 {
		w.lp.PostFrom(w.lp, func() { w.removeInterest(acc, rest) })
		return
	}
	if x := exchangeOf(acc); x.waiting.count.Load() > 0 {
		x.scanWaiting()
	}
}
