package store

import (
	"encoding/binary"
	"errors"
	"time"

	"peregrine/jetstream/store/seqset"
)

// LogMessage is the kind of the log record of a message; all others are changes
// of another sort.
const LogMessage = logMessage

// LogReference is the kind of the log record of a message that was put directly.
const LogReference = logReference

// Kinds of log records. What limits removed is not among them: replay repeats it.
const (
	logMessage   = 1 + iota // a record, see appendRecord
	logRemove               // pairs of uvarints: first, last
	logErase                // uvarint: sequence
	logCompact              // uvarint: sequence
	logTruncate             // uvarint: sequence
	logSkip                 // uvarints: sequence, time
	logLimits               // see appendLimits
	logLost                 // pairs of uvarints: first, last; found damaged, see Scrub
	logReference            // see appendReference
)

// log records a change as numbers.
func (s *Stream) log(kind uint8, numbers ...uint64) {
	if s.options.Log == nil {
		return
	}
	b := s.scratch.log[:0]
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	s.options.Log.Append(kind, b, nil)
	s.scratch.log = b[:0]
}

// logSet records the removal of a set, in records of moderate size.
func (s *Stream) logSet(set *seqset.Set) {
	if s.options.Log == nil {
		return
	}
	const most = 32 << 10
	b := s.scratch.log[:0]
	set.Each(0, uint64(firstStale), func(r seqset.Range) bool {
		b = binary.AppendUvarint(b, r.First)
		b = binary.AppendUvarint(b, r.Last)
		if len(b) >= most {
			s.options.Log.Append(logRemove, b, nil)
			b = b[:0]
		}
		return true
	})
	if len(b) > 0 {
		s.options.Log.Append(logRemove, b, nil)
	}
	s.scratch.log = b[:0]
}

// Replay applies a record of the log to a stream that was opened from its
// checkpoint, in order, before anything else is done with it. Log and Removed are
// not told. payload is borrowed. Errors: ErrCorrupt if the record does not follow
// from the state, and those of the change.
func (s *Stream) Replay(kind uint8, payload []byte) error {
	log, removed := s.options.Log, s.options.Removed
	s.options.Log, s.options.Removed = nil, nil
	defer func() { s.options.Log, s.options.Removed = log, removed }()
	if kind == logMessage {
		var m Message
		if err := recordOf(payload, &m, s.identity); err != nil {
			return err
		}
		if m.Seq <= s.last {
			return ErrCorrupt
		}
		s.overHole(m.Seq)
		return s.insert(&m)
	}
	if kind == logReference {
		r, err := referenceOf(payload, s.identity)
		if err != nil || r.message.Seq <= s.last {
			return ErrCorrupt
		}
		s.overHole(r.message.Seq)
		return s.replayReference(&r)
	}
	if kind == logLimits {
		l, ok := limitsOf(payload)
		if !ok {
			return ErrCorrupt
		}
		return s.applyLimits(l)
	}
	return s.replayNumbers(kind, payload)
}

// overHole takes note that a message behind a hole in the log has a sequence.
func (s *Stream) overHole(seq Seq) {
	if s.disk != nil && s.hole {
		s.reach(seq - 1)
		s.hole = false
	}
}

func (s *Stream) replayNumbers(kind uint8, b []byte) error {
	for len(b) > 0 {
		first, n := binary.Uvarint(b)
		if n <= 0 {
			return ErrCorrupt
		}
		b = b[n:]
		second := uint64(0)
		if kind == logRemove || kind == logSkip || kind == logLost {
			if second, n = binary.Uvarint(b); n <= 0 {
				return ErrCorrupt
			}
			b = b[n:]
		}
		if err := s.replayOne(kind, first, second); err != nil {
			return err
		}
	}
	return nil
}

// LogDamaged tells, between two calls of Replay, that the log has lost records
// there. Messages that later records show to have been among them are lost, as if
// a block had been damaged; removals of what is not there are no error any more.
func (s *Stream) LogDamaged() {
	if s.disk != nil {
		s.hole, s.holed = true, true
	}
}

// reach moves last up to seq, of which a record behind a hole in the log tells.
func (s *Stream) reach(seq Seq) {
	if seq > s.last {
		s.lost.Add(uint64(s.last)+1, uint64(seq))
		s.pass(seq)
	}
}

// missed tells whether a record may be about a message that is lost.
func (s *Stream) missed(err error) bool {
	return s.disk != nil && (s.holed || s.lost.Len() > 0) && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt))
}

func (s *Stream) replayOne(kind uint8, first, second uint64) (err error) {
	seq := Seq(first)
	if s.disk != nil && s.hole && seq < firstStale && Seq(second) < firstStale {
		switch kind {
		case logRemove, logErase, logTruncate, logLost:
			s.reach(max(seq, Seq(second)))
		case logSkip:
			s.reach(seq)
		}
	}
	switch kind {
	case logRemove:
		if first > second || Seq(second) > s.last {
			return ErrCorrupt
		}
		for ; seq <= Seq(second) && err == nil; seq++ {
			if err = s.removeQuiet(seq); s.missed(err) {
				err = nil
				seq = s.skipAbsent(seq)
			}
		}
	case logLost:
		if first > second || Seq(second) > s.last {
			return ErrCorrupt
		}
		for ; seq <= Seq(second) && err == nil; seq++ {
			if err = s.loseOne(seq); err == ErrNotFound {
				err = nil
				seq = s.skipAbsent(seq)
			}
		}
	case logErase:
		if err = s.removeOne(seq, true); s.missed(err) {
			err = nil
		}
	case logCompact:
		_, err = s.Compact(seq)
	case logTruncate:
		err = s.Truncate(seq)
	case logSkip:
		err = s.Skip(seq, int64(second))
	default:
		err = ErrCorrupt
	}
	return err
}

func limitsOf(b []byte) (l Limits, ok bool) {
	if len(b) != 34 || b[32] > uint8(DiscardNew) || b[33] > 1 {
		return l, false
	}
	l.MaxMsgs = int64(little.Uint64(b))
	l.MaxBytes = int64(little.Uint64(b[8:]))
	l.MaxMsgsPerSubject = int64(little.Uint64(b[16:]))
	l.MaxAge = time.Duration(little.Uint64(b[24:]))
	l.Discard, l.DiscardNewPerSubject = Discard(b[32]), b[33] == 1
	return l, true
}
