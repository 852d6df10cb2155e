package store

// admit tells whether DiscardNew lets m in. A message that replaces the oldest of
// its subject may use the room that one leaves.
func (s *Stream) admit(m *Message) error {
	l := &s.options.Limits
	if l.Discard != DiscardNew {
		return nil
	}
	size := s.reported(recordSize(m), len(m.Header) > 0)
	var v *subject
	if l.MaxMsgsPerSubject > 0 {
		if v = s.subjects.Find(m.Subject); v != nil && v.count < uint64(l.MaxMsgsPerSubject) {
			v = nil
		}
	}
	if v != nil && l.DiscardNewPerSubject {
		return ErrMaxMsgsPerSubject
	}
	if l.MaxMsgs > 0 && s.msgs >= uint64(l.MaxMsgs) && v == nil {
		return ErrMaxMsgs
	}
	if l.MaxBytes <= 0 || s.bytes+size <= uint64(l.MaxBytes) {
		return nil
	}
	if v == nil {
		return ErrMaxBytes
	}
	first, err := s.firstOf(v)
	if err != nil {
		return err
	}
	b, slot, err := s.locate(first)
	if err != nil {
		return err
	}
	if s.bytes-s.slotReported(b, slot)+size > uint64(l.MaxBytes) {
		return ErrMaxBytes
	}
	return nil
}

// enforce applies the limits after a message of the subject v was stored. It is
// a function of the messages and the limits alone, so replay repeats it and the
// log need not hold what it removed.
func (s *Stream) enforce(v *subject) error {
	if err := s.enforceSubject(v); err != nil {
		return err
	}
	return s.enforceTotals()
}

func (s *Stream) enforceSubject(v *subject) error {
	l := &s.options.Limits
	for l.MaxMsgsPerSubject > 0 && v.count > uint64(l.MaxMsgsPerSubject) {
		first, err := s.firstOf(v)
		if err == nil {
			err = s.drop(first, ByLimit)
		}
		if err != nil {
			return s.stop(err)
		}
	}
	return nil
}

func (s *Stream) enforceTotals() error {
	l := &s.options.Limits
	if l.Discard == DiscardNew {
		return nil // what is over the limit keeps new messages out
	}
	for (l.MaxMsgs > 0 && s.msgs > uint64(l.MaxMsgs)) || (l.MaxBytes > 0 && s.bytes > uint64(l.MaxBytes)) {
		if err := s.drop(s.first, ByLimit); err != nil {
			return s.stop(err)
		}
	}
	return nil
}

// stop refuses further changes: what is in memory may be half of one.
func (s *Stream) stop(err error) error {
	if s.stopped == nil {
		s.stopped = stoppedError{err}
	}
	return err
}

// stoppedError is ErrStopped with its cause.
type stoppedError struct{ cause error }

func (e stoppedError) Error() string   { return ErrStopped.Error() + ": " + e.cause.Error() }
func (e stoppedError) Unwrap() []error { return []error{ErrStopped, e.cause} }

// Stop makes the stream take no more changes; reads go on.
func (s *Stream) Stop(err error) { s.stop(err) }

// Stopped is why the stream takes no more changes, nil if it does.
func (s *Stream) Stopped() error { return s.stopped }

// Limits are those in force.
func (s *Stream) Limits() Limits { return s.options.Limits }

// SetLimits changes the limits and applies them at once; age at the next Expire.
func (s *Stream) SetLimits(l Limits) error {
	if s.stopped != nil {
		return s.stopped
	}
	if s.options.Log != nil {
		s.scratch.log = appendLimits(s.scratch.log[:0], &l)
		s.options.Log.Append(logLimits, s.scratch.log, nil)
	}
	return s.applyLimits(l)
}

func (s *Stream) applyLimits(l Limits) error {
	old := s.options.Limits
	s.options.Limits = l
	if l.MaxAge != old.MaxAge {
		s.ageFrom = s.first
	}
	if n := l.MaxMsgsPerSubject; n > 0 && (old.MaxMsgsPerSubject <= 0 || n < old.MaxMsgsPerSubject) {
		var over []*subject
		s.subjects.Walk(func(_ string, v *subject) bool {
			if v.count > uint64(n) {
				over = append(over, v)
			}
			return true
		})
		for _, v := range over {
			if err := s.enforceSubject(v); err != nil {
				return err
			}
		}
	}
	return s.enforceTotals()
}

// appendLimits encodes limits: four i64, little-endian, then discard u8 and per
// subject u8.
func appendLimits(dst []byte, l *Limits) []byte {
	for _, v := range []int64{l.MaxMsgs, l.MaxBytes, l.MaxMsgsPerSubject, int64(l.MaxAge)} {
		dst = little.AppendUint64(dst, uint64(v))
	}
	per := byte(0)
	if l.DiscardNewPerSubject {
		per = 1
	}
	return append(dst, byte(l.Discard), per)
}
