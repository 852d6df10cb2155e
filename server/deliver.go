package server

import (
	"bytes"

	"peregrine/codec"
	"peregrine/loop"
	"peregrine/sublist"
)

const (
	// lendMin is the tail from which the socket gets the read buffer's bytes
	// themselves.
	lendMin = 4 << 10
	// shareMin is the payload from which several receivers of a message that
	// cannot be passed on as it stands share one copy.
	shareMin = 4 << 10
	// copyMax is the largest tail that is copied behind its head. What is
	// longer, and in a Shared anyway, is queued by reference.
	copyMax = 2 << 10
	// headExtra covers verb, blanks, sizes and line ends of a head.
	headExtra = 48
)

// message is a publish on its way to its receivers.
type message struct {
	*codec.Frame
	from   *session     // nil: the server itself
	shared *loop.Shared // what Payload and Tail are in, or nil
	own    bool         // shared was made here
	hop    *hop         // of the last account boundary passed, nil before the first
	trace  *msgTrace    // nil: not traced
}

// share copies the payload once, so that its receivers can refer to it.
func (m *message) share() {
	sh := loop.NewShared(len(m.Payload))
	m.Payload = sh.Bytes()[:copy(sh.Bytes(), m.Payload)]
	m.shared, m.own = sh, true
}

var crlf = []byte("\r\n")

// deliver queues the message for one subscription. It reports whether the
// message was taken.
func (w *worker) deliver(m *message, sub *subscription) bool {
	to := sub.sess
	if to == nil {
		return sub.via.receive(w, m, sub)
	}
	if to == m.from && !m.from.connect.Echo {
		return false
	}
	g := sub.guard.Load()
	if g != nil && !w.passes(g, m, sub) {
		return false
	}
	last, ok := sub.admit()
	if !ok {
		return false
	}
	if last {
		w.expire(sub)
	}
	q := w.lp.Queue(to.c, len(m.Subject)+len(sub.sid)+len(m.Reply)+len(m.Payload)+headExtra)
	if q == nil {
		return false
	}
	n := m.Size
	headers := m.HeaderLen > 0 && to.headers.Load()
	if m.asks() {
		n = w.queueAsked(q, m, sub)
	} else if m.Tail != nil && (m.HeaderLen <= 0 || headers) {
		w.queueTail(q, m, sub)
	} else {
		n = w.queueWhole(q, m, sub.sid, headers)
	}
	if g != nil && g.answers != nil && len(m.Reply) > 0 {
		w.noteReply(g, m.Reply)
	}
	q.Msgs++
	q.Payload += int64(n)
	w.tally.outMsgs++
	w.tally.outBytes += int64(n)
	if w.trace {
		w.traceDelivery(m, sub, headers)
	}
	return true
}

// queueTail sends "<verb> <subject> <sid> " and what followed the subject in
// the publish, as it stands.
func (w *worker) queueTail(q *loop.Queue, m *message, sub *subscription) {
	refer := m.shared != nil && len(m.Tail) > copyMax || m.shared == nil && len(m.Tail) >= lendMin
	if sub.prefix != "" && m.HeaderLen <= 0 && !refer {
		w.lp.AppendPair(q, sub.prefix, m.Tail)
		return
	}
	room := len(m.Subject) + len(sub.sid) + headExtra
	if !refer {
		room += len(m.Tail)
	}
	b := w.lp.Reserve(q, room)
	if m.HeaderLen > 0 {
		b = append(b, 'H')
	}
	b = sub.appendHead(b, m)
	if !refer {
		w.lp.Commit(q, append(b, m.Tail...))
		return
	}
	w.lp.Commit(q, b)
	if m.shared != nil {
		w.lp.AppendShared(q, m.shared, m.Tail)
	} else {
		w.lp.Lend(q, m.Tail)
	}
}

