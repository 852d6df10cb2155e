package commitlog

import (
	"fmt"
	"slices"

	"peregrine/vfs"
)

// core decides what is written where and when it is committed. It has no clock,
// no goroutine and does no I/O: next hands out the next transfer, done takes its
// outcome, and events collects what writers should be told. Log guards it.
//
//	append ─▶ open ──next──▶ flight ──done──▶ committed
//	         (collects)     (being written)
type core struct {
	options Options
	id      uint64
	epoch   uint64
	base    Position

	live  []*segment // hold records, oldest first; the last is active
	ready *segment   // prepared to follow the active one
	free  []*segment // hold nothing that is needed

	open   batchBuffer
	flight batchBuffer
	busy   bool // flight, or a sync, is with the disk

	end       Position // of what was placed
	recordEnd Position // of the last record that was placed
	chain     uint64   // its sum
	written   Position
	synced    Position
	evidence  Position // largest synced position noted in a batch's header
	committed Position

	syncDue    bool
	settleDue  bool
	fullLogged bool
	hold       bool   // damage is not noted yet: keep what shows it
	missing    uint64 // with hold: the log begins here, though the files are gone
	stopped    error

	owners  map[OwnerID]*Owner
	writers []*Writer
	events  []event

	prepare preparing
	stats   Stats
}

// batchBuffer is a batch in memory, aligned for direct I/O.
type batchBuffer struct {
	memory  []byte
	used    int // bytes of header and records, 0 if there is no batch
	count   int
	header  batchHeader
	segment *segment
	off     int64 // in the segment
	directs []Direct
	direct  int // bytes that those write
}

// segment is one file of the log.
type segment struct {
	number  uint64
	slot    uint64
	name    string
	file    vfs.File
	size    int64
	bind    uint64
	next    int64  // where a batch may follow
	pins    *Owner // list of owners whose oldest need is here
	dirty   bool   // written since its last sync
	damaged bool   // part of it is fenced: kept as evidence
	made    made
}

// transfer is what the disk should do next: write and sync directs, then write buf,
// if there is one, at off of target, then sync target if so wanted.
type transfer struct {
	directs []Direct
	target  *segment
	buf     []byte
	off     int64
	sync    bool
	end     Position // what is written when this is done
}

// segmentOf finds a live segment by position, nil if there is none.
func (c *core) segmentOf(p Position) *segment {
	if n := len(c.live); n > 0 && c.live[n-1].number == p.Segment() {
		return c.live[n-1]
	}
	i, found := slices.BinarySearchFunc(c.live, p.Segment(), func(s *segment, number uint64) int {
		return compare(s.number, number)
	})
	if !found {
		return nil
	}
	return c.live[i]
}

