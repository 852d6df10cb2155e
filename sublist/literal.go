package sublist

import (
	"sync"
	"sync/atomic"
)

// literals is one shard of the subjects without wildcards. Readers use table and
// births; mu guards everything else. It is one cache line long.
type literals[T any] struct {
	table table[entry[T]]
	// births counts new entries, after each is in the table: a cache that found
	// no entry need not look again while births stands still.
	births atomic.Uint64

	mu      sync.Mutex
	tally   tally
	watches map[interestKey][]*Watch
}

// tally counts subscriptions. Written under a shard's lock, read by anyone.
type tally struct {
	inserts, removes atomic.Uint64
}

// find returns the entry of a literal subject, or nil. Any goroutine may call it.
func (l *literals[T]) find(hash uint64, subject string) *entry[T] {
	cells := l.table.candidates()
	if cells == nil {
		return nil
	}
	mask := uint64(len(cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch cells[i].hash.Load() {
		case hash:
			if e := cells[i].ptr.Load(); e != nil && e.subject == subject {
				return e
			}
		case cellEmpty:
			return nil
		}
	}
}

// insert adds m to a subject and reports whether it was not there before.
func (l *literals[T]) insert(hash uint64, subject string, m member[T]) bool {
	l.mu.Lock()
	e := l.find(hash, subject)
	var c change
	if e == nil {
		e = &entry[T]{subject: subject}
		c = e.add(m)
		l.table.insert(hash, e)
		l.births.Add(1)
	} else {
		c = e.add(m)
	}
	if c.counted {
		l.tally.inserts.Add(1)
	}
	told := l.tell(c, subject, m.queue, true)
	l.mu.Unlock()
	deliver(told)
	return c.counted
}

// remove takes m off a subject and reports whether it was there.
func (l *literals[T]) remove(hash uint64, subject string, m member[T]) bool {
	l.mu.Lock()
	e := l.find(hash, subject)
	if e == nil {
		l.mu.Unlock()
		return false
	}
	c := e.drop(m)
	if c.counted {
		l.tally.removes.Add(1)
	}
	if c.empty {
		l.table.remove(hash, e)
	}
	told := l.tell(c, subject, m.queue, false)
	l.mu.Unlock()
	deliver(told)
	return c.counted
}
