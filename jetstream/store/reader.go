package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"peregrine/vfs"
)

// Sizes of reading in order.
const (
	readBytes = 1 << 20 // at a time
	readAhead = 2       // pieces that are being read meanwhile
)

// A Reader reads cold messages on one goroutine. It remembers what it has read: in
// order, it reads large pieces past the page cache and asks for the next ones
// ahead, on goroutines that end by themselves. A Reader that has read in order
// holds about 4 MiB.
//
//	chunk ─▶ in the current piece ─▶ in one that was asked for ─▶ read it alone,
//	         or a whole piece if it follows the last chunk
type Reader struct {
	// Misses counts chunks read from disk.
	Misses atomic.Uint64

	block *coldBlock // of the last chunk
	index int        // of it in the block
	chunk []byte     // its records, nil if there is none
	codec *format    // of the last chunk's stream
	plain []byte     // memory of a chunk that was compressed or encrypted

	piece *piece   // that the last chunk is in
	ahead []*piece // asked for, in order
	spare [][]byte // memory of pieces
}

// piece is a run of chunks of one block that are read at once.
type piece struct {
	block    *coldBlock
	from, to int // its chunks
	buf      []byte
	n        int // bytes that were there
	err      error
	done     chan struct{} // closed when it is read
}

// Load reads the message of a view into m, which is borrowed until the next Load
// of this Reader. Errors: ErrNotFound if the message was removed or its block
// compacted meanwhile, so ask for another View; ErrCorrupt.
func (r *Reader) Load(v *View, m *Message) error {
	if v.cold == nil {
		if err := recordOf(v.record, m, v.bind); err != nil || m.Seq != v.seq {
			return fmt.Errorf("store: load %d: %w", v.seq, ErrCorrupt)
		}
		return nil
	}
	if r.chunk == nil || r.block != v.cold || r.index != v.chunk {
		if err := r.read(v.cold, v.chunk); err != nil {
			if recordOf(v.spared(err), m, v.bind) == nil && m.Seq == v.seq {
				return nil
			}
			return err
		}
	}
	if int(v.to) > len(r.chunk) {
		return fmt.Errorf("store: load %d: short chunk: %w", v.seq, ErrCorrupt)
	}
	// The chunk's sum was checked, so that of the record would tell nothing.
	if err := openRecord(r.chunk[v.from:v.to:v.to], m); err != nil || m.Seq != v.seq {
		return fmt.Errorf("store: load %d: %w", v.seq, ErrCorrupt)
	}
	return nil
}

// spared is sparedRecords of the view.
func (v *View) spared(damage error) []byte {
	f, err := v.cold.files.FS.Open(v.cold.name, 0)
	if err != nil {
		return nil // the damage is told
	}
	defer f.Close()
	return sparedRecords(damage, f, v.cold.places[v.chunk], v.from, v.to)
}

// read makes a chunk the current one.
func (r *Reader) read(b *coldBlock, index int) error {
	if r.chunk != nil && b.name == r.block.name && b.places[index] == r.block.places[r.index] {
		r.block, r.index = b, index // the same, told by another view
		return nil
	}
	inOrder := r.chunk != nil && r.block.follow(r.index).is(b, index)
	if r.chunk = nil; r.codec == nil || r.codec.bind != b.bind || r.block == nil || r.block.files.Dir != b.files.Dir {
		codec, err := b.format()
		if err != nil {
			return err
		}
		r.codec = codec
	}
	p, err := r.pieceWith(b, index, inOrder)
	if err != nil {
		return err
	}
	chunk, err := p.open(r, b, index)
	if err != nil {
		return err
	}
	if inOrder && (index == 0 || r.block.name != b.name) && b.next != nil && b.next.index.written() {
		go b.next.warm()
	}
	r.block, r.index, r.chunk = b, index, chunk
	r.Misses.Add(1)
	if inOrder {
		r.askAhead()
	}
	return nil
}

// warm brings a block's columns to the page cache: the owner will want them, and
// should not wait for the disk. What goes wrong, the owner will be told.
func (c *coldBlock) warm() {
	f, err := c.files.FS.Open(c.name, 0)
	if err != nil {
		return
	}
	defer f.Close()
	buf := make([]byte, min(c.index.room(), 256<<10))
	for off, end := c.index.off, c.index.off+c.index.room(); off < end; off += int64(len(buf)) {
		if _, err := f.ReadAt(buf[:min(int64(len(buf)), end-off)], off); err != nil {
			return
		}
	}
}

