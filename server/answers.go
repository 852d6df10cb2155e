package server

import (
	"bytes"
	"hash/maphash"
	"sync"

	"peregrine/account"
)

// answersMax bounds the requests that a session may have open; the oldest are
// forgotten first.
const answersMax = 256 << 10

// answers are the replies that a session may still publish to, because it was
// sent requests with them. Loops that deliver note them, the session's takes
// them: both happen before the bytes of the request leave.
type answers struct {
	limit account.ResponsePermission
	rules *account.Rules
	open  *openReplies // survives a change of other permissions
}

// openReplies are what is open, oldest first.
type openReplies struct {
	seed maphash.Seed

	mu    sync.Mutex        // guards the rest; held for a few steps
	index map[uint64]uint64 // hash of the reply to its number
	ring  []openReply       // number modulo its length, a power of two
	first uint64            // number of the oldest
	next  uint64            // number of the one to come
}

// openReply is a reply that may be published to. Its memory is used again.
type openReply struct {
	reply []byte // empty: not open any more
	hash  uint64
	count int   // answers so far
	at    int64 // loop time of the request
}

// newAnswers returns what r, which allows responses, allows. What was open under
// the same limit stays open.
func newAnswers(r *account.Rules, old *answers) *answers {
	a := &answers{limit: *r.Responses(), rules: r}
	if old != nil && old.limit == a.limit {
		a.open = old.open
	} else {
		a.open = &openReplies{seed: maphash.MakeSeed(), index: make(map[uint64]uint64)}
	}
	return a
}

// note opens reply. now is loop time.
func (a *answers) note(reply []byte, now int64) {
	o := a.open
	o.mu.Lock()
	defer o.mu.Unlock()
	h := maphash.Bytes(o.seed, reply)
	// A reply that is open already counts this as an answer, as in the reference.
	if a.count(h, reply, now) {
		return
	}
	if n, ok := o.index[h]; ok {
		o.shut(o.at(n)) // another reply with this hash
	}
	a.prune(now)
	if o.next-o.first == uint64(len(o.ring)) {
		o.grow()
	}
	e := o.at(o.next)
	e.reply, e.hash, e.count, e.at = append(e.reply[:0], reply...), h, 0, now
	o.index[h] = o.next
	o.next++
}

// take uses one of the answers to reply, and tells whether there was one.
func (a *answers) take(reply []byte, now int64) bool {
	o := a.open
	o.mu.Lock()
	defer o.mu.Unlock()
	return a.count(maphash.Bytes(o.seed, reply), reply, now)
}

// count counts an answer if reply is open.
func (a *answers) count(h uint64, reply []byte, now int64) bool {
	n, ok := a.open.index[h]
	if !ok {
		return false
	}
	e := a.open.at(n)
	if !bytes.Equal(e.reply, reply) {
		return false
	}
	e.count++
	if a.limit.MaxMsgs > 0 && e.count > a.limit.MaxMsgs || a.expired(e, now) {
		a.open.shut(e)
		return false
	}
	return true
}

func (a *answers) expired(e *openReply, now int64) bool {
	return a.limit.Expires > 0 && now-e.at > int64(a.limit.Expires)
}

// prune lets go of the oldest replies that are over.
func (a *answers) prune(now int64) {
	o := a.open
	for o.first < o.next {
		e := o.at(o.first)
		if len(e.reply) > 0 {
			if o.next-o.first < answersMax && !a.expired(e, now) {
				return
			}
			o.shut(e)
		}
		o.first++
	}
}

func (o *openReplies) at(n uint64) *openReply { return &o.ring[n&uint64(len(o.ring)-1)] }

func (o *openReplies) shut(e *openReply) {
	delete(o.index, e.hash)
	e.reply = e.reply[:0]
}

// grow makes room for twice as many.
func (o *openReplies) grow() {
	old := openReplies{ring: o.ring}
	o.ring = make([]openReply, max(2*len(old.ring), 8))
	for n := o.first; n < o.next; n++ {
		*o.at(n) = *old.at(n)
	}
}
