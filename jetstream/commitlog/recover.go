package commitlog

import (
	"fmt"

	"peregrine/vfs"
)

// recovery reads a log at Open: it replays the records, finds the end and tells
// a tail cut short from damage.
//
// A batch is live if it links to what is before it: same position, same chain.
// Where the next batch does not link, whatever valid batches are found further
// on are looked at. If one of them, or the metadata of a clean stop, says that
// something beyond the gap had been synced, bytes that were on disk have changed:
// damage. Otherwise the writing was cut short there, and nothing behind it was
// ever committed.
type recovery struct {
	window window
	live   []*segment // by number
	clean  Position   // where the log was closed, 0 if it was not

	cleanChain uint64
	evidence   Position // the log must have reached it, see opening.evidence
	replay     Replay

	tail     tail
	batchEnd int64 // of the batch the tail is in, in its segment
	found    []candidate
	searched bool

	owners  map[OwnerID]*ownerSeen
	used    map[*segment]bool // hold records, or did
	damages []Damage
	records int
	torn    bool // bytes behind the end were being written
}

// ownerSeen is what the scan knows of an owner.
type ownerSeen struct {
	first, last Position
	records     int
}

// candidate is a valid batch header behind a gap.
type candidate struct {
	index  int // in live
	off    int64
	header batchHeader
}

func (c *candidate) position(r *recovery) Position { return at(r.live[c.index].number, c.off) }

// run scans all segments.
func (r *recovery) run() error {
	index, off := 0, int64(segmentHead)
	for index < len(r.live) {
		next, nextOff, ok, err := r.link(index, off)
		if err != nil {
			return err
		}
		if !ok {
			next, nextOff, ok, err = r.gap(index, off)
			if err != nil || !ok {
				return err
			}
		}
		if err := r.take(next, nextOff); err != nil {
			return err
		}
		index, off = next, r.tail.end.block().Offset()
	}
	return nil
}

// link finds the batch that continues the log: at off of the segment, or at the
// start of a later one.
func (r *recovery) link(index int, off int64) (int, int64, bool, error) {
	for i := index; i < len(r.live); i++ {
		r.open(i)
		h, ok, err := r.window.batchAt(off)
		if err != nil {
			return 0, 0, false, err
		}
		if ok && r.follows(&h, i) {
			return i, off, true, nil
		}
		off = segmentHead
	}
	return 0, 0, false, nil
}

// follows tells whether a batch in a segment continues the log. The first batch
// of all is believed if it is in the first segment, or says that this is empty.
func (r *recovery) follows(h *batchHeader, index int) bool {
	t := &r.tail
	if !t.known {
		return index == 0 || h.prev < at(r.live[0].number, 0)
	}
	return h.prev == t.end && h.chain == t.chain && h.epoch >= t.epoch
}

func (r *recovery) open(index int) {
	if s := r.live[index]; r.window.segment != s {
		r.window.reset(s, s.size)
	}
}

// take replays the batch at off.
func (r *recovery) take(index int, off int64) error {
	r.open(index)
	h, _, err := r.window.batchAt(off)
	if err != nil {
		return err
	}
	r.used[r.live[index]] = true
	r.tail.enter(r.live[index], &h, off)
	r.batchEnd = off + h.bytes
	return r.window.records(&r.tail, r.batchEnd, r.each)
}

func (r *recovery) each(rec Record) error {
	r.records++
	if rec.Dropped {
		delete(r.owners, rec.Owner)
		return r.replay.record(rec)
	}
	seen := r.owners[rec.Owner]
	if seen == nil {
		seen = &ownerSeen{first: rec.Position}
		r.owners[rec.Owner] = seen
	}
	seen.last = rec.Position
	seen.records++
	return r.replay.record(rec)
}

// gap handles that no batch links to the tail. false is the end of the log;
// otherwise there is damage, and the log goes on at the returned batch.
func (r *recovery) gap(index int, off int64) (int, int64, bool, error) {
	if err := r.search(index, off); err != nil {
		return 0, 0, false, err
	}
	whole := !r.tail.known || r.tail.end.Offset() == r.batchEnd
	short, err := r.short(index, off, whole)
	if err != nil {
		return 0, 0, false, err
	}
	if !short && !r.proven() {
		r.torn = len(r.found) > 0 || !whole
		if !r.torn && r.clean == 0 && index < len(r.live) {
			r.open(index)
			b, err := r.window.recordAt(off + batchHead)
			if err != nil {
				return 0, 0, false, err
			}
			r.torn = b != nil // a batch without its header
		}
		return 0, 0, false, nil
	}
	resume, to := r.resume(index, off)
	proof := link{r.clean, r.cleanChain}
	if resume != nil {
		proof = link{resume.header.prev, resume.header.chain}
	}
	saved, err := r.salvage(index, off, proof)
	if err != nil {
		return 0, 0, false, err
	}
	if !saved {
		if err := r.damage(index, off, to); err != nil {
			return 0, 0, false, err
		}
	}
	if resume == nil {
		return 0, 0, false, nil
	}
	return resume.index, resume.off, true, nil
}

