package commitlog

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

// Sizes and limits of the format, in bytes. See doc.go for the pictures.
const (
	version = 1

	segmentHead  = 2 * vfs.BlockSize // two copies of the segment's header
	batchHead    = 64
	recordHead   = 32
	recordAlign  = 8
	segmentMax   = 1 << 32
	blockSumAt   = vfs.BlockSize - 8
	magicBatch   = 0x42434750 // "PGCB"
	magicSegment = 0x53434750 // "PGCS"
	magicMeta    = 0x4d434750 // "PGCM"

	flagForwarded = 1
	flagDropped   = 2
	flagsKnown    = flagForwarded | flagDropped

	// RecordBytesMax is the longest payload of one record.
	RecordBytesMax = 256 << 20
	// BatchBytesMax bounds the records of one Append, headers included.
	BatchBytesMax = 512 << 20
)

var little = binary.LittleEndian

// recordSize is the room a payload of n bytes takes.
func recordSize(n int) int { return recordHead + (n+recordAlign-1)&^(recordAlign-1) }

// binding is the number that ties everything in a segment to its log and its
// segment number: each sum begins with it.
func binding(log, segment uint64) uint64 {
	var b [16]byte
	little.PutUint64(b[0:], log)
	little.PutUint64(b[8:], segment)
	return xxhash.Sum64(b[:])
}

// recordHeader is the fixed part of a record.
//
// Shape, little-endian: len u32 | kind u8 | flags u8 | zero u16 | owner u64 |
// chain u64 | sum u64. len is the payload's; chain is the sum of the record
// before, or the batch's seed; sum covers binding, offset, the 24 bytes before
// it and the xxh64 of the payload.
type recordHeader struct {
	length int
	kind   Kind
	flags  uint8
	owner  OwnerID
	chain  uint64
	sum    uint64
}

// putRecordHead writes a header into b[:recordHead] and returns its sum.
// payload is the xxh64 of the payload.
func putRecordHead(b []byte, h recordHeader, bind uint64, off int64, payload uint64) uint64 {
	b = b[:recordHead:recordHead]
	little.PutUint32(b[0:], uint32(h.length))
	b[4], b[5], b[6], b[7] = byte(h.kind), h.flags, 0, 0
	little.PutUint64(b[8:], uint64(h.owner))
	little.PutUint64(b[16:], h.chain)
	sum := recordSum(b, bind, off, payload)
	little.PutUint64(b[24:], sum)
	return sum
}

func recordSum(b []byte, bind uint64, off int64, payload uint64) uint64 {
	var s [48]byte
	little.PutUint64(s[0:], bind)
	little.PutUint64(s[8:], uint64(off))
	copy(s[16:40], b[:24])
	little.PutUint64(s[40:], payload)
	return xxhash.Sum64(s[:])
}

// recordHeadOf reads a header without judging it.
func recordHeadOf(b []byte) recordHeader {
	b = b[:recordHead]
	return recordHeader{
		length: int(little.Uint32(b)),
		kind:   Kind(b[4]),
		flags:  b[5],
		owner:  OwnerID(little.Uint64(b[8:])),
		chain:  little.Uint64(b[16:]),
		sum:    little.Uint64(b[24:]),
	}
}

// checkRecord tells whether b, a header and its payload found at off, is what
// was written there.
func checkRecord(b []byte, bind uint64, off int64) bool {
	h := recordHeadOf(b)
	payload := xxhash.Sum64(b[recordHead : recordHead+h.length])
	return b[6]|b[7] == 0 && h.flags&^flagsKnown == 0 && recordSum(b, bind, off, payload) == h.sum
}

// batchHeader begins each batch, at a block boundary.
//
// Shape, little-endian: magic u32 | version u16 | zero u16 | bytes u32 | count
// u32 | epoch u64 | base u64 | prev u64 | chain u64 | synced u64 | sum u64.
type batchHeader struct {
	bytes  int64    // of header and records, without the padding to a block
	count  int      // records
	epoch  uint64   // how often the log had been opened
	base   Position // where this epoch began: older epochs' batches from here on are dead
	prev   Position // where the log ended before this batch
	chain  uint64   // sum of the record or seed before this batch
	synced Position // everything below was on disk before this batch was written
}

func putBatchHead(b []byte, h batchHeader, bind uint64, off int64) {
	b = b[:batchHead:batchHead]
	little.PutUint32(b[0:], magicBatch)
	little.PutUint16(b[4:], version)
	little.PutUint16(b[6:], 0)
	little.PutUint32(b[8:], uint32(h.bytes))
	little.PutUint32(b[12:], uint32(h.count))
	little.PutUint64(b[16:], h.epoch)
	little.PutUint64(b[24:], uint64(h.base))
	little.PutUint64(b[32:], uint64(h.prev))
	little.PutUint64(b[40:], h.chain)
	little.PutUint64(b[48:], uint64(h.synced))
	little.PutUint64(b[56:], batchSum(b, bind, off))
}

func batchSum(b []byte, bind uint64, off int64) uint64 {
	var s [16 + 56]byte
	little.PutUint64(s[0:], bind)
	little.PutUint64(s[8:], uint64(off))
	copy(s[16:], b[:56])
	return xxhash.Sum64(s[:])
}

// seed is what the first record of a batch has as its chain. It is made of what
// is known when the batch opens.
func (h *batchHeader) seed(bind uint64, off int64) uint64 {
	var s [48]byte
	little.PutUint64(s[0:], bind)
	little.PutUint64(s[8:], uint64(off))
	little.PutUint64(s[16:], h.epoch)
	little.PutUint64(s[24:], uint64(h.base))
	little.PutUint64(s[32:], uint64(h.prev))
	little.PutUint64(s[40:], h.chain)
	return xxhash.Sum64(s[:])
}

