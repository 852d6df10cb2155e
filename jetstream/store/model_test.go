package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peregrine/internal/seeds"
)

// pair is a stream and the model that it must answer like.
type pair struct {
	t        *testing.T
	r        *rand.Rand
	s        *Stream
	m        *model
	now      int64
	removals []string
	step     int
	did      string
	reopen   func(*pair) // if set, may put another stream in place of s
}

func (p *pair) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("step %d, %s: %s", p.step, p.did, fmt.Sprintf(format, args...))
}

func (p *pair) note(r Removal) {
	p.removals = append(p.removals, fmt.Sprintf("%d %s %d %v %q", r.Seq, r.Subject, r.Reason, r.Last, r.Header))
}

func randomLimits(r *rand.Rand) (l Limits) {
	if r.IntN(3) == 0 {
		l.MaxMsgs = int64(5 + r.IntN(60))
	}
	if r.IntN(3) == 0 {
		l.MaxBytes = int64(500 + r.IntN(5000))
	}
	if r.IntN(2) == 0 {
		l.MaxMsgsPerSubject = int64(1 + r.IntN(6))
	}
	if r.IntN(3) == 0 {
		l.MaxAge = time.Duration(1+r.IntN(60)) * time.Second
	}
	l.Discard = Discard(r.IntN(2))
	l.DiscardNewPerSubject = r.IntN(2) == 0
	return l
}

func randomOptions(r *rand.Rand) Options {
	o := Options{Limits: randomLimits(r), Accounting: Accounting(r.IntN(2))}
	if r.IntN(3) == 0 {
		o.FirstSeq = Seq(r.IntN(50))
	}
	o.ChunkBytes = 128 << r.IntN(5)
	o.BlockBytes = o.ChunkBytes << r.IntN(4)
	return o
}

var names = []string{"a", "b", "a.b", "a.c", "a.b.c", "orders.eu", "orders.us", "orders.eu.1", "orders.eu.2", "x"}

func randomFilter(r *rand.Rand) Filter {
	patterns := append([]string{">", "a.*", "*", "*.*", "orders.>", "*.eu.*", "nothing", "a.>"}, names...)
	n := 1
	if r.IntN(3) == 0 {
		n += r.IntN(3)
	}
	var f []string
	for range n {
		f = append(f, patterns[r.IntN(len(patterns))])
	}
	return NewFilter(f...)
}

func (p *pair) message() *Message {
	r := p.r
	p.now += r.Int64N(2e9)
	m := &Message{Time: p.now, Subject: []byte(names[r.IntN(len(names))]), Payload: make([]byte, r.IntN(100))}
	if r.IntN(20) == 0 {
		m.Time -= 5e9 // clocks go back
	}
	for i := range m.Payload {
		m.Payload[i] = byte(r.Uint32())
	}
	if r.IntN(3) == 0 {
		m.Header = fmt.Appendf(nil, "NATS/1.0\r\nX: %d\r\n\r\n", r.IntN(1000))
	}
	switch r.IntN(8) {
	case 0:
		m.TTL = uint32(1 + r.IntN(60))
	case 1:
		m.TTL = TTLNever
	}
	return m
}

func (p *pair) seq() Seq {
	lo := uint64(1)
	if len(p.m.msgs) > 0 {
		lo = uint64(p.m.msgs[0].Seq)
	}
	if p.r.IntN(6) == 0 {
		lo = 0
	}
	return Seq(lo + p.r.Uint64N(uint64(p.m.last)+4-min(lo, uint64(p.m.last))))
}

func (p *pair) same(err, want error) {
	p.t.Helper()
	if (err == nil) != (want == nil) || (want != nil && !errors.Is(err, want)) {
		p.fail("error %v, want %v", err, want)
	}
}

