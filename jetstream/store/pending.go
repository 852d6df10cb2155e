package store

// NumPending is how many messages at or after from match; with lastPerSubject,
// how many subjects have their newest message there.
func (s *Stream) NumPending(f Filter, from Seq, lastPerSubject bool) (uint64, error) {
	from = max(from, s.first)
	if s.msgs == 0 || from > s.last {
		return 0, nil
	}
	if lastPerSubject {
		n := uint64(0)
		s.eachSubject(f, func(_ string, v *subject) bool {
			if v.last >= from {
				n++
			}
			return true
		})
		return n, nil
	}
	if f.All() {
		return uint64(s.last-from) + 1 - s.deleted.CountIn(uint64(from), uint64(s.last)), nil
	}
	ahead, mixed := uint64(0), false
	s.eachSubject(f, func(_ string, v *subject) bool {
		switch {
		case v.last < from:
		case v.first&firstStale == 0 && v.first >= from:
			ahead += v.count
		case v.last == from:
			ahead++
		default:
			mixed = true
		}
		return !mixed
	})
	if !mixed {
		return ahead, nil
	}
	return s.countFrom(f, from)
}

// countFrom counts matches by looking at them.
func (s *Stream) countFrom(f Filter, from Seq) (n uint64, err error) {
	if s.last-from < from-s.first {
		err = s.scan(f, from, s.last, func(*block, int, Seq) bool {
			n++
			return true
		})
		return n, err
	}
	s.eachSubject(f, func(_ string, v *subject) bool {
		n += v.count
		return true
	})
	err = s.scan(f, s.first, from-1, func(*block, int, Seq) bool {
		n--
		return true
	})
	return n, err
}

// FilteredState is what matches at or after from.
func (s *Stream) FilteredState(f Filter, from Seq) (SimpleState, error) {
	n, err := s.NumPending(f, from, false)
	if n == 0 || err != nil {
		return SimpleState{}, err
	}
	st := SimpleState{Msgs: n}
	if st.First, err = s.nextMatch(f, from); err != nil {
		return SimpleState{}, err
	}
	st.Last, err = s.lastMatch(f)
	return st, err
}

// Subjects visits the subjects that match with the number of their messages,
// until visit returns false. Names are shared and immutable. Subjects of one
// pattern come in order.
func (s *Stream) Subjects(f Filter, visit func(subject string, msgs uint64) bool) {
	s.eachSubject(f, func(name string, v *subject) bool { return visit(name, v.count) })
}

// SubjectState is what a literal subject holds.
func (s *Stream) SubjectState(name string) (SimpleState, error) {
	v := s.subjects.FindString(name)
	if v == nil {
		return SimpleState{}, nil
	}
	first, err := s.firstOf(v)
	return SimpleState{Msgs: v.count, First: first, Last: v.last}, err
}
