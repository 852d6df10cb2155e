package store

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"peregrine/jetstream/store/seqset"
)

// Load reads a message into m. Errors: ErrNotFound, ErrCorrupt.
func (s *Stream) Load(seq Seq, m *Message) error {
	b, slot, err := s.locate(seq)
	if err != nil {
		return err
	}
	return s.load(b, slot, m)
}

// LoadLast reads the newest message that matches into m. Errors: ErrNotFound.
func (s *Stream) LoadLast(f Filter, m *Message) error {
	seq, err := s.lastMatch(f)
	if err != nil {
		return err
	}
	return s.Load(seq, m)
}

// LostError says that messages on the way were lost. It is an ErrCorrupt. Reading
// may go on behind Last.
type LostError struct{ First, Last Seq }

func (e *LostError) Error() string {
	return fmt.Sprintf("store: messages %d to %d are lost", e.First, e.Last)
}

// Is makes it ErrCorrupt.
func (e *LostError) Is(target error) bool { return target == ErrCorrupt }

// LoadNext reads the first message at or after from that matches into m.
// Errors: ErrNotFound if there is none; LostError if some that may have matched
// were lost before it.
func (s *Stream) LoadNext(f Filter, from Seq, m *Message) error {
	seq, err := s.nextMatch(f, from)
	if s.disk != nil && s.lost.Len() > 0 && (err == nil || errors.Is(err, ErrNotFound)) {
		if err := s.lostBetween(from, seq); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return s.Load(seq, m)
}

// lostBetween is a LostError if something was lost at or after from and before
// seq, or anywhere after from if seq is 0.
func (s *Stream) lostBetween(from, seq Seq) error {
	if seq == 0 {
		seq = s.last + 1
	}
	var lost error
	s.lost.Each(uint64(from), uint64(seq)-1, func(r seqset.Range) bool {
		lost = &LostError{Seq(r.First), Seq(r.Last)}
		return false
	})
	return lost
}

// LoadPrev reads the last message at or before from that matches into m. Errors:
// ErrNotFound if there is none.
func (s *Stream) LoadPrev(f Filter, from Seq, m *Message) error {
	found := Seq(0)
	err := s.scanBack(f, min(from, s.last), s.first, func(seq Seq) bool {
		found = seq
		return false
	})
	if err != nil {
		return err
	}
	if found == 0 {
		return ErrNotFound
	}
	return s.Load(found, m)
}

// MultiLast appends to out the sequence of the newest message at or before upTo
// of each subject that matches, ascending; upTo 0 is no bound. Errors: ErrTooMany
// if there are more than most, when most is positive.
func (s *Stream) MultiLast(f Filter, upTo Seq, most int, out []Seq) ([]Seq, error) {
	from := len(out)
	var failed error
	s.eachSubject(f, func(name string, v *subject) bool {
		seq := v.last
		if upTo > 0 && seq > upTo {
			if seq, failed = s.atOrBefore(name, v, upTo); errors.Is(failed, ErrNotFound) {
				failed = nil
				return true
			}
		}
		if failed == nil && most > 0 && len(out)-from >= most {
			failed = ErrTooMany
		}
		out = append(out, seq)
		return failed == nil
	})
	if failed != nil {
		return out[:from], failed
	}
	slices.Sort(out[from:])
	return out, nil
}

// SequenceFromTime is the sequence of the first message at or after a time, in
// Unix nanoseconds, or the one behind the last.
func (s *Stream) SequenceFromTime(t int64) (Seq, error) {
	for _, b := range s.blocks {
		if b.live == 0 || b.maxTime < t {
			continue
		}
		if err := s.columns(b); err != nil {
			return 0, err
		}
		from, failed := 0, error(nil)
		if b.ordered {
			from = sort.Search(b.slots, func(slot int) bool {
				at, err := s.timeFrom(b, slot)
				failed = errors.Join(failed, err)
				return at >= t
			})
		}
		for slot := from; slot < b.slots && failed == nil; slot++ {
			if b.ix.subject[slot]&slotAbsent != 0 {
				continue
			}
			raw, err := s.raw(b, slot)
			if err != nil {
				return 0, err
			}
			if recordTime(raw) >= t {
				return b.first + Seq(slot), nil
			}
		}
		if failed != nil {
			return 0, failed
		}
	}
	return s.last + 1, nil
}

// timeFrom is the timestamp of the first record at or after a slot.
func (s *Stream) timeFrom(b *block, slot int) (int64, error) {
	for ; slot < b.slots; slot++ {
		if b.ix.subject[slot]&slotAbsent != 0 {
			continue
		}
		raw, err := s.raw(b, slot)
		if err != nil {
			return 0, err
		}
		return recordTime(raw), nil
	}
	return b.maxTime, nil
}

// nextMatch is the first sequence at or after from that matches.
func (s *Stream) nextMatch(f Filter, from Seq) (Seq, error) {
	from = max(from, s.first)
	if s.msgs == 0 || from > s.last {
		return 0, ErrNotFound
	}
	if f.All() {
		if seq := Seq(s.deleted.NextAbsent(uint64(from))); seq <= s.last {
			return seq, nil
		}
		return 0, ErrNotFound
	}
	if name, ok := f.literal(); ok {
		return s.nextLiteral(name, from)
	}
	const nearby = 256 // look there before asking the tree
	seq, err := s.scanFirst(f, from, min(from+nearby, s.last))
	if seq != 0 || err != nil {
		return seq, err
	}
	low, high := s.bounds(f)
	if high < from {
		return 0, ErrNotFound
	}
	if seq, err = s.scanFirst(f, max(low, from), high); seq == 0 && err == nil {
		err = ErrNotFound
	}
	return seq, err
}

// bounds are sequences between which all matches are.
func (s *Stream) bounds(f Filter) (low, high Seq) {
	low = s.last + 1
	s.eachSubject(f, func(_ string, v *subject) bool {
		low, high = min(low, v.first&^firstStale), max(high, v.last)
		return true
	})
	return low, high
}

func (s *Stream) scanFirst(f Filter, from, to Seq) (found Seq, err error) {
	err = s.scan(f, from, to, func(_ *block, _ int, seq Seq) bool {
		found = seq
		return false
	})
	return found, err
}

// nextLiteral is nextMatch for one subject.
func (s *Stream) nextLiteral(name string, from Seq) (Seq, error) {
	v := s.subjects.FindString(name)
	switch {
	case v == nil || v.last < from:
		return 0, ErrNotFound
	case v.last == from || v.count == 1:
		return v.last, nil
	case v.first&firstStale == 0 && v.first >= from:
		return v.first, nil
	}
	seq, err := s.scanFirst(Filter{literals: []string{name}}, max(from, v.first&^firstStale), v.last)
	if seq == 0 && err == nil {
		err = ErrNotFound
	}
	return seq, err
}

// lastMatch is the newest sequence that matches.
func (s *Stream) lastMatch(f Filter) (Seq, error) {
	if s.msgs == 0 {
		return 0, ErrNotFound
	}
	if f.All() {
		return Seq(s.deleted.PrevAbsent(uint64(s.last))), nil
	}
	_, high := s.bounds(f)
	if high == 0 {
		return 0, ErrNotFound
	}
	return high, nil
}

// firstOf is a subject's oldest message. With few messages, the way back from the
// newest is shorter than the way from the start.
func (s *Stream) firstOf(v *subject) (Seq, error) {
	if v.first&firstStale == 0 {
		return v.first, nil
	}
	const few = 64
	b, slot := s.slotOf(v.last)
	if err := s.columns(b); err != nil {
		return 0, err
	}
	name := b.nameOf(slot)
	if v.count <= few {
		if seq, err := s.walkBack(v.last, int(v.count)-1); err != nil || seq != 0 {
			v.first = seq
			return seq, err
		}
	}
	seq, err := s.scanFirst(Filter{literals: []string{name}}, max(v.first&^firstStale, s.first), v.last)
	if err == nil {
		v.first = seq
	}
	return seq, err
}

// walkBack follows a subject's chain over so many messages; 0 if it breaks.
func (s *Stream) walkBack(seq Seq, steps int) (Seq, error) {
	for steps > 0 {
		b, slot := s.slotOf(seq)
		if b == nil {
			return 0, nil
		}
		if err := s.columns(b); err != nil {
			return 0, err
		}
		back := b.ix.back[slot]
		if back == chainNone || back == chainFar {
			return 0, nil
		}
		seq -= Seq(back)
		if b, slot = s.slotOf(seq); b == nil {
			return 0, nil
		}
		if err := s.columns(b); err != nil {
			return 0, err
		}
		if b.ix.subject[slot]&slotAbsent == 0 {
			steps--
		}
	}
	return seq, nil
}

// before is the newest message of a subject before seq. There must be one.
func (s *Stream) before(name string, seq Seq) (Seq, error) {
	if found, err := s.walkBack(seq, 1); found != 0 || err != nil {
		return found, err
	}
	found := Seq(0)
	err := s.scanBack(Filter{literals: []string{name}}, seq-1, s.first, func(seq Seq) bool {
		found = seq
		return false
	})
	if found == 0 && err == nil {
		err = ErrNotFound
	}
	return found, err
}

// atOrBefore is the newest message of a subject at or before upTo.
func (s *Stream) atOrBefore(name string, v *subject, upTo Seq) (Seq, error) {
	if v.first&^firstStale > upTo {
		return 0, ErrNotFound
	}
	seq := v.last
	for range 256 {
		next, err := s.walkBack(seq, 1)
		if err != nil {
			return 0, err
		}
		if next == 0 {
			break
		}
		if seq = next; seq <= upTo {
			return seq, nil
		}
	}
	found := Seq(0)
	err := s.scanBack(Filter{literals: []string{name}}, min(upTo, seq), s.first, func(seq Seq) bool {
		found = seq
		return false
	})
	if found == 0 && err == nil {
		err = ErrNotFound
	}
	return found, err
}

// slotOf is where a sequence is or was, nil if its block is gone.
func (s *Stream) slotOf(seq Seq) (*block, int) {
	i := s.blockOf(seq)
	if i < 0 || seq >= s.blocks[i].next() {
		return nil, 0
	}
	return s.blocks[i], int(seq - s.blocks[i].first)
}
