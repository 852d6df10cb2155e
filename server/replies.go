package server

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"peregrine/account"
)

// Bounds of a reply table.
const (
	// repliesMax is how many answers an account may owe; beyond it those asked
	// for longest ago are given up.
	repliesMax    = 1 << 19
	replyStripes  = 32
	replyDigits   = 6
	replyIDs      = 62 * 62 * 62 * 62 * 62 * 62 // 62^replyDigits
	sweepShortest = 10 * time.Millisecond
	sweepLongest  = 5 * time.Second
)

// trackedMark ends the subject that a measured request is answered on.
const trackedMark = ".T"

// replyTable is what the services of an account have been asked and not
// answered: for each request, the subject _R_.<account>.<request> that replaced
// the asker's own.
//
// Requests come and answers go on any loop. Each stripe has a lock for the few
// words of looking up, adding or removing one; nothing is called with it held.
// Whoever removes a request from its stripe owns it.
//
//	            expect                     answered (Singleton)
//	request ───────────────▶ in stripe ──────────────────────────▶ gone
//	                          │  ▲  │ no interest left, threshold passed,
//	    answered (Streamed) ──┘  │  │ too many, not delivered
//	              └──────────────┘  └────────────────────────────▶ gone, reported if measured
type replyTable struct {
	x      *exchange
	prefix string // "_R_.xxxxxx."

	sub       subscription // to prefix + ">"
	listening sync.Once

	count    atomic.Int64
	stripes  atomic.Pointer[[replyStripes]replyStripe] // nil until the first request
	shortest atomic.Int64                              // threshold, in nanoseconds
	sweeping atomic.Bool
}

// replyStripe is a part of a table; mu guards all of it.
type replyStripe struct {
	mu             sync.Mutex
	byID           map[uint64]*pendingReply
	oldest, newest *pendingReply // by when they were asked or last answered
}

// pendingReply is a request without its answer.
type pendingReply struct {
	id         uint64
	asker      *exchange // who waits
	hash       uint64    // of reply, for the asker's index
	reply      []byte    // subject of the asker
	export     *account.ServiceExport
	share      bool
	sample     sampling
	deadline   int64 // loop time
	prev, next *pendingReply
}

var pendingReplies = sync.Pool{New: func() any { return new(pendingReply) }}

func (p *pendingReply) free() {
	reply := p.reply[:0]
	if cap(reply) > roomMax {
		reply = nil
	}
	*p = pendingReply{reply: reply}
	pendingReplies.Put(p)
}

// awaited is what a table is told of a request. Its reply is borrowed.
type awaited struct {
	asker  *exchange
	reply  []byte
	export *account.ServiceExport
	share  bool
	sample sampling
	from   *session
}

// replyKey names a request in a table; the zero value names none.
type replyKey struct {
	table *replyTable
	id    uint64
}

// giveUp removes the request, if it is still there.
func (k replyKey) giveUp(why lostReason) {
	if k.table != nil {
		k.table.giveUp(k.id, why)
	}
}

func (t *replyTable) init(x *exchange) {
	t.x, t.prefix = x, newReplyPrefix()
	t.sub.via, t.sub.subject = t, t.prefix+">"
}

// listen puts the table into its account's interest, once.
func (t *replyTable) listen() {
	t.listening.Do(func() {
		t.stripes.Store(new([replyStripes]replyStripe))
		if err := t.x.acc.Interest.Insert(t.sub.subject, "", 0, 1, &t.sub); err != nil {
			panic("server: " + err.Error()) // the subject is ours
		}
	})
}

// expect notes that a waits for an answer and gives h's message the subject for
// it.
func (t *replyTable) expect(w *worker, h *hop, a *awaited) replyKey {
	t.listen()
	p := pendingReplies.Get().(*pendingReply)
	p.asker, p.export, p.share, p.sample = a.asker, a.export, a.share, a.sample
	p.reply = append(p.reply[:0], a.reply...)
	p.deadline = w.lp.Now() + int64(a.export.Threshold)
	if p.sample.on {
		p.sample.begin(a.from, a.share)
	}
	id, sampled := t.add(w, p, hashOfReply(a.reply)), a.sample.on
	t.sweepAfter(a.export.Threshold)

	h.reply = randomDigits(append(h.reply[:0], t.prefix...), replyDigits, id)
	if sampled {
		h.reply = append(append(append(h.reply, '.'), w.srv.node...), trackedMark...)
	}
	h.frame.Reply = h.reply
	return replyKey{t, id}
}