// open checks a chunk of the piece and returns its records.
func (p *piece) open(r *Reader, b *coldBlock, index int) ([]byte, error) {
	place := b.places[index]
	at := place.off - p.block.places[p.from].off
	if at+chunkHead+int64(place.stored) > int64(p.n) {
		return nil, fmt.Errorf("store: read %s at %d: cut short: %w", b.name, place.off, ErrCorrupt)
	}
	chunk, inPlace, err := r.codec.openInPlace(r.plain[:0], p.buf[at:p.n], kindRecords, b.address(place), place)
	if !inPlace {
		r.plain = chunk
	}
	return chunk, err
}

// pieceWith makes a piece with the chunk the current one, reading it if nobody has
// asked for it.
func (r *Reader) pieceWith(b *coldBlock, index int, inOrder bool) (*piece, error) {
	if r.piece != nil && r.piece.has(b, index) {
		return r.piece, nil
	}
	for len(r.ahead) > 0 {
		p := r.ahead[0]
		r.ahead = append(r.ahead[:0], r.ahead[1:]...)
		if !p.has(b, index) {
			continue // its memory may still be written to
		}
		if <-p.done; p.err == nil {
			r.turnTo(p)
			return p, nil
		}
		break
	}
	r.ahead = r.ahead[:0]
	p := &piece{block: b, from: index, to: index + 1}
	flag := vfs.Flag(0)
	if inOrder {
		p.to, flag = b.run(index), vfs.Direct
	}
	p.buf = r.memory(p.size())
	p.load(flag)
	if p.err != nil && p.to > p.from+1 {
		p.to = p.from + 1 // what is behind it may be what is broken
		p.load(0)
	}
	if p.err != nil {
		return nil, p.err
	}
	r.turnTo(p)
	return p, nil
}

// turnTo makes a piece the current one.
func (r *Reader) turnTo(p *piece) {
	if r.piece != nil && len(r.spare) < readAhead {
		r.spare = append(r.spare, r.piece.buf)
	}
	r.piece = p
}

// memory is a buffer for size bytes.
func (r *Reader) memory(size int) []byte {
	if n := len(r.spare); n > 0 {
		b := r.spare[n-1]
		if r.spare = r.spare[:n-1]; len(b) >= size {
			return b
		}
	}
	return vfs.Buffer(size)
}

// askAhead begins to read what follows.
func (r *Reader) askAhead() {
	for len(r.ahead) < readAhead {
		last := r.piece
		if n := len(r.ahead); n > 0 {
			last = r.ahead[n-1]
		}
		b := last.block
		if b.name == r.block.name {
			b = r.block // was asked for later, and may know what comes then
		}
		next := b.follow(last.to - 1)
		if next.block == nil {
			return
		}
		p := &piece{block: next.block, from: next.index, to: next.block.run(next.index), done: make(chan struct{})}
		p.buf = r.memory(max(p.size(), readBytes))
		r.ahead = append(r.ahead, p)
		go func() {
			p.load(vfs.Direct)
			close(p.done)
		}()
	}
}

// has tells whether a chunk is in the piece.
func (p *piece) has(b *coldBlock, index int) bool {
	return index >= p.from && index < p.to && p.block.name == b.name && p.block.places[index] == b.places[index]
}

func (p *piece) size() int {
	first, last := p.block.places[p.from], p.block.places[p.to-1]
	return int(last.off + last.room() - first.off)
}

// load reads the piece. What is beyond the end of the file is not an error here.
func (p *piece) load(flag vfs.Flag) {
	b := p.block
	p.n, p.err = 0, nil
	f, err := b.files.FS.Open(b.name, flag)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNotFound
		}
		p.err = fmt.Errorf("store: read %s: %w", b.name, err)
		return
	}
	defer f.Close()
	off := b.places[p.from].off
	if p.n, err = f.ReadAt(p.buf[:p.size()], off); err != nil && err != io.EOF {
		p.err = fmt.Errorf("store: read %s at %d: %w", b.name, off, err)
	}
}

// spot is a chunk on disk; without a block it is none.
type spot struct {
	block *coldBlock
	index int
}

// follow is the chunk that is read after another one in order.
func (c *coldBlock) follow(index int) spot {
	if index++; index < len(c.places) {
		if c.places[index].written() {
			return spot{c, index}
		}
		return spot{}
	}
	if c.next != nil && len(c.next.places) > 0 && c.next.places[0].written() {
		return spot{c.next, 0}
	}
	return spot{}
}

func (s spot) is(b *coldBlock, index int) bool {
	return s.block != nil && s.index == index && s.block.name == b.name
}

// run is the end of the chunks from index on that are read at once: they follow
// each other in the file, with nothing large between.
func (c *coldBlock) run(index int) int {
	first, end := c.places[index], index+1
	for before := first; end < len(c.places); end++ {
		p := c.places[end]
		if !p.written() || p.off < before.off || p.off+p.room()-first.off > readBytes {
			break
		}
		before = p
	}
	return end
}
