package sublist

// Limits of a cache; CacheOptions sets the first two.
const (
	defaultEntries  = 8192    // subjects remembered
	defaultPointers = 1 << 19 // pointers in results of the cache's own
	firstEntries    = 256     // a cache starts with these and doubles
	ways            = 4       // places a subject may be at
	inlineKey       = 64      // bytes of subject kept in a line
	longestKey      = 512     // longer subjects are not remembered
)

// CacheOptions bounds a cache; zero fields take the defaults.
type CacheOptions struct {
	// Entries is how many subjects are remembered, rounded up to a power of two.
	Entries int
	// Pointers bounds the subscribers in results that the cache had to merge. One
	// larger result may still be kept, alone.
	Pointers int
}

// Cache remembers the results of matches, for any number of lists. It is owned by
// one loop: no locks, nothing shared written. What it returns is exact: a change
// to a list is seen by the next match after Insert or Remove has returned.
//
// The zero value is ready to use, with the default bounds.
type Cache[T any] struct {
	tags  []uint64 // what a line is found by, ways to a group
	lines []line[T]
	o     CacheOptions

	last     int // the line of the last hit; it may hold another subject now
	used     int // lines in use
	pointers int // sum of their costs
	hand     int // where a sweep goes on
	turn     int // rotates among the ways of a full group
	matches  uint64
	hits     uint64

	none   Result[T]
	finder finder[T]
	merger merger[T]
}

// line is one remembered subject and what its result was derived from. What a hit
// looks at comes first and fills two cache lines.
type line[T any] struct {
	list *List[T] // nil for an unused line
	res  *Result[T]

	// The literal part: the entry and the set it held, or, when there was no
	// entry, the shard's births by then.
	lit    *entry[T]
	set    *set[T]
	births uint64

	// wildGen is the list's total of wildcard changes by then.
	wildGen uint64

	size int32 // bytes of subject
	warm bool  // hit since it was last passed over for eviction
	wild bool  // the list had wildcards by then
	key  [inlineKey]byte

	// The set's wide part, if any, and its version by then.
	wide   *wide[T]
	wideAt uint64

	// The finer counters that decide when the total has moved on.
	rootGen uint64
	stamps  [prefixTokens]uint64
	gens    [prefixTokens]uint16

	cost int32
	long []byte // the subject, when it does not fit into key
}

// NewCache returns an empty cache.
func NewCache[T any](o CacheOptions) *Cache[T] {
	return &Cache[T]{o: o}
}

// Match returns who receives a message on subject, which is borrowed. The result
// is shared and immutable; it is empty, never nil, when nobody is interested.
func (c *Cache[T]) Match(l *List[T], subject []byte) *Result[T] {
	return c.MatchInto(l, subject, nil)
}

// MatchInto is Match for callers that have a scratch result at hand: a subject
// that is new to the cache and takes a merge is put together in scratch, and only
// remembered when it comes again. So a stream of subjects never seen before costs
// no allocation. The result may be scratch: use it before scratch is used again.
// A nil scratch makes it Match.
func (c *Cache[T]) MatchInto(l *List[T], subject []byte, scratch *Result[T]) *Result[T] {
	s := view(subject)
	c.matches++
	if c.tags == nil {
		c.start()
	}
	// A publisher mostly stays with its subject: look there before hashing.
	if e := &c.lines[c.last]; e.list == l && e.res != nil && e.subject() == s && e.fresh(l, c.tags[c.last]^l.salt) {
		e.warm = true
		c.hits++
		return e.res
	}
	hash := hashOf(s)
	tag := hash ^ l.salt
	base := int(tag) & (len(c.tags) - 1) &^ (ways - 1)
	for i, t := range c.tags[base : base+ways] {
		if t != tag {
			continue
		}
		if e := &c.lines[base+i]; e.list == l && e.subject() == s {
			if e.res != nil && e.fresh(l, hash) {
				c.last = base + i
				e.warm = true
				c.hits++
				return e.res
			}
			return c.refill(e, l, s, hash, scratch)
		}
	}
	return c.miss(l, s, hash, tag, scratch)
}

func (e *line[T]) subject() string {
	if e.size <= inlineKey {
		return view(e.key[:e.size])
	}
	return view(e.long)
}