// add puts p, and its asker's note of it, under a fresh id. When it returns, p
// may be gone again.
func (t *replyTable) add(w *worker, p *pendingReply, hash uint64) (id uint64) {
	asker := p.asker
	p.hash = hash
	for {
		id = w.random() % replyIDs
		asker.waiting.add(hash, replyKey{t, id})
		over, ok := t.insert(p, id)
		if over != nil {
			t.lose(over, timedOut)
		}
		if ok {
			return id
		}
		asker.waiting.remove(hash, replyKey{t, id})
	}
}

// insert puts p into its stripe; ok is false if id is taken. over is what had to
// go for it.
func (t *replyTable) insert(p *pendingReply, id uint64) (over *pendingReply, ok bool) {
	s := t.stripe(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] != nil {
		return nil, false
	}
	if s.byID == nil {
		s.byID = make(map[uint64]*pendingReply)
	}
	p.id = id
	s.byID[id] = p
	s.append(p)
	if t.count.Add(1) > repliesMax && s.oldest != p {
		over = s.oldest
		t.remove(s, over)
	}
	return over, true
}

func (t *replyTable) stripe(id uint64) *replyStripe { return &t.stripes.Load()[id%replyStripes] }

// append makes p the newest.
func (s *replyStripe) append(p *pendingReply) {
	p.prev, p.next = s.newest, nil
	if s.newest != nil {
		s.newest.next = p
	} else {
		s.oldest = p
	}
	s.newest = p
}

func (s *replyStripe) unlink(p *pendingReply) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		s.oldest = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		s.newest = p.prev
	}
	p.prev, p.next = nil, nil
}

// remove takes p out of s, whose lock is held.
func (t *replyTable) remove(s *replyStripe, p *pendingReply) {
	delete(s.byID, p.id)
	s.unlink(p)
	t.count.Add(-1)
}

// parse returns which request a subject answers.
func (t *replyTable) parse(w *worker, subject []byte) (id uint64, tracked, ok bool) {
	rest := subject[min(len(t.prefix), len(subject)):]
	if len(rest) < replyDigits {
		return 0, false, false
	}
	for i := replyDigits - 1; i >= 0; i-- {
		d := bytes.IndexByte(base62Bytes, rest[i])
		if d < 0 {
			return 0, false, false
		}
		id = id*62 + uint64(d)
	}
	rest = rest[replyDigits:]
	if len(rest) == 0 {
		return id, false, true
	}
	node := w.srv.node
	tracked = len(rest) == 1+len(node)+len(trackedMark) && rest[0] == '.' &&
		string(rest[1:1+len(node)]) == node && string(rest[1+len(node):]) == trackedMark
	return id, tracked, tracked
}

var base62Bytes = []byte(base62)

// receive implements receiver: m answers a request. To its publisher it has
// reached somebody, whether the request still waits or not.
func (t *replyTable) receive(w *worker, m *message, _ *subscription) bool {
	id, tracked, ok := t.parse(w, m.Subject)
	if !ok || t.count.Load() == 0 {
		return true
	}
	if h := w.enter(m, nil); h != nil {
		t.answer(w, h, m, id, tracked)
		w.leave(h)
	}
	return true
}

// repeats implements receiver: a request is looked up for each answer.
func (t *replyTable) repeats(*worker, *message) bool { return false }

func (t *replyTable) receiveRun(*worker, *run) {}

// answer gives m to who asked request id, in h.
func (t *replyTable) answer(w *worker, h *hop, m *message, id uint64, tracked bool) {
	p, owned, ok := t.take(w, h, id, tracked)
	if !ok {
		return
	}
	if owned != nil {
		p.asker.waiting.remove(p.hash, replyKey{t, id})
	}
	h.frame.Subject, h.export, h.crossed = h.subject, p.export, true
	var waits replyKey
	if len(m.Reply) > 0 {
		h.frame.Tail = nil
		if !bytes.HasPrefix(m.Reply, ackReply) {
			waits = p.asker.replies.expect(w, h, &awaited{
				asker: t.x, reply: m.Reply, export: p.export, share: p.share, from: m.from,
			})
		}
	}
	if p.sample.on {
		t.x.reportAnswer(&p, m.from)
	}
	if m.trace != nil {
		h.markTraced(m, false)
	}
	reached := w.cross(h, p.asker)
	if !reached {
		waits.giveUp(noDelivery)
	}
	if owned != nil {
		owned.free()
	} else if !reached || m.Size == 0 {
		t.giveUp(id, complete)
	}
}

