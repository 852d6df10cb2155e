package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/cespare/xxhash/v2"

	"peregrine/jetstream/commitlog"
	"peregrine/vfs"
)

// A tail is a file with log records of a stream or consumer that could not be
// opened, or that nobody knows. They are taken out of the log so that it can forget
// them, and are replayed when the asset can be opened again.
//
// Shape, little-endian: magic u32 | version u16 | zero u16 | log identity u64 | owner
// u64 | records u64 | sum u64, the xxh64 of all before it. Each record: position u64 |
// kind u8 | what u8 | zero u16 | length u32 | payload | sum u64, the xxh64 of the sum
// before it (of identity and owner, for the first) and of the record. For what = tailDamage, a damaged range of the log, the
// payload is its end as u64.
const (
	magicTail   = 0x4c544750 // "PGTL"
	tailVersion = 1
	tailHead    = 40
	tailRecord  = 16

	tailMessage = 0
	tailDamage  = 1

	tailEnding = ".tail"
)

// tailFile is where the tail of a stream or consumer is. stream is that of a
// consumer, 0 for a stream.
func tailFile(id, stream ID) string {
	if stream != 0 {
		return path.Join(streamDir(stream), consumersDir, consumerName(id)+tailEnding)
	}
	return path.Join(streamDir(id), "messages"+tailEnding)
}

// tailItem is one record of a tail. Data is borrowed.
type tailItem struct {
	position commitlog.Position
	kind     commitlog.Kind
	damageTo commitlog.Position // if it is a damaged range
	data     []byte
}

// tailReader reads a tail.
type tailReader struct {
	f     vfs.File
	name  string
	size  int64
	off   int64
	left  uint64
	sum   uint64
	block []byte
}

