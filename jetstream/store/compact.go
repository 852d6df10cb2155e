package store

import (
	"fmt"

	"peregrine/vfs"
)

// wasteful is a block to compact, nil if there is none: it holds erased messages,
// or less than half of it is live.
func (s *Stream) wasteful() *block {
	if !s.waste && len(s.erasing) == 0 {
		return nil
	}
	for i, b := range s.blocks {
		erase := s.erasing[b]
		if erase && !b.sealed {
			s.seal(b)
		}
		if b.bad || !b.sealed || (!erase && !worth(b, i == 0)) || b.end == 0 {
			continue
		}
		if b.indexDue || !b.index.written() || b.indexed != len(b.chunks) {
			if erase {
				return nil // the next checkpoint writes it first
			}
			continue
		}
		return b
	}
	s.waste = false
	return nil
}

// worth tells whether a block should be rewritten to save room. The oldest one is
// likely to go soon as a whole.
func worth(b *block, oldest bool) bool {
	if oldest {
		return b.live > 0 && b.bytes < int(b.end)/8
	}
	return b.live > 0 && b.bytes < int(b.end)/2
}

// compaction is the rewriting of one block to its next generation.
type compaction struct {
	b       *block
	id      uint32
	old     uint32 // generation
	new     uint32
	slots   int
	words   []uint32 // as they were when it began
	offset  []uint32 // old, then new
	back    []uint32
	names   []string
	end     uint32
	sources []chunk
	limit   int // bytes of a chunk
	wipe    bool
	broken  error // what could not be read

	chunks []*chunk
	fresh  uint32 // new end
	size   int64
	index  place
}

func (s *Stream) compactJob(b *block) *Job {
	if err := s.columns(b); err != nil {
		s.stop(err)
		return nil
	}
	c := &compaction{
		b: b, id: b.id, old: b.generation, slots: b.slots, end: b.end, limit: s.options.ChunkBytes, wipe: s.erasing[b],
		words:  append([]uint32{}, b.ix.subject...),
		offset: append([]uint32{}, b.ix.offset...),
		back:   b.ix.back, names: b.ix.names[:len(b.ix.names):len(b.ix.names)],
	}
	b.tried = max(b.tried, b.generation) + 1
	c.new = b.tried
	for _, chunk := range b.chunks {
		c.sources = append(c.sources, *chunk)
	}
	delete(s.erasing, b)
	return &Job{
		run: func(j *Job) error {
			err := c.run(j)
			if err != nil && isBroken(err) {
				c.broken, err = err, nil
			}
			return err
		},
		finish: func(j *Job) { s.compacted(c) },
	}
}

func (c *compaction) run(j *Job) (err error) {
	name := j.path(blockName(c.id, c.old))
	source, err := j.files.FS.Open(name, 0)
	if err != nil {
		return fmt.Errorf("store: compact %s: %w", name, err)
	}
	defer source.Close()
	name = j.path(blockName(c.id, c.new))
	target, err := j.files.FS.Open(name, vfs.Write|vfs.Create|vfs.Direct)
	if err != nil {
		return fmt.Errorf("store: compact to %s: %w", name, err)
	}
	defer func() {
		if closeErr := target.Close(); err == nil {
			err = closeErr
		}
	}()
	w := &chunkWriter{f: target, codec: j.codec, at: address{c.id, c.new, 0}}
	if err := c.copy(j, source, w); err != nil {
		return err
	}
	columns := appendColumns(nil, &columns{offset: c.offset, subject: c.words, back: c.back, names: c.names})
	if c.index, err = w.add(kindIndex, columns, uint32(len(c.chunks))); err != nil {
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

// copy writes the live records to new chunks and turns offsets to new ones.
func (c *compaction) copy(j *Job, source vfs.File, w *chunkWriter) error {
	var raw, out []byte
	at, from := -1, uint32(0) // the chunk in raw; where out begins
	finish := func() error {
		if len(out) == 0 {
			return nil
		}
		p, err := w.add(kindRecords, out, from)
		c.chunks = append(c.chunks, &chunk{start: from, size: uint32(len(out)), place: p, done: true})
		from, out = c.fresh, out[:0]
		return err
	}
	for slot := range c.slots {
		start, end := c.offset[slot], c.end
		if slot+1 < c.slots {
			end = c.offset[slot+1]
		}
		c.offset[slot] = c.fresh
		if c.words[slot]&slotAbsent != 0 {
			continue
		}
		for at < 0 || start >= c.sources[at].start+c.sources[at].size {
			at++
			raw = nil
		}
		if raw == nil {
			var err error
			p := c.sources[at].place
			if raw, err = readPlace(nil, source, j.codec, kindRecords, address{c.id, c.old, p.off}, p); err != nil {
				return err
			}
		}
		record := raw[start-c.sources[at].start : end-c.sources[at].start]
		if len(out) > 0 && len(out)+len(record) > c.limit {
			if err := finish(); err != nil {
				return err
			}
		}
		out = append(out, record...)
		c.fresh += uint32(len(record))
	}
	return finish()
}

// compacted puts the new generation in place of the old one.
func (s *Stream) compacted(c *compaction) {
	b := c.b
	if c.broken != nil {
		s.files.Logf("store: compact: %v", c.broken)
		s.garbage = append(s.garbage, garbage{blockName(c.id, c.new), c.wipe})
		b.bad = true
		return
	}
	if b.gone || b.slots != c.slots || b.end != c.end || b.generation != c.old {
		s.garbage = append(s.garbage, garbage{blockName(c.id, c.new), c.wipe})
		if c.wipe && !b.gone {
			s.erasing[b] = true
		}
		return
	}
	s.garbage = append(s.garbage, garbage{blockName(c.id, c.old), c.wipe})
	for _, chunk := range b.chunks {
		s.cached -= len(chunk.mem)
	}
	s.closeFiles(b)
	if b.ix != nil {
		b.ix.offset = c.offset
	}
	b.chunks, b.end, b.generation = c.chunks, c.fresh, c.new
	b.size, b.index, b.indexed = c.size, c.index, len(c.chunks)
	b.dirty, b.indexDue = false, false
	s.tidy(b)
}
