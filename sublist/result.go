package sublist

// Result is who receives a message. Unless it is a caller's scratch, it is
// immutable and shared: keep it as long as you like, change nothing.
type Result[T any] struct {
	// Plain holds every plain subscriber, grouped by loop, loops ascending.
	Plain []*T
	// Groups holds the queue groups, each name once, in no particular order.
	Groups []Group[T]
}

// Empty reports whether nobody is interested.
func (r *Result[T]) Empty() bool { return len(r.Plain) == 0 && len(r.Groups) == 0 }

// size counts the pointers a result holds, groups included: its cost in a cache.
func (r *Result[T]) size() int {
	n := len(r.Plain)
	for i := range r.Groups {
		n += len(r.Groups[i].Members) + 9
	}
	return n
}

// Group is one queue group: a message goes to one member.
type Group[T any] struct {
	Name    string
	Members []*T
	// Weights runs beside Members: how many subscribers a member stands for.
	// It is empty when every member stands for one.
	Weights []int32
	total   uint64 // sum of Weights
}

// Pick turns a uniformly random number into the index of the member to try
// first, members weighted by how many they stand for. The others are tried in
// order from there, with wrap-around.
func (g *Group[T]) Pick(random uint64) int {
	if len(g.Weights) == 0 {
		return int(random % uint64(len(g.Members)))
	}
	n := random % g.total
	for i, w := range g.Weights {
		if n < uint64(w) {
			return i
		}
		n -= uint64(w)
	}
	return len(g.Members) - 1
}

// add appends a member of the given weight, which is at least 1.
func (g *Group[T]) add(m *T, weight int32) {
	if weight != 1 && len(g.Weights) == 0 {
		for range g.Members {
			g.Weights = append(g.Weights, 1)
		}
		g.total = uint64(len(g.Members))
	}
	if weight != 1 || len(g.Weights) > 0 {
		g.Weights = append(g.Weights, weight)
		g.total += uint64(weight)
	}
	g.Members = append(g.Members, m)
}

// weight returns how many subscribers member i stands for.
func (g *Group[T]) weight(i int) int32 {
	if len(g.Weights) == 0 {
		return 1
	}
	return g.Weights[i]
}

// manyGroups is where an index by name beats comparing names one by one.
const manyGroups = 16

// group returns the group of that name in r, adding it when it is new. index, if
// not nil, tells where each name is. Room that an earlier use of r left behind is
// used again.
func (r *Result[T]) group(name string, index map[string]int) *Group[T] {
	if index != nil {
		if i, ok := index[name]; ok {
			return &r.Groups[i]
		}
	} else {
		for i := range r.Groups {
			if r.Groups[i].Name == name {
				return &r.Groups[i]
			}
		}
	}
	n := len(r.Groups)
	if index != nil {
		index[name] = n
	}
	if n == cap(r.Groups) {
		r.Groups = append(r.Groups, Group[T]{Name: name})
		return &r.Groups[n]
	}
	r.Groups = r.Groups[:n+1]
	g := &r.Groups[n]
	g.Name, g.Members, g.Weights, g.total = name, g.Members[:0], g.Weights[:0], 0
	return g
}

// merger builds results out of sets. Its scratch is reused between builds.
// Owned by whoever matches.
type merger[T any] struct {
	plain  []*T
	loops  []uint16 // beside plain
	counts []int    // per loop, then where its run goes on
	sorted bool
}

// build fills dst with the subscribers of all sets. dst's slices are reused, so
// they must be the caller's own.
func (m *merger[T]) build(dst *Result[T], sets []*set[T]) {
	m.plain, m.loops, m.sorted = m.plain[:0], m.loops[:0], true
	dst.Groups = dst.Groups[:0]
	names := 0
	if len(sets) == 1 {
		// One set is in order already: no need to gather first.
		dst.Plain = sets[0].plainInto(dst.Plain[:0])
		names = sets[0].numGroups()
	} else {
		for _, s := range sets {
			s.appendPlain(m)
			names += s.numGroups()
		}
		m.placePlain(dst)
	}
	if names > 0 {
		var index map[string]int
		if names > manyGroups {
			index = make(map[string]int, names)
		}
		for _, s := range sets {
			s.appendGroups(dst, index)
		}
	}
	m.release()
}

// add gathers one plain subscriber.
func (m *merger[T]) add(sub *T, loop uint16) {
	if n := len(m.loops); n > 0 && m.loops[n-1] > loop {
		m.sorted = false
	}
	m.plain = append(m.plain, sub)
	m.loops = append(m.loops, loop)
}

// placePlain moves what was gathered into dst, by loop.
func (m *merger[T]) placePlain(dst *Result[T]) {
	if cap(dst.Plain) < len(m.plain) {
		dst.Plain = make([]*T, len(m.plain))
	}
	dst.Plain = dst.Plain[:len(m.plain)]
	if m.sorted {
		copy(dst.Plain, m.plain)
		return
	}
	m.counts = m.counts[:0]
	for _, l := range m.loops {
		for int(l)+1 >= len(m.counts) {
			m.counts = append(m.counts, 0)
		}
		m.counts[l+1]++
	}
	for l := 1; l < len(m.counts); l++ {
		m.counts[l] += m.counts[l-1]
	}
	for i, l := range m.loops {
		dst.Plain[m.counts[l]] = m.plain[i]
		m.counts[l]++
	}
}

// scratchMax bounds what a merger keeps between builds, in subscribers.
const scratchMax = 1 << 14

// release lets go of the subscribers gathered, so that a scratch does not keep
// closed connections alive.
func (m *merger[T]) release() {
	clear(m.plain)
	if cap(m.plain) > scratchMax {
		m.plain, m.loops = nil, nil
	}
}
