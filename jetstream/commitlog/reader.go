package commitlog

import "fmt"

// A Reader reads records back by position. It keeps a buffer, so reading forward
// costs one transfer per MiB. It belongs to one goroutine, which may wait for
// the disk.
type Reader struct {
	log    *Log
	window window
	copied []byte // of a record that is not on disk yet
}

// NewReader returns a reader of the log.
func (l *Log) NewReader() *Reader { return &Reader{log: l} }

// Read returns the record at p, a position that Append or Replay gave, with the
// position after it, where the next record of the same batch may be. Data is
// borrowed until the next call. The record need not be committed. Errors:
// ErrGone, ErrDamaged, ErrCorrupt, or what the disk says.
func (r *Reader) Read(p Position) (Record, Position, error) {
	s, limit, err := r.find(p)
	if err != nil {
		return Record{}, 0, fmt.Errorf("commitlog: read %v: %w", p, err)
	}
	b := r.copied
	if s != nil {
		if b, err = r.load(s, limit, p); err != nil {
			return Record{}, 0, fmt.Errorf("commitlog: read %v: %w", p, err)
		}
	}
	return recordOf(b, p), p + Position(len(b)), nil
}

// find returns the segment that holds p and how much of it is written, or copies
// the record from memory and returns nil.
func (r *Reader) find(p Position) (*segment, int64, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.core
	if p >= c.end || p == 0 {
		return nil, 0, fmt.Errorf("%w: beyond the end", ErrCorrupt)
	}
	if p < at(c.live[0].number, segmentHead) {
		return nil, 0, ErrGone
	}
	for _, d := range l.damages {
		if p >= d.From && p < d.To {
			return nil, 0, ErrDamaged
		}
	}
	s := c.segmentOf(p)
	if s == nil {
		return nil, 0, ErrDamaged
	}
	if b := c.find(p); b != nil {
		if len(b) < recordHead {
			return nil, 0, ErrCorrupt
		}
		n := recordHeadOf(b).length
		if p.Offset()%recordAlign != 0 || n > len(b)-recordHead || !checkRecord(b, s.bind, p.Offset()) {
			return nil, 0, ErrCorrupt
		}
		r.copied = append(r.copied[:0], b[:recordSize(n)]...)
		return nil, 0, nil
	}
	return s, s.written(c), nil
}

// written is the offset up to which a live segment is written.
func (s *segment) written(c *core) int64 {
	if c.flight.used > 0 && c.flight.segment == s {
		return c.flight.off
	}
	return s.next
}

// load reads and checks a record that is on disk.
func (r *Reader) load(s *segment, limit int64, p Position) ([]byte, error) {
	w := &r.window
	if w.segment != s {
		w.reset(s, limit)
	}
	w.limit = limit
	b, err := w.recordAt(p.Offset())
	if err == nil && b == nil {
		err = fmt.Errorf("%w in %s at %d", ErrCorrupt, s.name, p.Offset())
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.core.segmentOf(p) != s {
		return nil, ErrGone // it was released meanwhile
	}
	return b, err
}

// Forward reads the records of an owner at the given positions and adds copies
// to the batch, which is made urgent: once it is committed the old ones are not
// needed.
func (r *Reader) Forward(b *Batch, owner *Owner, positions []Position) error {
	for _, p := range positions {
		rec, _, err := r.Read(p)
		if err != nil {
			return err
		}
		if rec.Owner != owner.id {
			return fmt.Errorf("commitlog: forward %v: record of owner %d: %w", p, rec.Owner, ErrCorrupt)
		}
		b.AddForwarded(owner, rec.Kind, rec.Data)
	}
	b.Urgent = true
	return nil
}
