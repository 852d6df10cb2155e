package sublist

import (
	"slices"
	"sync/atomic"
)

// wide is a set with many members: one lane per loop for plain ones, one per
// queue group. Adding and removing touch one place; a reader builds its flat
// Result when version says that it must.
//
// Readers use version, plain and groups; the rest is the writers', under the lock
// of the shard around it.
type wide[T any] struct {
	version atomic.Uint64                   // counts changes, after each
	plain   atomic.Pointer[[]*plainLane[T]] // loops ascending, immutable list
	groups  lane[queueLane[T]]

	places map[*T]plainPlace[T]
	names  map[string]*queueLane[T]
}

type plainLane[T any] struct {
	lane[T]
	loop uint16
}

type plainPlace[T any] struct {
	lane *plainLane[T]
	at   uint32
}

// queueLane is one queue group of a wide set.
type queueLane[T any] struct {
	lane[queueMember[T]]
	name   string
	at     uint32 // place among the groups
	places map[*T]uint32
}

type queueMember[T any] struct {
	ref    *T
	weight int32
}

// widen copies a narrow set into a wide one.
func widen[T any](s *set[T]) *wide[T] {
	w := &wide[T]{places: make(map[*T]plainPlace[T]), names: make(map[string]*queueLane[T])}
	for i, ref := range s.Plain {
		w.add(member[T]{ref: ref, loop: s.loopOf(i)})
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		for k, ref := range g.Members {
			w.add(member[T]{ref: ref, queue: g.Name, weight: g.weight(k)})
		}
	}
	return w
}

// narrow copies a wide set with few members into a narrow one, nil when there
// are none.
func (w *wide[T]) narrow() *set[T] {
	var s *set[T]
	put := func(m member[T]) {
		if s == nil {
			s = newSet(m)
		} else {
			s, _ = s.with(m)
		}
	}
	w.eachPlain(func(ref *T, loop uint16) bool {
		put(member[T]{ref: ref, loop: loop})
		return true
	})
	w.groups.each(func(q *queueLane[T]) bool {
		return q.each(func(m *queueMember[T]) bool {
			put(member[T]{ref: m.ref, queue: q.name, weight: m.weight})
			return true
		})
	})
	return s
}

func (w *wide[T]) add(m member[T]) change {
	if m.queue != "" {
		return w.addQueue(m)
	}
	if _, ok := w.places[m.ref]; ok {
		return change{}
	}
	l := w.laneOf(m.loop)
	w.places[m.ref] = plainPlace[T]{l, l.add(m.ref)}
	w.version.Add(1)
	return change{counted: true, altered: true, edge: len(w.places) == 1}
}

// laneOf returns the lane of a loop, making it when it is the loop's first.
func (w *wide[T]) laneOf(loop uint16) *plainLane[T] {
	lanes := w.lanes()
	at, ok := slices.BinarySearchFunc(lanes, loop, func(l *plainLane[T], loop uint16) int {
		return int(l.loop) - int(loop)
	})
	if ok {
		return lanes[at]
	}
	l := &plainLane[T]{loop: loop}
	grown := slices.Insert(slices.Clone(lanes), at, l)
	w.plain.Store(&grown)
	return l
}

func (w *wide[T]) addQueue(m member[T]) change {
	q := w.names[m.queue]
	c := change{counted: true, altered: true}
	if q == nil {
		q = &queueLane[T]{name: m.queue, places: make(map[*T]uint32)}
		q.places[m.ref] = q.add(&queueMember[T]{m.ref, m.weight})
		q.at = w.groups.add(q)
		w.names[m.queue] = q
		c.edge = true
	} else if at, ok := q.places[m.ref]; ok {
		if (*q.lane.places.Load())[at].Load().weight == m.weight {
			return change{}
		}
		q.set(at, &queueMember[T]{m.ref, m.weight})
		c.counted = false
	} else {
		q.places[m.ref] = q.add(&queueMember[T]{m.ref, m.weight})
	}
	w.version.Add(1)
	return c
}