// appendHead appends "MSG subject sid ".
func (sub *subscription) appendHead(b []byte, m *message) []byte {
	if sub.prefix != "" {
		return append(b, sub.prefix...)
	}
	return append(append(append(b, "MSG "...), m.Subject...), sub.middle...)
}

// queueWhole builds the line from its parts: the publish was not written
// canonically, or the receiver does not understand headers. It returns the
// payload bytes sent.
func (w *worker) queueWhole(q *loop.Queue, m *message, sid string, headers bool) int {
	payload := m.Payload
	if m.HeaderLen > 0 && !headers {
		payload = payload[m.HeaderLen:]
	}
	size := len(m.Subject) + len(sid) + len(m.Reply) + len(m.HdrToken) + len(m.SizeToken) + headExtra
	refer := m.shared != nil && len(payload) > copyMax
	room := size
	if !refer {
		room += len(payload) + len(crlf)
	}
	b := w.lp.Reserve(q, room)
	switch {
	case headers:
		b = codec.AppendHMsgHeadToken(b, m.Subject, []byte(sid), m.Reply, m.HdrToken, m.SizeToken)
	case m.HeaderLen > 0:
		b = codec.AppendMsgHead(b, m.Subject, []byte(sid), m.Reply, len(payload))
	default:
		b = codec.AppendMsgHeadToken(b, m.Subject, []byte(sid), m.Reply, m.SizeToken)
	}
	if refer {
		w.lp.Commit(q, b)
		w.lp.AppendShared(q, m.shared, payload)
		w.lp.Append(q, crlf)
	} else {
		b = append(b, payload...)
		w.lp.Commit(q, append(b, crlf...))
	}
	return len(payload)
}

// deliverAll gives the message to every plain subscription of r and to one
// member of each group. It reports whether any took it.
func (w *worker) deliverAll(m *message, r *sublist.Result[subscription]) (reached bool) {
	if m.trace != nil {
		return w.deliverAllTraced(m, r)
	}
	for _, sub := range r.Plain {
		if w.deliver(m, sub) {
			reached = true
		}
	}
	for i := range r.Groups {
		if w.deliverGroup(m, &r.Groups[i]) {
			reached = true
		}
	}
	return reached
}

// deliverGroup gives the message to one member of a queue group: from a random
// one on, the first that takes it.
func (w *worker) deliverGroup(m *message, g *sublist.Group[subscription]) bool {
	n := len(g.Members)
	if n == 0 {
		return false
	}
	at := g.Pick(w.random())
	for range n {
		if w.deliver(m, g.Members[at]) {
			return true
		}
		if at++; at == n {
			at = 0
		}
	}
	return false
}

// traceDelivery logs a message that went out.
func (w *worker) traceDelivery(m *message, sub *subscription, headers bool) {
	c := sub.sess
	payload, headerLen := m.Payload, 0
	var line []byte
	switch {
	case m.asks():
		head, body := m.split()
		if !c.headers.Load() {
			head = nil
		}
		if head != nil {
			line = append(line, 'H')
		}
		line, payload = appendSizes(sub.appendHead(line, m), m.Reply, len(head), len(head)+len(body)), append(bytes.Clone(head), body...)
	case headers:
		headerLen = m.HeaderLen
		line = codec.AppendHMsgHeadToken(nil, m.Subject, []byte(sub.sid), m.Reply, m.HdrToken, m.SizeToken)
	case m.HeaderLen > 0:
		payload = payload[m.HeaderLen:]
		line = codec.AppendMsgHead(nil, m.Subject, []byte(sub.sid), m.Reply, len(payload))
	default:
		line = codec.AppendMsgHeadToken(nil, m.Subject, []byte(sub.sid), m.Reply, m.SizeToken)
	}
	c.tracef("->> [%s]", line[:len(line)-len(crlf)])
	if shown := w.traced(payload, headerLen); len(shown) > 0 {
		c.tracef("->> MSG_PAYLOAD: [%q]", shown)
	}
}