// take looks a request up for its answer. It returns what is to be known of it,
// with the asker's subject in h.subject, and the request itself if this answer
// is the only one and it was removed.
func (t *replyTable) take(w *worker, h *hop, id uint64, tracked bool) (known pendingReply, owned *pendingReply, ok bool) {
	s := t.stripe(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byID[id]
	if p == nil || p.sample.on != tracked || w.passed(p.export) {
		return known, nil, false
	}
	h.subject = append(h.subject[:0], p.reply...)
	if p.export.Response == account.Singleton {
		t.remove(s, p)
		owned = p
	} else {
		p.deadline = w.lp.Now() + int64(p.export.Threshold)
		s.unlink(p)
		s.append(p)
	}
	return *p, owned, true
}

// lostReason is why a request gets no answer.
type lostReason uint8

const (
	complete     lostReason = iota // it had its answers
	noDelivery                     // nobody took it
	timedOut                       // it waited too long
	interestLost                   // nobody waits for the answer
)

// giveUp removes a request, if it is still there.
func (t *replyTable) giveUp(id uint64, why lostReason) {
	s := t.stripe(id)
	s.mu.Lock()
	p := s.byID[id]
	if p != nil {
		t.remove(s, p)
	}
	s.mu.Unlock()
	if p != nil {
		t.lose(p, why)
	}
}

// giveUpIf is giveUp if the asker waits on reply.
func (t *replyTable) giveUpIf(id uint64, asker *exchange, reply string) (found bool) {
	s := t.stripe(id)
	s.mu.Lock()
	p := s.byID[id]
	found = p != nil && p.asker == asker && string(p.reply) == reply
	if found {
		t.remove(s, p)
	}
	s.mu.Unlock()
	if found {
		t.lose(p, interestLost)
	}
	return found
}

// replyOf returns the subject that a request waits on.
func (t *replyTable) replyOf(id uint64) (string, bool) {
	s := t.stripe(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byID[id]; p != nil {
		return string(p.reply), true
	}
	return "", false
}

// lose ends a request that was removed.
func (t *replyTable) lose(p *pendingReply, why lostReason) {
	p.asker.waiting.remove(p.hash, replyKey{t, p.id})
	if p.sample.on && why != complete {
		t.x.reportLoss(p, why)
	}
	p.free()
}

// sweepAfter sees to it that requests which have waited for their threshold are
// given up, not much later than that.
func (t *replyTable) sweepAfter(threshold time.Duration) {
	if short := t.shortest.Load(); short == 0 || int64(threshold) < short {
		t.shortest.CompareAndSwap(short, int64(threshold))
	}
	if !t.sweeping.Load() && t.sweeping.CompareAndSwap(false, true) {
		time.AfterFunc(t.sweepPeriod(), t.sweep)
	}
}

func (t *replyTable) sweepPeriod() time.Duration {
	return min(max(time.Duration(t.shortest.Load())/4, sweepShortest), sweepLongest)
}

// sweep gives up what has waited too long. It has a goroutine of its own.
func (t *replyTable) sweep() {
	select {
	case <-t.x.srv.quit:
		return
	default:
	}
	now := t.x.srv.workers[0].lp.Clock()
	stripes := t.stripes.Load()
	for i := range stripes {
		for _, p := range t.expired(&stripes[i], now) {
			t.lose(p, timedOut)
		}
	}
	if t.count.Load() > 0 {
		time.AfterFunc(t.sweepPeriod(), t.sweep)
		return
	}
	t.sweeping.Store(false)
	if t.count.Load() > 0 { // one came in between
		t.sweepAfter(time.Duration(t.shortest.Load()))
	}
}

// expired removes from s what has waited too long.
func (t *replyTable) expired(s *replyStripe, now int64) (all []*pendingReply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.oldest; p != nil; {
		next := p.next
		if p.deadline <= now {
			t.remove(s, p)
			all = append(all, p)
		}
		p = next
	}
	return all
}
