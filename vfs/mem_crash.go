package vfs

import (
	"math/rand/v2"
	"slices"
	"sort"
)

// CrashOptions says what a power cut leaves of what was not synced.
type CrashOptions struct {
	// Survive is the chance, 0 to 1, of each unsynced sector, change of length
	// and change of a name to be on disk nevertheless. They are drawn one by one,
	// so writes tear and overtake each other.
	Survive float64
	// Sector is the unit in which unsynced writes survive, 512 if it is 0.
	Sector int
}

// Crash cuts the power: every later call on m and its files answers ErrCrashed,
// and what is left on disk is returned as a new file system. The same state,
// options and random numbers leave the same disk.
func (m *Mem) Crash(random *rand.Rand, options CrashOptions) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	if options.Sector == 0 {
		options.Sector = 512
	}
	c := crash{random: random, options: options, done: map[*node]*node{}, moves: map[*move]bool{}}
	return &Mem{root: c.node(m.root)}
}

// crash is the making of one post-crash tree.
type crash struct {
	random  *rand.Rand
	options CrashOptions
	done    map[*node]*node // a node may survive under two names
	moves   map[*move]bool  // drawn once for both halves
}

func (c *crash) survives() bool { return c.random.Float64() < c.options.Survive }

// nameSurvives is survives for a change of names.
func (c *crash) nameSurvives(change nameChange) bool {
	if change.move == nil {
		return c.survives()
	}
	if _, drawn := c.moves[change.move]; !drawn {
		c.moves[change.move] = c.survives() || change.move.durable
	}
	return c.moves[change.move]
}

func (c *crash) node(old *node) *node {
	if fresh := c.done[old]; fresh != nil {
		return fresh
	}
	fresh := &node{dir: old.dir}
	c.done[old] = fresh
	if !old.dir {
		fresh.durable = c.file(old)
		fresh.data = slices.Clone(fresh.durable)
		return fresh
	}
	names := make(map[string]*node, len(old.durableNames))
	for name, child := range old.durableNames {
		names[name] = child
	}
	for _, change := range old.pendingNames {
		if c.nameSurvives(change) {
			change.apply(names)
		}
	}
	fresh.names = make(map[string]*node, len(names))
	fresh.durableNames = make(map[string]*node, len(names))
	for _, name := range sortedNames(names) { // in order: random numbers are drawn on the way
		child := c.node(names[name])
		fresh.names[name] = child
		fresh.durableNames[name] = child
	}
	return fresh
}

// file returns the bytes of a file after the crash.
func (c *crash) file(old *node) []byte {
	b := slices.Clone(old.durable)
	for _, change := range old.pending {
		if change.data == nil {
			if c.survives() {
				b = change.apply(b)
			}
			continue
		}
		sector := int64(c.options.Sector)
		end := change.off + int64(len(change.data))
		for off := change.off; off < end; {
			next := min(off-off%sector+sector, end)
			if c.survives() {
				piece := fileChange{data: change.data[off-change.off : next-change.off], off: off}
				b = piece.apply(b)
			}
			off = next
		}
	}
	return b
}

func sortedNames(names map[string]*node) []string {
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	return sorted
}

// Clone returns an independent copy of m as it is now, durable and pending
// state included, with no file open. It is how a test tries many endings of one
// beginning, or keeps an old disk to take stale blocks from.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := cloning{nodes: map[*node]*node{}, moves: map[*move]*move{}}
	return &Mem{root: c.node(m.root)}
}

// cloning maps what was copied to its copy.
type cloning struct {
	nodes map[*node]*node
	moves map[*move]*move
}

func (c *cloning) move(old *move) *move {
	if old == nil {
		return nil
	}
	fresh := c.moves[old]
	if fresh == nil {
		fresh = &move{durable: old.durable}
		c.moves[old] = fresh
	}
	return fresh
}

func (c *cloning) node(old *node) *node {
	if old == nil {
		return nil
	}
	if fresh := c.nodes[old]; fresh != nil {
		return fresh
	}
	fresh := &node{
		dir:     old.dir,
		data:    slices.Clone(old.data),
		durable: slices.Clone(old.durable),
		pending: slices.Clone(old.pending), // their data is never changed
	}
	c.nodes[old] = fresh
	if !old.dir {
		return fresh
	}
	fresh.names = make(map[string]*node, len(old.names))
	for name, child := range old.names {
		fresh.names[name] = c.node(child)
	}
	fresh.durableNames = make(map[string]*node, len(old.durableNames))
	for name, child := range old.durableNames {
		fresh.durableNames[name] = c.node(child)
	}
	for _, change := range old.pendingNames {
		change.node, change.move = c.node(change.node), c.move(change.move)
		fresh.pendingNames = append(fresh.pendingNames, change)
	}
	return fresh
}

// loseFile marks what is pending as not covered by later syncs of the file: a
// sync has failed, and the system may have dropped the pages.
func (f *memFile) loseFile() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for i := range f.node.pending {
		f.node.pending[i].lost = true
	}
}

// loseDir is loseFile for the names in a directory.
func (m *Mem) loseDir(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.find(dir); n != nil {
		for i := range n.pendingNames {
			n.pendingNames[i].lost = true
		}
	}
}
