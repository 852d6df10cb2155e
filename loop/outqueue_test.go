package loop

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// queueModel is a Queue and the bytes that it should hold.
type queueModel struct {
	q    Queue
	want []byte
}

// TestQueueAgainstBytes does random operations on queues and on plain byte
// slices beside them.
func TestQueueAgainstBytes(t *testing.T) {
	first, last := uint64(1), uint64(25)
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	chunks0, shared0 := BuffersInUse()
	for seed := first; seed <= last; seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		l := &Loop{}
		a, b := &queueModel{}, &queueModel{}
		for range 250 {
			lent := a.step(l, r, b)
			if len(lent) > 0 && r.IntN(2) == 0 {
				b.send(l, r) // in the turn that has lent it
			}
			for i := range 2 {
				[]*queueModel{a, b}[(i+int(seed))%2].q.keep(l)
			}
			l.endLoans()
			clear(lent)
			a.check(t, seed)
			b.check(t, seed)
		}
		a.q.drop(l)
		b.q.drop(l)
		l.chunks.publish()
		if chunks, shared := BuffersInUse(); chunks != chunks0 || shared != shared0 {
			t.Fatalf("seed %d: %d chunks, %d shared left", seed, chunks-chunks0, shared-shared0)
		}
	}
}

// step does one random operation and returns what it has lent.
func (m *queueModel) step(l *Loop, r *rand.Rand, staged *queueModel) (lent []byte) {
	data := make([]byte, r.IntN(1<<(1+r.IntN(12))))
	if r.IntN(40) == 0 {
		data = make([]byte, r.IntN(200<<10))
	}
	for i, mark := 0, r.IntN(1<<30); i < len(data); i += len(pattern) {
		copy(data[i:], pattern[mark%len(pattern):])
	}
	target := m
	if r.IntN(2) == 0 {
		target = staged
	}
	switch r.IntN(12) {
	case 0, 1, 2:
		target.q.append(l, data)
		target.want = append(target.want, data...)
	case 3, 4:
		room := target.q.reserve(l, len(data)+r.IntN(100))
		target.q.commit(append(room, data...))
		target.want = append(target.want, data...)
	case 5:
		sh := NewShared(len(data))
		copy(sh.Bytes(), data)
		lo := r.IntN(len(data) + 1)
		target.q.appendShared(l, sh, sh.Bytes()[lo:])
		target.want = append(target.want, data[lo:]...)
		sh.Release()
	case 6: // what another loop staged arrives
		m.q.take(l, staged.q.segs[staged.q.head:])
		m.want = append(m.want, staged.want...)
		staged.moved(l)
	case 7: // the rest of a write that another loop began arrives
		staged.send(l, r)
		m.q.prepend(staged.q.segs[staged.q.head:])
		m.want = append(append([]byte(nil), staged.want...), m.want...)
		staged.moved(l)
	case 8, 9:
		m.send(l, r)
	case 10, 11: // to both, from different places, as a fan-out does
		if len(data) == 0 {
			break
		}
		lo := r.IntN(len(data))
		m.want = append(m.want, data...)
		staged.want = append(staged.want, data[lo:]...)
		m.q.lend(l, data)
		staged.q.lend(l, data[lo:])
		return data
	}
	return nil
}

// moved empties a queue whose segments another queue has now.
func (m *queueModel) moved(l *Loop) {
	clear(m.q.segs)
	m.q.bytes = 0
	m.q.reset(l)
	m.want = nil
}

// send lets the socket take some bytes.
func (m *queueModel) send(l *Loop, r *rand.Rand) {
	max := iovMax
	if r.IntN(2) == 0 {
		max = 1 + r.IntN(iovMax)
	}
	total := 0
	for _, b := range m.q.iov(nil, max) {
		total += len(b)
	}
	n := r.IntN(total + 1)
	if r.IntN(3) == 0 {
		n = total
	}
	m.q.sent(l, n)
	m.want = m.want[n:]
}

func (m *queueModel) check(t *testing.T, seed uint64) {
	t.Helper()
	var got []byte
	for _, b := range m.q.iov(nil, 1<<30) {
		got = append(got, b...)
	}
	if m.q.Len() != len(m.want) || !bytes.Equal(got, m.want) {
		t.Fatalf("seed %d: the queue holds %d bytes and says %d, want %d", seed, len(got), m.q.Len(), len(m.want))
	}
	for _, s := range m.q.segs[m.q.head:] {
		if (s.ck == nil) == (s.sh == nil) {
			t.Fatalf("seed %d: a segment with chunk %p and shared %p", seed, s.ck, s.sh)
		}
	}
}

// TestSharedCounts: a buffer goes back when its last reference does, whatever
// its size, and a second release of it is seen.
func TestSharedCounts(t *testing.T) {
	_, before := BuffersInUse()
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 8 << 20, 8<<20 + 1} {
		sh := NewShared(n)
		if len(sh.Bytes()) != n {
			t.Errorf("NewShared(%d) has %d bytes", n, len(sh.Bytes()))
		}
		sh.Retain()
		sh.Release()
		if _, held := BuffersInUse(); held != before+1 {
			t.Errorf("%d bytes: %d held after one of two releases", n, held-before)
		}
		sh.Release()
		if _, held := BuffersInUse(); held != before {
			t.Errorf("%d bytes: %d held", n, held-before)
		}
	}
	sh := &Shared{}
	sh.Retain()
	sh.Retain()
	sh.Release()
	sh.refs.Add(-1)
	defer func() {
		if recover() == nil {
			t.Error("a release too many was not seen")
		}
	}()
	sh.Release()
}

// What stands between payloads queued by reference takes little memory beside
// them, whatever the backlog.
func TestReferencesCostLittle(t *testing.T) {
	l := &Loop{}
	var q Queue
	const messages, payload = 2000, 4 << 10
	sh := NewShared(payload)
	for range messages {
		q.commit(append(q.reserve(l, 60), "MSG some.subject 1 4096\r\n"...))
		q.appendShared(l, sh, sh.Bytes())
	}
	sh.Release()
	held, seen := 0, map[*chunk]bool{}
	for _, s := range q.segs {
		if s.ck != nil && !seen[s.ck] {
			seen[s.ck] = true
			held += cap(s.ck.buf)
		}
	}
	q.drop(l)
	if held > messages*payload/50 {
		t.Errorf("%d bytes of chunks for %d bytes of payloads", held, messages*payload)
	}
	l.chunks.publish()
}