// batchHeadOf reads the header found at off in a segment of size bytes; false
// if it is not one, or not of this place.
func batchHeadOf(b []byte, bind uint64, off, size int64) (batchHeader, bool) {
	b = b[:batchHead]
	if little.Uint32(b) != magicBatch || little.Uint32(b[4:]) != version ||
		little.Uint64(b[56:]) != batchSum(b, bind, off) {
		return batchHeader{}, false
	}
	h := batchHeader{
		bytes:  int64(little.Uint32(b[8:])),
		count:  int(little.Uint32(b[12:])),
		epoch:  little.Uint64(b[16:]),
		base:   Position(little.Uint64(b[24:])),
		prev:   Position(little.Uint64(b[32:])),
		chain:  little.Uint64(b[40:]),
		synced: Position(little.Uint64(b[48:])),
	}
	return h, h.bytes >= batchHead && h.bytes <= size-off
}

// segmentHeader identifies a segment file. It fills a block and is there twice.
//
// Shape, little-endian: magic u32 | version u16 | zero u16 | log u64 | number u64 |
// slot u64 | size u64 | copy u64 | synced u64 | active u64 | epoch u64 | zeros | sum
// u64 of all earlier bytes.
type segmentHeader struct {
	log    uint64
	number uint64
	slot   uint64 // the file's own number, so that a copied file is noticed
	size   int64
	// What was when the segment was made: everything below synced was on disk, and
	// the log was being written to the segment active. 0 if there was nothing.
	made made
}

// made is what was known when a segment was made: evidence of how far the log got.
type made struct {
	synced Position
	active uint64
	epoch  uint64
}

func putSegmentHead(b []byte, h segmentHeader, copy int) {
	b = startBlock(b, magicSegment)
	little.PutUint64(b[8:], h.log)
	little.PutUint64(b[16:], h.number)
	little.PutUint64(b[24:], h.slot)
	little.PutUint64(b[32:], uint64(h.size))
	little.PutUint64(b[40:], uint64(copy))
	little.PutUint64(b[48:], uint64(h.made.synced))
	little.PutUint64(b[56:], h.made.active)
	little.PutUint64(b[64:], h.made.epoch)
	endBlock(b)
}

func segmentHeadOf(b []byte, copy int) (segmentHeader, bool) {
	if !blockValid(b, magicSegment) || little.Uint64(b[40:]) != uint64(copy) {
		return segmentHeader{}, false
	}
	h := segmentHeader{
		log:    little.Uint64(b[8:]),
		number: little.Uint64(b[16:]),
		slot:   little.Uint64(b[24:]),
		size:   int64(little.Uint64(b[32:])),
		made:   made{Position(little.Uint64(b[48:])), little.Uint64(b[56:]), little.Uint64(b[64:])},
	}
	ok := h.size > segmentHead && h.size <= segmentMax && h.size%vfs.BlockSize == 0 &&
		h.number > 0 && h.number < 1<<32
	return h, ok
}

// metadata is what the log knows about itself. It fills a block of the file
// "meta" and is there twice.
//
// Shape, little-endian: magic u32 | version u16 | zero u16 | generation u64 |
// log u64 | epoch u64 | first u64 | last u64 | clean u64 | chain u64 | copy u64 |
// base u64 | zeros | sum u64 of all earlier bytes.
type metadata struct {
	generation uint64   // the larger of two valid copies is the newer
	log        uint64   // random identity of this log
	epoch      uint64   // how often it was opened
	first      uint64   // oldest segment that holds records
	last       uint64   // newest segment made
	clean      Position // where the log ended when it was closed, 0 while it is open
	chain      uint64   // and the sum it ended with
	base       Position // where it ended when this epoch began; that was on disk
}

func putMeta(b []byte, m metadata, copy int) {
	b = startBlock(b, magicMeta)
	for i, v := range []uint64{m.generation, m.log, m.epoch, m.first, m.last, uint64(m.clean), m.chain, uint64(copy)} {
		little.PutUint64(b[8+8*i:], v)
	}
	little.PutUint64(b[72:], uint64(m.base))
	endBlock(b)
}

func metaOf(b []byte, copy int) (metadata, bool) {
	if !blockValid(b, magicMeta) || little.Uint64(b[64:]) != uint64(copy) {
		return metadata{}, false
	}
	return metadata{
		generation: little.Uint64(b[8:]),
		log:        little.Uint64(b[16:]),
		epoch:      little.Uint64(b[24:]),
		first:      little.Uint64(b[32:]),
		last:       little.Uint64(b[40:]),
		clean:      Position(little.Uint64(b[48:])),
		chain:      little.Uint64(b[56:]),
		base:       Position(little.Uint64(b[72:])),
	}, true
}

// startBlock clears a block and begins it with magic and version.
func startBlock(b []byte, magic uint32) []byte {
	b = b[:vfs.BlockSize]
	clear(b)
	little.PutUint32(b, magic)
	little.PutUint16(b[4:], version)
	return b
}

func endBlock(b []byte) {
	little.PutUint64(b[blockSumAt:], xxhash.Sum64(b[:blockSumAt]))
}

func blockValid(b []byte, magic uint32) bool {
	return len(b) >= vfs.BlockSize && little.Uint32(b) == magic && little.Uint32(b[4:]) == version &&
		little.Uint64(b[blockSumAt:]) == xxhash.Sum64(b[:blockSumAt])
}
