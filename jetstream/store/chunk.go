package store

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"

	"peregrine/vfs"
)

const (
	magicChunk   = 0x4b434750 // "PGCK"
	chunkVersion = 1
	chunkHead    = 64

	kindRecords = 1
	kindIndex   = 2

	codecNone = 0
	codecS2   = 1

	// chunkBytesMax bounds what a head may claim.
	chunkBytesMax = 1 << 30
)

// place is where a chunk is in its block's file; the zero value is nowhere.
type place struct {
	off    int64
	stored uint32 // bytes of payload behind the head
	sum    uint64 // of the head
}

func (p place) written() bool { return p.sum != 0 }

// room is what the chunk takes in the file.
func (p place) room() int64 { return vfs.AlignUp(chunkHead + int64(p.stored)) }

// address says where a chunk should be: its sum is bound to that.
type address struct {
	block      uint32
	generation uint32
	off        int64
}

// appendChunk appends a whole chunk, padded to full blocks, to dst, which has
// such a length already. raw is borrowed.
//
// Shape, little-endian: magic u32 | version u8 | kind u8 | codec u8 | cipher u8 |
// stored u32 | size u32 | block u32 | generation u32 | start u32 | zero u32 |
// zeros [16] | payload xxh64 u64 | sum u64, the xxh64 of the stream's identity,
// the offset in the file and the 56 bytes before it. Then the payload: raw,
// compressed and then encrypted as codec and cipher say.
func (f *format) appendChunk(dst []byte, kind uint8, raw []byte, start uint32, at address) ([]byte, place, error) {
	from := len(dst)
	var zeros [chunkHead]byte
	dst = append(dst, zeros[:]...)
	head := dst[from : from+chunkHead]
	beginChunkHead(head, kind)
	payload := raw
	if f.compress && len(raw) > 256 {
		f.packed = s2.Encode(f.packed[:cap(f.packed)], raw)
		if len(f.packed) < len(raw)-len(raw)/16 {
			payload, head[6] = f.packed, codecS2
		}
	}
	if f.seal != nil {
		head[7] = uint8(f.seal.cipher)
		var err error
		if dst, err = f.seal.append(dst, payload, head[:8]); err != nil {
			return dst, place{}, err
		}
	} else {
		dst = append(dst, payload...)
	}
	head = dst[from : from+chunkHead]
	stored := dst[from+chunkHead:]
	p := place{off: at.off, stored: uint32(len(stored))}
	p.sum = f.endChunkHead(head, p.stored, uint32(len(raw)), start, at, xxhash.Sum64(stored))
	for len(dst) < from+int(p.room()) {
		dst = append(dst, zeros[:min(chunkHead, from+int(p.room())-len(dst))]...)
	}
	return dst, p, nil
}

// putChunkHead writes the head of a chunk in the clear, of size bytes with the given
// sum, into b and returns its own sum.
func (f *format) putChunkHead(b []byte, kind uint8, size, start uint32, at address, sum uint64) uint64 {
	head := b[:chunkHead]
	clear(head)
	beginChunkHead(head, kind)
	return f.endChunkHead(head, size, size, start, at, sum)
}

// beginChunkHead writes what a head begins with, for a chunk in the clear.
func beginChunkHead(head []byte, kind uint8) {
	little.PutUint32(head, magicChunk)
	head[4], head[5] = chunkVersion, kind
}

// endChunkHead writes the rest of a head and returns its own sum.
func (f *format) endChunkHead(head []byte, stored, size, start uint32, at address, sum uint64) uint64 {
	little.PutUint32(head[8:], stored)
	little.PutUint32(head[12:], size)
	little.PutUint32(head[16:], at.block)
	little.PutUint32(head[20:], at.generation)
	little.PutUint32(head[24:], start)
	little.PutUint64(head[48:], sum)
	own := f.headSum(head, at.off)
	little.PutUint64(head[56:], own)
	return own
}

func (f *format) headSum(head []byte, off int64) uint64 {
	var b [16 + 56]byte
	little.PutUint64(b[0:], f.bind)
	little.PutUint64(b[8:], uint64(off))
	copy(b[16:], head[:56])
	return xxhash.Sum64(b[:]) | 1 // never 0
}

// openChunk checks the chunk at the beginning of b, which was read from at, and
// appends what it holds to dst. Errors: ErrCorrupt.
func (f *format) openChunk(dst, b []byte, kind uint8, at address, want place) ([]byte, error) {
	out, inPlace, err := f.openInPlace(dst, b, kind, at, want)
	if inPlace {
		out = append(dst, out...)
	}
	return out, err
}

// openInPlace is openChunk that copies nothing if it need not: with true, what it
// returns is part of b.
func (f *format) openInPlace(dst, b []byte, kind uint8, at address, want place) ([]byte, bool, error) {
	corrupt := func(what string) ([]byte, bool, error) {
		return nil, false, fmt.Errorf("store: chunk of block %d.%d at %d: %s: %w", at.block, at.generation, at.off, what, ErrCorrupt)
	}
	if len(b) < chunkHead+int(want.stored) {
		return corrupt("cut short")
	}
	head := b[:chunkHead]
	stored := b[chunkHead : chunkHead+int(want.stored)]
	size := little.Uint32(head[12:])
	switch {
	case little.Uint32(head) != magicChunk || head[4] != chunkVersion || head[5] != kind:
		return corrupt("no head")
	case little.Uint64(head[56:]) != want.sum || f.headSum(head, at.off) != want.sum:
		return corrupt("head's sum")
	case little.Uint32(head[8:]) != want.stored || little.Uint32(head[16:]) != at.block ||
		little.Uint32(head[20:]) != at.generation || size > chunkBytesMax:
		return corrupt("head")
	case xxhash.Sum64(stored) != little.Uint64(head[48:]):
		return corrupt("sum")
	}
	if head[7] != 0 {
		if f.open == nil || uint8(f.open.cipher) != head[7] {
			return nil, false, fmt.Errorf("store: block %d at %d: %w", at.block, at.off, ErrKey)
		}
		var err error
		if stored, err = f.open.open(stored, head[:8]); err != nil {
			return corrupt("decryption")
		}
	}
	if head[6] == codecS2 {
		n, err := s2.DecodedLen(stored)
		if err != nil || n != int(size) {
			return corrupt("compressed length")
		}
		from := len(dst)
		dst = append(dst, make([]byte, n)...)
		if _, err := s2.Decode(dst[from:], stored); err != nil {
			return corrupt("compression")
		}
		return dst, false, nil
	}
	if head[6] != codecNone || len(stored) != int(size) {
		return corrupt("codec")
	}
	if head[7] != 0 {
		return append(dst, stored...), false, nil // what decrypted it is used again
	}
	return stored, true, nil
}
