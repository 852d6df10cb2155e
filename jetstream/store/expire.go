package store

import (
	"peregrine/jetstream/store/seqset"
	"peregrine/jetstream/store/timewheel"
)

// NextExpiry is when Expire has something to do, in Unix nanoseconds; false if
// never as things are. It may be early, not late.
func (s *Stream) NextExpiry() (int64, bool, error) {
	at, some := s.wheel.Next()
	if s.options.Limits.MaxAge <= 0 {
		return at, some, nil
	}
	seq, err := s.nextMatch(Filter{}, s.ageFrom)
	if err == ErrNotFound {
		return at, some, nil
	}
	if err != nil {
		return 0, false, err
	}
	b, slot, err := s.locate(seq)
	if err != nil {
		return 0, false, err
	}
	raw, err := s.raw(b, slot)
	if err != nil {
		return 0, false, err
	}
	if due := recordTime(raw) + int64(s.options.Limits.MaxAge); !some || due < at {
		at = due
	}
	return at, true, nil
}

// NextTTL is NextExpiry without MaxAge: it never reads.
func (s *Stream) NextTTL() (int64, bool) { return s.wheel.Next() }

// Expire removes what MaxAge and TTLs say at now, at most limit messages, and
// tells whether more is left. The hook is told of each.
func (s *Stream) Expire(now int64, limit int) (more bool, err error) {
	if s.stopped != nil {
		return false, s.stopped
	}
	s.removing = &seqset.Set{}
	defer func() { s.removing = nil }()
	n, err := s.expireTTL(now)
	if err == nil && s.options.Limits.MaxAge > 0 {
		more, err = s.expireAge(now-int64(s.options.Limits.MaxAge), limit-n)
	}
	if s.removing.Len() > 0 {
		s.logSet(s.removing)
	}
	if err != nil {
		s.stop(err)
	}
	return more, err
}

func (s *Stream) expireTTL(now int64) (n int, err error) {
	s.wheel.Expire(now, func(e timewheel.Entry) {
		if err == nil {
			n++
			err = s.drop(Seq(e.Seq), ByTTL)
		}
	})
	return n, err
}

// expireAge removes messages in order until one is younger than cutoff. Those
// with TTLNever stay, and ageFrom moves past them.
func (s *Stream) expireAge(cutoff int64, limit int) (more bool, err error) {
	s.ageFrom = max(s.ageFrom, s.first)
	for {
		seq, err := s.nextMatch(Filter{}, s.ageFrom)
		if err == ErrNotFound {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		b, slot, err := s.locate(seq)
		if err != nil {
			return false, err
		}
		raw, err := s.raw(b, slot)
		if err != nil {
			return false, err
		}
		if recordTime(raw) > cutoff {
			return false, nil
		}
		if little.Uint32(raw[12:]) != TTLNever {
			if limit <= 0 {
				return true, nil
			}
			limit--
			if err := s.drop(seq, ByAge); err != nil {
				return false, err
			}
		}
		s.ageFrom = seq + 1
	}
}