// segmentAfter is the first live segment after that of p, nil if there is none.
func (c *core) segmentAfter(p Position) *segment {
	for _, s := range c.live {
		if s.number > p.Segment() {
			return s
		}
	}
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (c *core) active() *segment { return c.live[len(c.live)-1] }

func (c *core) liveBytes() (n int64) {
	for _, s := range c.live {
		n += s.size
	}
	return n
}

// append places the records of b behind those that are collecting. It fails
// whole or not at all.
func (c *core) append(w *Writer, b *Batch) error {
	if c.stopped != nil {
		return c.stopped
	}
	if len(b.entries) == 0 {
		b.first, b.end = c.end, c.end
		return nil
	}
	if !c.admit(b) {
		w.waiting = true
		return ErrFull
	}
	o := &c.open
	base, seg, memory := o.off, o.segment, o.memory
	off, chain := o.used, c.chain
	for i := range b.entries {
		e := &b.entries[i]
		n := e.size()
		size := recordSize(n)
		room := memory[off : off+size : off+size]
		little.PutUint64(room[size-8:], 0) // padding; of an empty payload, the sum comes later
		copy(room[recordHead:], b.arena[e.headOff:e.headOff+e.headLen])
		copy(room[recordHead+e.headLen:], e.body)
		place := base + int64(off)
		chain = putRecordHead(room, recordHeader{length: n, kind: e.kind, flags: e.flags, owner: e.owner.id, chain: chain},
			seg.bind, place, e.hash)
		e.position = at(seg.number, place)
		e.owner.appended(e)
		off += size
	}
	o.used = off
	o.count += len(b.entries)
	if len(b.directs) > 0 {
		o.directs = append(o.directs, b.directs...)
		o.direct += b.direct
	}
	c.chain = chain
	c.end = at(seg.number, base+int64(off))
	c.recordEnd = c.end
	b.first, b.end = b.entries[0].position, c.end
	w.inOpen = true
	return nil
}

// admit makes room for b in the collecting batch, opening one if there is none.
func (c *core) admit(b *Batch) bool {
	o := &c.open
	limit := c.options.QueueBytes
	if b.Urgent {
		limit += limit / 8
	}
	if o.used+o.direct >= limit {
		return false
	}
	if o.used == 0 {
		if !c.openBatch(batchHead+b.bytes, b.Urgent) {
			return false
		}
	} else if int64(o.used+b.bytes) > o.segment.size-o.off {
		return false // the next batch goes to the next segment
	}
	o.grow(o.used+b.bytes, c.options.QueueBytes)
	return true
}

// openBatch begins a batch where need bytes fit, in the next segment if they do
// not fit in the active one.
func (c *core) openBatch(need int, urgent bool) bool {
	s := c.active()
	if int64(need) > s.size-s.next {
		if s = c.roll(int64(need), urgent); s == nil {
			return false
		}
	}
	c.beginBatch(s)
	return true
}

// beginBatch starts an empty batch at the end of s.
func (c *core) beginBatch(s *segment) {
	o := &c.open
	o.grow(batchHead, c.options.QueueBytes)
	o.segment, o.off = s, s.next
	o.header = batchHeader{epoch: c.epoch, base: c.base, prev: c.end, chain: c.chain}
	o.used, o.count = batchHead, 0
	c.chain = o.header.seed(s.bind, s.next)
	c.end = at(s.number, s.next+batchHead)
}

// grow makes the memory at least n bytes, by doubling up to the queue's bound.
func (o *batchBuffer) grow(n, bound int) {
	if n <= len(o.memory) {
		return
	}
	size := max(int(vfs.AlignUp(int64(n))), min(2*len(o.memory), bound), 64<<10)
	fresh := vfs.Buffer(size)
	copy(fresh, o.memory[:o.used])
	o.memory = fresh
}

// roll makes the prepared segment the active one, if it is there and holds need
// bytes. Otherwise the preparing gets urgent.
func (c *core) roll(need int64, urgent bool) *segment {
	limit := c.options.LiveBytesMax
	if urgent {
		limit += 2 * c.options.SegmentBytesMax
	}
	if c.liveBytes() >= limit {
		c.full(limit)
		return nil
	}
	s := c.ready
	if s == nil || need > s.size-s.next {
		c.prepare.starve(vfs.AlignUp(segmentHead + need))
		return nil
	}
	c.ready = nil
	c.live = append(c.live, s)
	c.prepare.retryAt = 0
	c.stats.Rolls++
	c.press()
	return s
}

// full is what happens when the log holds as much as it may.
func (c *core) full(limit int64) {
	c.press()
	if !c.fullLogged {
		c.fullLogged = true
		c.options.Logf("Commit log is full: %d bytes are needed by their owners, limit %d", c.liveBytes(), limit)
	}
}

// next is what the disk should do now; false if it is busy or has nothing to do.
func (c *core) next() (transfer, bool) {
	if c.busy || c.stopped != nil {
		return transfer{}, false
	}
	if c.open.used == 0 && c.settleDue && c.recordEnd > c.evidence {
		c.settle()
	}
	c.settleDue = false
	if n := len(c.live); n > 1 && c.live[n-2].dirty {
		return c.syncOnly(c.live[n-2]), true // a new segment begins with the old one on disk
	}
	if c.open.used > 0 {
		return c.closeBatch(), true
	}
	if c.syncDue && c.active().dirty {
		c.syncDue = false
		return c.syncOnly(c.active()), true
	}
	c.syncDue = false
	return transfer{}, false
}

// syncOnly syncs a segment without writing. All that is written is then synced,
// because one segment at most is dirty.
func (c *core) syncOnly(s *segment) transfer {
	c.busy = true
	return transfer{target: s, sync: true, end: c.written}
}

// settle opens a batch without records: its header notes what is synced. If it
// needs a segment that is not ready, a later Tick tries again.
func (c *core) settle() {
	if c.openBatch(batchHead, true) {
		c.syncDue = true
	}
}

// closeBatch ends the collecting batch and exchanges the buffers.
func (c *core) closeBatch() transfer {
	o := &c.open
	o.header.bytes, o.header.count, o.header.synced = int64(o.used), o.count, c.synced
	padded := int(vfs.AlignUp(int64(o.used)))
	clear(o.memory[o.used:padded])
	putBatchHead(o.memory, o.header, o.segment.bind, o.off)
	c.evidence = c.synced
	s := o.segment
	s.next = o.off + int64(padded)
	t := transfer{directs: o.directs, target: s, buf: o.memory[:padded], off: o.off, end: at(s.number, o.off+int64(o.used))}
	t.sync = c.options.SyncInterval == 0 || c.syncDue
	c.syncDue = false
	s.dirty = true

	c.busy = true
	c.open, c.flight = c.flight, c.open
	c.open.used = 0
	if len(c.open.memory) > 2*c.options.QueueBytes {
		c.open.memory = nil // grown for one large batch
	}
	for _, w := range c.writers {
		w.inFlight, w.inOpen = w.inOpen, false
	}
	c.stats.Batches++
	c.stats.Records += uint64(c.flight.count)
	c.stats.Bytes += uint64(padded)
	c.room()
	return t
}

// room tells writers that were refused to try again.
func (c *core) room() {
	for _, w := range c.writers {
		if w.waiting {
			w.waiting = false
			c.events = append(c.events, event{kind: eventRoom, writer: w})
		}
	}
}

// done takes the outcome of a transfer.
func (c *core) done(t transfer, err error) {
	c.busy = false
	if err != nil {
		c.stop(err)
		return
	}
	c.written = t.end
	if t.sync {
		t.target.dirty = false
		c.synced = t.end
		c.stats.Syncs++
	}
	c.flight.used, c.flight.direct = 0, 0
	clear(c.flight.directs)
	c.flight.directs = c.flight.directs[:0]
	if t.sync || c.options.SyncInterval > 0 {
		c.committed = t.end
	}
	for _, w := range c.writers {
		if w.inFlight || t.sync && c.options.SyncInterval > 0 {
			w.inFlight = false
			c.events = append(c.events, event{kind: eventCommitted, writer: w, position: c.committed})
		}
	}
	c.released()
}

// stop ends the log for good. What is committed stays so.
func (c *core) stop(err error) {
	if c.stopped != nil {
		return
	}
	c.stopped = fmt.Errorf("%w: %w", ErrStopped, err)
	c.options.Logf("Commit log stopped: %v", err)
	for _, w := range c.writers {
		c.events = append(c.events, event{kind: eventStopped, writer: w})
	}
}

// first is the number of the oldest segment that holds records or damage that
// nobody has taken note of.
func (c *core) first() uint64 {
	if c.hold && c.missing != 0 {
		return c.missing
	}
	return c.live[0].number
}

// released moves segments that nobody needs from the old end to the free ones.
func (c *core) released() {
	for len(c.live) > 1 {
		s := c.live[0]
		if s.pins != nil || s.dirty || s.damaged && c.hold {
			return
		}
		c.live[0] = nil
		c.live = c.live[1:]
		c.free = append(c.free, s)
		c.fullLogged = false
		c.stats.Recycled++
		c.room() // a log that was full has room again
	}
}

// find returns the bytes at p of a batch that is not written yet, from p to the
// batch's end; nil if there is none. Borrowed until the lock is released.
func (c *core) find(p Position) []byte {
	for _, o := range []*batchBuffer{&c.open, &c.flight} {
		if o.used == 0 || o.segment.number != p.Segment() {
			continue
		}
		if i := p.Offset() - o.off; i >= batchHead && i < int64(o.used) {
			return o.memory[i:o.used]
		}
	}
	return nil
}
