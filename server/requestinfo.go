package server

import (
	"encoding/json"
	"strconv"

	"peregrine/codec"
	"peregrine/loop"
)

// requestInfoHeader tells a service who asks. A client's own line of that name
// does not pass a boundary.
const requestInfoHeader = "Nats-Request-Info"

// requestInfo is how much a service learns about who asks; the zero value is
// that the message is no request.
type requestInfo struct {
	asked    bool
	detailed bool   // the first import shares the client
	server   bool   // the server is named
	shares   bool   // the last import shares the client
	service  string // account of the last import of a chain, "" for the first
}

// nextInfo returns what the account behind t is told of m.
func nextInfo(m *message, from *exchange, t *serviceTarget) requestInfo {
	if m.from == nil {
		return requestInfo{} // the server itself asks
	}
	named := t.im.Share || from.srv.system(t.to.acc)
	if m.hop == nil || !m.hop.info.asked {
		return requestInfo{asked: true, detailed: t.im.Share, server: named, shares: t.im.Share}
	}
	info := m.hop.info
	info.server = info.server || !info.shares && named
	info.service, info.shares = from.acc.Name, t.im.Share
	return info
}

// infoCache holds the header blocks of a session's last requests, which mostly
// are those of the next ones. Blocks are never changed.
type infoCache struct {
	entries [infoEntries]infoEntry
	next    int // to be replaced
}

// infoEntries is for requests that pass as many accounts, in each of which
// somebody gets them.
const infoEntries = 4

type infoEntry struct {
	info  requestInfo
	rtt   int64
	ident *identity
	block []byte // a whole header block
	value []byte // the part of it that is the value
}

// infoBlock returns a header block, and the value in it, that says info about
// the session. On the session's loop.
func (c *session) infoBlock(info requestInfo) (block, value []byte) {
	if c.asked == nil {
		c.asked = new(infoCache)
	}
	rtt, ident := c.rtt.Load(), c.ident.Load()
	for i := range c.asked.entries {
		if e := &c.asked.entries[i]; e.info == info && e.rtt == rtt && e.ident == ident && e.block != nil {
			return e.block, e.value
		}
	}
	e := &c.asked.entries[c.asked.next]
	c.asked.next = (c.asked.next + 1) % infoEntries
	*e = infoEntry{info: info, rtt: rtt, ident: ident}
	e.block, e.value = c.newInfoBlock(info)
	return e.block, e.value
}

func (c *session) newInfoBlock(info requestInfo) (block, value []byte) {
	v := c.clientInfo(info.detailed)
	v.Service = info.service
	if info.server {
		v.Server = c.w.srv.Name()
		v.Cluster = c.w.srv.options().ClusterName
	}
	text, err := json.Marshal(v)
	if err != nil {
		c.errorf("describing the client of a request: %v", err)
	}
	block = codec.AppendHeaderLine(codec.AppendHeaderStart(nil), requestInfoHeader, text)
	end := len(block) - len(crlf)
	return codec.AppendHeaderEnd(block), block[end-len(text) : end]
}

// asks tells whether m is a request that crosses accounts.
func (m *message) asks() bool { return m.hop != nil && m.hop.info.asked }

// split returns header block and body as receivers get them; head is nil
// without headers.
func (m *message) split() (head, body []byte) {
	body = m.Payload
	if m.HeaderLen > 0 {
		head, body = body[:m.HeaderLen], body[m.HeaderLen:]
	}
	if !m.asks() {
		return head, body
	}
	h := m.hop
	if h.head == nil {
		block, value := m.from.infoBlock(h.info)
		if h.head = block; head != nil {
			h.headers = codec.AppendHeaderLast(h.headers[:0], head, requestInfoHeader, value)
			h.head = h.headers
		}
		if h.traceDest != "" {
			h.head = codec.AppendHeaderLast(nil, h.head, traceDestHeader, h.traceDest)
		}
	}
	return h.head, body
}

// queueAsked sends a request that crossed accounts, with the header that says
// who asks. It returns the payload bytes sent.
func (w *worker) queueAsked(q *loop.Queue, m *message, sub *subscription) int {
	head, body := m.split()
	if !sub.sess.headers.Load() {
		head = nil
	}
	refer := m.shared != nil && len(body) > copyMax
	room := len(m.Subject) + len(sub.sid) + len(m.Reply) + len(head) + headExtra
	if !refer {
		room += len(body) + len(crlf)
	}
	b := w.lp.Reserve(q, room)
	if head != nil {
		b = append(b, 'H')
	}
	b = appendSizes(sub.appendHead(b, m), m.Reply, len(head), len(head)+len(body))
	b = append(b, head...)
	if refer {
		w.lp.Commit(q, b)
		w.lp.AppendShared(q, m.shared, body)
		w.lp.Append(q, crlf)
	} else {
		b = append(b, body...)
		w.lp.Commit(q, append(b, crlf...))
	}
	return len(head) + len(body)
}

// askedHead puts what stands before the body of a request for sub into w.head.
// It returns the payload's bytes, header included.
func (w *worker) askedHead(m *message, sub *subscription) (size int) {
	head, body := m.split()
	if !sub.sess.headers.Load() {
		head = nil
	}
	b := w.head[:0]
	if head != nil {
		b = append(b, 'H')
	}
	b = appendSizes(sub.appendHead(b, m), m.Reply, len(head), len(head)+len(body))
	w.head = append(b, head...)
	return len(head) + len(body)
}

// appendSizes appends the end of a delivery's line: "[reply ][header ]total\r\n".
func appendSizes(b, reply []byte, header, total int) []byte {
	if len(reply) > 0 {
		b = append(append(b, reply...), ' ')
	}
	if header > 0 {
		b = append(strconv.AppendInt(b, int64(header), 10), ' ')
	}
	return append(strconv.AppendInt(b, int64(total), 10), crlf...)
}