// openTail opens a tail and checks that it is of a log and an owner; nil if there is
// none. Errors: ErrCorrupt, those of the file system.
func openTail(fsys vfs.FS, name string, identity uint64, owner ID) (*tailReader, error) {
	f, err := fsys.Open(name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &tailReader{f: f, name: name}
	if r.size, err = f.Size(); err == nil {
		err = r.begin(identity, owner)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// InspectTail reads a tail and returns how many records and bytes it has. Errors:
// ErrCorrupt, those of the file system.
func InspectTail(fsys vfs.FS, name string) (records, bytes int64, err error) {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	r := &tailReader{f: f, name: name}
	if r.size, err = f.Size(); err != nil {
		return 0, 0, err
	}
	head, err := r.take(tailHead)
	if err != nil {
		return 0, r.off, err
	}
	r.off = 0
	if err = r.begin(little.Uint64(head[8:]), ID(little.Uint64(head[16:]))); err == nil {
		records = int64(r.left)
		err = r.each(func(tailItem) error { return nil })
	}
	return records, r.off, err
}

func (r *tailReader) corrupt(what string) error {
	return fmt.Errorf("engine: %s at %d: %s: %w", r.name, r.off, what, ErrCorrupt)
}

func (r *tailReader) begin(identity uint64, owner ID) error {
	b, err := r.take(tailHead)
	if err != nil {
		return err
	}
	if little.Uint32(b) != magicTail || little.Uint32(b[4:]) != tailVersion || little.Uint64(b[32:]) != xxhash.Sum64(b[:32]) {
		return r.corrupt("head")
	}
	if little.Uint64(b[8:]) != identity || ID(little.Uint64(b[16:])) != owner {
		return r.corrupt("of another log or owner")
	}
	r.left, r.sum = little.Uint64(b[24:]), tailSeed(identity, owner)
	return nil
}

// take returns the next n bytes, borrowed until the next call.
func (r *tailReader) take(n int64) ([]byte, error) {
	if n > r.size-r.off {
		return nil, r.corrupt("cut short")
	}
	if int64(cap(r.block)) < n {
		r.block = make([]byte, n)
	}
	b := r.block[:n]
	if k, err := r.f.ReadAt(b, r.off); int64(k) < n {
		return nil, fmt.Errorf("engine: read %s at %d: %w", r.name, r.off, err)
	}
	r.off += n
	return b, nil
}

// next returns the next record; false at the end.
func (r *tailReader) next() (tailItem, bool, error) {
	if r.left == 0 {
		if r.off != r.size {
			return tailItem{}, false, r.corrupt("bytes behind the end")
		}
		return tailItem{}, false, nil
	}
	b, err := r.take(tailRecord)
	if err != nil {
		return tailItem{}, false, err
	}
	length := int64(little.Uint32(b[12:]))
	r.off -= tailRecord
	if b, err = r.take(tailRecord + length + 8); err != nil {
		return tailItem{}, false, err
	}
	end := tailRecord + length
	if r.sum = tailSum(r.sum, b[:end]); r.sum != little.Uint64(b[end:]) {
		r.off -= end + 8
		return tailItem{}, false, r.corrupt("sum")
	}
	r.left--
	t := tailItem{position: commitlog.Position(little.Uint64(b)), kind: commitlog.Kind(b[8]), data: b[tailRecord:end]}
	switch {
	case b[9] == tailDamage && length == 8:
		t.damageTo, t.data = commitlog.Position(little.Uint64(t.data)), nil
	case b[9] != tailMessage:
		return tailItem{}, false, r.corrupt("kind")
	}
	return t, true, nil
}

// each calls visit for all records, until it returns an error.
func (r *tailReader) each(visit func(tailItem) error) error {
	for {
		t, ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if err := visit(t); err != nil {
			return err
		}
	}
}

// tailSeed begins the chain of sums.
func tailSeed(identity uint64, owner ID) uint64 {
	return xxhash.Sum64(little.AppendUint64(little.AppendUint64(nil, identity), uint64(owner)))
}

func tailSum(before uint64, record []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	var b [8]byte
	little.PutUint64(b[:], before)
	d.Write(b[:])
	d.Write(record)
	return d.Sum64()
}

// tailWriter writes a tail under another name, until it is whole.
type tailWriter struct {
	fs       vfs.FS
	name     string
	f        vfs.File
	identity uint64
	owner    ID
	off      int64
	buf      []byte
	count    uint64
	sum      uint64
	end      commitlog.Position // of the newest record
}

const tailFlush = 1 << 20

// newTail begins a tail with what an older one of the name holds.
func newTail(fsys vfs.FS, name string, identity uint64, owner ID) (w *tailWriter, err error) {
	old, err := openTail(fsys, name, identity, owner)
	if err != nil {
		return nil, err
	}
	if err := fsys.MkdirAll(path.Dir(name)); err != nil {
		return nil, err
	}
	if err := vfs.RemoveAll(fsys, name+".new"); err != nil {
		return nil, err
	}
	w = &tailWriter{fs: fsys, name: name, identity: identity, owner: owner, off: tailHead, sum: tailSeed(identity, owner)}
	if w.f, err = fsys.Open(name+".new", vfs.Create|vfs.Exclusive); err != nil {
		return nil, err
	}
	if old != nil {
		defer old.f.Close()
		err = old.each(w.add)
	}
	if err != nil {
		w.f.Close()
		return nil, err
	}
	return w, nil
}

// add appends a record, unless the tail has it already.
func (w *tailWriter) add(t tailItem) error {
	if t.position <= w.end {
		return nil
	}
	w.end = t.position
	from := len(w.buf)
	w.buf = little.AppendUint64(w.buf, uint64(t.position))
	what, length := byte(tailMessage), len(t.data)
	if t.damageTo != 0 {
		what, length = tailDamage, 8
	}
	w.buf = append(w.buf, byte(t.kind), what, 0, 0)
	w.buf = little.AppendUint32(w.buf, uint32(length))
	if t.damageTo != 0 {
		w.buf = little.AppendUint64(w.buf, uint64(t.damageTo))
	} else {
		w.buf = append(w.buf, t.data...)
	}
	w.sum = tailSum(w.sum, w.buf[from:])
	w.buf = little.AppendUint64(w.buf, w.sum)
	w.count++
	if len(w.buf) < tailFlush {
		return nil
	}
	return w.flush()
}

func (w *tailWriter) flush() error {
	_, err := w.f.WriteAt(w.buf, w.off)
	w.off += int64(len(w.buf))
	w.buf = w.buf[:0]
	return err
}

// finish makes the tail durable under its name.
func (w *tailWriter) finish() (err error) {
	err = w.flush()
	head := little.AppendUint32(nil, magicTail)
	head = little.AppendUint32(head, tailVersion)
	for _, v := range []uint64{w.identity, uint64(w.owner), w.count} {
		head = little.AppendUint64(head, v)
	}
	head = little.AppendUint64(head, xxhash.Sum64(head))
	if err == nil {
		_, err = w.f.WriteAt(head, 0)
	}
	if err == nil {
		err = w.f.Sync()
	}
	if closeErr := w.f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = w.fs.Rename(w.name+".new", w.name)
	}
	for d := path.Dir(w.name); err == nil; d = path.Dir(d) { // some may be new
		if err = w.fs.SyncDir(d); d == "." {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("engine: write %s: %w", w.name, err)
	}
	return nil
}