// change does one random thing to both.
func (p *pair) change() {
	r, s, m := p.r, p.s, p.m
	switch op := r.IntN(100); {
	case op < 60:
		msg := p.message()
		p.did = fmt.Sprintf("append %s", msg.Subject)
		want := m.append(msg)
		seq, err := s.Append(msg)
		p.same(err, want)
		if err == nil && seq != m.last {
			p.fail("sequence %d, want %d", seq, m.last)
		}
	case op < 66:
		msg := p.message()
		msg.Seq = m.last + Seq(r.IntN(4))
		if r.IntN(10) == 0 {
			msg.Seq += Seq(r.IntN(3000))
		}
		p.did = fmt.Sprintf("append at %d", msg.Seq)
		p.same(s.AppendAt(msg), m.appendAt(msg))
	case op < 69:
		seq := m.last + Seq(r.IntN(5))
		p.did = fmt.Sprintf("skip %d", seq)
		p.same(s.Skip(seq, p.now), nil)
		if seq > m.last {
			m.last, m.first, m.started = seq, seq+1, true
		}
		m.lastTime = p.now
	case op < 80:
		seq := p.seq()
		p.did = fmt.Sprintf("remove %d", seq)
		want := error(nil)
		if !m.delete(seq) {
			want = ErrNotFound
		}
		if r.IntN(3) == 0 {
			p.same(s.Erase(seq), want)
		} else {
			p.same(s.Remove(seq), want)
		}
	case op < 84:
		pu := Purge{Filter: randomFilter(r)}
		if r.IntN(2) == 0 {
			pu.Keep = uint64(r.IntN(10))
		}
		if r.IntN(2) == 0 {
			pu.Before = p.seq()
		}
		if pu.Filter.All() && pu.Keep == 0 && pu.Before == 0 && r.IntN(4) > 0 {
			return
		}
		p.did = fmt.Sprintf("purge %v", pu)
		want := m.purge(pu)
		got, err := s.Purge(pu)
		p.same(err, nil)
		if got != want {
			p.fail("%d, want %d", got, want)
		}
	case op < 86:
		seq := p.seq()
		if r.IntN(3) > 0 {
			seq = min(seq, m.last)
		}
		p.did = fmt.Sprintf("compact %d", seq)
		want := m.compact(seq)
		got, err := s.Compact(seq)
		p.same(err, nil)
		if got != want {
			p.fail("%d, want %d", got, want)
		}
	case op < 88:
		seq := p.seq()
		if r.IntN(3) > 0 {
			seq = max(seq, m.last-min(m.last, 4))
		}
		p.did = fmt.Sprintf("truncate %d", seq)
		want := error(nil)
		if first := m.state().First; seq > m.last || seq+1 < max(first, m.first*Seq(b2i(len(m.msgs) == 0))) {
			want = ErrSequence
		}
		p.same(s.Truncate(seq), want)
		if want == nil {
			m.truncate(seq)
		}
	case op < 97:
		p.did = "expire"
		p.now += r.Int64N(3e9)
		m.expire(p.now)
		if _, err := s.Expire(p.now, 1<<30); err != nil {
			p.fail("%v", err)
		}
		p.nextExpiry()
	case op < 98:
		l := randomLimits(r)
		p.did = fmt.Sprintf("limits %+v", l)
		old := m.o.Limits
		m.o.Limits = l
		if n := l.MaxMsgsPerSubject; n <= 0 || (old.MaxMsgsPerSubject > 0 && n >= old.MaxMsgsPerSubject) {
			m.o.Limits.MaxMsgsPerSubject = 0 // nothing is over a limit that did not shrink
		}
		m.enforce()
		m.o.Limits = l
		p.same(s.SetLimits(l), nil)
	default:
		if p.reopen != nil {
			p.did = "reopen"
			p.reopen(p)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *pair) nextExpiry() {
	at, some, err := p.s.NextExpiry()
	p.same(err, nil)
	for _, m := range p.m.msgs {
		d, ok := m.deadline()
		if age := p.m.o.Limits.MaxAge; age > 0 && m.TTL != TTLNever && m.Seq == p.m.msgs[0].Seq {
			if d = m.Time + int64(age); d <= p.now {
				p.fail("message %d is still there", m.Seq)
			}
			ok = true
		}
		if ok && (!some || at > d) {
			p.fail("next expiry %d %v, message %d is due at %d", at, some, m.Seq, d)
		}
	}
}

// compare asks both everything.
func (p *pair) compare() {
	r, s, m := p.r, p.s, p.m
	got, err := s.State()
	p.same(err, nil)
	if want := m.state(); got != want {
		p.fail("state\n got %+v\nwant %+v", got, want)
	}
	if !slices.Equal(p.removals, m.removals) {
		p.fail("removals\n got %q\nwant %q", p.removals, m.removals)
	}
	p.removals, m.removals = nil, nil
	for range 3 {
		f, from := randomFilter(r), p.seq()
		p.compareLoads(f, from)
		p.compareCounts(f, from)
	}
	at := p.now - r.Int64N(60e9)
	want := m.last + 1
	for _, msg := range m.msgs {
		if msg.Time >= at {
			want = msg.Seq
			break
		}
	}
	seq, err := s.SequenceFromTime(at)
	p.same(err, nil)
	if seq != want {
		p.fail("sequence from time %d: %d want %d", at, seq, want)
	}
}

func (p *pair) loaded(what string, err error, got *Message, want []Message, i int) {
	p.t.Helper()
	if len(want) == 0 {
		if !errors.Is(err, ErrNotFound) {
			p.fail("%s: %d, %v, want not found", what, got.Seq, err)
		}
		return
	}
	w := want[i]
	if err != nil {
		p.fail("%s: %v, want %d", what, err, w.Seq)
	}
	if got.Seq != w.Seq || got.Time != w.Time || got.TTL != w.TTL || !bytes.Equal(got.Subject, w.Subject) ||
		!bytes.Equal(got.Header, w.Header) || !bytes.Equal(got.Payload, w.Payload) {
		p.fail("%s:\n got %v\nwant %v", what, *got, w)
	}
}

func (p *pair) compareLoads(f Filter, from Seq) {
	s, m := p.s, p.m
	var got Message
	p.loaded("load", s.Load(from, &got), &got, m.match(Filter{}, from, from), 0)
	p.loaded("load next", s.LoadNext(f, from, &got), &got, m.match(f, from, m.last), 0)
	last := m.match(f, 0, m.last)
	p.loaded("load last", s.LoadLast(f, &got), &got, last, len(last)-1)
	prev := m.match(f, 0, from)
	p.loaded(fmt.Sprintf("load prev %d %v", from, f), s.LoadPrev(f, from, &got), &got, prev, len(prev)-1)
	for _, upTo := range []Seq{0, from} {
		bound := upTo
		if bound == 0 {
			bound = m.last
		}
		var want []Seq
		seen := map[string]bool{}
		for _, msg := range slices.Backward(m.match(f, 0, bound)) {
			if !seen[string(msg.Subject)] {
				want = append(want, msg.Seq)
			}
			seen[string(msg.Subject)] = true
		}
		slices.Sort(want)
		seqs, err := s.MultiLast(f, upTo, 0, nil)
		p.same(err, nil)
		if !slices.Equal(seqs, want) {
			p.fail("multi last %v up to %d: %v want %v", f, upTo, seqs, want)
		}
		if len(want) > 1 {
			_, err = s.MultiLast(f, upTo, len(want)-1, nil)
			p.same(err, ErrTooMany)
		}
	}
}

func (p *pair) compareCounts(f Filter, from Seq) {
	s, m := p.s, p.m
	match := m.match(f, from, m.last)
	n, err := s.NumPending(f, from, false)
	p.same(err, nil)
	if n != uint64(len(match)) {
		p.fail("pending %v from %d: %d want %d", f, from, n, len(match))
	}
	st, err := s.FilteredState(f, from)
	p.same(err, nil)
	want := SimpleState{}
	if len(match) > 0 {
		want = SimpleState{uint64(len(match)), match[0].Seq, match[len(match)-1].Seq}
	}
	if st != want {
		p.fail("filtered state %v from %d: %v want %v", f, from, st, want)
	}
	lasts := uint64(0)
	totals := map[string]uint64{}
	for _, msg := range m.match(f, 0, m.last) {
		totals[string(msg.Subject)]++
	}
	for name := range totals {
		if on := m.on(name); on[len(on)-1].Seq >= from {
			lasts++
		}
	}
	n, err = s.NumPending(f, from, true)
	p.same(err, nil)
	if n != lasts {
		p.fail("pending %v from %d, last per subject: %d want %d", f, from, n, lasts)
	}
	s.Subjects(f, func(name string, n uint64) bool {
		if totals[name] != n {
			p.fail("subject %s: %d want %d", name, n, totals[name])
		}
		delete(totals, name)
		return true
	})
	if len(totals) > 0 {
		p.fail("subjects not told: %v", totals)
	}
	name := names[p.r.IntN(len(names))]
	on := m.on(name)
	want = SimpleState{}
	if len(on) > 0 {
		want = SimpleState{uint64(len(on)), on[0].Seq, on[len(on)-1].Seq}
	}
	st, err = s.SubjectState(name)
	p.same(err, nil)
	if st != want {
		p.fail("subject state %s: %v want %v", name, st, want)
	}
}

func (p *pair) run(steps int) {
	for p.step = range steps {
		p.change()
		p.compare()
	}
}

// A stream in memory answers like the model, whatever is done to it.
func TestMemoryModel(t *testing.T) {
	seeds.Each(t, 16, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 4))
		o := randomOptions(r)
		p := &pair{t: t, r: r, m: newModel(o), now: 1e18}
		o.Removed = p.note
		p.s = NewMemory(o)
		p.run(800)
	})
}
