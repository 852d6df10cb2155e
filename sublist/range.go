package sublist

// Range calls f for every subscription until f returns false. It takes no lock:
// it sees every subscription that is there throughout, and may or may not see
// those that come or go meanwhile.
func (l *List[T]) Range(f func(subject, queue string, sub *T) bool) {
	l.entries(func(e *entry[T]) bool {
		s := e.set.Load()
		return s == nil || s.each(func(queue string, sub *T) bool {
			return f(e.subject, queue, sub)
		})
	})
}

// RangeWithin is Range over the subscriptions whose subject is covered by
// pattern: every message for them is also one for pattern. It looks at each
// subject of the list.
func (l *List[T]) RangeWithin(pattern string, f func(subject, queue string, sub *T) bool) {
	l.rangeIf(func(subject string) bool { return subsetMatch(subject, pattern) }, f)
}

// RangeColliding is Range over the subscriptions that share some subject with
// pattern. It looks at each subject of the list.
func (l *List[T]) RangeColliding(pattern string, f func(subject, queue string, sub *T) bool) {
	l.rangeIf(func(subject string) bool { return collide(subject, pattern) }, f)
}

func (l *List[T]) rangeIf(want func(string) bool, f func(subject, queue string, sub *T) bool) {
	l.entries(func(e *entry[T]) bool {
		s := e.set.Load()
		return s == nil || !want(e.subject) || s.each(func(queue string, sub *T) bool {
			return f(e.subject, queue, sub)
		})
	})
}

// ReverseMatch fills r with the subscriptions that pattern covers: those with
// literal subjects that pattern matches, and those with narrower patterns. r is
// the caller's scratch, as for Match.
func (l *List[T]) ReverseMatch(pattern string, r *Result[T]) {
	var sets []*set[T]
	l.entries(func(e *entry[T]) bool {
		if s := e.set.Load(); s != nil && subsetMatch(e.subject, pattern) {
			sets = append(sets, s)
		}
		return true
	})
	var m merger[T]
	m.build(r, sets)
}

// entries calls f for every subject subscribed to until f returns false.
func (l *List[T]) entries(f func(*entry[T]) bool) {
	for i := range l.lits {
		if !l.lits[i].table.each(f) {
			return
		}
	}
	w := l.wild.Load()
	if w == nil || !w.top.entries(f) || !w.root.entries(f) {
		return
	}
	for i := range w.shards {
		if !w.shards[i].entries(f) {
			return
		}
	}
}

// entries visits the patterns of every trie node in the shard: those the table
// leads to, and the chains of stars below each.
func (s *wildShard[T]) entries(f func(*entry[T]) bool) bool {
	return s.table.each(func(n *node[T]) bool { return n.entries(f) })
}

func (n *node[T]) entries(f func(*entry[T]) bool) bool {
	for ; n != nil; n = n.star.Load() {
		for _, e := range [...]*entry[T]{n.end.Load(), n.last.Load(), n.rest.Load()} {
			if e != nil && !f(e) {
				return false
			}
		}
	}
	return true
}
