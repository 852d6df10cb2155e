package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

var little = binary.LittleEndian

const (
	recordHead = 32
	recordSum  = 8
	recordMin  = recordHead + recordSum
)

// recordSize is the room a message takes in a block.
func recordSize(m *Message) int {
	return recordMin + len(m.Subject) + len(m.Header) + len(m.Payload)
}

// checkMessage returns ErrTooLarge unless the format can hold m.
func checkMessage(m *Message) error {
	if len(m.Subject) > SubjectBytesMax || len(m.Header) > HeaderBytesMax ||
		len(m.Payload) > RecordBytesMax || recordSize(m) > RecordBytesMax {
		return fmt.Errorf("%w: subject %d, header %d, payload %d bytes",
			ErrTooLarge, len(m.Subject), len(m.Header), len(m.Payload))
	}
	return nil
}

// putRecordHead writes the fixed part of a record into b[:recordHead].
//
// Shape, little-endian: len u32 | subjLen u16 | erased u16 | hdrLen u32 | ttl u32 |
// seq u64 | ts i64. len is of the whole record, its sum included.
func putRecordHead(b []byte, m *Message) {
	b = b[:recordHead:recordHead]
	little.PutUint32(b[0:], uint32(recordSize(m)))
	little.PutUint16(b[4:], uint16(len(m.Subject)))
	little.PutUint16(b[6:], 0)
	little.PutUint32(b[8:], uint32(len(m.Header)))
	little.PutUint32(b[12:], m.TTL)
	little.PutUint64(b[16:], uint64(m.Seq))
	little.PutUint64(b[24:], uint64(m.Time))
}

// appendRecord appends m's record to dst and returns the extended slice.
//
// Shape: head (see putRecordHead) | subject | header | payload | sum u64, the
// xxh64 of all before it, turned by bind so that a record of another stream is
// not taken for one of this.
func appendRecord(dst []byte, m *Message, bind uint64) []byte {
	at := len(dst)
	var head [recordHead]byte
	putRecordHead(head[:], m)
	dst = append(dst, head[:]...)
	dst = append(dst, m.Subject...)
	dst = append(dst, m.Header...)
	dst = append(dst, m.Payload...)
	return little.AppendUint64(dst, xxhash.Sum64(dst[at:])^bind)
}

// recordLen is the length that a record's head claims, 0 if b cannot be one.
func recordLen(b []byte) int {
	if len(b) < recordMin {
		return 0
	}
	n := int(little.Uint32(b))
	if n < recordMin || n > len(b) {
		return 0
	}
	return n
}

// recordOf reads the record that is exactly b into m, which then aliases b.
// Errors: ErrCorrupt.
func recordOf(b []byte, m *Message, bind uint64) error {
	if len(b) < recordMin {
		return ErrCorrupt
	}
	if end := len(b) - recordSum; xxhash.Sum64(b[:end])^bind != little.Uint64(b[end:]) {
		return ErrCorrupt
	}
	return openRecord(b, m)
}

// openRecord is recordOf for bytes whose sum was checked with those around them.
func openRecord(b []byte, m *Message) error {
	if n := recordLen(b); n == 0 || n != len(b) || little.Uint16(b[6:]) != 0 {
		return ErrCorrupt
	}
	end := len(b) - recordSum
	subject, header := int(little.Uint16(b[4:])), int(little.Uint32(b[8:]))
	if subject+header > end-recordHead {
		return ErrCorrupt
	}
	m.Seq = Seq(little.Uint64(b[16:]))
	m.Time = int64(little.Uint64(b[24:]))
	m.TTL = little.Uint32(b[12:])
	at := recordHead
	m.Subject = b[at : at+subject : at+subject]
	at += subject
	m.Header = b[at : at+header : at+header]
	at += header
	m.Payload = b[at:end:end]
	return nil
}

// eraseRecord overwrites all of a record but its head, so that the records
// behind it can still be found.
func eraseRecord(b []byte, bind uint64) {
	end := len(b) - recordSum
	clear(b[recordHead:end])
	little.PutUint16(b[6:], 1)
	little.PutUint64(b[end:], xxhash.Sum64(b[:end])^bind)
}

// erased tells whether b is exactly an erased record, and its sequence.
func erased(b []byte, bind uint64) (Seq, bool) {
	if little.Uint16(b[6:]) != 1 {
		return 0, false
	}
	end := len(b) - recordSum
	return Seq(little.Uint64(b[16:])), xxhash.Sum64(b[:end])^bind == little.Uint64(b[end:])
}

// recordTime is the timestamp in a record's head.
func recordTime(b []byte) int64 { return int64(little.Uint64(b[24:])) }

// deadline is when a message's TTL is up; false if it has none.
func (m *Message) deadline() (int64, bool) {
	if m.TTL == 0 || m.TTL == TTLNever {
		return 0, false
	}
	return m.Time + int64(m.TTL)*1e9, true
}
