package sublist

import (
	"strings"
	"sync"
	"sync/atomic"
)

// prefixTokens is how many leading literal tokens decide where a pattern lives
// and which generation its changes bump. Two are what keeps `_INBOX.<id>.*`,
// which every client subscribes to, from disturbing anybody else.
const prefixTokens = 2

// generations is how many counters prefixes share; two prefixes on one counter
// only cost a needless rebuild now and then.
const generations = 512

// wilds holds the wildcard patterns of a list in tries, one per literal prefix: a
// pattern `a.b.*.c` is in the trie of "a.b", `a.*` in that of "a", and one that
// starts with a wildcard in the root's. A published subject therefore walks three
// tries at most, and a change touches one.
type wilds[T any] struct {
	root   wildShard[T] // patterns that start with a wildcard
	top    node[T]      // their trie
	shards []wildShard[T]
	// rootGen and gens count changes by prefix, after each.
	rootGen atomic.Uint64
	gens    [generations]atomic.Uint64
}

// wildShard holds the tries of some prefixes. The table has each trie's top node
// under its prefix and every other node that a literal token leads to under its
// parent and that token, so a node with 100,000 children costs no more to change
// than one with two.
type wildShard[T any] struct {
	table table[node[T]]
	mu    sync.Mutex // held by writers
	ids   uint32     // last node id given
	tally tally
	_     [8]byte // fills a cache line
}

// node is a place in a trie. Its fields are set one at a time by the writer who
// holds the shard, each complete when it is published, so a reader sees any
// pattern that was there before it came and stays. The token is held in the node
// itself when it fits: a match compares one per level, and following a pointer to
// each would be most of its time.
type node[T any] struct {
	parent *node[T]                 // nil for the top of a trie
	star   atomic.Pointer[node[T]]  // patterns with `*` next and more after it
	last   atomic.Pointer[entry[T]] // the pattern that ends with `*` next
	rest   atomic.Pointer[entry[T]] // the pattern that ends with `>` next
	end    atomic.Pointer[entry[T]] // the pattern that ends here

	// hints has a bit for each child in the table, set before the child is there:
	// a clear bit saves the look. Bits go stale until the last child is gone.
	hints atomic.Uint32
	id    uint32 // stands for the node in its children's hashes
	kids  int32  // children in the table; the writers'

	// The token that leads here from parent; for a top, the prefix.
	size  uint32
	short [shortToken]byte
	long  *string // instead of short, when size is larger than that
}

// shortToken fits two tokens such as `_INBOX` and a client's id.
const shortToken = 32

func newNode[T any](parent *node[T], id uint32, token string) *node[T] {
	n := &node[T]{parent: parent, id: id, size: uint32(len(token))}
	if len(token) <= shortToken {
		copy(n.short[:], token)
	} else {
		token = strings.Clone(token)
		n.long = &token
	}
	return n
}

func (n *node[T]) token() string {
	if n.size <= shortToken {
		return view(n.short[:n.size])
	}
	return *n.long
}

// bare reports whether nothing hangs on n. The caller holds the shard.
func (n *node[T]) bare() bool {
	return n.kids == 0 && n.star.Load() == nil && n.last.Load() == nil &&
		n.rest.Load() == nil && n.end.Load() == nil
}

// key returns what the table keeps n under.
func (n *node[T]) key() uint64 {
	hash := hashOf(n.token())
	if n.parent != nil {
		hash = childHash(n.parent.id, hash)
	}
	return hash
}

// hint returns the bit of a child in its parent's hints.
func hint(hash uint64) uint32 { return 1 << (hash >> 40 & 31) }

func newWilds[T any](shards int) *wilds[T] {
	return &wilds[T]{shards: make([]wildShard[T], shards)}
}

func (w *wilds[T]) shard(hash uint64) *wildShard[T] {
	return &w.shards[(hash>>48)&uint64(len(w.shards)-1)]
}

// generation returns which counter a prefix with this hash bumps.
func generation(hash uint64) uint16 { return uint16(hash>>32) % generations }

// place is where a pattern belongs: its shard, the counter of its prefix, and the
// prefix itself.
type place[T any] struct {
	shard  *wildShard[T]
	gen    *atomic.Uint64
	prefix string
	hash   uint64
}

