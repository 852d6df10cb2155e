package commitlog

// An Owner is somebody whose records are in the log. It states the oldest
// position it needs; segments that nobody needs are used again.
type Owner struct {
	log *Log
	id  OwnerID

	// Guarded by the log's lock.
	writer   *Writer  // nil until somebody claims it
	need     Position // oldest position needed, 0 for none
	last     Position // newest record
	segment  *segment // that holds need; the owner is in its list of pins
	older    *Owner   // neighbours in that list
	newer    *Owner
	asked    Position // the largest checkpoint asked for
	released bool
}

// ID is the number the owner was claimed with.
func (o *Owner) ID() OwnerID { return o.id }

// Need states that the owner needs no record before p any more, which must be
// durable knowledge: after a crash replay may begin at p. Beyond its last record
// it needs nothing. Needs only move forward; an older p is ignored.
func (o *Owner) Need(p Position) {
	l := o.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.released || o.need == 0 || p <= o.need {
		return
	}
	l.core.unpin(o)
	if p <= o.last {
		l.core.pin(o, p)
	}
	l.core.released()
	l.wake()
}

// Oldest is the oldest position the owner needs, 0 if it needs none.
func (o *Owner) Oldest() Position {
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	return o.need
}

// Release ends an owner whose drop record (Batch.AddDrop) is committed. It must
// not be used afterwards.
func (o *Owner) Release() {
	l := o.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.released {
		return
	}
	l.core.unpin(o)
	o.released = true
	delete(l.core.owners, o.id)
	l.core.released()
	l.wake()
}

// appended notes a record that was just placed.
func (o *Owner) appended(e *entry) {
	if o.released {
		panic("commitlog: append for an owner that was released")
	}
	o.last = e.position
	if o.need == 0 && e.flags&flagDropped == 0 {
		o.log.core.pin(o, e.position)
	}
}

// pin makes the owner hold the segment of p.
func (c *core) pin(o *Owner, p Position) {
	s := c.segmentOf(p)
	if s == nil { // gone or fenced: the next segment that is there
		if s = c.segmentAfter(p); s == nil {
			return
		}
	}
	o.need, o.segment = p, s
	o.older, o.newer = nil, s.pins
	if s.pins != nil {
		s.pins.older = o
	}
	s.pins = o
}

// unpin undoes pin.
func (c *core) unpin(o *Owner) {
	if o.need == 0 {
		return
	}
	if o.newer != nil {
		o.newer.older = o.older
	}
	if o.older != nil {
		o.older.newer = o.newer
	} else {
		o.segment.pins = o.newer
	}
	o.need, o.segment, o.older, o.newer = 0, nil, nil, nil
}

// claim returns the owner with a number, made if it is new.
func (c *core) claim(l *Log, id OwnerID) *Owner {
	o := c.owners[id]
	if o == nil {
		o = &Owner{log: l, id: id}
		c.owners[id] = o
	}
	return o
}

// press asks the owners that hold the oldest segments to checkpoint, so many
// that the rest would be within half the pressure limit.
func (c *core) press() {
	left := c.liveBytes()
	if left <= c.options.PressureBytes {
		return
	}
	old := c.live[:0]
	for left > c.options.PressureBytes/2 && len(old) < len(c.live)-1 {
		left -= c.live[len(old)].size
		old = c.live[:len(old)+1]
	}
	if len(old) == 0 {
		return
	}
	before := at(c.live[len(old)].number, segmentHead)
	for _, s := range old {
		for o := s.pins; o != nil; o = o.newer {
			if o.writer != nil && o.asked < before {
				o.asked = before
				c.events = append(c.events, event{kind: eventCheckpoint, writer: o.writer, owner: o, position: before})
			}
		}
	}
}
