package store

import (
	"fmt"
	"io"
	"path"

	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// Files says where and how a stream in files is kept.
type Files struct {
	FS  vfs.FS
	Dir string // the stream's own folder
	// Compress packs chunks with S2 where that helps.
	Compress bool
	// Keys open the files: the first that fits. New checkpoints use the first. None
	// leaves everything in the clear.
	Keys []Key
	// Random is where keys, nonces and the stream's identity come from. Default
	// crypto/rand.
	Random io.Reader
	// FlushBytes is how much collects in memory before it is written. Default 1 MiB.
	FlushBytes int
	// DirectBytes is the size of a record from which it is put directly, past the
	// log, if the log can do that and the stream is neither compressed nor
	// encrypted. Default 256 KiB; negative never.
	DirectBytes int
	// CacheBytes is how much of what is written stays in memory. Default 4 MiB.
	CacheBytes int
	// Logf, if set, is told what an operator should know.
	Logf func(format string, args ...any)
}

func (f Files) withDefaults() Files {
	if f.FlushBytes <= 0 {
		f.FlushBytes = 1 << 20
	}
	if f.CacheBytes <= 0 {
		f.CacheBytes = 4 << 20
	}
	if f.DirectBytes == 0 {
		f.DirectBytes = 256 << 10
	}
	if f.Logf == nil {
		f.Logf = func(string, ...any) {}
	}
	return f
}

// disk is what a stream in files has beside one in memory.
type disk struct {
	files Files
	bind  uint64 // the stream's identity
	key   Key    // random, encrypts everything
	codec *format

	generation uint64      // of the last checkpoint
	position   uint64      // of the log that it holds everything before
	want       bool        // a checkpoint was asked for
	waste      bool        // some block may be worth compacting
	stale      bool        // the files are not as they should be, see Stale
	next       *checkpoint // its blocks are on disk, it is not
	fresh      bool        // names in the folder were not synced
	busy       *Job
	garbage    []garbage // files that the next checkpoint does without
	erasing    map[*block]bool
	lost       seqset.Set // messages that were found damaged
	hole       bool       // in replay: records are missing since the last message
	holed      bool       // in replay: records are missing
	flushed    uint64     // placed when the last write job was made
	cached     int        // bytes in chunks that have a place and are in memory
	evicted    Seq        // no block that begins before it has such chunks
	pending    []pendingChunk
	roomy      int64 // bytes that may be put directly before the disk is looked at
}

// blockFile is a block's part on disk.
type blockFile struct {
	sealed     bool // takes no more records
	used       bool // columns were looked at since the last Trim
	gone       bool // not part of the stream any more
	generation uint32
	tried      uint32 // largest generation that a file may have
	size       int64  // where the file may be written
	index      place  // the newest columns on disk
	indexed    int    // how many chunks they cover
	indexDue   bool
	dirty      bool        // written since its last sync
	bad        bool        // cannot be read whole, so not compacted
	heal       bool        // to be rewritten without what is damaged
	file       vfs.File    // to read, nil if not open
	mapping    vfs.Mapping // of a sealed block, nil if not mapped
	direct     *directFile // to which the log writes, nil if it did not
	pending    int         // chunks that the log has not written
}

// garbage is a file that nothing refers to once the next checkpoint is durable.
type garbage struct {
	name string
	wipe bool // overwrite it first: it holds erased messages
	keep bool // move it to quarantine instead: it is evidence
}

func (d *disk) path(name string) string { return path.Join(d.files.Dir, name) }

func blockName(id, generation uint32) string { return fmt.Sprintf("%08x.%x.blk", id, generation) }

// blockOfName reads a name made by blockName.
func blockOfName(name string) (id, generation uint32, ok bool) {
	n, err := fmt.Sscanf(name, "%08x.%x.blk", &id, &generation)
	return id, generation, n == 2 && err == nil && name == blockName(id, generation)
}

func (b *block) fileName() string { return blockName(b.id, b.generation) }

// seal ends a block: it takes no more records.
func (s *Stream) seal(b *block) {
	if b.sealed && s.disk == nil {
		return
	}
	b.sealed = true
	s.closeChunk(b)
	if s.disk != nil {
		b.indexDue = true
		s.waste = s.waste || int(b.end) < s.options.BlockBytes/4
	}
}

// closeChunk ends the last chunk of a block, so that it is written.
func (s *Stream) closeChunk(b *block) {
	if n := len(b.chunks); n > 0 {
		b.chunks[n-1].done = true
	}
}

// discard forgets a block; its file goes with the next checkpoint.
func (s *Stream) discard(b *block) {
	if s.disk == nil || b.gone {
		return
	}
	b.gone = true
	for _, c := range b.chunks {
		if c.place.written() {
			s.cached -= len(c.mem)
		}
	}
	s.closeFiles(b)
	if b.size > 0 || s.busy != nil {
		s.garbage = append(s.garbage, garbage{b.fileName(), s.erasing[b], b.heal})
	}
	delete(s.erasing, b)
}

// closeFiles closes what a block has open. Errors are of reading handles only.
func (s *Stream) closeFiles(b *block) {
	if b.mapping != nil {
		b.mapping.Close()
		b.mapping = nil
	}
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}

// eraseLater makes the next compaction rewrite a block without what was erased.
func (s *Stream) eraseLater(b *block) {
	if s.disk != nil && b.end > 0 {
		s.erasing[b] = true
	}
}

// open makes sure that a block's file is open to read.
func (s *Stream) openFile(b *block) error {
	if b.file != nil {
		return nil
	}
	f, err := s.files.FS.Open(s.path(b.fileName()), 0)
	if err != nil {
		return fmt.Errorf("store: open block %d: %w", b.id, err)
	}
	b.file = f
	return nil
}

// readChunk reads and checks a chunk of a block and appends what it holds to dst.
func (s *Stream) readChunk(dst []byte, b *block, kind uint8, p place) ([]byte, error) {
	if err := s.openFile(b); err != nil {
		return dst, err
	}
	return readPlace(dst, b.file, s.codec, kind, address{b.id, b.generation, p.off}, p)
}

// readPlace is readChunk from an open file.
func readPlace(dst []byte, f io.ReaderAt, codec *format, kind uint8, at address, p place) ([]byte, error) {
	buf := make([]byte, chunkHead+int(p.stored))
	if n, err := f.ReadAt(buf, p.off); n < len(buf) {
		if err == io.EOF {
			err = fmt.Errorf("cut short: %w", ErrCorrupt)
		}
		return dst, fmt.Errorf("store: read block %d.%d at %d: %w", at.block, at.generation, p.off, err)
	}
	if dst == nil {
		out, _, err := codec.openInPlace(nil, buf, kind, at, p)
		return out, err
	}
	return codec.openChunk(dst, buf, kind, at, p)
}

// chunkBytes brings the records of a chunk back to memory.
func (s *Stream) chunkBytes(b *block, c *chunk) ([]byte, error) {
	mem, err := s.readChunk(nil, b, kindRecords, c.place)
	if err != nil {
		return nil, err
	}
	if len(mem) < int(c.size) {
		return nil, fmt.Errorf("store: block %d at %d: short chunk: %w", b.id, c.place.off, ErrCorrupt)
	}
	c.mem = mem[:c.size:c.size]
	s.cached += len(c.mem)
	s.hot(b)
	if s.cached > s.files.CacheBytes {
		s.evict(c)
	}
	return c.mem, nil
}

// hot notes that a block has chunks that could be evicted.
func (s *Stream) hot(b *block) { s.evicted = min(s.evicted, b.first) }

// evict takes written chunks out of memory, oldest first, until the cache is half
// full. What it took may still be in the hands of readers.
func (s *Stream) evict(keep *chunk) {
	s.settleDirect()
	all := true // of the blocks so far
	for _, b := range s.blocks[max(s.blockOf(s.evicted), 0):] {
		for _, c := range b.chunks {
			if s.cached <= s.files.CacheBytes/2 {
				return
			}
			if c.mem == nil || !c.place.written() {
				continue
			}
			if c == keep || c.isPending() {
				all = false
				continue
			}
			s.cached -= len(c.mem)
			c.mem = nil
		}
		if all {
			s.evicted = b.next()
		}
	}
}

// mapped reads a record of a sealed block that is neither compressed nor
// encrypted into dst without reading its chunk; false if that is not possible.
func (s *Stream) mapped(dst []byte, b *block, c *chunk, from, to uint32) ([]byte, bool) {
	if s.disk == nil || !b.sealed || !c.place.written() {
		return dst, false
	}
	if b.mapping == nil {
		if s.blockPending(b) || s.openFile(b) != nil {
			return dst, false
		}
		m, err := b.file.Map(b.size)
		if err != nil {
			return dst, false
		}
		b.mapping = m
	}
	all := b.mapping.Bytes()
	at := c.place.off + chunkHead + int64(from-c.start)
	end := at + int64(to-from)
	if end > c.place.off+chunkHead+int64(c.place.stored) || end > int64(len(all)) {
		return dst, false
	}
	plain := false
	err := vfs.Guard(func() {
		head := all[c.place.off : c.place.off+chunkHead]
		if plain = head[6] == codecNone && head[7] == uint8(NoCipher); plain {
			dst = append(dst, all[at:end]...)
		}
	})
	return dst, plain && err == nil
}

// loadColumns reads a block's columns from disk.
func (s *Stream) loadColumns(b *block) error {
	if s.disk == nil || !b.index.written() {
		return fmt.Errorf("store: block %d has no columns: %w", b.id, ErrCorrupt)
	}
	raw, err := s.readChunk(nil, b, kindIndex, b.index)
	if err != nil {
		return err
	}
	ix, err := columnsOf(raw)
	if err != nil {
		return fmt.Errorf("store: columns of block %d: %w", b.id, err)
	}
	return s.adopt(b, ix, b.end)
}

// Trim gives back memory that can be read again from disk: written chunks beyond
// keep bytes, columns and open files of sealed blocks that were not used since
// the last call.
func (s *Stream) Trim(keep int) {
	if s.disk == nil {
		return
	}
	limit := s.files.CacheBytes
	s.files.CacheBytes = 2 * keep
	s.evict(nil)
	s.files.CacheBytes = limit
	for _, b := range s.blocks {
		if b.used {
			b.used = false
			continue
		}
		if b.sealed && b.index.written() && !b.indexDue && b.indexed == len(b.chunks) && s.busy == nil {
			b.ix = nil
			s.closeFiles(b)
		}
	}
	if cap(s.scratch.log) > 4096 || cap(s.scratch.names) > 4096 || s.scratch.viewing.block != nil {
		s.scratch = scratch{}
	}
}
