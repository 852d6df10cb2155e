package store

import (
	"fmt"
	"sort"
)

// Flags in the upper bits of columns.subject.
const (
	slotAbsent = 1 << 31 // never stored here, or removed
	slotHeader = 1 << 30
	slotTTL    = 1 << 29 // has a TTL, maybe TTLNever
	slotErased = 1 << 28 // its bytes are gone
	slotName   = slotErased - 1

	chainNone = 0         // no earlier message of the subject is known
	chainFar  = 1<<32 - 1 // too far to say
)

// A block is a run of sequences and the records they had.
//
//	sequences  first ─┬─┬─┬─┬─ …  slots of them, ascending
//	columns           │ │ │ │     offset, subject, distance to the subject's
//	                  ▼ ▼ ▼ ▼     message before
//	records    [chunk ············][chunk ·····]   offsets run through all chunks
type block struct {
	id      uint32
	first   Seq
	slots   int
	live    int    // messages
	bytes   int    // of their records
	end     uint32 // of the records, in bytes
	minTime int64  // of all records ever here
	maxTime int64
	ordered bool // timestamps never went back
	chunks  []*chunk

	ix *columns // nil if it must be loaded from disk

	blockFile
}

// A chunk is records that are written, checked, compressed and encrypted
// together. No record spans two.
type chunk struct {
	start uint32 // offset of its first record
	size  uint32
	mem   []byte // the records; nil if they must be read from disk
	place place  // on disk, zero if not written
	done  bool   // takes no more records
	told  bool   // the log told of it at the opening: no checkpoint has it yet

	direct *Direct // nil, or what the log puts in its place
}

// columns has an entry per slot.
type columns struct {
	offset  []uint32
	subject []uint32 // flags and index into names
	back    []uint32 // distance to the subject's message before
	names   []string
	ids     map[string]uint32 // of names; made when first needed
}

// next is the sequence behind the block.
func (b *block) next() Seq { return b.first + Seq(b.slots) }

// record is where a slot's record begins and ends; empty if it never had one.
func (b *block) record(slot int) (from, to uint32) {
	from, to = b.ix.offset[slot], b.end
	if slot+1 < b.slots {
		to = b.ix.offset[slot+1]
	}
	return from, to
}

// chunkAt is the chunk of an offset below b.end.
func (b *block) chunkAt(offset uint32) *chunk {
	last := len(b.chunks) - 1
	if c := b.chunks[last]; offset >= c.start {
		return c
	}
	i := sort.Search(last, func(i int) bool { return b.chunks[i+1].start > offset })
	return b.chunks[i]
}

// name finds a subject's index, -1 if the block has no message of it.
func (b *block) name(subject string) int {
	ix := b.ix
	if ix.ids == nil {
		ix.ids = make(map[string]uint32, len(ix.names))
		for i, name := range ix.names {
			ix.ids[name] = uint32(i)
		}
	}
	if i, ok := ix.ids[subject]; ok {
		return int(i)
	}
	return -1
}

// reserve makes room for slots.
func (ix *columns) reserve(slots int) {
	ix.offset = make([]uint32, 0, slots)
	ix.subject = make([]uint32, 0, slots)
	ix.back = make([]uint32, 0, slots)
}

// intern is name for a subject that gets an index if it has none.
func (ix *columns) intern(subject string) uint32 {
	i := uint32(len(ix.names))
	ix.names = append(ix.names, subject)
	if ix.ids != nil {
		ix.ids[subject] = i
	}
	return i
}

// blockOf is the index of the block that has, or would have, seq; -1 if seq is
// before all blocks.
func (s *Stream) blockOf(seq Seq) int {
	if last := len(s.blocks) - 1; last >= 0 && s.blocks[last].first <= seq {
		return last
	}
	return sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].first > seq }) - 1
}

// locate finds a live message. Errors: ErrNotFound, or those of loading columns.
func (s *Stream) locate(seq Seq) (*block, int, error) {
	if s.disk != nil && s.lost.Contains(uint64(seq)) {
		return nil, 0, fmt.Errorf("store: load %d: lost: %w", seq, ErrCorrupt)
	}
	if seq < s.first || seq > s.last || s.msgs == 0 {
		return nil, 0, ErrNotFound
	}
	i := s.blockOf(seq)
	if i < 0 || seq >= s.blocks[i].next() {
		return nil, 0, ErrNotFound
	}
	b := s.blocks[i]
	if err := s.columns(b); err != nil {
		return nil, 0, err
	}
	slot := int(seq - b.first)
	if b.ix.subject[slot]&slotAbsent != 0 {
		return nil, 0, ErrNotFound
	}
	return b, slot, nil
}

