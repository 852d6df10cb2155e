package commitlog

import (
	"errors"
	"slices"
	"syscall"
)

// freeKept is how many free segments are kept for use whatever their size. Beyond
// it, half the pressure limit is kept, which is what checkpoints free at once:
// removing large files makes some file systems slow (discard). Segments made for
// one large batch always go.
const freeKept = 2

// preparing is the part of core that keeps a segment ready.
type preparing struct {
	running bool
	starved bool  // an Append waits for a segment
	want    int64 // size that a waiting batch needs
	failed  bool  // the disk was full
	retryAt int64 // offset in the active segment from where to try again
	number  uint64
	slot    uint64
}

// starve says that an Append waits for a segment of at least want bytes.
func (p *preparing) starve(want int64) {
	p.starved = true
	p.want = max(p.want, want)
}

// taskKind is what becomes of a segment file.
type taskKind uint8

const (
	taskMake       taskKind = iota // make or recycle it and have it ready
	taskRemove                     // it is superfluous
	taskQuarantine                 // it holds evidence of damage
)

// task is one piece of work for the preparer.
type task struct {
	kind    taskKind
	segment *segment // nil: make a new file
	slot    uint64   // of a new file
	number  uint64   // the segment's new number
	size    int64    // its new size
	first   uint64   // oldest segment that holds records now
	made    made     // what is known now
}

// taskDue tells whether nextTask has something.
func (c *core) taskDue() bool {
	return !c.prepare.running && c.stopped == nil &&
		(c.makeDue() || len(c.free) > 0 && !c.waits() && (c.findDamaged() >= 0 || c.findSurplus() >= 0))
}

// waits tells whether the disk was full a short while ago.
func (c *core) waits() bool {
	return c.prepare.failed && c.active().next < c.prepare.retryAt
}

// nextTask hands out what should be done to segment files.
func (c *core) nextTask() (task, bool) {
	if !c.taskDue() {
		return task{}, false
	}
	p := &c.prepare
	p.running = true
	t := task{first: c.first(), made: made{c.synced, c.active().number, c.epoch}}
	switch {
	case c.makeDue():
		if c.ready != nil { // too small for what waits
			c.free = append(c.free, c.ready)
			c.ready = nil
		}
		t.kind = taskMake
		t.size = c.nextSize()
		t.segment = c.takeFree(c.findFree(t.size))
		p.number++
		t.number = p.number
		if t.segment == nil {
			p.slot++
			t.slot = p.slot
		}
	case c.findDamaged() >= 0:
		t.kind = taskQuarantine
		t.segment = c.takeFree(c.findDamaged())
	default:
		t.kind = taskRemove
		t.segment = c.takeFree(c.findSurplus())
	}
	return t, true
}

// makeDue tells whether a segment should be made ready: the active one is half
// full, or somebody waits for one or for a larger one.
func (c *core) makeDue() bool {
	p := &c.prepare
	if c.ready != nil {
		return p.starved && c.ready.size < p.want
	}
	active := c.active()
	return p.starved || active.next > active.size/2 && !c.waits()
}

// nextSize grows segments when the log holds several of them.
func (c *core) nextSize() int64 {
	size := c.active().size
	if len(c.live) > 3 {
		size *= 2
	}
	size = min(max(size, c.options.SegmentBytesMin), c.options.SegmentBytesMax)
	return max(size, c.prepare.want)
}

// findDamaged is the index of a free segment that is evidence, -1 if none is.
func (c *core) findDamaged() int {
	return slices.IndexFunc(c.free, func(s *segment) bool { return s.damaged })
}

// findSurplus is the index of a free segment to remove, -1 if there is none.
func (c *core) findSurplus() int {
	i := slices.IndexFunc(c.free, func(s *segment) bool { return s.size > c.options.SegmentBytesMax })
	if i >= 0 || len(c.free) <= freeKept {
		return i
	}
	bytes := int64(0)
	for _, s := range c.free {
		bytes += s.size
	}
	if bytes <= c.options.PressureBytes/2 {
		return -1
	}
	return c.findFree(0)
}

// findFree is the index of the smallest sound free segment of at least size
// bytes, else of the largest; -1 if there is none.
func (c *core) findFree(size int64) int {
	best := -1
	for i, s := range c.free {
		switch {
		case s.damaged:
		case best < 0:
			best = i
		case c.free[best].size >= size:
			if s.size >= size && s.size < c.free[best].size {
				best = i
			}
		case s.size > c.free[best].size:
			best = i
		}
	}
	return best
}

// takeFree removes the free segment with index i and returns it, nil for -1.
func (c *core) takeFree(i int) *segment {
	if i < 0 {
		return nil
	}
	s := c.free[i]
	c.free = slices.Delete(c.free, i, i+1)
	return s
}

// taskDone takes the outcome. made is the segment of a taskMake. A full disk is
// waited out while the active segment has room; other errors stop the log.
func (c *core) taskDone(t task, made *segment, err error) {
	p := &c.prepare
	p.running = false
	switch {
	case err == nil && t.kind == taskMake:
		c.ready, p.failed = made, false
		if p.starved && made.size >= p.want {
			p.starved, p.want = false, 0
			c.room()
		}
	case err == nil:
		p.failed = false
	case isFull(err) && !p.starved:
		if !p.failed {
			c.options.Logf("Commit log cannot prepare a segment yet: %v", err)
		}
		p.failed = true
		p.retryAt = c.active().next + c.active().size/16
		if t.segment != nil {
			c.free = append(c.free, t.segment)
		}
	default:
		c.stop(err)
	}
}

// isFull tells whether the disk has no room for a segment.
func isFull(err error) bool {
	var meta *metaError
	return !errors.As(err, &meta) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}
