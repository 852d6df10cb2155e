package sublist

import (
	"errors"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// ErrBadLoop says that a loop number does not fit.
var ErrBadLoop = errors.New("sublist: loop out of range")

// MaxLoop is the largest loop number a subscriber may belong to.
const MaxLoop = math.MaxUint16

// Options shapes a List; the zero value is for an ordinary account.
type Options struct {
	// Shards is how many parts writers may change at the same time, rounded up
	// to a power of two. Default 16.
	Shards int
}

// List is the interest of one account: who subscribed to what.
//
// Any goroutine may read; several may write at once, each under the lock of the
// shard its subject falls into. Readers take no lock and write nothing shared.
// T is what a subscriber is to the caller; the list only compares pointers.
type List[T any] struct {
	// wildGen counts changes to wildcard subscriptions, after each: the one word
	// that a cache hit compares when nothing changed.
	wildGen atomic.Uint64
	wild    atomic.Pointer[wilds[T]] // nil until the first wildcard
	salt    uint64                   // tells lists apart in a shared cache
	lits    []literals[T]
	_       [64]byte

	wildInit sync.Mutex // held while wild is made
	matchers sync.Pool  // of *matcher[T], for matches without a cache
}

// matcher is the scratch of one match.
type matcher[T any] struct {
	finder finder[T]
	merger merger[T]
}

// matcher returns a scratch, to be put back into matchers.
func (l *List[T]) matcher() *matcher[T] {
	if m, ok := l.matchers.Get().(*matcher[T]); ok {
		return m
	}
	m := new(matcher[T])
	m.finder.init()
	return m
}

var salts atomic.Uint64

// New returns an empty list.
func New[T any](o Options) *List[T] {
	n := 16
	if o.Shards > 0 {
		n = 1 << bits.Len(uint(min(o.Shards, 1024)-1))
	}
	return &List[T]{
		salt: salts.Add(1) * 0x9e3779b97f4a7c15,
		lits: make([]literals[T], n),
	}
}

// literals returns the shard of a literal subject. Tables index by the low bits
// of a hash, shards by higher ones.
func (l *List[T]) literals(hash uint64) *literals[T] {
	return &l.lits[(hash>>48)&uint64(len(l.lits)-1)]
}

// Insert subscribes sub to subject, in queue group queue unless that is empty.
// The list keeps subject and queue, which must not change. loop is the loop that
// owns sub, 0 to MaxLoop. weight is how many subscribers a queue member stands
// for (a route reports them as one); below 1 it counts as 1.
//
// A sub already there is left alone, except that its weight is updated: each is
// in a (subject, queue) once and counted once.
//
// Errors: ErrInvalidSubject, ErrBadLoop.
func (l *List[T]) Insert(subject, queue string, loop int, weight int32, sub *T) error {
	_, err := l.InsertNew(subject, queue, loop, weight, sub)
	return err
}

// InsertNew is Insert that also reports whether sub was not there before.
func (l *List[T]) InsertNew(subject, queue string, loop int, weight int32, sub *T) (bool, error) {
	if loop < 0 || loop > MaxLoop {
		return false, ErrBadLoop
	}
	sh, ok := analyse(subject)
	if !ok {
		return false, ErrInvalidSubject
	}
	m := member[T]{ref: sub, queue: queue, loop: uint16(loop), weight: max(weight, 1)}
	if sh.wild {
		return l.wilds().insert(subject, sh, m, &l.wildGen), nil
	}
	hash := hashOf(subject)
	return l.literals(hash).insert(hash, subject, m), nil
}

// wilds returns the wildcard part, making it at first use.
func (l *List[T]) wilds() *wilds[T] {
	if w := l.wild.Load(); w != nil {
		return w
	}
	l.wildInit.Lock()
	defer l.wildInit.Unlock()
	w := l.wild.Load()
	if w == nil {
		w = newWilds[T](len(l.lits))
		l.wild.Store(w)
	}
	return w
}

// Remove ends a subscription and reports whether it was there.
func (l *List[T]) Remove(subject, queue string, sub *T) bool {
	sh, ok := analyse(subject)
	if !ok {
		return false
	}
	m := member[T]{ref: sub, queue: queue}
	if sh.wild {
		w := l.wild.Load()
		return w != nil && w.remove(subject, sh, m, &l.wildGen)
	}
	hash := hashOf(subject)
	return l.literals(hash).remove(hash, subject, m)
}

// Subscription names one subscription for RemoveBatch.
type Subscription[T any] struct {
	Subject, Queue string
	Sub            *T
}

// RemoveBatch ends many subscriptions, as when a connection closes, and returns
// how many were there. Each takes well under a microsecond; a caller with a turn
// to keep short hands over a few thousand at a time.
func (l *List[T]) RemoveBatch(subs []Subscription[T]) int {
	n := 0
	for i := range subs {
		if l.Remove(subs[i].Subject, subs[i].Queue, subs[i].Sub) {
			n++
		}
	}
	return n
}

// Match fills r with who receives a message on subject, which is borrowed. r is
// the caller's scratch: its slices are reused, so it must not hold a Result that
// came from a Cache. No cache is used or kept.
func (l *List[T]) Match(subject []byte, r *Result[T]) {
	m := l.matcher()
	m.finder.find(l, view(subject))
	m.merger.build(r, m.finder.sets)
	m.finder.release()
	l.matchers.Put(m)
}

// HasInterest reports whether anybody receives messages on subject.
func (l *List[T]) HasInterest(subject []byte) bool {
	plain, queue := l.NumInterest(subject)
	return plain+queue > 0
}

// NumInterest counts the plain subscriptions and the queue members that match
// subject.
func (l *List[T]) NumInterest(subject []byte) (plain, queue int) {
	m := l.matcher()
	m.finder.find(l, view(subject))
	for _, s := range m.finder.sets {
		p, q := s.counts()
		plain, queue = plain+p, queue+q
	}
	m.finder.release()
	l.matchers.Put(m)
	return plain, queue
}

// Count returns the number of subscriptions.
func (l *List[T]) Count() int { return l.Stats().Subscriptions }

// Stats is what a list holds and has seen.
type Stats struct {
	Subscriptions    int
	Inserts, Removes uint64 // since New
}

// Stats adds the counters of all shards. While writers are busy the sum is of
// slightly different moments.
func (l *List[T]) Stats() Stats {
	var st Stats
	add := func(t *tally) {
		// Removes first: a removal between the two loads must not make a count
		// negative.
		st.Removes += t.removes.Load()
		st.Inserts += t.inserts.Load()
	}
	for i := range l.lits {
		add(&l.lits[i].tally)
	}
	if w := l.wild.Load(); w != nil {
		add(&w.root.tally)
		for i := range w.shards {
			add(&w.shards[i].tally)
		}
	}
	st.Subscriptions = int(st.Inserts - st.Removes)
	return st
}
