package timewheel

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

const (
	tick     = int64(1e9)
	slotsMin = 16
	slotsMax = 4096
	version  = 1
)

// ErrInvalid is an encoding that Append does not write.
var ErrInvalid = errors.New("timewheel: invalid encoding")

// An Entry is a sequence number and when its time is up.
type Entry struct {
	Seq      uint64
	Deadline int64 // nanoseconds
}

// A Wheel holds entries until they are due. The zero value is empty.
type Wheel struct {
	slots []map[uint64]int64 // sequence → deadline
	count int
	low   int64 // no deadline is earlier
	due   []Entry
}

// Len is the number of entries.
func (w *Wheel) Len() int { return w.count }

// Clear forgets everything.
func (w *Wheel) Clear() { *w = Wheel{} }

func (w *Wheel) slot(deadline int64) int {
	return int(uint64(deadline/tick) % uint64(len(w.slots)))
}

// Add puts an entry in. A sequence is in the wheel once.
func (w *Wheel) Add(seq uint64, deadline int64) {
	if w.count >= 4*len(w.slots) && len(w.slots) < slotsMax {
		w.grow()
	}
	if w.count == 0 || deadline < w.low {
		w.low = deadline
	}
	s := w.slot(deadline)
	if w.slots[s] == nil {
		w.slots[s] = make(map[uint64]int64)
	}
	w.slots[s][seq] = deadline
	w.count++
}

func (w *Wheel) grow() {
	old := w.slots
	w.slots = make([]map[uint64]int64, max(slotsMin, 4*len(old)))
	for _, entries := range old {
		for seq, deadline := range entries {
			s := w.slot(deadline)
			if w.slots[s] == nil {
				w.slots[s] = make(map[uint64]int64)
			}
			w.slots[s][seq] = deadline
		}
	}
}

// Remove takes out an entry by sequence and the deadline it was added with;
// false if it is not there.
func (w *Wheel) Remove(seq uint64, deadline int64) bool {
	if w.count == 0 {
		return false
	}
	s := w.slot(deadline)
	if _, there := w.slots[s][seq]; !there {
		return false
	}
	delete(w.slots[s], seq)
	w.count--
	return true
}

// Forget is Remove of all sequences from first to last for a caller that lost the
// deadlines; it looks everywhere.
func (w *Wheel) Forget(first, last uint64) {
	if w.count == 0 {
		return
	}
	for _, entries := range w.slots {
		for seq := range entries {
			if seq >= first && seq <= last {
				delete(entries, seq)
				w.count--
			}
		}
	}
}

// Next is a time before which nothing is due; false if the wheel is empty. It
// looks through the slots only when Expire found everything due earlier.
func (w *Wheel) Next() (int64, bool) { return w.low, w.count > 0 }

// Expire takes out what is due at now and hands it to expired in order.
func (w *Wheel) Expire(now int64, expired func(Entry)) {
	if w.count == 0 || now < w.low {
		return
	}
	due, low := w.due[:0], int64(math.MaxInt64)
	// Slots between the earliest deadline and now; all of them after a round.
	n := len(w.slots)
	if turns := now/tick - w.low/tick + 1; turns < int64(n) {
		n = int(turns)
	}
	first := w.slot(w.low)
	for i := range n {
		entries := w.slots[(first+i)%len(w.slots)]
		for seq, deadline := range entries {
			if deadline <= now {
				due = append(due, Entry{seq, deadline})
				delete(entries, seq)
			}
		}
	}
	w.count -= len(due)
	for _, entries := range w.slots {
		for _, deadline := range entries {
			low = min(low, deadline)
		}
	}
	w.low = low
	slices.SortFunc(due, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Deadline, b.Deadline), cmp.Compare(a.Seq, b.Seq))
	})
	w.due = due
	for _, e := range due {
		expired(e)
	}
	if cap(w.due) > 1024 {
		w.due = nil
	}
}

// Append appends the encoding to dst and returns the extended slice.
func (w *Wheel) Append(dst []byte) []byte {
	entries := make([]Entry, 0, w.count)
	for _, slot := range w.slots {
		for seq, deadline := range slot {
			entries = append(entries, Entry{seq, deadline})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	before := uint64(0)
	for _, e := range entries {
		dst = binary.AppendUvarint(dst, e.Seq-before)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Deadline))
		before = e.Seq
	}
	return dst
}

// Decode reads an encoding at the beginning of b, which is borrowed, and returns
// what follows it. Errors: ErrInvalid.
func Decode(b []byte) (w Wheel, rest []byte, err error) {
	if len(b) == 0 || b[0] != version {
		return Wheel{}, nil, ErrInvalid
	}
	b = b[1:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)-n)/9 {
		return Wheel{}, nil, ErrInvalid
	}
	b = b[n:]
	seq := uint64(0)
	for range count {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap == 0 || gap > math.MaxUint64-seq || len(b)-n < 8 {
			return Wheel{}, nil, ErrInvalid
		}
		seq += gap
		w.Add(seq, int64(binary.LittleEndian.Uint64(b[n:])))
		b = b[n+8:]
	}
	return w, b, nil
}
