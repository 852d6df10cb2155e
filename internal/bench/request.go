package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram covers 1 ns to 60 s with three significant digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60e9, 3) }

// percentiles of latency reports, with their metric names.
var percentiles = []struct {
	name string
	at   float64
}{
	{"lat_p50_us", 50}, {"lat_p90_us", 90}, {"lat_p99_us", 99}, {"lat_p999_us", 99.9}, {"lat_max_us", 100},
}

func (r *run) recordLatency(h *hdrhistogram.Histogram) {
	r.hist = h
	for _, p := range percentiles {
		r.values[p.name] = float64(h.ValueAtPercentile(p.at)) / 1e3
	}
}

// requests is closed-loop request/reply: each of pairs requesters has one
// request under way, answered by a responder of its own. As in a stock client,
// a requester has one wildcard subscription for all its replies, and every
// request names a reply subject that was never used before.
type requests struct {
	pairs   int
	payload int
	// From whom to whom requests go, if not between any two.
	asker, responder string
	imported         bool // replies are those of imported services
}

// names returns what pair i asks on, what its responder listens to, and how long
// the reply is that the responder sees.
func (q requests) names(i int) (asked, service string, reply int) {
	switch {
	case q.imported:
		return fmt.Sprintf("ask.%02d", i), fmt.Sprintf("bench.%02d", i), len("_R_.xxxxxx.xxxxxx")
	case q.asker != "":
		service = fmt.Sprintf("bench.%02d", i)
	default:
		service = fmt.Sprintf("service.%02d", i)
	}
	return service, service, inboxWidth + 1 + tokenWidth
}

// dial opens a connection of user, or of anybody.
func (q requests) dial(r *run, user string) (*conn, error) {
	if user == "" {
		return r.dial()
	}
	return r.dialAs(login{user: user, pass: "bench"})
}

func (q requests) run(r *run) error {
	f := r.newFlow(q.pairs + 1)
	var all []*requester
	for i := range q.pairs {
		rq, err := q.pair(r, i, f)
		if err != nil {
			return err
		}
		all = append(all, rq)
	}
	for _, rq := range all {
		if err := rq.begin(); err != nil {
			return err
		}
	}
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	from := nanotime()
	for _, rq := range all {
		rq.from.Store(from)
	}
	seen, err := r.measure(r.Duration, f)
	if err != nil {
		return err
	}
	for _, rq := range all {
		rq.from.Store(0)
	}
	r.record(seen, float64(seen.total()), 0)
	if err := r.settle(f); err != nil {
		return err
	}
	h := newHistogram()
	for _, rq := range all {
		h.Merge(rq.hist)
	}
	r.recordLatency(h)
	return nil
}

// A reply subject is an inbox of the shape stock clients use and a token.
const (
	inboxWidth = len("_INBOX.") + 22
	tokenWidth = 8
)

// pair opens a responder and a requester.
func (q requests) pair(r *run, i int, f *flow) (*requester, error) {
	asked, service, seen := q.names(i)
	inbox := fmt.Sprintf("_INBOX.%022d", i)
	reply := inbox + "." + strings.Repeat("0", tokenWidth)
	answer := newBlock(strings.Repeat("0", seen), "", q.payload, 0, 1)
	var rc *conn
	responder := &frames{order: orderExactly, next: make([]uint64, 1)}
	responder.on = func(line []byte, v uint64, _ int64) {
		copy(answer.bytes[len("PUB "):], lineReply(line))
		binary.LittleEndian.PutUint64(answer.bytes[answer.at[0]:], v)
		if err := rc.write(answer.bytes); err != nil {
			r.fail(err)
		}
	}
	rc, err := q.dial(r, q.responder)
	if err != nil {
		return nil, err
	}
	if err := r.listen(rc, []byte("SUB "+service+" 1\r\n"), responder); err != nil {
		return nil, err
	}
	rq := &requester{r: r, flow: f, hist: newHistogram(), question: newBlock(asked, reply, q.payload, 0, 1)}
	rq.token = rq.question.bytes[len("PUB ")+len(asked)+1+inboxWidth+1:][:tokenWidth]
	rq.question.stampFrom(0)
	rq.first, rq.seq = bytes.Clone(rq.question.bytes), 1
	in := &frames{order: orderExactly, next: make([]uint64, 1), done: f, on: rq.answered}
	if rq.c, err = q.dial(r, q.asker); err != nil {
		return nil, err
	}
	return rq, r.listen(rq.c, []byte("SUB "+inbox+".* 1\r\n"), in)
}

// requester has one request under way. Once watched, it belongs to the reader
// thread; begin only writes what was prepared before.
type requester struct {
	r        *run
	c        *conn
	flow     *flow
	question *block
	token    []byte // last part of the reply subject, inside question
	first    []byte // what begin sends
	seq      uint64
	sent     int64
	hist     *hdrhistogram.Histogram
	from     atomic.Int64 // latencies of requests sent after this count; 0: none do
}

func (q *requester) begin() error {
	q.flow.sent.Add(1)
	return q.c.write(q.first)
}

func (q *requester) ask(now int64) error {
	q.question.stampFrom(q.seq)
	writeToken(q.token, q.seq)
	q.seq++
	q.sent = now
	q.flow.sent.Add(1)
	return q.c.write(q.question.bytes)
}

// writeToken fills dst with n in base 36, last digit first: like a real token,
// it differs early.
func writeToken(dst []byte, n uint64) {
	for i := range dst {
		dst[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[n%36]
		n /= 36
	}
}

func (q *requester) answered(_ []byte, v uint64, now int64) {
	if v != q.seq-1 && !q.r.target.Wire {
		q.r.fail(errors.New("a reply belongs to another request"))
		return
	}
	if from := q.from.Load(); from != 0 && q.sent >= from {
		q.hist.RecordValue(now - q.sent)
	}
	if q.r.stop.Load() {
		return
	}
	if err := q.ask(nanotime()); err != nil {
		q.r.fail(err)
	}
}
