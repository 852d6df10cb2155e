package sublist

import "math/bits"

// start lays out a cache on its first use.
func (c *Cache[T]) start() {
	if c.o.Entries <= 0 {
		c.o.Entries = defaultEntries
	}
	if c.o.Pointers <= 0 {
		c.o.Pointers = defaultPointers
	}
	c.o.Entries = max(ways, 1<<bits.Len(uint(c.o.Entries-1)))
	c.layOut(min(firstEntries, c.o.Entries))
}

func (c *Cache[T]) layOut(n int) {
	c.tags = make([]uint64, n)
	c.lines = make([]line[T], n)
}

// claim returns an unused line for a tag, growing the cache while it may grow and
// then evicting: a line that was never hit goes before one that was, so subjects
// that come once pass through without pushing the steady ones out.
func (c *Cache[T]) claim(tag uint64) int {
	for {
		base := int(tag) & (len(c.tags) - 1) &^ (ways - 1)
		for i := base; i < base+ways; i++ {
			if c.lines[i].list == nil {
				return i
			}
		}
		if len(c.lines) < c.o.Entries && c.used*2 >= len(c.lines) {
			c.grow()
			continue
		}
		c.turn++
		for k := range ways {
			i := base + (c.turn+k)%ways
			if !c.lines[i].warm {
				c.drop(i)
				return i
			}
			c.lines[i].warm = false
		}
		i := base + c.turn%ways
		c.drop(i)
		return i
	}
}

// grow doubles the cache. Each group's lines go to two groups, so all find room.
func (c *Cache[T]) grow() {
	tags, lines := c.tags, c.lines
	c.layOut(2 * len(lines))
	for i := range lines {
		if lines[i].list == nil {
			continue
		}
		at := int(tags[i]) & (len(c.tags) - 1) &^ (ways - 1)
		for c.lines[at].list != nil {
			at++
		}
		c.tags[at], c.lines[at] = tags[i], lines[i]
	}
}

// drop empties a line, keeping its buffer.
func (c *Cache[T]) drop(i int) {
	e := &c.lines[i]
	c.used--
	c.pointers -= int(e.cost)
	*e = line[T]{long: e.long[:0]}
	c.tags[i] = 0
}

// shed evicts lines with results of the cache's own, other than keep, until they
// are within bounds.
func (c *Cache[T]) shed(keep *line[T]) {
	for n := len(c.lines); n > 0 && c.pointers > c.o.Pointers; n-- {
		c.hand = (c.hand + 1) & (len(c.lines) - 1)
		if e := &c.lines[c.hand]; e != keep && e.cost > 0 {
			c.drop(c.hand)
		}
	}
}

// Sweep looks at n lines, going round, and drops those whose results no longer
// hold. Called now and then it keeps the cache from holding on to subscribers
// that are gone.
func (c *Cache[T]) Sweep(n int) {
	for n = min(n, len(c.lines)); n > 0; n-- {
		c.hand = (c.hand + 1) & (len(c.lines) - 1)
		e := &c.lines[c.hand]
		if e.list != nil && !(e.res != nil && e.fresh(e.list, c.tags[c.hand]^e.list.salt)) {
			c.drop(c.hand)
		}
	}
}

// Forget drops every line about l, for a list that is no longer used.
func (c *Cache[T]) Forget(l *List[T]) {
	for i := range c.lines {
		if c.lines[i].list == l {
			c.drop(i)
		}
	}
}

// CacheStats is what a cache holds and has done. Owned by the cache's loop, like
// the cache.
type CacheStats struct {
	Entries       int
	Pointers      int
	Matches, Hits uint64
	MaxFanout     int // most receivers of an entry, a queue group counting as one
	TotalFanout   int // sum over entries
}

// Stats looks at every line; it is not for hot paths.
func (c *Cache[T]) Stats() CacheStats {
	st := CacheStats{Entries: c.used, Pointers: c.pointers, Matches: c.matches, Hits: c.hits}
	for i := range c.lines {
		if res := c.lines[i].res; res != nil {
			n := len(res.Plain) + len(res.Groups)
			st.TotalFanout += n
			st.MaxFanout = max(st.MaxFanout, n)
		}
	}
	return st
}
