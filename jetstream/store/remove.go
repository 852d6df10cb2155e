package store

import "peregrine/jetstream/store/seqset"

// Remove takes a message away. Errors: ErrNotFound, ErrStopped.
func (s *Stream) Remove(seq Seq) error { return s.removeOne(seq, false) }

// Erase is Remove that also overwrites the message's bytes: in memory at once,
// on disk with the next checkpoint. Errors: ErrNotFound, ErrStopped.
func (s *Stream) Erase(seq Seq) error { return s.removeOne(seq, true) }

func (s *Stream) removeOne(seq Seq, erase bool) error {
	if s.stopped != nil {
		return s.stopped
	}
	b, slot, err := s.locate(seq)
	if err != nil {
		return err
	}
	if err := s.remove(b, slot); err != nil {
		return s.stop(err)
	}
	if erase {
		s.erase(b, slot)
		s.log(logErase, uint64(seq))
	} else {
		s.log(logRemove, uint64(seq), uint64(seq))
	}
	s.tidy(b)
	return nil
}

// erase overwrites the bytes of a removed message. Chunks are replaced, because
// readers may still hold the old memory.
func (s *Stream) erase(b *block, slot int) {
	from, to := b.record(slot)
	b.ix.subject[slot] |= slotErased
	c := b.chunkAt(from)
	if c.mem != nil {
		fresh := append(make([]byte, 0, cap(c.mem)), c.mem...)
		eraseRecord(fresh[from-c.start:to-c.start], s.identity)
		c.mem = fresh
	}
	s.eraseLater(b)
}

// drop removes a message for a reason of the store's own and tells the hook.
func (s *Stream) drop(seq Seq, reason Reason) error {
	b, slot, err := s.locate(seq)
	if err != nil {
		return err
	}
	r := Removal{Seq: seq, Reason: reason}
	if s.options.Removed != nil && reason != ByLimit {
		var m Message
		if err := s.load(b, slot, &m); err != nil {
			return err
		}
		r.Header = m.Header
	}
	r.Subject = b.nameOf(slot)
	if err := s.remove(b, slot); err != nil {
		return err
	}
	if s.options.Removed != nil {
		r.Last = s.subjects.FindString(r.Subject) == nil
		s.options.Removed(r)
	}
	s.tidy(b)
	return nil
}

// remove takes a live message out of the store. The block stays until tidy.
func (s *Stream) remove(b *block, slot int) error {
	seq := b.first + Seq(slot)
	word := b.ix.subject[slot]
	if word&slotTTL != 0 {
		if err := s.stopTimer(b, slot); err != nil {
			return err
		}
	}
	if err := s.strike(b, slot); err != nil {
		return err
	}
	if s.removing != nil {
		s.removing.Add(uint64(seq), uint64(seq))
	}
	return nil
}

// strike takes a live slot out of everything that counts it, but for the wheel.
func (s *Stream) strike(b *block, slot int) error {
	seq := b.first + Seq(slot)
	if err := s.uncount(b, slot, seq); err != nil {
		return err
	}
	from, to := b.record(slot)
	s.msgs--
	s.bytes -= s.slotReported(b, slot)
	b.ix.subject[slot] |= slotAbsent
	b.live--
	b.bytes -= int(to - from)
	s.miss(seq)
	return nil
}

// stopTimer takes a message with a TTL out of the wheel.
func (s *Stream) stopTimer(b *block, slot int) error {
	var m Message
	if err := s.load(b, slot, &m); err != nil {
		return err
	}
	if deadline, ok := m.deadline(); ok {
		s.wheel.Remove(uint64(m.Seq), deadline)
	}
	return nil
}

// uncount takes a message out of its subject's figures.
func (s *Stream) uncount(b *block, slot int, seq Seq) error {
	name := b.nameOf(slot)
	v := s.subjects.FindString(name)
	v.count--
	switch {
	case v.count == 0:
		s.subjects.Delete(name)
		return nil
	case seq == v.last:
		last, err := s.before(name, seq)
		if err != nil {
			return err
		}
		v.last = last
		if v.count == 1 {
			v.first = last
		}
	case v.count == 1:
		v.first = v.last
	case seq == v.first:
		v.first |= firstStale
	}
	return nil
}

// miss notes that seq is not there any more.
func (s *Stream) miss(seq Seq) {
	s.started = true
	switch {
	case s.msgs == 0:
		s.first = s.last + 1
		s.deleted.Clear()
	case seq == s.first:
		s.first = Seq(s.deleted.NextAbsent(uint64(seq) + 1))
		s.deleted.DropBelow(uint64(s.first))
	default:
		s.deleted.Add(uint64(seq), uint64(seq))
	}
}

// tidy lets a block go that has no message any more, unless it takes appends and
// is soon full of new ones.
func (s *Stream) tidy(b *block) {
	last := s.blocks[len(s.blocks)-1] == b
	if b.sealed && b.live > 0 && b.bytes < int(b.end)/2 {
		if s.disk != nil {
			s.waste = true
		} else if b.bytes < int(b.end)/4 {
			s.squeeze(b)
		}
	}
	if b.live > 0 || b.gone || (last && !b.sealed && b.end < 1<<16) {
		return
	}
	i := s.blockOf(b.first)
	s.blocks = append(s.blocks[:i], s.blocks[i+1:]...)
	s.discard(b)
}

// removeAll removes the messages of a set, which must be there.
func (s *Stream) removeAll(set *seqset.Set) error {
	var failed error
	set.Each(0, uint64(firstStale), func(r seqset.Range) bool {
		for seq := r.First; seq <= r.Last && failed == nil; seq++ {
			failed = s.removeQuiet(Seq(seq))
		}
		return failed == nil
	})
	return failed
}

// removeQuiet is remove by sequence, with nothing told to anybody.
func (s *Stream) removeQuiet(seq Seq) error {
	b, slot, err := s.locate(seq)
	if err != nil {
		return err
	}
	if err := s.remove(b, slot); err != nil {
		return err
	}
	s.tidy(b)
	return nil
}

// squeeze gives back the memory of what was removed from a sealed block of a
// stream in memory. Readers may go on with the old chunks.
func (s *Stream) squeeze(b *block) {
	old := *b
	offset := append([]uint32{}, b.ix.offset...)
	b.chunks, b.end = nil, 0
	for slot, word := range b.ix.subject {
		from, to := old.record(slot)
		offset[slot] = b.end
		if word&slotAbsent != 0 {
			continue
		}
		source := old.chunkAt(from)
		c := b.openChunk(int(to-from), s.options.ChunkBytes)
		c.mem = append(grow(c.mem, int(to-from), s.options.ChunkBytes), source.mem[from-source.start:to-source.start]...)
		c.size += to - from
		b.end += to - from
	}
	b.ix.offset = offset
}
