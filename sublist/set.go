package sublist

import (
	"slices"
	"sync/atomic"
)

// entry is one subscription subject with everybody subscribed to it. An entry
// whose set is nil has been taken out of its table or node for good; a later
// subscription to the same subject makes a new entry.
type entry[T any] struct {
	subject string
	set     atomic.Pointer[set[T]]
}

// A set grows from immutable arrays, copied at each change and handed out as they
// are, into lanes, where a change costs the same at any size. It shrinks back
// later than it grew, so that it does not flap.
const (
	wideMin   = 48 // members at which a set becomes wide
	narrowMax = 16 // members at which a wide set becomes narrow again
)

// set is who subscribed to one subject. A narrow set is immutable and its Result
// complete; a wide one keeps its members in wide and leaves Result empty.
type set[T any] struct {
	Result[T]
	ext  *extension[T] // nil for most
	loop uint16        // of all Plain, unless ext.loops says otherwise
	n    uint16        // members of a narrow set
}

// extension is what few sets need.
type extension[T any] struct {
	loops []uint16 // beside Plain, when not all are of one loop
	wide  *wide[T]
}

// member is one subscriber as it is inserted. weight is at least 1.
type member[T any] struct {
	ref    *T
	queue  string // empty for a plain subscriber
	loop   uint16
	weight int32
}

// change is what an insert or a remove did to a set.
type change struct {
	counted bool // a member came or went
	altered bool // readers must see something new
	edge    bool // the plain part or the group appeared or vanished
	empty   bool // nobody is left
}

// add puts m into e's set. The caller holds the lock of e's shard.
func (e *entry[T]) add(m member[T]) change {
	s := e.set.Load()
	if s == nil {
		e.set.Store(newSet(m))
		return change{counted: true, altered: true, edge: true}
	}
	if w := s.wide(); w != nil {
		return w.add(m)
	}
	if s.n >= wideMin {
		w := widen(s)
		c := w.add(m)
		e.set.Store(&set[T]{ext: &extension[T]{wide: w}})
		c.altered = true
		return c
	}
	ns, c := s.with(m)
	if c.altered {
		e.set.Store(ns)
	}
	return c
}

// drop takes m out of e's set; an empty set becomes nil. The caller holds the
// lock of e's shard.
func (e *entry[T]) drop(m member[T]) change {
	s := e.set.Load()
	if s == nil {
		return change{}
	}
	var c change
	w := s.wide()
	if w != nil {
		c = w.drop(m)
		if !c.altered || w.total() > narrowMax {
			return c
		}
		s = w.narrow()
	} else {
		s, c = s.without(m)
	}
	if !c.altered {
		return c
	}
	if s == nil {
		c.empty = true
	}
	e.set.Store(s)
	return c
}

func newSet[T any](m member[T]) *set[T] {
	s := &set[T]{n: 1}
	if m.queue == "" {
		s.Plain, s.loop = []*T{m.ref}, m.loop
	} else {
		g := Group[T]{Name: m.queue}
		g.add(m.ref, m.weight)
		s.Groups = []Group[T]{g}
	}
	return s
}

func (s *set[T]) wide() *wide[T] {
	if s.ext == nil {
		return nil
	}
	return s.ext.wide
}

// loopOf returns the loop of Plain[i] in a narrow set.
func (s *set[T]) loopOf(i int) uint16 {
	if s.ext == nil {
		return s.loop
	}
	return s.ext.loops[i]
}

// with returns a narrow set's copy that has m too.
func (s *set[T]) with(m member[T]) (*set[T], change) {
	if m.queue != "" {
		return s.withQueue(m)
	}
	if slices.Contains(s.Plain, m.ref) {
		return s, change{}
	}
	at := 0
	for at < len(s.Plain) && s.loopOf(at) <= m.loop {
		at++
	}
	ns := &set[T]{n: s.n + 1}
	ns.Groups = s.Groups
	ns.Plain = make([]*T, 0, len(s.Plain)+1)
	ns.Plain = append(append(append(ns.Plain, s.Plain[:at]...), m.ref), s.Plain[at:]...)
	if len(s.Plain) == 0 || s.ext == nil && s.loop == m.loop {
		ns.loop = m.loop
	} else {
		loops := make([]uint16, 0, len(ns.Plain))
		for i := range s.Plain {
			loops = append(loops, s.loopOf(i))
		}
		ns.ext = &extension[T]{loops: slices.Insert(loops, at, m.loop)}
	}
	return ns, change{counted: true, altered: true, edge: len(s.Plain) == 0}
}

