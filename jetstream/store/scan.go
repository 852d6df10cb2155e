package store

// chooser tells which slots of one block match a filter.
type chooser struct {
	b      *block
	filter Filter
	every  bool
	none   bool
	one    uint32  // the only name, if names is nil
	memo   []uint8 // by name: 0 not asked yet, 1 yes, 2 no
}

// choose prepares a chooser for a block whose columns are loaded. memo is used
// again by the next one.
func (s *Stream) choose(f Filter, b *block) chooser {
	c := chooser{b: b, filter: f, every: f.All()}
	if c.every {
		return c
	}
	if name, ok := f.literal(); ok {
		i := b.name(name)
		c.none = i < 0
		c.one = uint32(i)
		return c
	}
	if n := len(b.ix.names); cap(s.scratch.names) < n {
		s.scratch.names = make([]uint8, n, n+n/4)
	}
	c.memo = s.scratch.names[:len(b.ix.names)]
	clear(c.memo)
	return c
}

func (c *chooser) matches(slot int) bool {
	word := c.b.ix.subject[slot]
	if word&slotAbsent != 0 {
		return false
	}
	if c.every {
		return true
	}
	name := word & slotName
	if c.memo == nil {
		return name == c.one
	}
	if c.memo[name] == 0 {
		c.memo[name] = 2
		if c.filter.Matches(c.b.ix.names[name]) {
			c.memo[name] = 1
		}
	}
	return c.memo[name] == 1
}

// scan visits the messages between from and to that match, ascending, until
// visit returns false. visit must not change the stream or scan itself.
func (s *Stream) scan(f Filter, from, to Seq, visit func(b *block, slot int, seq Seq) bool) error {
	from, to = max(from, s.first), min(to, s.last)
	if s.msgs == 0 || from > to {
		return nil
	}
	for i := max(s.blockOf(from), 0); i < len(s.blocks) && s.blocks[i].first <= to; i++ {
		b := s.blocks[i]
		if b.live == 0 || b.next() <= from {
			continue
		}
		if err := s.columns(b); err != nil {
			return err
		}
		c := s.choose(f, b)
		if c.none {
			continue
		}
		slot := 0
		if from > b.first {
			slot = int(from - b.first)
		}
		end := int(min(Seq(b.slots), to-b.first+1))
		for ; slot < end; slot++ {
			if c.matches(slot) && !visit(b, slot, b.first+Seq(slot)) {
				return nil
			}
		}
	}
	return nil
}

// scanBack visits the messages from from down to to that match until visit
// returns false.
func (s *Stream) scanBack(f Filter, from, to Seq, visit func(seq Seq) bool) error {
	from, to = min(from, s.last), max(to, s.first)
	if s.msgs == 0 || from < to {
		return nil
	}
	for i := s.blockOf(from); i >= 0 && s.blocks[i].next() > to; i-- {
		b := s.blocks[i]
		if b.live == 0 {
			continue
		}
		if err := s.columns(b); err != nil {
			return err
		}
		c := s.choose(f, b)
		if c.none {
			continue
		}
		slot := b.slots - 1
		if from < b.next() {
			slot = int(from - b.first)
		}
		for ; slot >= 0 && b.first+Seq(slot) >= to; slot-- {
			if c.matches(slot) && !visit(b.first+Seq(slot)) {
				return nil
			}
		}
	}
	return nil
}
