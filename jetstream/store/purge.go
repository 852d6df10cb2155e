package store

import (
	"fmt"

	"peregrine/jetstream/store/seqset"
)

// A Purge says what to remove. The zero value is everything.
type Purge struct {
	Filter Filter
	Before Seq    // only messages below it; 0 for no bound
	Keep   uint64 // leave that many of the newest that match
}

// Purge removes messages and returns how many. Errors: ErrStopped, and those of
// reading.
func (s *Stream) Purge(p Purge) (uint64, error) {
	if s.stopped != nil {
		return 0, s.stopped
	}
	if p.Filter.All() && p.Keep == 0 {
		before := p.Before
		if before == 0 {
			before = s.last + 1
		}
		return s.Compact(before)
	}
	limit := s.last
	if p.Before > 0 {
		limit = min(p.Before-1, s.last)
	}
	return s.purge(p, limit)
}

// purge removes what p says up to limit, message by message. Keep counts the
// newest of all that match.
func (s *Stream) purge(p Purge, limit Seq) (uint64, error) {
	total, err := s.NumPending(p.Filter, 0, false)
	if err != nil || total <= p.Keep {
		return 0, err
	}
	doomed := &seqset.Set{}
	left := total - p.Keep
	err = s.scan(p.Filter, s.first, limit, func(_ *block, _ int, seq Seq) bool {
		if left == 0 {
			return false
		}
		left--
		doomed.Add(uint64(seq), uint64(seq))
		return true
	})
	if err != nil || doomed.Len() == 0 {
		return 0, err
	}
	n := doomed.Len()
	s.logSet(doomed)
	if err := s.removeAll(doomed); err != nil {
		return 0, s.stop(err)
	}
	return n, nil
}

// Compact removes the messages below seq and returns how many. Beyond the last
// message it empties the stream and the next message gets seq.
func (s *Stream) Compact(seq Seq) (uint64, error) {
	if s.stopped != nil {
		return 0, s.stopped
	}
	if seq >= firstStale {
		return 0, fmt.Errorf("%w: compact to %d", ErrSequence, seq)
	}
	if seq <= s.first && seq <= s.last {
		return 0, nil
	}
	n, err := s.compact(seq)
	if err != nil {
		return n, s.stop(err)
	}
	s.log(logCompact, uint64(seq))
	return n, nil
}

func (s *Stream) compact(seq Seq) (uint64, error) {
	before := s.msgs
	if seq > s.last {
		s.clear()
		s.last = max(s.last, seq-1)
		s.first = s.last + 1
		s.started = s.started || before > 0 || seq > 1
		return before, nil
	}
	for s.msgs > 0 && s.first < seq {
		if err := s.removeQuiet(s.first); err != nil {
			return before - s.msgs, err
		}
	}
	return before - s.msgs, nil
}

// clear forgets all messages at once.
func (s *Stream) clear() {
	for _, b := range s.blocks {
		s.discard(b)
	}
	s.blocks = nil
	s.subjects.Clear()
	s.deleted.Clear()
	s.wheel.Clear()
	s.msgs, s.bytes = 0, 0
	s.first = s.last + 1
}

// Truncate removes the messages above seq, which becomes the last sequence.
// Errors: ErrSequence if it is beyond the last or before the first but one.
func (s *Stream) Truncate(seq Seq) error {
	if s.stopped != nil {
		return s.stopped
	}
	if seq > s.last || seq+1 < s.first {
		return fmt.Errorf("%w: truncate to %d in %d–%d", ErrSequence, seq, s.first, s.last)
	}
	if err := s.truncate(seq); err != nil {
		return s.stop(err)
	}
	s.log(logTruncate, uint64(seq))
	return nil
}

func (s *Stream) truncate(seq Seq) error {
	for s.msgs > 0 {
		last := Seq(s.deleted.PrevAbsent(uint64(s.last)))
		if last <= seq {
			break
		}
		b, slot, err := s.locate(last)
		if err != nil {
			return err
		}
		if err := s.remove(b, slot); err != nil {
			return err
		}
	}
	if err := s.cutBlocks(seq); err != nil {
		return err
	}
	s.last = seq
	s.deleted.DropAbove(uint64(seq))
	if s.msgs == 0 {
		s.first = s.last + 1
	}
	s.ageFrom = min(s.ageFrom, s.first)
	if b, slot, err := s.locate(seq); err == nil {
		raw, err := s.raw(b, slot)
		if err != nil {
			return err
		}
		s.lastTime = recordTime(raw)
	} else if err != ErrNotFound {
		return err
	}
	return nil
}

// cutBlocks takes the slots above seq away. The block that is cut takes no more
// messages: what is on disk may hold what was cut.
func (s *Stream) cutBlocks(seq Seq) error {
	for n := len(s.blocks); n > 0; n = len(s.blocks) {
		b := s.blocks[n-1]
		if b.next() <= seq+1 && b.live > 0 {
			break
		}
		if b.first > seq || b.live == 0 {
			s.blocks = s.blocks[:n-1]
			s.discard(b)
			continue
		}
		if err := s.columns(b); err != nil {
			return err
		}
		slots := int(seq-b.first) + 1
		b.cutSlots(slots)
		s.seal(b)
		break
	}
	return nil
}

// cutSlots forgets the slots from n on and the records they had.
func (b *block) cutSlots(n int) {
	b.end = b.ix.offset[n]
	b.slots = n
	b.ix.offset, b.ix.subject, b.ix.back = b.ix.offset[:n:n], b.ix.subject[:n:n], b.ix.back[:n:n]
	b.ordered = false // its bounds may be of what was cut
	keep := 0
	for keep < len(b.chunks) && b.chunks[keep].start < b.end {
		keep++
	}
	b.chunks = b.chunks[:keep:keep]
	if keep > 0 {
		c := b.chunks[keep-1]
		c.done = true
		c.size = b.end - c.start
		if c.mem != nil {
			c.mem = c.mem[:c.size:c.size]
		}
	}
}
