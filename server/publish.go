package server

import (
	"bytes"

	"peregrine/codec"
	"peregrine/loop"
	"peregrine/sublist"
)

// publish handles PUB and HPUB. It returns what accept does.
func (c *session) publish(f *codec.Frame, sh *loop.Shared) (repeat *sublist.Result[subscription]) {
	if f.HeaderLen > 0 && asksForTrace(f.Header()) {
		c.publishTraced(f, sh)
		return nil
	}
	return c.accept(f, sh, nil)
}

// accept finds out who gets a message, and they do. It returns who that was if a
// message with the same control line may be treated the same without asking
// again (see publishRun), else nil. t is the message's trace, nil for none.
func (c *session) accept(f *codec.Frame, sh *loop.Shared, t *msgTrace) (repeat *sublist.Result[subscription]) {
	w := c.w
	w.tally.inMsgs++
	w.tally.inBytes += int64(f.Size)
	if w.trace {
		c.tracePublish(f)
	}
	if c.connect.Pedantic && !sublist.IsValidLiteral(f.Subject) {
		c.sendErr(errInvalidPublish)
	}
	if ms := c.acc.Mappings.Load(); ms != nil {
		f = c.mapped(f, ms, t)
	}
	if reservedSubject(f.Subject) && !c.mayUseReserved(f.Subject) || c.perms.rules != nil && !c.mayPublish(f.Subject) {
		c.refusePublish(f.Subject, t)
		return nil
	}
	if len(f.Reply) > 0 && reservedReply(f.Reply) {
		text := quoted("Permissions Violation for Publish with Reply of ", f.Reply)
		t.refuse(text)
		c.sendErr(text)
		c.errorf("Publish Violation - Reply %q", f.Reply)
		return nil
	}
	if c.connect.Verbose {
		c.ok()
	}
	r := w.cache.MatchInto(c.acc.Interest, f.Subject, &w.scratch)
	m := &w.msg
	*m = message{Frame: f, from: c, shared: sh, trace: t}
	if sh == nil && f.Tail == nil && len(f.Payload) >= shareMin && len(r.Plain)+len(r.Groups) > 1 {
		m.share()
	}
	reached := w.deliverAll(m, r)
	if m.own {
		m.shared.Release()
	}
	if !reached && len(f.Reply) > 0 && c.connect.NoResponders {
		c.noResponders(f)
	}
	if c.repeatable(m, r) {
		return r
	}
	return nil
}

// refusePublish tells that the client may not publish to subject.
func (c *session) refusePublish(subject []byte, t *msgTrace) {
	text := quoted("Permissions Violation for Publish to ", subject)
	t.refuse(text)
	c.sendErr(text)
	c.errorf("Publish Violation - Subject %q", subject)
}

// Reserved prefixes: replies as gateways map them, now and formerly, raft
// groups, replies of imported services, acknowledgements of JetStream.
var (
	gatewayReply    = []byte("_GR_.")
	oldGatewayReply = []byte("$GR.")
	raftSubject     = []byte("$NRG.")
	serviceReply    = []byte("_R_.")
	ackReply        = []byte("$JS.ACK.")
)

// longer tells whether s begins with prefix and goes on behind it.
func longer(s, prefix []byte) bool { return len(s) > len(prefix) && bytes.HasPrefix(s, prefix) }

// reservedSubject tells whether clients may not publish to subject.
func reservedSubject(subject []byte) bool {
	if len(subject) == 0 { // mapped to nothing
		return false
	}
	switch subject[0] {
	case '_':
		return longer(subject, gatewayReply)
	case '$':
		return bytes.HasPrefix(subject, raftSubject) || longer(subject, oldGatewayReply)
	}
	return false
}

// mayUseReserved tells whether a client may publish to a reserved subject after
// all: those of raft groups belong to the system account.
func (c *session) mayUseReserved(subject []byte) bool {
	return bytes.HasPrefix(subject, raftSubject) && c.w.srv.system(c.acc)
}

// reservedReply tells whether clients may not ask for replies to reply.
func reservedReply(reply []byte) bool {
	switch reply[0] {
	case '_':
		return bytes.HasPrefix(reply, serviceReply) || longer(reply, gatewayReply)
	case '$':
		return longer(reply, ackReply) || longer(reply, oldGatewayReply)
	}
	return false
}

// noResponders tells the publisher that nobody was there to answer, if it
// listens for the reply itself.
func (c *session) noResponders(f *codec.Frame) {
	r := c.w.cache.Match(c.acc.Interest, f.Reply)
	for _, sub := range r.Plain {
		if sub.sess != c {
			continue
		}
		// It does not count for auto-unsubscribe, as in the reference.
		c.send(codec.AppendNoRespondersMsg(nil, f.Reply, []byte(sub.sid), f.Subject))
		return
	}
}

// tracePublish logs a message that came in.
func (c *session) tracePublish(f *codec.Frame) {
	c.traceIn(f.Op.String(), f.Arg)
	if shown := c.w.traced(f.Payload, f.HeaderLen); len(shown) > 0 {
		c.tracef("<<- MSG_PAYLOAD: [%q]", shown)
	}
}

// traced is what a trace shows of a payload that begins with headerLen bytes of
// headers.
func (w *worker) traced(payload []byte, headerLen int) []byte {
	if !w.noBodies {
		return payload
	}
	// The line ends behind the last header and behind them all are left out.
	return payload[:max(0, headerLen-2*len(crlf))]
}
