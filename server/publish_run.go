package server

import (
	"bytes"

	"peregrine/codec"
	"peregrine/loop"
	"peregrine/sublist"
)

// runMax bounds a run, in bytes: it should stay in the first-level cache while
// each receiver gets its copy.
const runMax = 32 << 10

// run is messages that came one behind the other with one control line. What
// that line asks for was found out with the first; the others only have to be
// counted and copied. first is the message before the run, whose places and sizes
// all of them share.
type run struct {
	first  message
	bytes  []byte // of all frames; borrowed
	frames int
	frame  int // bytes of one
	// several receivers get it.
	several bool
	// What the run is for receivers with this head, made when the first of
	// several wants it; nil until then.
	shared *loop.Shared
	head   []byte
	// one is what a frame looks like to deliver, for receivers that take them one
	// by one.
	one codec.Frame
}

// repeatable tells whether more messages like m go to r by the same way: there
// is nothing to decide, log or answer for each. A mapping may choose at random, and
// what may be published as an answer may be so only once.
func (c *session) repeatable(m *message, r *sublist.Result[subscription]) bool {
	return m.Tail != nil && m.trace == nil && len(m.Payload) <= copyMax && m.shared == nil && len(m.Reply) == 0 && len(r.Groups) == 0 &&
		!c.w.trace && !c.connect.Verbose && !c.connect.Pedantic &&
		m.Frame == &c.w.frame && c.acc.Mappings.Load() == nil &&
		(c.perms.rules == nil || !c.perms.rules.LimitsPublish() || bytes.Equal(m.Subject, c.perms.allowed))
}

// publishRun delivers the frames behind the first one of b that repeat it, which
// w.msg was made of and r is the match of. It returns their length.
func (c *session) publishRun(b []byte, n int, r *sublist.Result[subscription]) int {
	w := c.w
	m := &w.msg
	frames := codec.Run(b, m.Frame, n, runMax)
	if m.HeaderLen > 0 {
		frames = untraced(b, m.Frame, n, frames)
	}
	if frames == 0 {
		return 0
	}
	if !w.allRepeat(m, r) {
		return 0
	}
	w.tally.inMsgs += int64(frames)
	w.tally.inBytes += int64(frames) * int64(m.Size)
	run := &w.run
	run.first, run.frames, run.frame = *m, frames, n
	run.bytes, run.several = b[n:n+frames*n], len(r.Plain) > 1
	for _, sub := range r.Plain {
		w.deliverRun(run, sub)
	}
	run.end()
	return frames * n
}

// untraced returns how many of the frames behind the first one of b come before
// one that asks for a trace.
func untraced(b []byte, first *codec.Frame, n, frames int) int {
	for i := range frames {
		if asksForTrace(b[(i+1)*n+first.Line:][:first.HeaderLen]) {
			return i
		}
	}
	return frames
}

// allRepeat tells whether all of r take messages with m's control line without
// deciding about each.
func (w *worker) allRepeat(m *message, r *sublist.Result[subscription]) bool {
	for _, sub := range r.Plain {
		if sub.sess == nil && !sub.via.repeats(w, m) {
			return false
		}
	}
	return true
}

// end gives back what the run has made for several receivers.
func (run *run) end() {
	if run.shared != nil {
		run.shared.Release()
		run.shared = nil
	}
}

// deliverRun queues a run for one subscription.
func (w *worker) deliverRun(run *run, sub *subscription) {
	m, to := &run.first, sub.sess
	if to == nil {
		sub.via.receiveRun(w, run)
		return
	}
	if to == m.from && !m.from.connect.Echo {
		return
	}
	if g := sub.guard.Load(); g != nil && !w.passes(g, m, sub) {
		return
	}
	if m.HeaderLen > 0 && !to.headers.Load() {
		w.deliverSingly(run, sub)
		return
	}
	skip, size := run.frame-len(m.Tail), m.Size
	if m.asks() {
		skip, size = m.Line, w.askedHead(m, sub)
	} else {
		w.plainHead(m, sub)
	}
	each := len(w.head) + run.frame - skip
	q, ok := w.lp.QueueRun(to.c, run.frames*each)
	if !ok {
		w.deliverSingly(run, sub)
		return
	}
	frames, last := sub.admitRun(int64(run.frames))
	if last {
		w.expire(sub)
	}
	if frames == 0 {
		return
	}
	if !run.several || frames < int64(run.frames) || run.frames*each < shareMin || !w.shareRun(run, q, w.head, skip) {
		w.lp.AppendRun(q, w.head, run.bytes[:int(frames)*run.frame], run.frame, skip)
	}
	q.Msgs += frames
	q.Payload += frames * int64(size)
	w.tally.outMsgs += frames
	w.tally.outBytes += frames * int64(size)
}

// plainHead puts what stands before the tail of m for sub into w.head.
func (w *worker) plainHead(m *message, sub *subscription) {
	b := w.head[:0]
	if m.HeaderLen > 0 {
		b = append(b, 'H')
	}
	w.head = sub.appendHead(b, m)
}

// shareRun queues the run by reference. That takes receivers with the same head:
// clients count their subscriptions from 1, so those of a fan-out mostly have it.
func (w *worker) shareRun(run *run, q *loop.Queue, head []byte, skip int) bool {
	switch {
	case run.shared == nil:
		run.shared = loop.NewShared(run.frames * (len(head) + run.frame - skip))
		run.head = append(run.head[:0], head...)
		loop.FillRun(run.shared.Bytes(), head, run.bytes, run.frame, skip)
	case !bytes.Equal(run.head, head):
		return false
	}
	w.lp.AppendShared(q, run.shared, run.shared.Bytes())
	return true
}

// deliverSingly takes the frames of a run through deliver, for a receiver whose
// limits may be near or that cannot take them as they stand.
func (w *worker) deliverSingly(run *run, sub *subscription) {
	first := run.first.Frame
	m := &w.msg
	run.one = *first
	for i := range run.frames {
		b := run.bytes[i*run.frame:][:run.frame]
		if first.Tail != nil {
			run.one.Tail = b[run.frame-len(first.Tail):]
		}
		run.one.Payload = b[first.Line : first.Line+first.Size]
		*m = run.first
		m.Frame = &run.one
		w.deliver(m, sub)
	}
}

// admitRun is admit for several deliveries: it says how many of them may be.
func (sub *subscription) admitRun(frames int64) (admitted int64, last bool) {
	if sub.closed.Load() {
		return 0, false
	}
	n := sub.delivered.Add(frames)
	if max := sub.max.Load(); max > 0 && n >= max {
		left := max - (n - frames)
		if left <= 0 {
			return 0, false
		}
		return left, true
	}
	return frames, false
}
