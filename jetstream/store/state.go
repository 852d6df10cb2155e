package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"

	"github.com/cespare/xxhash/v2"

	"peregrine/jetstream/store/seqset"
	"peregrine/jetstream/store/timewheel"
	"peregrine/vfs"
)

const (
	magicState   = 0x54534750 // "PGST"
	stateVersion = 1
	stateHead    = 128
	stateSum     = 8
	stateMax     = 1 << 30
)

// stateNames are the two files that a checkpoint is written to, one after the
// other.
var stateNames = [2]string{"state.a", "state.b"}

// appendState encodes everything that a checkpoint holds.
//
// Shape: uvarints, signed ones zigzag: identity, log position, limits (see
// appendLimits), first, last, started, last time, messages, bytes, next block;
// the deleted set; the wheel; the set of lost ones; garbage: count, and for each its name's length,
// name, wipe + 2 keep; blocks: count, and for each see appendBlock.
func (s *Stream) appendState(dst []byte, position uint64) []byte {
	dst = binary.AppendUvarint(dst, s.identity)
	dst = binary.AppendUvarint(dst, position)
	dst = appendLimits(dst, &s.options.Limits)
	for _, v := range []uint64{uint64(s.first), uint64(s.last), boolean(s.started)} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = binary.AppendVarint(dst, s.lastTime)
	for _, v := range []uint64{s.msgs, s.bytes, uint64(s.nextBlock)} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = s.deleted.Append(dst)
	dst = s.wheel.Append(dst)
	dst = s.lost.Append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(s.garbage)))
	for _, g := range s.garbage {
		dst = binary.AppendUvarint(dst, uint64(len(g.name)))
		dst = append(dst, g.name...)
		dst = binary.AppendUvarint(dst, boolean(g.wipe)+2*boolean(g.keep))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.blocks)))
	for _, b := range s.blocks {
		dst = s.appendBlock(dst, b, s.erasing[b])
	}
	return dst
}

// appendBlock encodes a block: id, generation, first, slots, live, bytes, end,
// sealed, ordered, erase, minTime, maxTime, file size, index place, chunks that it
// covers, chunks: count, and for each its size and place. A place is offset in
// blocks of 4 KiB, stored bytes and u64 sum.
func (s *Stream) appendBlock(dst []byte, b *block, erase bool) []byte {
	for _, v := range []uint64{uint64(b.id), uint64(b.generation), uint64(b.first), uint64(b.slots), uint64(b.live),
		uint64(b.bytes), uint64(b.end), boolean(b.sealed), boolean(b.ordered), boolean(erase)} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = binary.AppendVarint(dst, b.minTime)
	dst = binary.AppendVarint(dst, b.maxTime)
	dst = binary.AppendUvarint(dst, uint64(b.size))
	dst = appendPlace(dst, b.index)
	dst = binary.AppendUvarint(dst, uint64(b.indexed))
	dst = binary.AppendUvarint(dst, uint64(len(b.chunks)))
	for _, c := range b.chunks {
		dst = binary.AppendUvarint(dst, uint64(c.size))
		dst = appendPlace(dst, c.place)
	}
	return dst
}

func appendPlace(dst []byte, p place) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.off/vfs.BlockSize))
	dst = binary.AppendUvarint(dst, uint64(p.stored))
	return little.AppendUint64(dst, p.sum)
}

