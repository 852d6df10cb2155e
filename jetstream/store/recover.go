package store

import (
	"fmt"

	"peregrine/jetstream/store/seqset"
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
	for _, c := range b.chunks[from:] {
		if err := s.scanChunk(b, ix, c); err != nil {
			if err := s.damaged(r, b, "records", err); err != nil {
				return err
			}
			b.indexDue = true
		}
	}
	return s.adopt(b, ix)
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

// scanChunk adds the records of a chunk to columns.
func (s *Stream) scanChunk(b *block, ix *columns, c *chunk) error {
	records, err := s.readChunk(nil, b, kindRecords, c.place)
	if err != nil {
		return err
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
	var m Message
	for at := uint32(0); at < c.size; {
		n := recordLen(records[at:])
		if n == 0 {
			return fmt.Errorf("record at %d of chunk at %d: %w", at, c.place.off, ErrCorrupt)
		}
		record := records[at : at+uint32(n)]
		word, err := uint32(0), error(nil)
		if seq, gone := erased(record, s.identity); gone {
			m, word = Message{Seq: seq}, slotAbsent|slotErased
		} else {
			err = recordOf(record, &m, s.identity)
		}
		slot := int(m.Seq - b.first)
		if err != nil || m.Seq < b.first || slot < len(ix.offset) || slot >= b.slots {
			return fmt.Errorf("record at %d of chunk at %d: %w", at, c.place.off, ErrCorrupt)
		}
		ix.pad(slot, c.start+at)
		if word == 0 {
			word = ix.word(&m)
		}
		ix.push(c.start+at, word, chainFar)
		at += uint32(n)
	}
	return nil
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
// with what was removed since marked.
func (s *Stream) adopt(b *block, ix *columns) error {
	if n := b.slots; len(ix.offset) > n {
		ix.offset, ix.subject, ix.back = ix.offset[:n:n], ix.subject[:n:n], ix.back[:n:n]
	}
	ix.pad(b.slots, b.end)
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
	for seq := first; seq < end; {
		seq = Seq(s.deleted.NextAbsent(uint64(seq)))
		if seq >= end {
			return
		}
		s.lost.Add(uint64(seq), uint64(seq))
		s.deleted.Add(uint64(seq), uint64(seq))
		s.wheel.Forget(uint64(seq))
		seq++
	}
}
