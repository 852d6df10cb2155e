package store

import (
	"fmt"
	"math"

	"peregrine/jetstream/store/seqset"
	"peregrine/jetstream/store/subjecttree"
	"peregrine/jetstream/store/timewheel"
)

// A Stream keeps the messages of one stream: in memory (NewMemory) or in files
// (Open). One goroutine owns it.
type Stream struct {
	options  Options
	identity uint64 // turns the sums of records, see appendRecord

	first    Seq // oldest message; last+1 if there is none
	last     Seq
	started  bool // something was stored, skipped or removed
	lastTime int64
	msgs     uint64
	bytes    uint64 // reported sizes

	placed    uint64   // bytes of records so far
	blocks    []*block // ascending, the last may be open
	nextBlock uint32
	subjects  subjecttree.Tree[subject]
	deleted   seqset.Set // what is missing between first and last
	wheel     timewheel.Wheel
	ageFrom   Seq // messages before it outlive MaxAge

	removing *seqset.Set // what the running change removed, for the log
	stopped  error
	scratch  scratch

	directMin int // size from which records may be put directly

	*disk // nil in memory
}

// subject is what the tree keeps for each subject that has messages.
type subject struct {
	count uint64
	first Seq    // oldest message; with firstStale, a sequence before it
	last  Seq    // newest message
	block uint32 // 1 + id of the block that name is of
	name  uint32
}

// firstStale marks a first that must be looked up.
const firstStale = Seq(1) << 63

// scratch is memory used again by the queries of a stream.
type scratch struct {
	names   []uint8
	log     []byte
	record  []byte
	viewing viewing
}

// NewMemory returns an empty stream that lives in memory only.
func NewMemory(o Options) *Stream {
	s := newStream(o)
	s.last = max(o.FirstSeq, 1) - 1
	s.first = s.last + 1
	return s
}

func newStream(o Options) *Stream {
	return &Stream{options: o.withDefaults(), directMin: math.MaxInt}
}

// Append stores m behind the last message and sets m.Seq; m is borrowed. Under
// DiscardNew it may be refused. Errors: ErrMaxMsgs, ErrMaxBytes,
// ErrMaxMsgsPerSubject, ErrTooLarge, ErrStopped.
func (s *Stream) Append(m *Message) (Seq, error) {
	m.Seq = s.last + 1
	if err := s.admit(m); err != nil {
		return 0, err
	}
	return m.Seq, s.AppendAt(m)
}

// AppendAt stores m at m.Seq, behind the last message: what lies between counts
// as removed. Limits remove old messages but refuse nothing. Errors: ErrSequence,
// ErrTooLarge, ErrStopped.
func (s *Stream) AppendAt(m *Message) error {
	if s.stopped != nil {
		return s.stopped
	}
	if m.Seq <= s.last || m.Seq >= firstStale {
		return fmt.Errorf("%w: append at %d behind %d", ErrSequence, m.Seq, s.last)
	}
	if err := checkMessage(m); err != nil {
		return err
	}
	return s.insert(m)
}

// insert is AppendAt after its checks, also for replay.
func (s *Stream) insert(m *Message) error {
	return s.arrive(m, recordSize(m), len(m.Header) > 0, nil)
}

// arrive takes a message in whose record has size bytes. With there, its record is
// on disk: there adds its chunk to the last block.
func (s *Stream) arrive(m *Message, size int, header bool, there func()) error {
	s.pass(m.Seq - 1)
	key, v := s.subjects.Insert(m.Subject)
	back := uint32(chainNone)
	if v.count > 0 {
		back = uint32(min(m.Seq-v.last, chainFar))
	} else {
		v.first = m.Seq
	}
	b := s.blockFor(m, size, there)
	s.enlist(b, m, size, header, key, v, back)
	v.count++
	v.last = m.Seq
	s.last, s.lastTime, s.started = m.Seq, m.Time, true
	if s.msgs == 0 {
		s.first = m.Seq
		s.ageFrom = m.Seq
	}
	s.msgs++
	s.bytes += s.reported(size, header)
	if deadline, ok := m.deadline(); ok {
		s.wheel.Add(uint64(m.Seq), deadline)
	}
	return s.enforce(v)
}

