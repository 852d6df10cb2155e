package server

import (
	"sync/atomic"

	"peregrine/codec"
	"peregrine/sublist"
)

// subscription is a session's interest in a subject. It is in the account's
// interest and in the session's map; any loop delivers to it.
type subscription struct {
	sess    *session
	subject string
	queue   string
	sid     string

	delivered atomic.Int64
	max       atomic.Int64 // 0: no auto-unsubscribe
	closed    atomic.Bool
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
	if max := srv.opts.MaxSubTokens; max > 0 && tokens(f.Subject) > max {
		c.sendErr(quoted(`Permissions Violation for Subscription to `, f.Subject) + ", too many tokens")
		c.errorf("Subscription Violation Too Many Tokens - Subject %q, SID %s", f.Subject, f.SID)
		return
	}
	if string(f.Queue) == systemQueue {
		c.sendErr(quoted(`Permissions Violation for Subscription to `, f.Subject) + quoted(" using queue ", f.Queue))
		c.errorf("Subscription Violation - Subject %q, Queue: %q, SID %s", f.Subject, f.Queue, f.SID)
		return
	}
	if max := srv.opts.MaxSubs; max > 0 && len(c.subs) >= max {
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

// addSub puts a new subscription into the interest. It is false for a subject
// that cannot be subscribed to, and nothing has changed then.
func (c *session) addSub(f *codec.Frame) bool {
	// One allocation for the strings of a subscription.
	all := make([]byte, 0, len(f.Subject)+len(f.Queue)+len(f.SID))
	all = append(append(append(all, f.Subject...), f.Queue...), f.SID...)
	text := string(all)
	n, m := len(f.Subject), len(f.Subject)+len(f.Queue)
	sub := &subscription{sess: c, subject: text[:n], queue: text[n:m], sid: text[m:]}
	if err := c.acc.Interest.Insert(sub.subject, sub.queue, c.w.index, 1, sub); err != nil {
		return false
	}
	if c.subs == nil {
		c.subs = make(map[string]*subscription, 1)
	}
	c.subs[sub.sid] = sub
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
	if !sub.closed.Swap(true) {
		c.acc.Interest.Remove(sub.subject, sub.queue, sub)
	}
	if c.w.trace {
		c.tracef("<-> [DELSUB %s]", sub.sid)
	}
}

// expire ends a subscription that has had its maximum, from whichever loop
// delivered the last message.
func (w *worker) expire(sub *subscription) {
	c := sub.sess
	if w.debug {
		c.debugf("Auto-unsubscribe limit of %d reached for sid '%s'", sub.max.Load(), sub.sid)
	}
	if c.w == w {
		c.dropSub(sub)
		return
	}
	if !sub.closed.Swap(true) {
		c.acc.Interest.Remove(sub.subject, sub.queue, sub)
	}
	c.w.lp.PostFrom(w.lp, func() { c.dropSub(sub) })
}

// dropAllSubs ends every subscription of the session.
func (c *session) dropAllSubs() {
	if len(c.subs) == 0 {
		return
	}
	batch := make([]sublist.Subscription[subscription], 0, len(c.subs))
	for _, sub := range c.subs {
		if !sub.closed.Swap(true) {
			batch = append(batch, sublist.Subscription[subscription]{Subject: sub.subject, Queue: sub.queue, Sub: sub})
		}
		if c.w.trace {
			c.tracef("<-> [DELSUB %s]", sub.sid)
		}
	}
	c.acc.Interest.RemoveBatch(batch)
	c.subs = nil
	c.numSubs.Store(0)
}