// fresh reports whether the line's result still holds.
func (e *line[T]) fresh(l *List[T], hash uint64) bool {
	if total := l.wildGen.Load(); total != e.wildGen && !e.wildFresh(l, total) {
		return false
	}
	if e.lit != nil {
		return e.lit.set.Load() == e.set && (e.wide == nil || e.wide.version.Load() == e.wideAt)
	}
	sh := l.literals(hash)
	births := sh.births.Load()
	if births == e.births {
		return true
	}
	if sh.find(hash, e.subject()) != nil {
		return false
	}
	e.births = births
	return true
}

// wildFresh reports whether none of the wildcard changes up to total touched a
// prefix of the line's subject, and if so notes total.
func (e *line[T]) wildFresh(l *List[T], total uint64) bool {
	w := l.wild.Load()
	if w == nil || !e.wild || w.rootGen.Load() != e.rootGen {
		return false
	}
	for i, g := range e.gens {
		if w.gens[g].Load() != e.stamps[i] {
			return false
		}
	}
	e.wildGen = total
	return true
}

// miss finds who is interested in a subject that no line is about, and remembers
// it in one.
func (c *Cache[T]) miss(l *List[T], s string, hash, tag uint64, scratch *Result[T]) *Result[T] {
	if !matchable(s) {
		return &c.none
	}
	if len(s) > longestKey {
		return c.unkept(l, s, scratch)
	}
	i := c.claim(tag)
	e := &c.lines[i]
	c.tags[i] = tag
	c.used++
	e.list, e.size, e.warm = l, int32(len(s)), false
	if len(s) <= inlineKey {
		copy(e.key[:], s)
	} else {
		e.long = append(e.long[:0], s...)
	}
	return c.fill(e, l, s, hash, scratch, scratch == nil)
}

// refill renews a line whose result is missing or stale. A stale one starts over
// like a new one: a subject whose interest changes all the time is not worth a
// result of its own each time.
func (c *Cache[T]) refill(e *line[T], l *List[T], s string, hash uint64, scratch *Result[T]) *Result[T] {
	own := scratch == nil || e.res == nil
	c.pointers -= int(e.cost)
	e.cost, e.res = 0, nil
	return c.fill(e, l, s, hash, scratch, own)
}

// fill finds who is interested and notes in e what that was derived from. Each
// stamp is read before what it vouches for. own asks for a result of the cache's
// own where a merge is needed; otherwise it is made in scratch.
func (c *Cache[T]) fill(e *line[T], l *List[T], s string, hash uint64, scratch *Result[T], own bool) *Result[T] {
	f := &c.finder
	if f.sets == nil {
		f.init()
	}
	f.sets = f.sets[:0]
	sh := l.literals(hash)
	sh.table.touch(hash)

	e.wildGen = l.wildGen.Load()
	w := l.wild.Load()
	if e.wild = w != nil; e.wild {
		f.walkAll(w, s)
		e.rootGen, e.gens, e.stamps = f.rootGen, f.gens, f.stamps
	}

	e.births = sh.births.Load()
	e.lit, e.set, e.wide = sh.find(hash, s), nil, nil
	if e.lit != nil {
		if e.set = e.lit.set.Load(); e.set == nil {
			e.lit = nil // removed meanwhile; births tells of the next
		} else if f.sets = append(f.sets, e.set); e.set.wide() != nil {
			e.wide = e.set.wide()
			e.wideAt = e.wide.version.Load()
		}
	}
	res := c.result(e, scratch, own)
	f.release()
	return res
}

// result turns the sets found into a result, sharing a set's own where there is
// just one.
func (c *Cache[T]) result(e *line[T], scratch *Result[T], own bool) *Result[T] {
	sets := c.finder.sets
	if len(sets) == 0 {
		e.res = &c.none
		return e.res
	}
	if len(sets) == 1 && sets[0].wide() == nil {
		e.res = &sets[0].Result
		return e.res
	}
	if !own {
		c.merger.build(scratch, sets)
		return scratch
	}
	res := new(Result[T])
	c.merger.build(res, sets)
	e.res = res
	e.cost = int32(min(res.size(), 1<<30))
	c.pointers += int(e.cost)
	c.shed(e)
	return res
}

// unkept answers for a subject too long to remember.
func (c *Cache[T]) unkept(l *List[T], s string, scratch *Result[T]) *Result[T] {
	f := &c.finder
	if f.sets == nil {
		f.init()
	}
	f.find(l, s)
	if len(f.sets) == 0 {
		return &c.none
	}
	if scratch == nil {
		scratch = new(Result[T])
	}
	c.merger.build(scratch, f.sets)
	f.release()
	return scratch
}