func (s *set[T]) withQueue(m member[T]) (*set[T], change) {
	ns := &set[T]{ext: s.ext, loop: s.loop, n: s.n + 1}
	ns.Plain = s.Plain
	c := change{counted: true, altered: true, edge: true}
	ns.Groups = make([]Group[T], len(s.Groups), len(s.Groups)+1)
	copy(ns.Groups, s.Groups)
	for i := range ns.Groups {
		g := &ns.Groups[i]
		if g.Name != m.queue {
			continue
		}
		c.edge = false
		fresh := Group[T]{Name: g.Name, Members: make([]*T, 0, len(g.Members)+1)}
		for k, ref := range g.Members {
			w := g.weight(k)
			if ref == m.ref {
				if w == m.weight {
					return s, change{}
				}
				w, c.counted = m.weight, false
			}
			fresh.add(ref, w)
		}
		if c.counted {
			fresh.add(m.ref, m.weight)
		} else {
			ns.n--
		}
		*g = fresh
		return ns, c
	}
	g := Group[T]{Name: m.queue}
	g.add(m.ref, m.weight)
	ns.Groups = append(ns.Groups, g)
	return ns, c
}

// without returns a narrow set's copy that lacks m, nil when nobody is left.
func (s *set[T]) without(m member[T]) (*set[T], change) {
	if m.queue != "" {
		return s.withoutQueue(m)
	}
	at := slices.Index(s.Plain, m.ref)
	if at < 0 {
		return s, change{}
	}
	c := change{counted: true, altered: true, edge: len(s.Plain) == 1}
	if s.n == 1 {
		return nil, c
	}
	ns := &set[T]{loop: s.loop, n: s.n - 1}
	ns.Groups = s.Groups
	if len(s.Plain) == 1 {
		return ns, c
	}
	ns.Plain = make([]*T, 0, len(s.Plain)-1)
	ns.Plain = append(append(ns.Plain, s.Plain[:at]...), s.Plain[at+1:]...)
	if s.ext != nil {
		loops := make([]uint16, 0, len(ns.Plain))
		loops = append(append(loops, s.ext.loops[:at]...), s.ext.loops[at+1:]...)
		if loops[0] == loops[len(loops)-1] {
			ns.loop = loops[0]
		} else {
			ns.ext = &extension[T]{loops: loops}
		}
	}
	return ns, c
}

func (s *set[T]) withoutQueue(m member[T]) (*set[T], change) {
	gi := slices.IndexFunc(s.Groups, func(g Group[T]) bool { return g.Name == m.queue })
	if gi < 0 {
		return s, change{}
	}
	g := &s.Groups[gi]
	at := slices.Index(g.Members, m.ref)
	if at < 0 {
		return s, change{}
	}
	c := change{counted: true, altered: true, edge: len(g.Members) == 1}
	if s.n == 1 {
		return nil, c
	}
	ns := &set[T]{ext: s.ext, loop: s.loop, n: s.n - 1}
	ns.Plain = s.Plain
	if c.edge {
		if len(s.Groups) > 1 {
			ns.Groups = slices.Delete(slices.Clone(s.Groups), gi, gi+1)
		}
		return ns, c
	}
	ns.Groups = slices.Clone(s.Groups)
	fresh := Group[T]{Name: g.Name, Members: make([]*T, 0, len(g.Members)-1)}
	for k, ref := range g.Members {
		if k != at {
			fresh.add(ref, g.weight(k))
		}
	}
	ns.Groups[gi] = fresh
	return ns, c
}

// appendPlain gathers the plain members into m.
func (s *set[T]) appendPlain(m *merger[T]) {
	if w := s.wide(); w != nil {
		w.appendPlain(m)
		return
	}
	for i, ref := range s.Plain {
		m.add(ref, s.loopOf(i))
	}
}

// plainInto appends the plain members to dst, by loop.
func (s *set[T]) plainInto(dst []*T) []*T {
	if w := s.wide(); w != nil {
		return w.plainInto(dst)
	}
	return append(dst, s.Plain...)
}

// numGroups returns about how many groups appendGroups will bring.
func (s *set[T]) numGroups() int {
	if w := s.wide(); w != nil {
		return int(w.groups.live.Load())
	}
	return len(s.Groups)
}

// appendGroups merges the queue groups into dst; index is as for Result.group.
func (s *set[T]) appendGroups(dst *Result[T], index map[string]int) {
	if w := s.wide(); w != nil {
		w.appendGroups(dst, index)
		return
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		d := dst.group(g.Name, index)
		for k, ref := range g.Members {
			d.add(ref, g.weight(k))
		}
	}
}

// counts returns the number of plain and queue members.
func (s *set[T]) counts() (plain, queue int) {
	if w := s.wide(); w != nil {
		return w.counts()
	}
	return len(s.Plain), int(s.n) - len(s.Plain)
}

// each calls f for every member until f returns false, and reports whether all
// were visited.
func (s *set[T]) each(f func(queue string, ref *T) bool) bool {
	if w := s.wide(); w != nil {
		return w.each(f)
	}
	for _, ref := range s.Plain {
		if !f("", ref) {
			return false
		}
	}
	for i := range s.Groups {
		for _, ref := range s.Groups[i].Members {
			if !f(s.Groups[i].Name, ref) {
				return false
			}
		}
	}
	return true
}