func (w *wide[T]) drop(m member[T]) change {
	if m.queue != "" {
		return w.dropQueue(m)
	}
	p, ok := w.places[m.ref]
	if !ok {
		return change{}
	}
	delete(w.places, m.ref)
	p.lane.clear(p.at)
	p.lane.pack(func(ref *T, at uint32) { w.places[ref] = plainPlace[T]{p.lane, at} })
	w.version.Add(1)
	return change{counted: true, altered: true, edge: len(w.places) == 0}
}

func (w *wide[T]) dropQueue(m member[T]) change {
	q := w.names[m.queue]
	if q == nil {
		return change{}
	}
	at, ok := q.places[m.ref]
	if !ok {
		return change{}
	}
	delete(q.places, m.ref)
	q.clear(at)
	c := change{counted: true, altered: true, edge: len(q.places) == 0}
	if c.edge {
		delete(w.names, m.queue)
		w.groups.clear(q.at)
		w.groups.pack(func(q *queueLane[T], at uint32) { q.at = at })
	} else {
		q.pack(func(m *queueMember[T], at uint32) { q.places[m.ref] = at })
	}
	w.version.Add(1)
	return c
}

// total counts members; for writers, and only near narrowMax exact and cheap.
func (w *wide[T]) total() int {
	n := len(w.places)
	if n > narrowMax || len(w.names) > narrowMax {
		return narrowMax + 1
	}
	for _, q := range w.names {
		n += len(q.places)
	}
	return n
}

// lanes returns the plain lanes, loops ascending.
func (w *wide[T]) lanes() []*plainLane[T] {
	if p := w.plain.Load(); p != nil {
		return *p
	}
	return nil
}

func (w *wide[T]) eachPlain(f func(ref *T, loop uint16) bool) bool {
	for _, l := range w.lanes() {
		if !l.each(func(ref *T) bool { return f(ref, l.loop) }) {
			return false
		}
	}
	return true
}

// What serves matches, from here on, does without closures, which would be
// allocated.

func (w *wide[T]) plainInto(dst []*T) []*T {
	plain, _ := w.counts()
	dst = slices.Grow(dst, plain)
	for _, l := range w.lanes() {
		places := l.all()
		for i := range places {
			if ref := places[i].Load(); ref != nil {
				dst = append(dst, ref)
			}
		}
	}
	return dst
}

func (w *wide[T]) appendPlain(m *merger[T]) {
	for _, l := range w.lanes() {
		places := l.all()
		for i := range places {
			if ref := places[i].Load(); ref != nil {
				m.add(ref, l.loop)
			}
		}
	}
}

func (w *wide[T]) appendGroups(dst *Result[T], index map[string]int) {
	groups := w.groups.all()
	for i := range groups {
		q := groups[i].Load()
		if q == nil {
			continue
		}
		var d *Group[T] // not yet: a group whose last member has just gone must not appear
		places := q.all()
		for k := range places {
			m := places[k].Load()
			if m == nil {
				continue
			}
			if d == nil {
				d = dst.group(q.name, index)
				d.Members = slices.Grow(d.Members, int(q.live.Load()))
			}
			d.add(m.ref, m.weight)
		}
	}
}

func (w *wide[T]) counts() (plain, queue int) {
	for _, l := range w.lanes() {
		plain += int(l.live.Load())
	}
	groups := w.groups.all()
	for i := range groups {
		if q := groups[i].Load(); q != nil {
			queue += int(q.live.Load())
		}
	}
	return plain, queue
}

func (w *wide[T]) each(f func(queue string, ref *T) bool) bool {
	return w.eachPlain(func(ref *T, _ uint16) bool { return f("", ref) }) &&
		w.groups.each(func(q *queueLane[T]) bool {
			return q.each(func(m *queueMember[T]) bool { return f(q.name, m.ref) })
		})
}
