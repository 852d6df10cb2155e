package sublist

// finder collects the sets that match a subject. Its slices start on arrays of
// its own, so an ordinary match does not allocate.
// Owned by whoever matches.
type finder[T any] struct {
	sets  []*set[T]
	todo  []branch[T]
	setsA [16]*set[T]
	todoA [16]branch[T]

	// For caches: the counters that tell of changes to the tries walked, and what
	// each said before its trie was walked.
	rootGen uint64
	gens    [prefixTokens]uint16
	stamps  [prefixTokens]uint64
}

// branch is a trie node yet to be walked: the subject's tokens from byte at on
// are still to be matched there.
type branch[T any] struct {
	node *node[T]
	at   int
}

func (f *finder[T]) init() {
	f.sets, f.todo = f.setsA[:0], f.todoA[:0]
}

// release lets go of what a search has found.
func (f *finder[T]) release() {
	clear(f.sets)
	f.sets = f.sets[:0]
}

// find collects every set that matches a published subject.
func (f *finder[T]) find(l *List[T], subject string) {
	f.sets = f.sets[:0]
	if !matchable(subject) {
		return
	}
	hash := hashOf(subject)
	sh := l.literals(hash)
	sh.table.touch(hash)
	if w := l.wild.Load(); w != nil {
		f.walkAll(w, subject)
	}
	f.take(sh.find(hash, subject))
}

func (f *finder[T]) take(e *entry[T]) {
	if e == nil {
		return
	}
	if s := e.set.Load(); s != nil {
		f.sets = append(f.sets, s)
	}
}

// walkAll walks the tries that may hold patterns for subject, which has no empty
// token, and notes the generations of their prefixes. Most of its time goes into
// waiting for memory, so it asks for all first cells before it needs any.
func (f *finder[T]) walkAll(w *wilds[T], subject string) {
	var prefixes [prefixTokens]struct {
		hash  uint64
		shard *wildShard[T]
		size  int
	}
	n := 0
	for at := 0; n < prefixTokens && at <= len(subject); n++ {
		p := &prefixes[n]
		p.size = tokenEnd(subject, at)
		p.hash = hashOf(subject[:p.size])
		p.shard = w.shard(p.hash)
		p.shard.table.touch(p.hash)
		at = p.size + 1
	}
	f.rootGen = w.rootGen.Load()
	f.walk(&w.root, &w.top, subject, 0)
	for i := range prefixes {
		if i >= n {
			// A subject of one token has one prefix: note it twice.
			f.gens[i], f.stamps[i] = f.gens[i-1], f.stamps[i-1]
			continue
		}
		p := &prefixes[i]
		f.gens[i] = generation(p.hash)
		f.stamps[i] = w.gens[f.gens[i]].Load()
		if top := p.shard.child(nil, subject[:p.size], p.hash); top != nil {
			f.walk(p.shard, top, subject, p.size+1)
		}
	}
}

// walk matches subject from byte at on against the trie below n. It keeps the
// branches to come back to on a list of its own: a subject may have more tokens
// than a goroutine's stack should have frames.
func (f *finder[T]) walk(s *wildShard[T], n *node[T], subject string, at int) {
	for {
		for n != nil && at <= len(subject) {
			f.take(n.rest.Load())
			end := tokenEnd(subject, at)
			if end == len(subject) {
				f.take(n.last.Load())
			} else if star := n.star.Load(); star != nil {
				f.todo = append(f.todo, branch[T]{star, end + 1})
			}
			n = s.step(n, subject[at:end])
			at = end + 1
		}
		if n != nil {
			f.take(n.end.Load())
		}
		last := len(f.todo) - 1
		if last < 0 {
			return
		}
		n, at = f.todo[last].node, f.todo[last].at
		f.todo = f.todo[:last]
	}
}

// step returns the node that a literal token leads to from n, or nil.
func (s *wildShard[T]) step(n *node[T], token string) *node[T] {
	hints := n.hints.Load()
	if hints == 0 {
		return nil
	}
	hash := childHash(n.id, hashOf(token))
	if hints&hint(hash) == 0 {
		return nil
	}
	return s.child(n, token, hash)
}
