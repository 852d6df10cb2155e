package server

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"peregrine/sublist"
)

// waitIndex finds the requests of an account by the subject that waits for the
// answer. When nobody in the account listens there any more, they are given up.
//
// It knows the subjects by their hash alone; the reply tables have them in full.
type waitIndex struct {
	count    atomic.Int64
	stripes  atomic.Pointer[[replyStripes]waitStripe] // nil until the first request
	scanning atomic.Int32                             // 0 no scan, 1 one runs, 2 another is to follow
}

// waitStripe is a part of an index; mu guards all of it.
type waitStripe struct {
	mu     sync.Mutex
	byHash map[uint64]*waiter
	free   *waiter
}

// waiter is one request; those of one hash are a list.
type waiter struct {
	key  replyKey
	next *waiter
}

var replySeed = maphash.MakeSeed()

func hashOfReply(reply []byte) uint64 { return maphash.Bytes(replySeed, reply) }

func (x *waitIndex) stripe(hash uint64) *waitStripe {
	all := x.stripes.Load()
	if all == nil {
		x.stripes.CompareAndSwap(nil, new([replyStripes]waitStripe))
		all = x.stripes.Load()
	}
	return &all[hash%replyStripes]
}

func (x *waitIndex) add(hash uint64, key replyKey) {
	s := x.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.free
	if e == nil {
		e = new(waiter)
	} else {
		s.free = e.next
	}
	if s.byHash == nil {
		s.byHash = make(map[uint64]*waiter)
	}
	e.key, e.next = key, s.byHash[hash]
	s.byHash[hash] = e
	x.count.Add(1)
}

// remove takes a request out, if it is there.
func (x *waitIndex) remove(hash uint64, key replyKey) {
	s := x.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.byHash[hash]
	for at := &first; *at != nil; at = &(*at).next {
		if e := *at; e.key == key {
			*at = e.next
			s.put(hash, first)
			e.key, e.next = replyKey{}, s.free
			s.free = e
			x.count.Add(-1)
			return
		}
	}
}

func (s *waitStripe) put(hash uint64, first *waiter) {
	if first == nil {
		delete(s.byHash, hash)
	} else {
		s.byHash[hash] = first
	}
}

// find returns the requests of a hash.
func (x *waitIndex) find(hash uint64) (keys []replyKey) {
	s := x.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.byHash[hash]; e != nil; e = e.next {
		keys = append(keys, e.key)
	}
	return keys
}

// interestGone is told that a subscription to subject has left the account's
// interest. Any goroutine.
func (x *exchange) interestGone(subject string) {
	switch {
	case x.waiting.count.Load() == 0:
	case sublist.HasWildcard(subject):
		x.scanWaiting()
	default:
		x.giveUpWaiting(subject)
	}
}

// giveUpWaiting gives up the requests that wait on subject, unless somebody
// still listens there.
func (x *exchange) giveUpWaiting(subject string) {
	if x.acc.Interest.HasInterest([]byte(subject)) {
		return
	}
	for _, key := range x.waiting.find(hashOfReply([]byte(subject))) {
		key.table.giveUpIf(key.id, x, subject)
	}
}

// scanWaiting looks at every request of the account, beside the loops. One scan
// runs at a time; what is asked for meanwhile is one more.
func (x *exchange) scanWaiting() {
	k := &x.waiting
	for {
		switch v := k.scanning.Load(); {
		case v == 0 && k.scanning.CompareAndSwap(0, 1):
			go x.scanAll()
			return
		case v != 0 && k.scanning.CompareAndSwap(v, 2):
			return
		}
	}
}

func (x *exchange) scanAll() {
	k := &x.waiting
	for {
		x.scanOnce()
		if k.scanning.CompareAndSwap(1, 0) {
			return
		}
		k.scanning.Store(1)
	}
}

func (x *exchange) scanOnce() {
	all := x.waiting.stripes.Load()
	if all == nil {
		return
	}
	for i := range all {
		s := &all[i]
		var keys []replyKey
		s.mu.Lock()
		for _, e := range s.byHash {
			for ; e != nil; e = e.next {
				keys = append(keys, e.key)
			}
		}
		s.mu.Unlock()
		for _, key := range keys {
			if reply, ok := key.table.replyOf(key.id); ok && !x.acc.Interest.HasInterest([]byte(reply)) {
				key.table.giveUpIf(key.id, x, reply)
			}
		}
	}
}
