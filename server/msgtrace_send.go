package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/s2"

	"peregrine/codec"
)

// coding is how a trace is packed, as its reader asked for.
type coding string

const (
	codingNone     coding = ""
	codingGzip     coding = "gzip"
	codingSnappy   coding = "snappy"
	codingIdentity coding = "identity" // asked for something unknown
)

// codingOf reads an Accept-Encoding.
func codingOf(accepted string) coding {
	accepted = strings.ToLower(accepted)
	switch {
	case accepted == "":
		return codingNone
	case strings.Contains(accepted, "snappy"), strings.Contains(accepted, "s2"):
		return codingSnappy
	case strings.Contains(accepted, "gzip"):
		return codingGzip
	}
	return codingIdentity
}

// pack returns b packed, and the header block that tells; nil for none.
func (c coding) pack(b []byte) (header, packed []byte) {
	var room bytes.Buffer
	switch c {
	case codingNone:
		return nil, b
	case codingGzip:
		z := gzip.NewWriter(&room)
		_, _ = z.Write(b) // a buffer takes everything
		_ = z.Close()
		b = room.Bytes()
	case codingSnappy:
		z := s2.NewWriter(&room, s2.WriterSnappyCompat(), s2.WriterConcurrency(1))
		_, _ = z.Write(b)
		_ = z.Close()
		b = room.Bytes()
	case codingIdentity:
	}
	header = codec.AppendHeaderLine(codec.AppendHeaderStart(nil), "Content-Encoding", string(c))
	return codec.AppendHeaderEnd(header), b
}

// Bounds of the traces that wait to be published.
const (
	tracesWaitingMax = 4 << 10
	traceEventsMax   = 1 << 20 // of all that wait
)

// traceQueue is where traces wait for one goroutine that writes them out: those
// of a message with many receivers are long. When it is full, a trace is lost,
// and the log says so.
type traceQueue struct {
	srv     *Server
	in      chan *msgTrace
	events  atomic.Int64
	dropped atomic.Int64
}

func (s *Server) newTraceQueue() *traceQueue {
	q := &traceQueue{srv: s, in: make(chan *msgTrace, tracesWaitingMax)}
	s.internal.queues.Go(q.run)
	return q
}

// send takes t over. Without a system account there are no traces. Any
// goroutine.
func (q *traceQueue) send(t *msgTrace) {
	if q.srv.systemAccount() == nil {
		return
	}
	n := int64(len(t.events))
	if q.events.Add(n) <= traceEventsMax || n > traceEventsMax && q.events.Load() == n {
		select {
		case q.in <- t:
			return
		default:
		}
	}
	q.events.Add(-n)
	if lost := q.dropped.Add(1); lost&(lost-1) == 0 { // 1, 2, 4, …: the log is not to be flooded
		q.srv.log.Warnf("Too many message traces are waiting, %d lost so far, the last to %q", lost, t.dest)
	}
}

func (q *traceQueue) run() {
	for {
		select {
		case t := <-q.in:
			q.publish(t)
			q.events.Add(-int64(len(t.events)))
		case <-q.srv.quit:
			return
		}
	}
}

// traceReport is a trace as it is published.
type traceReport struct {
	Server  *ServerInfo  `json:"server"`
	Request traceRequest `json:"request"`
	Events  []any        `json:"events"`
}

type traceRequest struct {
	Header  map[string][]string `json:"header,omitempty"`
	MsgSize int                 `json:"msgsize,omitempty"`
}

// publish sends t to where it is asked for, in the account of the publisher.
func (q *traceQueue) publish(t *msgTrace) {
	s := q.srv
	text, err := json.Marshal(&traceReport{s.serverInfo(), traceRequest{t.headers, t.size}, t.events})
	if err == nil {
		m := &internalMsg{subject: t.dest}
		m.header, m.payload = t.coding.pack(text)
		err = s.publishInto(t.acc, m, nil)
	}
	if err != nil {
		s.log.Debugf("Trace to %q of account %q not published: %v", t.dest, t.acc.Name, err)
	}
}
