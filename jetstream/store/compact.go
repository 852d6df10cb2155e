package store

import (
	"fmt"

	"peregrine/vfs"
)

// slotsMax bounds the slots of a block: its columns are read whole.
const slotsMax = 1 << 24

// wasteful is blocks to rewrite as one, nil if there are none: one that holds
// erased messages or damaged records, or of which less than half is live, or small
// neighbours.
func (s *Stream) wasteful() []*block {
	if !s.waste && len(s.erasing) == 0 {
		return nil
	}
	for i, b := range s.blocks {
		forced := s.erasing[b] || b.heal
		if forced && !b.sealed {
			s.seal(b)
		}
		if b.bad || s.blockPending(b) || !b.sealed || (!forced && !worth(b, i == 0)) || b.end == 0 {
			continue
		}
		if b.settled() {
			return s.blocks[i : i+1]
		}
		if forced {
			return nil // the next checkpoint writes it first
		}
	}
	for i := range s.blocks {
		if n := s.smallRun(i); n > 1 {
			return s.blocks[i : i+n]
		}
	}
	s.waste = false
	return nil
}

// settled tells whether all of a block is on disk, its columns too.
func (b *block) settled() bool {
	return !b.indexDue && b.index.written() && b.indexed == len(b.chunks)
}

// worth tells whether a block should be rewritten to save room. The oldest one is
// likely to go soon as a whole.
func worth(b *block, oldest bool) bool {
	if oldest {
		return b.live > 0 && b.bytes < int(b.end)/8
	}
	return b.live > 0 && b.bytes < int(b.end)/2
}

// smallRun is how many blocks from i on should become one: neighbours that are
// small together. The largest is at most half of them, so that a message is
// rewritten a logarithmic number of times.
func (s *Stream) smallRun(i int) (n int) {
	bytes, live, largest := 0, 0, 0
	for _, b := range s.blocks[i:] {
		span := uint64(b.next() - s.blocks[i].first)
		if !b.sealed || b.bad || b.heal || s.erasing[b] || b.live == 0 || !b.settled() || s.blockPending(b) || b.bytes > s.options.BlockBytes/4 ||
			bytes+b.bytes > s.options.BlockBytes/2 || span > uint64(min(slotsMax, 1<<16+16*(live+b.live))) {
			break
		}
		bytes, live, largest = bytes+b.bytes, live+b.live, max(largest, b.bytes)
		n++
	}
	if 2*largest > bytes {
		return 0
	}
	return n
}

// compaction is the rewriting of a block, or of neighbours, as the next generation
// of the first of them.
type compaction struct {
	parts      []part
	id         uint32
	generation uint32
	bind       uint64
	limit      int   // bytes of a chunk
	wipe       bool  // the old files hold erased messages
	keep       bool  // they are evidence of damage
	broken     error // what could not be read

	first  Seq
	ix     columns
	end    uint32
	chunks []*chunk
	size   int64
	index  place
}

// part is a block to be rewritten, as it was when that began.
type part struct {
	b          *block
	id         uint32
	generation uint32
	first      Seq
	slots      int
	end        uint32
	ix         columns
	sources    []chunk
}

func (s *Stream) compactJob(blocks []*block) *Job {
	first := blocks[0]
	c := &compaction{id: first.id, bind: s.identity, limit: s.options.ChunkBytes, first: first.first}
	for _, b := range blocks {
		if err := s.columns(b); err != nil {
			s.files.Logf("store: compact: %v", err)
			b.bad = true // the scrubber looks at it
			return nil
		}
		c.wipe = c.wipe || s.erasing[b]
		c.keep = c.keep || b.heal
		c.parts = append(c.parts, partOf(b))
		delete(s.erasing, b)
	}
	first.tried = max(first.tried, first.generation) + 1
	c.generation = first.tried
	return &Job{
		run: func(j *Job) error {
			err := c.run(j)
			if err != nil && isBroken(err) {
				c.broken, err = err, nil
			}
			return err
		},
		finish: func(*Job) { s.compacted(c) },
	}
}

