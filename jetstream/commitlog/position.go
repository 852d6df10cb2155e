package commitlog

import (
	"fmt"

	"peregrine/vfs"
)

// A Position is a place in the log: segment number in the upper half, byte
// offset within that segment in the lower. Positions of later records are
// larger, also across segments. 0 is no position.
type Position uint64

func at(segment uint64, off int64) Position { return Position(segment<<32 | uint64(off)) }

// Segment is the number of the segment.
func (p Position) Segment() uint64 { return uint64(p >> 32) }

// Offset is the place in the segment, in bytes.
func (p Position) Offset() int64 { return int64(uint32(p)) }

// String is segment and offset, as in "12/8256".
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Segment(), p.Offset()) }

// block is the position of the block boundary at or after p in its segment.
func (p Position) block() Position { return at(p.Segment(), vfs.AlignUp(p.Offset())) }

// An OwnerID names who a record belongs to: a stream, a consumer group, a raft
// group. The log gives it no meaning. Numbers must not be used again after Drop.
type OwnerID uint64

// A Kind is the owner's own tag for what a record holds.
type Kind uint8