// short tells whether the file ends where the log would go on. Segments are made
// whole, so what was there may have been committed.
func (r *recovery) short(index int, off int64, whole bool) (bool, error) {
	if index >= len(r.live) || r.clean != 0 && r.tail.end >= r.clean {
		return false, nil
	}
	s := r.live[index]
	size, err := s.file.Size()
	if err != nil || size >= s.size {
		return false, err
	}
	return off >= size || !whole && r.batchEnd > size, nil
}

// link is an end of records and the sum of the last of them.
type link struct {
	end   Position
	chain uint64
}

// salvage takes records behind damage that are sure to be live: valid ones that
// reach, each chained to the next, to what the log is known to go on from. The
// damage then ends where they begin.
func (r *recovery) salvage(index int, off int64, proof link) (bool, error) {
	i := r.indexOf(proof.end)
	s := r.live[i]
	if s.number != proof.end.Segment() || proof.end <= r.tail.end {
		return false, nil
	}
	r.open(i)
	from := int64(segmentHead + batchHead)
	if r.tail.end.Segment() == s.number {
		from = r.tail.end.Offset() + recordAlign
	}
	budget := salvageHashes * (proof.end.Offset() - from)
	for {
		start, chain, ok, err := r.window.salvage(from, proof.end.Offset(), &budget)
		if !ok || err != nil {
			return false, err
		}
		t := tail{end: at(s.number, start), chain: chain}
		if err := r.window.records(&t, proof.end.Offset(), func(Record) error { return nil }); err != nil {
			return false, err
		}
		if t.end == proof.end && t.chain == proof.chain {
			if err := r.damage(index, off, at(s.number, start)); err != nil {
				return false, err
			}
			r.tail.chain = chain
			return true, r.window.records(&r.tail, proof.end.Offset(), r.each)
		}
		from = t.end.Offset() + recordAlign
	}
}

// search looks for valid batch headers from off of a segment to the end of the
// log, once; later gaps use what is left of the list.
func (r *recovery) search(index int, off int64) error {
	if r.searched {
		from := at(r.live[index].number, off)
		for len(r.found) > 0 && r.found[0].position(r) < from {
			r.found = r.found[1:]
		}
		return nil
	}
	if r.clean != 0 && r.tail.end >= r.clean {
		return nil // closed cleanly here
	}
	r.searched = true
	for i := index; i < len(r.live); i++ {
		r.open(i)
		for ; off < r.live[i].size; off += vfs.BlockSize {
			h, ok, err := r.window.batchAt(off)
			if err != nil {
				return err
			}
			if ok {
				r.found = append(r.found, candidate{index: i, off: off, header: h})
			}
		}
		off = segmentHead
	}
	return nil
}

// proven tells whether bytes behind the tail had been synced.
func (r *recovery) proven() bool {
	end := r.tail.end // 0 if nothing was valid
	if r.clean > end || r.window.bad || r.evidence > end {
		return true
	}
	for i := range r.found {
		if r.found[i].header.synced > end {
			return true
		}
	}
	return false
}

// has tells whether there is a file of the segment of p.
func (r *recovery) has(p Position) bool { return r.live[r.indexOf(p)].number == p.Segment() }

func (r *recovery) indexOf(p Position) int {
	for i, s := range r.live {
		if s.number >= p.Segment() {
			return i
		}
	}
	return len(r.live) - 1
}

// resume picks the first live batch behind damage, nil if there is none, and
// says where the damage ends.
func (r *recovery) resume(index int, off int64) (*candidate, Position) {
	for i := range r.found {
		if c := &r.found[i]; !r.dead(c) {
			return c, c.position(r)
		}
	}
	return nil, max(r.clean, r.evidence, at(r.live[index].number, off+vfs.BlockSize)).block()
}

// dead tells whether a batch was overtaken: a later epoch began at or before it.
func (r *recovery) dead(c *candidate) bool {
	p := c.position(r)
	if r.tail.known && r.tail.epoch > c.header.epoch && r.tail.base <= p {
		return true
	}
	for i := range r.found {
		if h := &r.found[i].header; h.epoch > c.header.epoch && h.base <= p {
			return true
		}
	}
	return false
}

// damage fences from the tail up to a position.
func (r *recovery) damage(index int, off int64, to Position) error {
	from := r.tail.end
	if !r.tail.known {
		from = at(r.live[index].number, off)
	}
	d := Damage{From: from, To: to, File: r.live[index].name,
		Reason: fmt.Sprintf("what was synced at offset %d is not there", off)}
	if from.Segment() < to.Segment() && !r.has(to-1) {
		d.Reason = "segment file is missing behind it"
	}
	for _, s := range r.live {
		if at(s.number, s.size) >= from && at(s.number, 0) < to {
			s.damaged = true
			r.used[s] = true
		}
	}
	r.window.bad = false
	r.damages = append(r.damages, d)
	r.tail.known = true
	r.tail.end, r.tail.chain = to, 0
	return r.replay.damaged(d)
}