func partOf(b *block) part {
	p := part{b: b, id: b.id, generation: b.generation, first: b.first, slots: b.slots, end: b.end, ix: *b.ix}
	p.ix.subject = append([]uint32{}, b.ix.subject...) // what is removed meanwhile is marked there
	p.ix.names = b.ix.names[:len(b.ix.names):len(b.ix.names)]
	for _, chunk := range b.chunks {
		p.sources = append(p.sources, *chunk)
	}
	return p
}

func (c *compaction) run(j *Job) (err error) {
	name := j.path(blockName(c.id, c.generation))
	target, err := j.files.FS.Open(name, vfs.Write|vfs.Create|vfs.Direct)
	if err != nil {
		return fmt.Errorf("store: compact to %s: %w", name, err)
	}
	defer func() {
		if closeErr := target.Close(); err == nil {
			err = closeErr
		}
	}()
	w := &chunkWriter{f: target, codec: j.codec, at: address{c.id, c.generation, 0}}
	k := &packer{c: c, w: w}
	for i := range c.parts {
		if err := k.part(j, &c.parts[i]); err != nil {
			return err
		}
	}
	if err := k.flush(); err != nil {
		return err
	}
	if c.index, err = w.add(kindIndex, appendColumns(nil, &c.ix), uint32(len(c.chunks))); err != nil {
		return err
	}
	if err = w.flush(); err == nil {
		err = target.Sync()
	}
	if err != nil {
		return fmt.Errorf("store: write %s: %w", name, err)
	}
	c.size = w.at.off
	return j.files.FS.SyncDir(j.files.Dir)
}

// packer puts live records into new chunks.
type packer struct {
	c    *compaction
	w    *chunkWriter
	out  []byte // the next chunk's
	from uint32 // where it begins
}

func (k *packer) flush() error {
	if len(k.out) == 0 {
		return nil
	}
	p, err := k.w.add(kindRecords, k.out, k.from)
	k.c.chunks = append(k.c.chunks, &chunk{start: k.from, size: uint32(len(k.out)), place: p, done: true})
	k.from, k.out = k.c.end, k.out[:0]
	return err
}

// part takes the live records of a block.
func (k *packer) part(j *Job, p *part) error {
	name := j.path(blockName(p.id, p.generation))
	source, err := j.files.FS.Open(name, 0)
	if err != nil {
		return fmt.Errorf("store: compact %s: %w", name, err)
	}
	defer source.Close()
	names := map[uint32]uint32{}
	var raw []byte
	at, whole := -1, false // the chunk in raw, and whether its sum is good
	for slot, word := range p.ix.subject[:p.slots] {
		if word&slotAbsent != 0 {
			continue
		}
		start, end := p.ix.offset[slot], p.end
		if slot+1 < p.slots {
			end = p.ix.offset[slot+1]
		}
		for at < 0 || at < len(p.sources) && start >= p.sources[at].start+p.sources[at].size {
			at++
			raw = nil
		}
		if at == len(p.sources) || end > p.sources[at].start+p.sources[at].size || end-start < recordMin {
			return fmt.Errorf("store: compact %s: place of message %d: %w", name, p.first+Seq(slot), ErrCorrupt)
		}
		from := p.sources[at].start
		if raw == nil {
			if raw, whole, err = k.c.records(j, source, p, &p.sources[at]); err != nil {
				return err
			}
		}
		record := raw[start-from : end-from]
		seq := p.first + Seq(slot)
		if !whole {
			var m Message
			if err := recordOf(record, &m, k.c.bind); err != nil || m.Seq != seq {
				return fmt.Errorf("store: compact %s: message %d: %w", name, seq, ErrCorrupt)
			}
		}
		if err := k.record(record); err != nil {
			return err
		}
		id, known := names[word&slotName]
		if !known {
			id = k.name(p.ix.names[word&slotName])
			names[word&slotName] = id
		}
		k.column(seq, word&^slotName|id, p.ix.back[slot], uint32(len(record)))
	}
	return nil
}

