package account

import (
	"sync/atomic"

	"peregrine/sublist"
)

// Names of the accounts that always exist.
const (
	Global = "$G"
	System = "$SYS"
)

// Account is a name space of subjects. T is the type of a subscription.
type Account[T any] struct {
	Name     string
	Interest *sublist.List[T]
	counters []Counters
}

// New returns an account for a server with the given number of loops.
func New[T any](name string, loops int) *Account[T] {
	return &Account[T]{Name: name, Interest: sublist.New[T](sublist.Options{}), counters: make([]Counters, loops)}
}

// Counters is one loop's share of a count of messages. The loop adds, anybody
// reads. Each fills cache lines of its own, so loops do not slow each other.
type Counters struct {
	InMsgs, InBytes, OutMsgs, OutBytes atomic.Int64
	_                                  [128 - 4*8]byte
}

// Bump adds n to c. Only one goroutine adds, so a plain load and store will do.
func Bump(c *atomic.Int64, n int64) { c.Store(c.Load() + n) }

// Loop returns the slot of loop i.
func (a *Account[T]) Loop(i int) *Counters { return &a.counters[i] }

// Totals is a sum over loops.
type Totals struct{ InMsgs, InBytes, OutMsgs, OutBytes int64 }

// Totals sums the counters of all loops.
func (a *Account[T]) Totals() Totals { return Sum(a.counters) }

// Sum adds up the slots of all loops.
func Sum(slots []Counters) (t Totals) {
	for i := range slots {
		c := &slots[i]
		t.InMsgs += c.InMsgs.Load()
		t.InBytes += c.InBytes.Load()
		t.OutMsgs += c.OutMsgs.Load()
		t.OutBytes += c.OutBytes.Load()
	}
	return t
}