func (w *wilds[T]) place(pattern string, sh shape) place[T] {
	if sh.literals == 0 {
		return place[T]{shard: &w.root, gen: &w.rootGen}
	}
	prefix := pattern[:sh.prefix]
	hash := hashOf(prefix)
	return place[T]{w.shard(hash), &w.gens[generation(hash)], prefix, hash}
}

// child returns the node that a literal token leads to, or nil.
func (s *wildShard[T]) child(parent *node[T], token string, hash uint64) *node[T] {
	cells := s.table.candidates()
	if cells == nil {
		return nil
	}
	mask := uint64(len(cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch cells[i].hash.Load() {
		case hash:
			if n := cells[i].ptr.Load(); n != nil && n.parent == parent && n.token() == token {
				return n
			}
		case cellEmpty:
			return nil
		}
	}
}

// grow returns the child for a literal token, making it when it is missing. The
// caller holds mu.
func (s *wildShard[T]) grow(parent *node[T], token string, hash uint64) *node[T] {
	n := s.child(parent, token, hash)
	if n == nil {
		n = s.node(parent, token)
		if parent != nil {
			parent.kids++
			parent.hints.Or(hint(hash))
		}
		s.table.insert(hash, n)
	}
	return n
}

func (s *wildShard[T]) node(parent *node[T], token string) *node[T] {
	s.ids++
	return newNode(parent, s.ids, token)
}

// descend walks a pattern to the field of the node that holds its entry, making
// what is missing if grow is set; otherwise it returns nil when it gets stuck.
func (w *wilds[T]) descend(p place[T], pattern string, grow bool) (*node[T], *atomic.Pointer[entry[T]]) {
	n, at := &w.top, 0
	if p.prefix != "" {
		at = len(p.prefix) + 1
		if grow {
			n = p.shard.grow(nil, p.prefix, p.hash)
		} else {
			n = p.shard.child(nil, p.prefix, p.hash)
		}
	}
	for n != nil {
		end := tokenEnd(pattern, at)
		token, final := pattern[at:end], end == len(pattern)
		switch {
		case isFull(token):
			return n, &n.rest
		case isPartial(token) && final:
			return n, &n.last
		case isPartial(token):
			next := n.star.Load()
			if next == nil && grow {
				next = p.shard.node(n, "*")
				n.star.Store(next)
			}
			n = next
		default:
			hash := childHash(n.id, hashOf(token))
			if grow {
				n = p.shard.grow(n, token, hash)
			} else {
				n = p.shard.child(n, token, hash)
			}
			if final && n != nil {
				return n, &n.end
			}
		}
		at = end + 1
	}
	return nil, nil
}

// insert adds m to a pattern and reports whether it was not there before. Every
// change shows in the prefix's counter before it shows in total, which is what
// lets a cache trust total alone.
func (w *wilds[T]) insert(pattern string, sh shape, m member[T], total *atomic.Uint64) bool {
	p := w.place(pattern, sh)
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	_, field := w.descend(p, pattern, true)
	e := field.Load()
	var c change
	if e == nil {
		e = &entry[T]{subject: pattern}
		c = e.add(m)
		field.Store(e)
	} else {
		c = e.add(m)
	}
	if c.counted {
		p.shard.tally.inserts.Add(1)
	}
	if c.altered {
		p.gen.Add(1)
		total.Add(1)
	}
	return c.counted
}

// remove takes m off a pattern and reports whether it was there.
func (w *wilds[T]) remove(pattern string, sh shape, m member[T], total *atomic.Uint64) bool {
	p := w.place(pattern, sh)
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	n, field := w.descend(p, pattern, false)
	if n == nil {
		return false
	}
	e := field.Load()
	if e == nil {
		return false
	}
	c := e.drop(m)
	if c.counted {
		p.shard.tally.removes.Add(1)
	}
	if c.empty {
		field.Store(nil)
		w.prune(p.shard, n)
	}
	if c.altered {
		p.gen.Add(1)
		total.Add(1)
	}
	return c.counted
}

// prune unlinks n and its ancestors as long as nothing hangs on them.
func (w *wilds[T]) prune(s *wildShard[T], n *node[T]) {
	for n != &w.top && n.bare() {
		parent := n.parent
		if parent != nil && parent.star.Load() == n {
			parent.star.Store(nil)
		} else {
			s.table.remove(n.key(), n)
			if parent != nil {
				if parent.kids--; parent.kids == 0 {
					parent.hints.Store(0)
				}
			}
		}
		if parent == nil {
			return
		}
		n = parent
	}
}
