package loop

import "unsafe"

// seg is a run of outbound bytes: a part of a chunk, a range of a shared
// payload, or, with neither ck nor sh, bytes lent until the turn ends.
type seg struct {
	b  []byte
	ck *chunk
	sh *Shared
}

// Queue collects outbound bytes in order. It has one owner at a time: the
// connection's loop, or, as staging, the loop that fills it.
type Queue struct {
	segs  []seg
	head  int    // segs before head are sent
	bytes int    // unsent
	lent  int    // segs that are lent
	tail  *chunk // where the next bytes go if there is room; several segs may be in it

	// Messages and payload bytes queued since they were last added to the
	// connection's counters; the filler of the queue sets them.
	Msgs, Payload int64

	conn  *Conn
	base  int // bytes of the connection that are queued elsewhere, at the first use this turn
	look  int // pending bytes from which the limits matter
	class int8
}

// Len returns the unsent bytes.
func (q *Queue) Len() int { return q.bytes }

func (q *Queue) empty() bool { return q.head == len(q.segs) }

// reserve returns room for n more bytes at the tail: a slice of length 0 whose
// content the caller appends and gives to commit.
func (q *Queue) reserve(l *Loop, n int) []byte {
	ck := q.tail
	if ck == nil || cap(ck.buf)-len(ck.buf) < n {
		ck = l.chunks.getSized(n, int(q.class))
		if i := len(q.segs) - 1; i >= q.head && q.segs[i].ck != nil && int(q.class) < chunkClasses-1 {
			// A second chunk in a row: a flood. Heads between references to
			// payloads stay with small ones.
			q.class++
		}
		q.tail = ck
	}
	if i := len(q.segs) - 1; i < q.head || q.segs[i].ck != ck {
		ck.segs++
		q.push(l, seg{b: ck.buf[len(ck.buf):], ck: ck})
	}
	return ck.buf[len(ck.buf):]
}

// commit takes b, which continues what reserve returned.
func (q *Queue) commit(b []byte) {
	s := &q.segs[len(q.segs)-1]
	ck := s.ck
	lo := len(ck.buf)
	ck.buf = ck.buf[:lo+len(b)]
	s.b = ck.buf[lo-len(s.b) : lo+len(b)]
	q.bytes += len(b)
}

// appendPair copies head and tail to the tail of the queue, contiguously if
// they fit into a chunk. It is the path of most messages.
func (q *Queue) appendPair(l *Loop, head string, tail []byte) {
	n := len(head) + len(tail)
	if i := len(q.segs) - 1; i >= q.head {
		s := &q.segs[i]
		if ck := s.ck; ck != nil && cap(ck.buf)-len(ck.buf) >= n {
			at := len(ck.buf)
			b := ck.buf[:at+n]
			copy(b[at:], head)
			copy(b[at+len(head):], tail)
			ck.buf = b
			s.b = s.b[:len(s.b)+n]
			q.bytes += n
			return
		}
	}
	if n <= chunkMax {
		q.commit(append(append(q.reserve(l, n), head...), tail...))
		return
	}
	q.commit(append(q.reserve(l, len(head)), head...))
	q.append(l, tail)
}

// appendRun copies head and the rest of each frame behind skip bytes to the tail,
// as many at a time as a chunk has room for.
func (q *Queue) appendRun(l *Loop, head, b []byte, frame, skip int) {
	each := len(head) + frame - skip
	if each > chunkMax {
		for ; len(b) > 0; b = b[frame:] {
			q.append(l, head)
			q.append(l, b[skip:frame])
		}
		return
	}
	for len(b) > 0 {
		room := 0
		if q.tail != nil {
			room = cap(q.tail.buf) - len(q.tail.buf)
		}
		if room < each {
			room = min(each*(len(b)/frame), chunkMax)
		}
		out := q.reserve(l, room)
		n := min(cap(out)/each, len(b)/frame)
		out = out[:n*each]
		q.commit(out)
		FillRun(out, head, b[:n*frame], frame, skip)
		b = b[n*frame:]
	}
}

// FillRun writes head and what follows the first skip bytes, for each frame of b,
// to dst, which has just the room.
func FillRun(dst, head, b []byte, frame, skip int) {
	each := len(head) + frame - skip
	for ; len(b) > 0; dst, b = dst[each:], b[frame:] {
		copy(dst, head)
		copy(dst[len(head):], b[skip:frame])
	}
}

// append copies b to the tail.
func (q *Queue) append(l *Loop, b []byte) {
	for len(b) > 0 {
		n := min(len(b), chunkMax)
		q.commit(append(q.reserve(l, n), b[:n]...))
		b = b[n:]
	}
}

// appendShared queues b, a part of sh, by reference.
func (q *Queue) appendShared(l *Loop, sh *Shared, b []byte) {
	sh.Retain()
	q.push(l, seg{b: b, sh: sh})
	q.bytes += len(b)
}

// lend queues b, which its owner takes back when the turn ends: the socket gets
// it without a copy if it has room, what is left then is copied by keep.
func (q *Queue) lend(l *Loop, b []byte) {
	q.push(l, seg{b: b})
	q.bytes += len(b)
	q.lent++
}