// blockFor stores a message's record at the end of the last block, logs it and
// returns the block, which does not count it yet.
func (s *Stream) blockFor(m *Message, size int, there func()) *block {
	if there != nil {
		b := s.blocks[len(s.blocks)-1]
		b.fill(m.Seq)
		there()
		return b
	}
	b := s.roomFor(m.Seq, size)
	b.fill(m.Seq)
	if size >= s.directMin {
		if log := s.directLog(size); log != nil {
			s.placeDirect(log, b, m, size)
			return b
		}
	}
	record := s.place(b, m, size)
	if s.options.Log != nil {
		s.options.Log.Append(logMessage, nil, record)
	}
	return b
}

// pass moves last up to seq; what lies between is missing.
func (s *Stream) pass(seq Seq) {
	if seq <= s.last {
		return
	}
	if s.msgs > 0 {
		s.deleted.Add(uint64(s.last)+1, uint64(seq))
	}
	s.last, s.started = seq, true
	if s.msgs == 0 {
		s.first = s.last + 1
	}
}

// Skip moves the last sequence up to seq as if the messages up to it had been
// stored and removed, at time now. Errors: ErrSequence, ErrStopped.
func (s *Stream) Skip(seq Seq, now int64) error {
	if s.stopped != nil {
		return s.stopped
	}
	if seq < s.last || seq >= firstStale {
		return fmt.Errorf("%w: skip to %d behind %d", ErrSequence, seq, s.last)
	}
	s.pass(seq)
	s.lastTime = now
	s.log(logSkip, uint64(seq), uint64(now))
	return nil
}

// reported is the size that counts for MaxBytes, from that of a record.
func (s *Stream) reported(record int, header bool) uint64 {
	switch {
	case s.options.Accounting == MemorySizes:
		return uint64(record - recordMin + 16)
	case header:
		return uint64(record - recordMin + 34)
	}
	return uint64(record - recordMin + 30)
}

// slotReported is reported for a slot whose columns are loaded.
func (s *Stream) slotReported(b *block, slot int) uint64 {
	from, to := b.record(slot)
	return s.reported(int(to-from), b.ix.subject[slot]&slotHeader != 0)
}

// State returns the stream at a glance. Errors: those of reading the first
// message's time.
func (s *Stream) State() (State, error) {
	st := State{
		Msgs: s.msgs, Bytes: s.bytes, First: s.first, Last: s.last,
		LastTime: s.lastTime, Subjects: s.subjects.Len(), NumDeleted: s.deleted.Len(),
	}
	if !s.started && s.last == 0 {
		st.First = 0
	}
	if s.msgs == 0 {
		return st, nil
	}
	b, slot, err := s.locate(s.first)
	if err != nil {
		return st, err
	}
	raw, err := s.raw(b, slot)
	if err != nil {
		return st, err
	}
	st.FirstTime = recordTime(raw)
	return st, nil
}

// Deleted visits the ranges that are missing between the first and the last
// message, in order, until visit returns false.
func (s *Stream) Deleted(visit func(first, last Seq) bool) {
	s.deleted.Each(0, uint64(s.last), func(r seqset.Range) bool {
		return visit(Seq(r.First), Seq(r.Last))
	})
}

// Utilization is how many bytes of records are held and how many of them are of
// messages that are there.
func (s *Stream) Utilization() (held, live uint64) {
	for _, b := range s.blocks {
		held += uint64(b.end)
		live += uint64(b.bytes)
	}
	return held, live
}

// columns makes sure that a block's columns are in memory.
func (s *Stream) columns(b *block) error {
	if b.ix != nil {
		b.used = true
		return nil
	}
	return s.loadColumns(b)
}

// nameOf is the subject of a slot of a block whose columns are loaded.
func (b *block) nameOf(slot int) string { return b.ix.names[b.ix.subject[slot]&slotName] }
