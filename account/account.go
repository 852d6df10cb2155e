package account

import (
	"sync/atomic"

	"peregrine/sublist"
	"peregrine/sublist/transform"
)

// Names of the accounts that always exist.
const (
	Global = "$G"
	System = "$SYS"
)

// Account is a name space of subjects, alive. T is the type of a subscription.
type Account[T any] struct {
	Name     string
	Interest *sublist.List[T]

	// Definition is what is said of the account at the moment; never nil. It is
	// replaced as a whole when that changes, while the interest stays.
	Definition atomic.Pointer[Definition]
	// Mappings change subjects before they are matched; nil for none.
	Mappings atomic.Pointer[transform.Mappings]
	// Local is the server's. It is set before the account is shared.
	Local any

	connections atomic.Int64 // clients and leaf nodes
	leafNodes   atomic.Int64
	counters    []Counters
}

// New returns an account for a server with the given number of loops.
func New[T any](d *Definition, loops int) *Account[T] {
	a := &Account[T]{Name: d.Name, Interest: sublist.New[T](sublist.Options{}), counters: make([]Counters, loops)}
	a.Definition.Store(d)
	return a
}

// Join counts a connection in. It is false, and nothing has changed, if the
// account has as many as it may.
func (a *Account[T]) Join(leaf bool) bool {
	limits := &a.Definition.Load().Limits
	if n := a.connections.Add(1); limits.Connections >= 0 && n > limits.Connections {
		a.connections.Add(-1)
		return false
	}
	if !leaf {
		return true
	}
	if n := a.leafNodes.Add(1); limits.LeafNodes >= 0 && n > limits.LeafNodes {
		a.Leave(true)
		return false
	}
	return true
}

// Leave takes a Join back.
func (a *Account[T]) Leave(leaf bool) {
	a.connections.Add(-1)
	if leaf {
		a.leafNodes.Add(-1)
	}
}

// Connections returns how many clients and leaf nodes are in the account.
func (a *Account[T]) Connections() int64 { return a.connections.Load() }

// LeafNodes returns how many leaf nodes are in the account.
func (a *Account[T]) LeafNodes() int64 { return a.leafNodes.Load() }

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