// load reads the record of a slot into m.
func (s *Stream) load(b *block, slot int, m *Message) error {
	raw, err := s.raw(b, slot)
	if err != nil {
		return err
	}
	if err := recordOf(raw, m, s.identity); err != nil || m.Seq != b.first+Seq(slot) {
		return fmt.Errorf("store: load %d: block %d at %d: %w", b.first+Seq(slot), b.id, b.ix.offset[slot], ErrCorrupt)
	}
	return nil
}

// raw is the bytes of a slot's record, borrowed.
func (s *Stream) raw(b *block, slot int) ([]byte, error) {
	from, to := b.record(slot)
	c := b.chunkAt(from)
	records := c.mem
	if records == nil {
		var err error
		if record, ok := s.mapped(s.scratch.record[:0], b, c, from, to); ok {
			s.scratch.record = record
			return record, nil
		}
		if records, err = s.chunkBytes(b, c); err != nil {
			var m Message
			record := sparedRecords(err, b.file, c.place, from-c.start, to-c.start)
			if recordOf(record, &m, s.identity) != nil {
				return nil, err
			}
			return record, nil
		}
	}
	if int(to-c.start) > len(records) || to-from < recordMin {
		return nil, fmt.Errorf("store: load %d: block %d at %d: %w", b.first+Seq(slot), b.id, from, ErrCorrupt)
	}
	return records[from-c.start : to-c.start : to-c.start], nil
}

// fill makes seq the next sequence of a block.
func (b *block) fill(seq Seq) {
	for b.next() < seq {
		b.push(b.end, slotAbsent, chainNone)
	}
}

// place writes a message's record behind a block's end and returns it.
func (s *Stream) place(b *block, m *Message, size int) []byte {
	c := b.openChunk(size, s.options.ChunkBytes)
	if c.mem == nil && len(b.chunks) > 1 {
		c.mem = make([]byte, 0, max(size, s.options.ChunkBytes)) // it will fill, too
	}
	c.mem = appendRecord(grow(c.mem, size, s.options.ChunkBytes), m, s.identity)
	c.size += uint32(size)
	s.placed += uint64(size)
	return c.mem[len(c.mem)-size:]
}

// enlist counts a message whose record is at a block's end. back is the distance
// to the subject's message before.
func (s *Stream) enlist(b *block, m *Message, size int, header bool, subject string, v *subject, back uint32) {
	if v.block != b.id+1 {
		v.block, v.name = b.id+1, b.ix.intern(subject)
	}
	word := v.name
	if header {
		word |= slotHeader
	}
	if m.TTL != 0 {
		word |= slotTTL
	}
	b.push(b.end, word, back)
	b.end += uint32(size)
	if b.live == 0 && b.minTime == 0 && b.maxTime == 0 {
		b.minTime, b.maxTime = m.Time, m.Time
	}
	b.ordered = b.ordered && m.Time >= b.maxTime
	b.minTime, b.maxTime = min(b.minTime, m.Time), max(b.maxTime, m.Time)
	b.live++
	b.bytes += size
}

func (b *block) push(offset, word, back uint32) {
	b.ix.push(offset, word, back)
	b.slots++
}

// gapMax is how many absent slots a block may get rather than a new block begins.
const gapMax = 1024

// roomFor is the block to append seq to.
func (s *Stream) roomFor(seq Seq, size int) *block {
	if n := len(s.blocks); n > 0 {
		b := s.blocks[n-1]
		if !b.sealed && b.ix != nil && (b.end == 0 || int(b.end)+size <= s.options.BlockBytes) && seq-b.next() <= gapMax &&
			b.slots < slotsMax-gapMax {
			return b
		}
		s.seal(b)
	}
	b := &block{id: s.nextBlock, first: seq, ordered: true, ix: &columns{}}
	if n := len(s.blocks); n > 0 && int(s.blocks[n-1].end) > s.options.BlockBytes/2 {
		b.ix.reserve(s.blocks[n-1].slots + 1)
	}
	s.nextBlock++
	s.blocks = append(s.blocks, b)
	return b
}

// openChunk is the chunk that takes a record of size bytes.
func (b *block) openChunk(size, limit int) *chunk {
	if n := len(b.chunks); n > 0 {
		if c := b.chunks[n-1]; !c.closed() && (c.size == 0 || int(c.size)+size <= limit) {
			return c
		}
	}
	c := &chunk{start: b.end}
	b.chunks = append(b.chunks, c)
	return c
}

// closed tells whether a chunk takes no more records.
func (c *chunk) closed() bool { return c.done }

// grow returns mem with room for size more bytes, doubling up to limit. What it
// was before stays as it is: readers may hold it.
func grow(mem []byte, size, limit int) []byte {
	if cap(mem)-len(mem) >= size {
		return mem
	}
	want := max(len(mem)+size, min(2*cap(mem), limit), 256)
	return append(make([]byte, 0, want), mem...)
}
