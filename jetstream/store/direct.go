package store

import (
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

// A DirectLog is a Log that has large messages put where they stay: the record in
// the log only refers to them.
type DirectLog interface {
	Log
	// AppendDirect adds a record of head, which is borrowed. Before the record is
	// on disk, d.Write and d.Sync are called in this order, once, elsewhere; n is
	// how many bytes that writes.
	AppendDirect(kind uint8, head []byte, d *Direct, n int)
}

// A Direct is a chunk with one large message that is written to its block's file
// when the log writes the record that refers to it.
//
//	append ─▶ chunk with its place ─▶ log: Write, Sync, the record ─▶ done
//
// Until it is done, the chunk stays in memory and nobody reads its place.
type Direct struct {
	file *directFile
	buf  []byte // the whole chunk, aligned
	off  int64
	done atomic.Bool // it is on disk
}

// directFile is the file of a block to which the log writes. It belongs to whoever
// calls the methods of Direct, one at a time.
type directFile struct {
	fs    vfs.FS
	dir   string
	name  string
	file  vfs.File // open between the first Write and the first Sync of a batch
	named bool     // its name is durable
	err   error    // the first; nothing is done any more
}

// Write implements commitlog.Direct.
func (d *Direct) Write() error {
	f := d.file
	if f.err == nil && f.file == nil {
		f.file, f.err = f.fs.Open(f.name, vfs.Write|vfs.Create|vfs.Direct)
	}
	if f.err == nil {
		_, f.err = f.file.WriteAt(d.buf, d.off)
	}
	if f.err != nil {
		return fmt.Errorf("store: write %s at %d: %w", f.name, d.off, f.err)
	}
	return nil
}

// Sync implements commitlog.Direct. The first call is for all that was written to
// the file.
func (d *Direct) Sync() error {
	f := d.file
	if f.file != nil {
		f.sync()
	}
	if f.err != nil {
		return fmt.Errorf("store: sync %s: %w", f.name, f.err)
	}
	d.buf = nil
	d.done.Store(true)
	return nil
}

func (f *directFile) sync() {
	if f.err == nil {
		f.err = f.file.SyncData()
	}
	if f.err == nil && !f.named {
		f.err = f.fs.SyncDir(f.dir)
		f.named = true
	}
	if err := f.file.Close(); f.err == nil {
		f.err = err
	}
	f.file = nil
}

// pendingChunk is a chunk that is being written by the log.
type pendingChunk struct {
	b *block
	c *chunk
}

const (
	// directFree is how much room a disk must have for messages to be put directly:
	// a write that fails would stop the log, and with it everything.
	directFree = 256 << 20
	// directLook is how many bytes are put directly before that is looked at again.
	directLook = 8 << 20
)

// directLog is the log that puts a message of size bytes directly, nil if that
// should not be.
func (s *Stream) directLog(size int) DirectLog {
	log, ok := s.options.Log.(DirectLog)
	if !ok {
		return nil
	}
	if s.roomy -= int64(size); s.roomy < 0 {
		space, err := s.files.FS.Space()
		if err != nil || space.Free < directFree+directLook+int64(size) {
			s.roomy = 0
			return nil
		}
		s.roomy = directLook
	}
	return log
}

// setDirect decides from which size on records are put directly.
func (s *Stream) setDirect() {
	if s.codec != nil && s.plain() && s.files.DirectBytes > 0 {
		s.directMin = max(s.files.DirectBytes, recordMin)
	}
}

// plain tells whether chunks are written as they are.
func (s *Stream) plain() bool { return s.codec.seal == nil && !s.files.Compress }

// placeDirect puts a message into a chunk of its own in a block, for the log to
// write, and logs it.
func (s *Stream) placeDirect(log DirectLog, b *block, m *Message, size int) {
	s.settleDirect()
	p := place{off: b.size, stored: uint32(size)}
	buf := vfs.DirtyBuffer(int(p.room()))
	clear(buf[chunkHead+size:])
	record, sum := appendRecordSums(buf[chunkHead:chunkHead:chunkHead+size], m, s.identity)
	p.sum = s.codec.putChunkHead(buf, kindRecords, uint32(size), b.end, address{b.id, b.generation, p.off}, sum)
	b.size += p.room()
	if b.direct == nil {
		b.direct = &directFile{fs: s.files.FS, dir: s.files.Dir, name: s.path(b.fileName())}
	}
	d := &Direct{file: b.direct, buf: buf, off: p.off}
	c := &chunk{start: b.end, size: uint32(size), mem: record, place: p, done: true, direct: d}
	b.chunks = append(b.chunks, c)
	s.pending = append(s.pending, pendingChunk{b, c})
	b.pending++
	s.hot(b)
	if s.cached += size; s.cached > s.files.CacheBytes {
		s.evict(nil)
	}
	head := appendReference(s.scratch.log[:0], m, b, p, s.identity)
	log.AppendDirect(logReference, head, d, len(buf))
	s.scratch.log = head[:0]
}

// settleDirect forgets the chunks that the log has written.
func (s *Stream) settleDirect() {
	n := 0
	for n < len(s.pending) && !s.pending[n].c.isPending() {
		s.pending[n].c.direct = nil
		s.pending[n].b.pending--
		n++
	}
	if n > 0 {
		s.pending = slices.Delete(s.pending, 0, n)
	}
}

// isPending tells whether a chunk with a place is not on disk yet.
func (c *chunk) isPending() bool { return c.direct != nil && !c.direct.done.Load() }

// blockPending tells whether a block has chunks that are not on disk yet.
func (s *Stream) blockPending(b *block) bool {
	s.settleDirect()
	return b.pending > 0
}

// appendRecordSums is appendRecord that also returns the sum of the whole record.
func appendRecordSums(dst []byte, m *Message, bind uint64) ([]byte, uint64) {
	var head [recordHead]byte
	putRecordHead(head[:], m)
	dst = append(dst, head[:]...)
	dst = append(dst, m.Subject...)
	dst = append(dst, m.Header...)
	var d xxhash.Digest
	d.Reset()
	d.Write(dst)
	for left := m.Payload; len(left) > 0; {
		const piece = 64 << 10 // is still in the cache when it is hashed
		n, end := min(piece, len(left)), len(dst)
		dst = append(dst, left[:n]...)
		d.Write(dst[end:])
		left = left[n:]
	}
	end := len(dst)
	dst = little.AppendUint64(dst, d.Sum64()^bind)
	d.Write(dst[end:])
	return dst, d.Sum64()
}

const referenceHead = 32

// appendReference encodes the record of the log for a message that was put
// directly.
//
// Shape, little-endian: block u32 | generation u32 | offset u64 | stored u32 | zero
// u32 | sum of the chunk's head u64 | head of the record (putRecordHead) | subject |
// xxh64 of all before it u64, turned by bind.
func appendReference(dst []byte, m *Message, b *block, p place, bind uint64) []byte {
	from := len(dst)
	dst = little.AppendUint32(dst, b.id)
	dst = little.AppendUint32(dst, b.generation)
	dst = little.AppendUint64(dst, uint64(p.off))
	dst = little.AppendUint32(dst, p.stored)
	dst = little.AppendUint32(dst, 0)
	dst = little.AppendUint64(dst, p.sum)
	var head [recordHead]byte
	putRecordHead(head[:], m)
	dst = append(dst, head[:]...)
	dst = append(dst, m.Subject...)
	return little.AppendUint64(dst, xxhash.Sum64(dst[from:])^bind)
}

// reference is a message that was put directly, as the log tells of it.
type reference struct {
	id, generation uint32
	place          place
	size           int     // of the record
	header         bool    // there is one
	message        Message // without header and payload
}

// referenceOf is the inverse of appendReference. Errors: ErrCorrupt.
func referenceOf(b []byte, bind uint64) (r reference, err error) {
	end := len(b) - recordSum
	if end < referenceHead+recordHead || xxhash.Sum64(b[:end])^bind != little.Uint64(b[end:]) {
		return r, ErrCorrupt
	}
	r.id, r.generation = little.Uint32(b), little.Uint32(b[4:])
	r.place = place{off: int64(little.Uint64(b[8:])), stored: little.Uint32(b[16:]), sum: little.Uint64(b[24:])}
	head := b[referenceHead : referenceHead+recordHead]
	r.size = int(little.Uint32(head))
	subject, header := int(little.Uint16(head[4:])), int(little.Uint32(head[8:]))
	payload := r.size - recordMin - subject - header
	if r.size > RecordBytesMax || r.size != int(r.place.stored) || header > HeaderBytesMax || payload < 0 ||
		end-referenceHead-recordHead != subject || r.place.off < 0 || r.place.off%vfs.BlockSize != 0 ||
		r.place.off > 1<<40 || !r.place.written() || r.id == 1<<32-1 {
		return r, ErrCorrupt
	}
	m := &r.message
	r.header = header > 0
	m.TTL, m.Seq, m.Time = little.Uint32(head[12:]), Seq(little.Uint64(head[16:])), int64(little.Uint64(head[24:]))
	m.Subject = b[referenceHead+recordHead : end : end]
	if m.Seq == 0 || m.Seq >= firstStale {
		return r, ErrCorrupt
	}
	return r, nil
}

// replayReference puts a message back that is in its block's file. What it refers
// to was durable before the record was, so it is not read. The block becomes what
// it was: messages before it that the log holds whole may be elsewhere now.
func (s *Stream) replayReference(r *reference) error {
	if s.disk == nil {
		return ErrCorrupt
	}
	b := s.referred(r)
	if b == nil {
		return s.replayCopy(r)
	}
	if !s.plain() {
		s.erasing[b] = true // it is in the clear and should not be
	}
	return s.arrive(&r.message, r.size, r.header, func() {
		b.size = max(b.size, r.place.off+r.place.room())
		b.chunks = append(b.chunks, &chunk{start: b.end, size: uint32(r.size), place: r.place, done: true, told: true})
	})
}

// CheckReferences reads the messages that only the log refers to, as it did when it
// was replayed, and tells of each that is not what was written: where it should be,
// and what is wrong. It is for a stream that was just opened.
func (s *Stream) CheckReferences(visit func(seq Seq, file string, off int64, err error)) {
	for _, b := range s.blocks {
		for _, c := range b.chunks {
			if !c.told || b.ix == nil {
				continue
			}
			slot := sort.Search(len(b.ix.offset), func(i int) bool { return b.ix.offset[i] > c.start }) - 1
			if slot < 0 || b.ix.subject[slot]&slotAbsent != 0 {
				continue
			}
			if _, err := s.readChunk(nil, b, kindRecords, c.place); err != nil {
				visit(b.first+Seq(slot), s.path(b.fileName()), c.place.off, err)
			}
		}
	}
}

// referred is the block that a reference names, which is the last one or new; nil
// if it cannot take the message.
func (s *Stream) referred(r *reference) *block {
	for i, b := range s.blocks {
		if b.id != r.id {
			continue
		}
		if i+1 < len(s.blocks) || b.sealed || b.ix == nil || b.generation != r.generation {
			b.size = max(b.size, r.place.off+r.place.room()) // nothing may be written there
			return nil
		}
		return b
	}
	if n := len(s.blocks); n > 0 {
		s.seal(s.blocks[n-1])
	}
	b := &block{id: r.id, first: r.message.Seq, ordered: true, ix: &columns{}}
	b.generation, b.tried = r.generation, r.generation
	s.nextBlock = max(s.nextBlock, r.id+1)
	s.blocks = append(s.blocks, b)
	name := b.fileName()
	s.garbage = slices.DeleteFunc(s.garbage, func(g garbage) bool { return g.name == name })
	return b
}

// replayCopy reads the message that a reference names and stores it anew.
func (s *Stream) replayCopy(r *reference) error {
	name := s.path(blockName(r.id, r.generation))
	f, err := s.files.FS.Open(name, 0)
	if err != nil {
		return fmt.Errorf("store: replay %d: %w", r.message.Seq, err)
	}
	defer f.Close()
	records, err := readPlace(nil, f, s.codec, kindRecords, address{r.id, r.generation, r.place.off}, r.place)
	if err != nil {
		return err
	}
	var m Message
	if err := recordOf(records, &m, s.identity); err != nil {
		return err
	}
	return s.insert(&m)
}
