package store

import (
	"errors"
	"fmt"
	"io"

	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// loadBlocks reads the columns of all blocks and counts subjects and sizes.
func (s *Stream) loadBlocks(r *Report) error {
	s.bytes, s.msgs = 0, 0
	for i, b := range s.blocks {
		if err := s.recoverBlock(b, r); err != nil {
			return err
		}
		open := i == len(s.blocks)-1 && !b.sealed
		s.countSubjects(b, open)
		if !open {
			b.sealed = true
			if b.index.written() && b.indexed == len(b.chunks) && !b.indexDue {
				b.ix = nil
			} else {
				b.indexDue = true
			}
			s.closeFiles(b)
		}
	}
	return s.fence(r)
}

// recoverBlock brings a block's columns to memory: from its newest columns on
// disk and the records behind those, or from all records if they are bad.
func (s *Stream) recoverBlock(b *block, r *Report) error {
	ix, from := &columns{}, 0
	if b.index.written() {
		raw, err := s.readChunk(nil, b, kindIndex, b.index)
		if err == nil {
			ix, err = columnsOf(raw)
			from = b.indexed
		}
		if err == nil && len(ix.offset) > 0 && ix.offset[len(ix.offset)-1] > b.end && len(ix.offset) <= b.slots {
			err = ErrCorrupt
		}
		if err != nil {
			if err := s.damaged(r, b, "columns", err); err != nil {
				return err
			}
			ix, from = &columns{}, 0
			b.indexDue = true
		}
	}
	end := uint32(0) // of the last good record
	if from > 0 {
		last := b.chunks[from-1]
		end = last.start + last.size
	}
	for _, c := range b.chunks[from:] {
		if err := s.scanChunk(b, ix, c, &end); err != nil {
			if err := s.damaged(r, b, "records", err); err != nil {
				return err
			}
			b.indexDue, b.heal = true, true
			s.waste, s.stale = true, true
		}
	}
	return s.adopt(b, ix, end)
}

// damaged notes damage; it returns errors that are none.
func (s *Stream) damaged(r *Report, b *block, what string, err error) error {
	if !isBroken(err) {
		return err
	}
	err = fmt.Errorf("store: %s of block %d in %s: %w", what, b.id, s.files.Dir, err)
	s.files.Logf("%v", err)
	r.Damage = append(r.Damage, err)
	return nil
}

// scanChunk adds the records of a chunk to columns. end is where the last good
// record ends: what is missing begins there, so that its offset ends that record.
// Of a damaged chunk it takes what is good by itself, and returns the error.
func (s *Stream) scanChunk(b *block, ix *columns, c *chunk, end *uint32) error {
	records, damage := s.readChunk(nil, b, kindRecords, c.place)
	if damage != nil {
		if records = sparedRecords(damage, b.file, c.place, 0, c.size); records == nil {
			return damage
		}
	}
	if len(records) < int(c.size) {
		return fmt.Errorf("chunk at %d is short: %w", c.place.off, ErrCorrupt)
	}
	records = records[:c.size]
	if ix.ids == nil {
		ix.ids = map[string]uint32{}
		for i, name := range ix.names {
			ix.ids[name] = uint32(i)
		}
	}
	budget := salvageHashes * len(records)
	for at := 0; at < len(records); {
		n := s.scanRecord(b, ix, records[at:], c.start+uint32(at), *end)
		if n > 0 {
			at += n
			*end = c.start + uint32(at)
			continue
		}
		if damage == nil {
			return fmt.Errorf("record at %d of chunk at %d: %w", at, c.place.off, ErrCorrupt)
		}
		for at++; at < len(records) && !s.plausible(b, ix, records[at:], &budget); at++ {
		}
	}
	return damage
}

// salvageHashes bounds how many bytes are hashed in search of good records, in
// times the length of the chunk: payloads may look like records at every step.
const salvageHashes = 16

// plausible tells whether b may begin a record that comes next in a block, and
// takes what it costs to know off the budget.
func (s *Stream) plausible(b *block, ix *columns, records []byte, budget *int) bool {
	n := recordLen(records)
	if n == 0 {
		return false
	}
	seq := Seq(little.Uint64(records[16:]))
	if seq < b.first+Seq(len(ix.offset)) || seq >= b.next() {
		return false
	}
	*budget -= n
	return *budget >= 0
}

// scanRecord adds the record at the beginning of records, at an offset of the block,
// and returns its length, 0 if there is none that may come next. end is that of the
// record before.
func (s *Stream) scanRecord(b *block, ix *columns, records []byte, offset, end uint32) int {
	n := recordLen(records)
	if n == 0 {
		return 0
	}
	var m Message
	word, err := uint32(0), error(nil)
	if seq, gone := erased(records[:n], s.identity); gone {
		m, word = Message{Seq: seq}, slotAbsent|slotErased
	} else {
		err = recordOf(records[:n], &m, s.identity)
	}
	slot := int(m.Seq - b.first)
	if err != nil || m.Seq < b.first || slot < len(ix.offset) || slot >= b.slots {
		return 0
	}
	ix.pad(slot, end)
	if word == 0 {
		word = ix.word(&m)
	}
	ix.push(offset, word, chainFar)
	return n
}

// sparedRecords are bytes of a damaged chunk as they are, those of records between
// from and to; nil if they are no records in the clear. Whoever uses them checks each
// record. f may have been opened with vfs.Direct.
func sparedRecords(damage error, f io.ReaderAt, p place, from, to uint32) []byte {
	if !errors.Is(damage, ErrCorrupt) || f == nil || from > to || to > p.stored {
		return nil
	}
	at := vfs.AlignDown(chunkHead + int64(from))
	buf := vfs.Buffer(int(vfs.AlignUp(chunkHead+int64(to)) - at))
	if n, _ := f.ReadAt(buf, p.off+at); n == 0 {
		return nil // the damage is told
	}
	// What is beyond the end of the file is zero, and no record.
	return buf[chunkHead+int64(from)-at : chunkHead+int64(to)-at]
}

// word is what columns.subject says of a message.
func (ix *columns) word(m *Message) uint32 {
	word, known := ix.ids[string(m.Subject)]
	if !known {
		word = ix.intern(string(m.Subject))
	}
	if len(m.Header) > 0 {
		word |= slotHeader
	}
	if m.TTL != 0 {
		word |= slotTTL
	}
	return word
}

// pad fills columns with absent slots up to a slot.
func (ix *columns) pad(slot int, offset uint32) {
	for len(ix.offset) < slot {
		ix.push(offset, slotAbsent, chainNone)
	}
}

func (ix *columns) push(offset, word, back uint32) {
	ix.offset = append(ix.offset, offset)
	ix.subject = append(ix.subject, word)
	ix.back = append(ix.back, back)
}

// adopt makes columns from disk those of a block: cut or filled to its slots,
// with what was removed since marked. end is where their last record ends.
func (s *Stream) adopt(b *block, ix *columns, end uint32) error {
	if n := b.slots; len(ix.offset) > n {
		ix.offset, ix.subject, ix.back = ix.offset[:n:n], ix.subject[:n:n], ix.back[:n:n]
	}
	ix.pad(b.slots, min(end, b.end))
	if n := len(ix.offset); n > 0 && ix.offset[n-1] > b.end {
		return fmt.Errorf("store: columns of block %d: %w", b.id, ErrCorrupt)
	}
	mark := func(first, last Seq) {
		for seq := max(first, b.first); seq <= last && seq < b.next(); seq++ {
			ix.subject[seq-b.first] |= slotAbsent
		}
	}
	s.deleted.Each(uint64(b.first), uint64(b.next())-1, func(r seqset.Range) bool {
		mark(Seq(r.First), Seq(r.Last))
		return true
	})
	if s.first > b.first {
		mark(b.first, s.first-1)
	}
	b.ix = ix
	b.used = true
	return nil
}

// countSubjects adds a block to the figures of subjects and of the stream. open
// is the block that takes appends.
func (s *Stream) countSubjects(b *block, open bool) {
	type figures struct {
		count       uint64
		first, last Seq
	}
	all := make([]figures, len(b.ix.names))
	b.live, b.bytes = 0, 0
	for slot, word := range b.ix.subject {
		if word&slotAbsent != 0 {
			continue
		}
		f := &all[word&slotName]
		seq := b.first + Seq(slot)
		if f.count++; f.count == 1 {
			f.first = seq
		}
		f.last = seq
		from, to := b.record(slot)
		b.live++
		b.bytes += int(to - from)
		s.bytes += s.reported(int(to-from), word&slotHeader != 0)
	}
	s.msgs += uint64(b.live)
	for i, f := range all {
		if f.count == 0 {
			continue
		}
		_, v := s.subjects.Insert([]byte(b.ix.names[i]))
		if v.count == 0 {
			v.first = f.first
		}
		v.count += f.count
		v.last = f.last
		if open {
			v.block, v.name = b.id+1, uint32(i)
		}
	}
}

// fence finds the messages that should be there and are not. They count as
// removed, but reading them tells that they are lost.
func (s *Stream) fence(r *Report) error {
	expected := uint64(0)
	if s.first <= s.last {
		expected = uint64(s.last-s.first) + 1 - s.deleted.CountIn(uint64(s.first), uint64(s.last))
	}
	if expected == s.msgs {
		return nil
	}
	if len(r.Damage) == 0 {
		return fmt.Errorf("store: %s: %d messages of %d: %w", s.files.Dir, s.msgs, expected, ErrCorrupt)
	}
	next := s.first
	found := func(seq Seq) {
		s.lose(next, seq)
		next = seq + 1
	}
	for _, b := range s.blocks {
		if b.live == 0 {
			continue
		}
		if err := s.columns(b); err != nil {
			return err
		}
		for slot, word := range b.ix.subject {
			if word&slotAbsent == 0 {
				found(b.first + Seq(slot))
			}
		}
	}
	s.lose(next, s.last+1)
	if s.msgs == 0 {
		s.first = s.last + 1
		s.deleted.Clear()
	} else {
		s.first = Seq(s.deleted.NextAbsent(uint64(s.first)))
		s.deleted.DropBelow(uint64(s.first))
	}
	s.lost.Each(0, uint64(s.last), func(lost seqset.Range) bool {
		r.Lost = append(r.Lost, lost)
		return true
	})
	return nil
}

// lose notes that what is not removed between first and end is lost.
func (s *Stream) lose(first, end Seq) {
	for first < end {
		first = Seq(s.deleted.NextAbsent(uint64(first)))
		if first >= end {
			return
		}
		last := end - 1
		s.deleted.Each(uint64(first), uint64(last), func(r seqset.Range) bool {
			last = Seq(r.First) - 1
			return false
		})
		s.lost.Add(uint64(first), uint64(last))
		s.deleted.Add(uint64(first), uint64(last))
		s.wheel.Forget(uint64(first), uint64(last))
		first = last + 1
	}
}
