package store

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
)

// model is a stream as a list, with every answer found by looking at all of it.
type model struct {
	o        Options
	msgs     []Message
	first    Seq // if there are no messages
	last     Seq
	lastTime int64
	started  bool
	removals []string
}

func newModel(o Options) *model {
	first := max(o.FirstSeq, 1)
	return &model{o: o, first: first, last: first - 1}
}

func clone(m *Message) Message {
	c := *m
	c.Subject, c.Header, c.Payload = bytes.Clone(m.Subject), bytes.Clone(m.Header), bytes.Clone(m.Payload)
	return c
}

func (w *model) size(m *Message) uint64 {
	n := len(m.Subject) + len(m.Header) + len(m.Payload)
	if w.o.Accounting == MemorySizes {
		return uint64(n + 16)
	}
	if len(m.Header) > 0 {
		n += 4
	}
	return uint64(n + 30)
}

func (w *model) bytes() (n uint64) {
	for i := range w.msgs {
		n += w.size(&w.msgs[i])
	}
	return n
}

// match are the messages that match between two sequences.
func (w *model) match(f Filter, from, to Seq) (out []Message) {
	for _, m := range w.msgs {
		if m.Seq >= from && m.Seq <= to && f.Matches(string(m.Subject)) {
			out = append(out, m)
		}
	}
	return out
}

func (w *model) on(subject string) []Message {
	return w.match(Filter{literals: []string{subject}}, 0, w.last)
}

func (w *model) find(seq Seq) int {
	i := sort.Search(len(w.msgs), func(i int) bool { return w.msgs[i].Seq >= seq })
	if i < len(w.msgs) && w.msgs[i].Seq == seq {
		return i
	}
	return -1
}

func (w *model) delete(seq Seq) bool {
	i := w.find(seq)
	if i < 0 {
		return false
	}
	w.msgs = slices.Delete(w.msgs, i, i+1)
	w.first = w.last + 1
	w.started = true
	return true
}

func (w *model) drop(seq Seq, why Reason) {
	m := w.msgs[w.find(seq)]
	w.delete(seq)
	header := m.Header
	if why == ByLimit {
		header = nil
	}
	w.removals = append(w.removals, fmt.Sprintf("%d %s %d %v %q", seq, m.Subject, why, len(w.on(string(m.Subject))) == 0, header))
}

func (w *model) append(m *Message) error {
	l := w.o.Limits
	if l.Discard == DiscardNew {
		same := w.on(string(m.Subject))
		full := l.MaxMsgsPerSubject > 0 && len(same) >= int(l.MaxMsgsPerSubject)
		if full && l.DiscardNewPerSubject {
			return ErrMaxMsgsPerSubject
		}
		if l.MaxMsgs > 0 && len(w.msgs) >= int(l.MaxMsgs) && !full {
			return ErrMaxMsgs
		}
		room := w.bytes() + w.size(m)
		if l.MaxBytes > 0 && room > uint64(l.MaxBytes) {
			if !full || room-w.size(&same[0]) > uint64(l.MaxBytes) {
				return ErrMaxBytes
			}
		}
	}
	m.Seq = w.last + 1
	return w.appendAt(m)
}

func (w *model) appendAt(m *Message) error {
	if m.Seq <= w.last {
		return ErrSequence
	}
	w.msgs = append(w.msgs, clone(m))
	w.last, w.lastTime, w.started = m.Seq, m.Time, true
	w.first = w.last + 1
	w.enforce()
	return nil
}

func (w *model) enforce() {
	l := w.o.Limits
	if n := int(l.MaxMsgsPerSubject); n > 0 {
		counts := map[string][]Seq{}
		for _, m := range w.msgs {
			counts[string(m.Subject)] = append(counts[string(m.Subject)], m.Seq)
		}
		var names []string
		for name := range counts {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			for seqs := counts[name]; len(seqs) > n; seqs = seqs[1:] {
				w.drop(seqs[0], ByLimit)
			}
		}
	}
	if l.Discard == DiscardNew {
		return
	}
	for (l.MaxMsgs > 0 && len(w.msgs) > int(l.MaxMsgs)) || (l.MaxBytes > 0 && w.bytes() > uint64(l.MaxBytes)) {
		w.drop(w.msgs[0].Seq, ByLimit)
	}
}

func (w *model) purge(p Purge) (n uint64) {
	if p.Filter.All() && p.Keep == 0 {
		before := p.Before
		if before == 0 {
			before = w.last + 1
		}
		return w.compact(before)
	}
	all := w.match(p.Filter, 0, w.last)
	if len(all) <= int(p.Keep) {
		return 0
	}
	for _, m := range all[:len(all)-int(p.Keep)] {
		if p.Before == 0 || m.Seq < p.Before {
			w.delete(m.Seq)
			n++
		}
	}
	return n
}

func (w *model) compact(seq Seq) (n uint64) {
	for len(w.msgs) > 0 && w.msgs[0].Seq < seq {
		w.delete(w.msgs[0].Seq)
		n++
	}
	if seq > w.last {
		w.last = max(w.last, seq-1)
		w.started = w.started || seq > 1
	}
	w.first = w.last + 1
	return n
}

func (w *model) truncate(seq Seq) {
	for len(w.msgs) > 0 && w.msgs[len(w.msgs)-1].Seq > seq {
		w.delete(w.msgs[len(w.msgs)-1].Seq)
	}
	w.last = seq
	w.first = seq + 1
	if i := w.find(seq); i >= 0 {
		w.lastTime = w.msgs[i].Time
	}
}

func (w *model) expire(now int64) {
	var due []Message
	for _, m := range w.msgs {
		if d, ok := m.deadline(); ok && d <= now {
			due = append(due, m)
		}
	}
	slices.SortStableFunc(due, func(a, b Message) int {
		x, _ := a.deadline()
		y, _ := b.deadline()
		return int(x - y)
	})
	for _, m := range due {
		w.drop(m.Seq, ByTTL)
	}
	if w.o.Limits.MaxAge <= 0 {
		return
	}
	for _, m := range slices.Clone(w.msgs) {
		if m.Time > now-int64(w.o.Limits.MaxAge) {
			break
		}
		if m.TTL != TTLNever {
			w.drop(m.Seq, ByAge)
		}
	}
}

func (w *model) state() State {
	st := State{Msgs: uint64(len(w.msgs)), Bytes: w.bytes(), First: w.first, Last: w.last, LastTime: w.lastTime}
	if !w.started && w.last == 0 {
		st.First = 0
	}
	names := map[string]bool{}
	for _, m := range w.msgs {
		names[string(m.Subject)] = true
	}
	st.Subjects = len(names)
	if len(w.msgs) > 0 {
		st.First, st.FirstTime = w.msgs[0].Seq, w.msgs[0].Time
		st.NumDeleted = uint64(w.last-st.First+1) - st.Msgs
	}
	return st
}
