package store

import "sort"

// A View is where a message is, for a reader on another goroutine: made by the
// owner, it is used once and soon. What it finds in memory stays good whatever
// happens to the stream.
type View struct {
	seq    Seq
	bind   uint64
	record []byte // in memory
	cold   *coldBlock
	chunk  int    // in the block
	from   uint32 // in the chunk
	to     uint32
}

// coldBlock is a block on disk with what it takes to read it. It is shared and
// immutable.
type coldBlock struct {
	files      Files
	format     func() (*format, error) // of fixed things only
	bind       uint64
	name       string
	id         uint32
	generation uint32
	places     []place    // of chunks, zero for those that are not on disk
	index      place      // of columns that the owner will have to load, else zero
	next       *coldBlock // what a reader in order reads then, nil if it is not known
}

// viewing is what the owner remembers of the last view on disk, so that many in a
// row share it.
type viewing struct {
	block *block
	cold  *coldBlock
	chunk int
}

// View finds a message without reading it from disk. Errors: ErrNotFound,
// ErrCorrupt.
func (s *Stream) View(seq Seq) (View, error) {
	b, slot, err := s.locate(seq)
	if err != nil {
		return View{}, err
	}
	return s.view(b, slot), nil
}

// Views appends to out, up to its capacity, views of the messages at or after
// from that match, without reading them from disk. It returns where to go on: that
// is behind the last message if there are no more. Errors: LostError if a message
// that may have matched was lost at from; those of loading columns.
func (s *Stream) Views(f Filter, from Seq, out []View) ([]View, Seq, error) {
	from, to := max(from, s.first), s.last
	if s.disk != nil && s.lost.Len() > 0 {
		if lost, ok := s.lostBetween(from, 0).(*LostError); ok {
			if lost.First <= from {
				return out, from, lost
			}
			to = lost.First - 1
		}
	}
	next := max(to+1, from)
	if !f.All() {
		low, high := s.bounds(f)
		from, to = max(from, low), min(to, high)
	}
	err := s.scan(f, from, to, func(b *block, slot int, seq Seq) bool {
		if len(out) == cap(out) {
			next = seq
			return false
		}
		out = append(out, s.view(b, slot))
		return true
	})
	return out, next, err
}

// view is where a slot's record is.
func (s *Stream) view(b *block, slot int) View {
	from, to := b.record(slot)
	w := &s.scratch.viewing
	if w.block != b {
		*w = viewing{block: b}
	}
	i := w.chunk
	if i >= len(b.chunks) || from < b.chunks[i].start || i+1 < len(b.chunks) && from >= b.chunks[i+1].start {
		i = sort.Search(len(b.chunks)-1, func(i int) bool { return b.chunks[i+1].start > from })
		w.chunk = i
	}
	c := b.chunks[i]
	v := View{seq: b.first + Seq(slot), bind: s.identity, chunk: i, from: from - c.start, to: to - c.start}
	if c.mem != nil {
		v.record = c.mem[v.from:v.to:v.to]
		return v
	}
	if w.cold == nil || w.cold.generation != b.generation || i >= len(w.cold.places) || w.cold.places[i] != c.place {
		w.cold = s.coldBlock(b)
		if next := s.blockOf(b.next()); next >= 0 && s.blocks[next] != b {
			w.cold.next = s.coldBlock(s.blocks[next])
		}
	}
	v.cold = w.cold
	return v
}

func (s *Stream) coldBlock(b *block) *coldBlock {
	c := &coldBlock{files: s.files, format: s.disk.newFormat, bind: s.disk.bind, name: s.path(b.fileName()),
		id: b.id, generation: b.generation}
	if b.ix == nil {
		c.index = b.index
	}
	c.places = make([]place, len(b.chunks))
	for i, chunk := range b.chunks {
		if !chunk.isPending() {
			c.places[i] = chunk.place
		}
	}
	return c
}

// address is where a chunk says that it is.
func (c *coldBlock) address(p place) address { return address{c.id, c.generation, p.off} }

// Hot tells whether Load will not touch the disk.
func (v *View) Hot() bool { return v.cold == nil }
