package commitlog

import (
	"errors"
	"io"

	"peregrine/vfs"
)

// A Record is one record read back. Data is borrowed until the call it was
// passed to returns, or until the Reader's next read.
type Record struct {
	Position  Position
	Owner     OwnerID
	Kind      Kind
	Forwarded bool // a copy of an older record, see Batch.AddForwarded
	Dropped   bool // the owner is gone: forget what was replayed of it
	Data      []byte
}

// Damage is a range that should hold records and does not. Reads of it answer
// ErrDamaged.
type Damage struct {
	From, To Position // [From, To)
	File     string   // name in the log's directory where it begins
	Reason   string
}

// Replay receives what a log holds, in order. A nil function ignores. An error
// ends the replay and is returned.
type Replay struct {
	// Record gets each record. Owners that checkpoint ignore what is older.
	Record func(Record) error
	// Damaged gets each damaged range between the records around it.
	Damaged func(Damage) error
}

func (r *Replay) record(rec Record) error {
	if r.Record == nil {
		return nil
	}
	return r.Record(rec)
}

func (r *Replay) damaged(d Damage) error {
	if r.Damaged == nil {
		return nil
	}
	return r.Damaged(d)
}

// windowBytes is read from a segment at a time.
const windowBytes = 1 << 20

// window reads a segment through a buffer.
type window struct {
	fence bool // unreadable blocks read as zero and are remembered
	bad   bool // a block that was asked for was unreadable

	segment *segment
	limit   int64 // nothing from here on is read
	memory  []byte
	off     int64 // of memory[0] in the segment
	length  int   // valid bytes in memory
}

// reset points the window at a segment and forgets what it holds.
func (w *window) reset(s *segment, limit int64) {
	w.segment, w.limit = s, limit
	w.off, w.length = 0, 0
}

// view returns n bytes at off, borrowed until the next call. nil without an
// error means that they are beyond the limit.
func (w *window) view(off int64, n int) ([]byte, error) {
	if n < 0 || off < 0 || int64(n) > w.limit-off {
		return nil, nil
	}
	if off < w.off || off+int64(n) > w.off+int64(w.length) {
		if err := w.load(off, n); err != nil {
			return nil, err
		}
	}
	i := off - w.off
	return w.memory[i : i+int64(n) : i+int64(n)], nil
}

// load reads the blocks that hold n bytes at off, and more behind them.
func (w *window) load(off int64, n int) error {
	start := vfs.AlignDown(off)
	need := vfs.AlignUp(off+int64(n)) - start
	size := min(max(need, int64(windowBytes)), vfs.AlignUp(w.limit)-start)
	if int64(len(w.memory)) < size {
		w.memory = vfs.Buffer(int(size))
	}
	w.off, w.length = start, 0
	err := w.read(w.memory[:size], start)
	if err != nil && w.fence && !errors.Is(err, vfs.ErrCrashed) {
		err = w.readAround(w.memory[:size], start)
	}
	if err != nil {
		return err
	}
	w.length = int(size)
	return nil
}

// read fills p; what is beyond the end of the file reads as zero.
func (w *window) read(p []byte, off int64) error {
	n, err := w.segment.file.ReadAt(p, off)
	if err == io.EOF {
		clear(p[n:])
		return nil
	}
	return err
}

// readAround reads block by block and takes zeros for blocks that cannot be
// read.
func (w *window) readAround(p []byte, off int64) error {
	for len(p) > 0 {
		if err := w.read(p[:vfs.BlockSize], off); err != nil {
			if errors.Is(err, vfs.ErrCrashed) {
				return err
			}
			clear(p[:vfs.BlockSize])
			w.bad = true
		}
		p, off = p[vfs.BlockSize:], off+vfs.BlockSize
	}
	return nil
}

// recordAt returns the record at off with its header, nil if there is none that
// belongs there.
func (w *window) recordAt(off int64) ([]byte, error) {
	b, err := w.view(off, recordHead)
	if b == nil {
		return nil, err
	}
	n := recordHeadOf(b).length
	if n > RecordBytesMax {
		return nil, nil
	}
	b, err = w.view(off, recordSize(n))
	if b == nil || !checkRecord(b, w.segment.bind, off) {
		return nil, err
	}
	return b, nil
}

// batchAt returns the header of the batch at off, false if there is none.
func (w *window) batchAt(off int64) (batchHeader, bool, error) {
	b, err := w.view(off, batchHead)
	if b == nil {
		return batchHeader{}, false, err
	}
	h, ok := batchHeadOf(b, w.segment.bind, off, w.segment.size)
	return h, ok, nil
}

// recordOf makes a Record of a checked header and payload.
func recordOf(b []byte, p Position) Record {
	h := recordHeadOf(b)
	return Record{
		Position:  p,
		Owner:     h.owner,
		Kind:      h.kind,
		Forwarded: h.flags&flagForwarded != 0,
		Dropped:   h.flags&flagDropped != 0,
		Data:      b[recordHead : recordHead+h.length : recordHead+h.length],
	}
}

// tail is where a scan has come to.
type tail struct {
	known  bool     // the fields below are; otherwise the next batch is believed
	end    Position // of the last valid record, or of an empty batch's header
	chain  uint64
	epoch  uint64
	base   Position
	synced Position // the largest that a batch's header said
}

// follows tells whether a batch continues the log at t.
func (t *tail) follows(h *batchHeader) bool {
	return !t.known || h.prev == t.end && h.chain == t.chain && h.epoch >= t.epoch
}

// enter moves t to the first record of the batch with header h at off.
func (t *tail) enter(s *segment, h *batchHeader, off int64) {
	t.known = true
	t.end, t.chain = at(s.number, off+batchHead), h.seed(s.bind, off)
	t.epoch, t.base = h.epoch, h.base
	t.synced = max(t.synced, h.synced)
}

// records takes the records from t up to offset end of the window's segment, as
// far as they are valid, and moves t behind them.
func (w *window) records(t *tail, end int64, each func(Record) error) error {
	for off := t.end.Offset(); off < end; off = t.end.Offset() {
		b, err := w.recordAt(off)
		if err != nil {
			return err
		}
		if b == nil || recordHeadOf(b).chain != t.chain || off+int64(len(b)) > end {
			return nil // torn or damaged: what follows decides
		}
		sum := recordHeadOf(b).sum
		if err := each(recordOf(b, t.end)); err != nil {
			return err
		}
		t.end, t.chain = at(w.segment.number, off+int64(len(b))), sum
	}
	return nil
}

// salvageHashes bounds the work of salvage, in times the length of the range:
// payloads may look like headers of long records at every step.
const salvageHashes = 16

// salvage looks for the next valid record from off on, up to offset end, and
// returns where it is and its chain. It spends *budget bytes of hashing at most.
func (w *window) salvage(off, end int64, budget *int64) (int64, uint64, bool, error) {
	for ; off+recordHead <= end && *budget > 0; off += recordAlign {
		b, err := w.view(off, recordHead)
		if b == nil {
			return 0, 0, false, err
		}
		h := recordHeadOf(b)
		if h.flags&^flagsKnown != 0 || b[6]|b[7] != 0 || off+int64(recordSize(h.length)) > end {
			continue // most places end here, without a hash
		}
		*budget -= int64(recordSize(h.length))
		b, err = w.recordAt(off)
		if err != nil {
			return 0, 0, false, err
		}
		if b != nil {
			return off, h.chain, true, nil
		}
	}
	return 0, 0, false, nil
}