// keep makes what is still lent the queue's own. Much of the read buffer is not
// copied: the queue gets a reference and the loop another buffer. Queues that
// were lent the same bytes share a copy.
func (q *Queue) keep(l *Loop) {
	n := 0 // bytes of the read buffer
	for i := q.head; i < len(q.segs); i++ {
		if s := &q.segs[i]; s.ck == nil && s.sh == nil && l.wasRead(s.b) {
			n += len(s.b)
		}
	}
	take := n > 0 && n >= l.group.keepMin
	for i := q.head; q.lent > 0; i++ {
		s := &q.segs[i]
		switch {
		case s.ck != nil || s.sh != nil:
			continue
		case take && l.wasRead(s.b):
			l.rbuf.Retain()
			l.rbufKept = true
			s.sh = l.rbuf
		default:
			s.sh, s.b = l.keepLent(s.b)
		}
		q.lent--
	}
}

// wasRead tells whether b is a part of the read buffer.
func (l *Loop) wasRead(b []byte) bool {
	if l.rbuf == nil {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(l.rbuf.buf)))
	return at < uintptr(len(l.rbuf.buf))
}

// keepLent returns a copy of b and a reference to it. Copies are found by their
// end: a socket may have taken the beginning.
func (l *Loop) keepLent(b []byte) (*Shared, []byte) {
	end := &b[len(b)-1]
	sh := l.kept[end]
	if sh == nil || len(sh.buf) < len(b) {
		if sh != nil {
			sh.Release()
		}
		sh = NewShared(len(b))
		copy(sh.buf, b)
		if l.kept == nil {
			l.kept = make(map[*byte]*Shared)
		}
		l.kept[end] = sh
	}
	sh.Retain()
	return sh, sh.buf[len(sh.buf)-len(b):]
}

// endLoans ends the sharing of copies, since the bytes they were made of change,
// and lets go of a read buffer that queues have kept.
func (l *Loop) endLoans() {
	for end, sh := range l.kept {
		sh.Release()
		delete(l.kept, end)
	}
	if l.rbufKept {
		l.rbufKept = false
		sharedLive.Add(1)
		l.rbuf.Release()
		l.rbuf = l.group.newReadBuffer()
	}
}

// take moves the segments of from to the tail. A small first segment is copied
// into the room that is left, so that a slow stream of small messages does not
// hold one chunk each.
func (q *Queue) take(l *Loop, segs []seg) {
	for i := range segs {
		s := segs[i]
		if s.ck != nil && len(s.b) <= chunkSizes[0] && !q.empty() {
			if t := q.segs[len(q.segs)-1].ck; t != nil && cap(t.buf)-len(t.buf) >= len(s.b) {
				q.commit(append(t.buf[len(t.buf):], s.b...))
				l.freeSeg(q, &segs[i])
				continue
			}
		}
		q.push(l, s)
		q.tail = s.ck
		q.bytes += len(s.b)
	}
}

// prepend puts segs, the rest of a cut write, before everything else.
func (q *Queue) prepend(segs []seg) {
	n := 0
	for i := range segs {
		n += len(segs[i].b)
	}
	if q.head >= len(segs) {
		q.head -= len(segs)
		copy(q.segs[q.head:], segs)
	} else {
		rest := append([]seg(nil), q.segs[q.head:]...)
		q.segs = append(append(q.segs[:0], segs...), rest...)
		q.head = 0
	}
	q.bytes += n
}

// iov appends the unsent runs to dst, up to max of them.
func (q *Queue) iov(dst [][]byte, max int) [][]byte {
	for i := q.head; i < len(q.segs) && len(dst) < max; i++ {
		dst = append(dst, q.segs[i].b)
	}
	return dst
}

// sent drops n bytes from the front and frees what is finished.
func (q *Queue) sent(l *Loop, n int) {
	q.bytes -= n
	for q.head < len(q.segs) {
		s := &q.segs[q.head]
		if n < len(s.b) {
			s.b = s.b[n:]
			return
		}
		n -= len(s.b)
		l.freeSeg(q, s)
		q.head++
	}
	q.reset(l)
}

// push adds s to the list, which comes from the loop's spare ones: an idle
// queue has none.
func (q *Queue) push(l *Loop, s seg) {
	if q.segs == nil {
		if n := len(l.segSpare); n > 0 {
			q.segs = l.segSpare[n-1]
			l.segSpare = l.segSpare[:n-1]
		} else {
			q.segs = make([]seg, 0, 16)
		}
	}
	if len(q.segs) == cap(q.segs) && q.head > len(q.segs)/2 {
		// A queue that is never empty must not grow by what it has sent.
		n := copy(q.segs, q.segs[q.head:])
		clear(q.segs[n:])
		q.segs, q.head = q.segs[:n], 0
	}
	q.segs = append(q.segs, s)
}

const (
	segSpareMax = 64   // lists that a loop keeps
	segListMax  = 4096 // entries of a list that is worth keeping
)

// reset gives the empty list back.
func (q *Queue) reset(l *Loop) {
	if q.segs != nil && len(l.segSpare) < segSpareMax && cap(q.segs) <= segListMax {
		l.segSpare = append(l.segSpare, q.segs[:0])
	}
	q.segs, q.head, q.class, q.tail = nil, 0, 0, nil
}

// drop frees everything unsent.
func (q *Queue) drop(l *Loop) {
	for i := q.head; i < len(q.segs); i++ {
		l.freeSeg(q, &q.segs[i])
	}
	q.bytes = 0
	q.reset(l)
}

// freeSeg lets go of what a segment of q, or one that was on its way to it,
// refers to.
func (l *Loop) freeSeg(q *Queue, s *seg) {
	if ck := s.ck; ck == nil {
		if s.sh != nil {
			s.sh.Release()
		} else {
			q.lent--
		}
	} else if ck.segs--; ck.segs == 0 {
		if q.tail == ck {
			q.tail = nil
		}
		l.chunks.put(ck)
	}
	*s = seg{}
}