func boolean(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// reader takes numbers off hostile bytes; after the first error all are 0.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) flag() bool { return r.number(1) == 1 }

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		r.b = nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// count is a number of things that take at least size bytes each.
func (r *reader) count(size int) int { return int(r.number(uint64(len(r.b) / size))) }

func (r *reader) place() place {
	p := place{off: int64(r.number(1<<40)) * vfs.BlockSize, stored: uint32(r.number(chunkBytesMax))}
	if sum := r.take(8); sum != nil {
		p.sum = little.Uint64(sum)
	}
	return p
}

// decodeState is the inverse of appendState, into a fresh stream. Everything that
// memory depends on is checked. Errors: ErrCorrupt.
func (s *Stream) decodeState(b []byte) error {
	r := &reader{b: b}
	s.identity = r.number(math.MaxUint64)
	s.position = r.number(math.MaxUint64)
	limits, ok := limitsOf(r.take(34))
	s.options.Limits = limits
	s.first, s.last = Seq(r.number(uint64(firstStale))), Seq(r.number(uint64(firstStale)-1))
	s.started = r.flag()
	s.lastTime = r.signed()
	s.msgs, s.bytes = r.number(1<<62), r.number(1<<62)
	s.nextBlock = uint32(r.number(math.MaxUint32))
	if r.bad || !ok {
		return ErrCorrupt
	}
	var err error
	if s.deleted, r.b, err = seqset.Decode(r.b); err != nil {
		return ErrCorrupt
	}
	if s.wheel, r.b, err = timewheel.Decode(r.b); err != nil {
		return ErrCorrupt
	}
	if s.lost, r.b, err = seqset.Decode(r.b); err != nil {
		return ErrCorrupt
	}
	for range r.count(2) {
		g := garbage{name: string(r.take(r.count(1)))}
		flags := r.number(3)
		g.wipe, g.keep = flags&1 != 0, flags&2 != 0
		if _, _, ok := blockOfName(g.name); !ok {
			return ErrCorrupt // it would be removed
		}
		s.garbage = append(s.garbage, g)
	}
	for range r.count(16) {
		s.decodeBlock(r)
	}
	if r.bad || len(r.b) > 0 || s.first > s.last+1 {
		return ErrCorrupt
	}
	return s.checkBlocks()
}

func (s *Stream) decodeBlock(r *reader) {
	b := &block{id: uint32(r.number(math.MaxUint32))}
	b.generation = uint32(r.number(math.MaxUint32))
	b.first = Seq(r.number(uint64(firstStale)))
	b.slots, b.live = int(r.number(math.MaxUint32)), int(r.number(math.MaxUint32))
	b.bytes, b.end = int(r.number(math.MaxUint32)), uint32(r.number(math.MaxUint32))
	b.sealed, b.ordered = r.flag(), r.flag()
	if r.flag() {
		s.erasing[b] = true
	}
	b.minTime, b.maxTime = r.signed(), r.signed()
	b.size = int64(r.number(1 << 50))
	b.index = r.place()
	b.indexed = int(r.number(math.MaxUint32))
	end := uint64(0)
	for range r.count(11) {
		c := &chunk{start: uint32(end), size: uint32(r.number(chunkBytesMax)), done: true}
		c.place = r.place()
		end += uint64(c.size)
		if end > uint64(b.end) || !c.place.written() || c.place.off+c.place.room() > b.size {
			r.bad = true
		}
		b.chunks = append(b.chunks, c)
	}
	if end != uint64(b.end) || b.indexed > len(b.chunks) || b.live > b.slots || b.first == 0 ||
		b.slots > slotsMax ||
		(b.index.written() && b.index.off+b.index.room() > b.size) {
		r.bad = true
	}
	s.blocks = append(s.blocks, b)
}

// checkBlocks tells whether the blocks fit each other and the totals.
func (s *Stream) checkBlocks() error {
	next, live := Seq(1), uint64(0)
	for _, b := range s.blocks {
		if b.first < next || b.next() > s.last+1 || b.id >= s.nextBlock {
			return ErrCorrupt
		}
		next = b.next()
		live += uint64(b.live)
	}
	if live != s.msgs || (s.msgs > 0 && uint64(s.last-s.first)+1-s.deleted.CountIn(uint64(s.first), uint64(s.last)) != s.msgs) {
		return ErrCorrupt
	}
	return nil
}

// encodeState makes the content of a state file.
//
// Shape, little-endian: magic u32 | version u16 | cipher u8 | wrapped u8 |
// generation u64 | body u32 | zeros to 32 | the stream's key under the operator's,
// wrapped bytes, zeros to 128 | body, encrypted with the stream's key | sum u64,
// the xxh64 of all before it | zeros to a multiple of 4 KiB: a file that keeps its
// length is synced without the file system's journal.
func (d *disk) encodeState(body []byte, generation uint64) ([]byte, error) {
	out := make([]byte, stateHead, stateHead+len(body)+64)
	little.PutUint32(out, magicState)
	little.PutUint16(out[4:], stateVersion)
	little.PutUint64(out[8:], generation)
	if d.key.Cipher != NoCipher {
		outer, err := newSealer(d.files.Keys[0], d.files.Random)
		if err != nil {
			return nil, err
		}
		out[6] = uint8(d.files.Keys[0].Cipher)
		wrapped, err := outer.append(nil, append([]byte{uint8(d.key.Cipher)}, d.key.Secret[:]...), out[:8:8])
		if err != nil {
			return nil, err
		}
		out[7] = uint8(copy(out[32:stateHead], wrapped))
		if out, err = d.codec.seal.append(out, body, out[8:16:16]); err != nil {
			return nil, err
		}
	} else {
		out = append(out, body...)
	}
	little.PutUint32(out[16:], uint32(len(out)-stateHead))
	out = little.AppendUint64(out, xxhash.Sum64(out))
	return append(out, make([]byte, vfs.AlignUp(int64(len(out)))-int64(len(out)))...), nil
}

// openState checks a state file and returns its generation and body; it sets key
// and codec. Errors: ErrCorrupt, ErrKey.
func (d *disk) openState(b []byte) (body []byte, generation uint64, err error) {
	if len(b) < stateHead+stateSum || little.Uint32(b) != magicState || little.Uint16(b[4:]) != stateVersion {
		return nil, 0, ErrCorrupt
	}
	end := stateHead + uint64(little.Uint32(b[16:]))
	if vfs.AlignUp(int64(end)+stateSum) != int64(len(b)) || xxhash.Sum64(b[:end]) != little.Uint64(b[end:]) || !allZero(b[end+stateSum:]) {
		return nil, 0, ErrCorrupt
	}
	generation, body = little.Uint64(b[8:]), b[stateHead:end]
	if b[6] == uint8(NoCipher) {
		d.key = Key{}
		return body, generation, nil
	}
	if err := d.unwrap(b); err != nil {
		return nil, 0, err
	}
	inner, err := newSealer(d.key, d.files.Random)
	if err == nil {
		body, err = inner.open(body, b[8:16])
	}
	return body, generation, err
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// unwrap finds the stream's key in a state file's head with the operator's keys.
func (d *disk) unwrap(b []byte) error {
	wrapped := min(int(b[7]), stateHead-32)
	for i, k := range d.files.Keys {
		for _, c := range []Cipher{k.Cipher, ChaCha + AES - k.Cipher} {
			if uint8(c) != b[6] {
				continue
			}
			outer, err := newSealer(Key{c, k.Secret}, nil)
			if err != nil {
				continue
			}
			bound := append([]byte{}, b[:8]...)
			bound[7] = 0
			if key, err := outer.open(b[32:32+wrapped], bound); err == nil && len(key) == 33 {
				d.key.Cipher = Cipher(key[0])
				copy(d.key.Secret[:], key[1:])
				d.stale = i > 0 || c != k.Cipher
				return nil
			}
		}
	}
	return fmt.Errorf("store: %s: %w", d.files.Dir, ErrKey)
}

// readState reads the newer of the two state files that are good and makes the
// other one equal, before anything relies on it. found tells whether there is any
// file; with neither good the error says why.
func (d *disk) readState() (body []byte, found bool, err error) {
	var failed error
	var best *disk
	var raw [2][]byte
	from := 0
	for i, name := range stateNames {
		b, err := vfs.ReadFile(d.files.FS, d.path(name), stateMax)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		try := &disk{files: d.files}
		var text []byte
		if err == nil {
			raw[i] = b
			text, try.generation, err = try.openState(b)
		} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, vfs.ErrTooLong) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("store: %s: %w", d.path(name), err))
			continue
		}
		if best == nil || try.generation > best.generation {
			best, body, from = try, text, i
		}
	}
	if best == nil {
		if !found {
			failed = d.vacant()
		}
		return nil, found, failed
	}
	d.generation, d.key, d.stale = best.generation, best.key, best.stale
	if bytes.Equal(raw[0], raw[1]) {
		return body, true, nil
	}
	d.files.Logf("store: %s: using %s: %v", d.files.Dir, stateNames[from], failed)
	if err := writeStateFile(d.files.FS, d.path(stateNames[1-from]), raw[from]); err != nil {
		return nil, true, err
	}
	return body, true, d.files.FS.SyncDir(d.files.Dir)
}

// Exists tells whether a stream has a state in its folder, good or bad.
func Exists(f Files) (bool, error) {
	for _, name := range stateNames {
		if _, err := f.FS.Stat(path.Join(f.Dir, name)); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// vacant returns an error if there is a folder with something in it.
func (d *disk) vacant() error {
	entries, err := d.files.FS.List(d.files.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("store: %s: no state beside %s: %w", d.files.Dir, entries[0].Name, ErrCorrupt)
	}
	return err
}