// records are those of a chunk, from memory if they are there. A chunk whose sum is
// bad may still hold good records, which have sums of their own.
func (c *compaction) records(j *Job, f vfs.File, p *part, from *chunk) (raw []byte, whole bool, err error) {
	if len(from.mem) >= int(from.size) {
		return from.mem, true, nil
	}
	raw, err = readPlace(nil, f, j.codec, kindRecords, address{p.id, p.generation, from.place.off}, from.place)
	if err == nil && len(raw) < int(from.size) {
		err = ErrCorrupt
	}
	if err != nil {
		if spared := sparedRecords(err, f, from.place, 0, from.size); spared != nil {
			return spared, false, nil
		}
	}
	return raw, true, err
}

// name is the index of a subject, which several parts may have.
func (k *packer) name(subject string) uint32 {
	ix := &k.c.ix
	if ix.ids == nil {
		ix.ids = map[string]uint32{}
	}
	if id, known := ix.ids[subject]; known {
		return id
	}
	return ix.intern(subject)
}

// record adds a record to the chunk that collects.
func (k *packer) record(b []byte) error {
	if len(k.out) > 0 && len(k.out)+len(b) > k.c.limit {
		if err := k.flush(); err != nil {
			return err
		}
	}
	k.out = append(k.out, b...)
	k.c.end += uint32(len(b))
	return nil
}

// column adds the slot of the record just added. The block begins with its first
// live message.
func (k *packer) column(seq Seq, word, back, size uint32) {
	c := k.c
	if len(c.ix.offset) == 0 {
		c.first = seq
	}
	c.ix.pad(int(seq-c.first), c.end-size)
	c.ix.push(c.end-size, word, back)
}

// compacted puts what was written in place of the old blocks.
func (s *Stream) compacted(c *compaction) {
	for _, p := range c.parts {
		c.wipe = c.wipe || s.erasing[p.b] // since that began: both files hold it
	}
	fresh := garbage{name: blockName(c.id, c.generation), wipe: c.wipe}
	if c.broken != nil {
		s.files.Logf("store: compact: %v", c.broken)
		s.garbage = append(s.garbage, fresh)
		for _, p := range c.parts {
			p.b.bad = true
		}
		s.eraseAgain(c)
		return
	}
	if c.overtaken() {
		s.garbage = append(s.garbage, fresh)
		s.eraseAgain(c)
		return
	}
	b := c.parts[0].b
	i := s.blockOf(b.first)
	for k, p := range c.parts {
		s.garbage = append(s.garbage, garbage{blockName(p.id, p.generation), c.wipe, c.keep})
		for _, chunk := range p.b.chunks {
			s.cached -= len(chunk.mem)
		}
		s.closeFiles(p.b)
		if k > 0 {
			b.take(p.b)
			if s.erasing[p.b] {
				delete(s.erasing, p.b)
				s.erasing[b] = true
			}
		}
	}
	s.blocks = append(s.blocks[:i+1], s.blocks[i+len(c.parts):]...)
	b.first, b.slots = c.first, len(c.ix.offset)
	b.chunks, b.end, b.generation = c.chunks, c.end, c.generation
	b.size, b.index, b.indexed = c.size, c.index, len(c.chunks)
	b.dirty, b.indexDue, b.heal = false, false, false
	c.ix.ids = nil
	if err := s.adopt(b, &c.ix, b.end); err != nil {
		s.stop(err)
		return
	}
	s.waste = true // it may be small
	s.tidy(b)
}

// eraseAgain notes that the blocks still hold what was erased.
func (s *Stream) eraseAgain(c *compaction) {
	for _, p := range c.parts {
		if c.wipe && !p.b.gone {
			s.erasing[p.b] = true
		}
	}
}

// overtaken tells whether a block is not any more what it was.
func (c *compaction) overtaken() bool {
	for _, p := range c.parts {
		if b := p.b; b.gone || b.slots != p.slots || b.end != p.end || b.generation != p.generation {
			return true
		}
	}
	return false
}

// take adds the figures of the next block, which becomes part of this one.
func (b *block) take(next *block) {
	b.ordered = b.ordered && next.ordered && b.maxTime <= next.minTime
	b.minTime, b.maxTime = min(b.minTime, next.minTime), max(b.maxTime, next.maxTime)
	b.live += next.live
	b.bytes += next.bytes
	next.gone = true
}
