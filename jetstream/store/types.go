package store

import (
	"errors"
	"time"
)

// Seq is a stream sequence. The first message has 1; 0 is none.
type Seq uint64

// TTLNever is the TTL of a message that does not expire, whatever the stream's
// maximum age.
const TTLNever = 1<<32 - 1

// Limits of a single message, in bytes.
const (
	SubjectBytesMax = 1<<16 - 1
	HeaderBytesMax  = 1 << 20
	RecordBytesMax  = 64 << 20 // all of it
)

// Errors callers test with errors.Is.
var (
	// ErrNotFound is a message that was never there or was removed.
	ErrNotFound = errors.New("store: no message found")
	// ErrSequence is an append at a sequence that is not behind the last, or a
	// truncation beyond it.
	ErrSequence = errors.New("store: wrong sequence")
	// ErrTooLarge is a message beyond the limits of the format.
	ErrTooLarge = errors.New("store: message too large")
	// ErrMaxMsgs, ErrMaxBytes and ErrMaxMsgsPerSubject refuse a message under
	// DiscardNew. Their texts are those of the API.
	ErrMaxMsgs           = errors.New("maximum messages exceeded")
	ErrMaxBytes          = errors.New("maximum bytes exceeded")
	ErrMaxMsgsPerSubject = errors.New("maximum messages per subject exceeded")
	// ErrTooMany is a MultiLast with more results than allowed.
	ErrTooMany = errors.New("store: too many results")
	// ErrCorrupt is data that is not what was written. The text says where.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrStopped is every change after a failed write or sync; reads go on.
	ErrStopped = errors.New("store: stopped")
	// ErrInvalid is bytes of a snapshot or state that nothing here writes.
	ErrInvalid = errors.New("store: invalid encoding")
	// ErrKey is a store that none of the given keys opens.
	ErrKey = errors.New("store: wrong encryption key")
)

// A Message is what a stream keeps. What Load and its kin fill in is borrowed:
// it is good until the next call on the same Stream.
type Message struct {
	Seq     Seq
	Time    int64 // Unix nanoseconds
	TTL     uint32
	Subject []byte
	Header  []byte // whole header block, empty for none
	Payload []byte
}

// Discard is what happens when a limit is reached.
type Discard uint8

const (
	// DiscardOld removes the oldest messages beyond MaxMsgs and MaxBytes.
	DiscardOld Discard = iota
	// DiscardNew refuses new ones and removes none for those limits.
	DiscardNew
)

// Limits of a stream. Values of 0 or less are no limit.
type Limits struct {
	MaxMsgs              int64
	MaxBytes             int64 // of reported sizes, see State.Bytes
	MaxMsgsPerSubject    int64
	MaxAge               time.Duration
	Discard              Discard
	DiscardNewPerSubject bool // refuse beyond MaxMsgsPerSubject instead of replacing
}

// Reason is why the store itself removed a message.
type Reason uint8

// Reasons of a Removal.
const (
	ByLimit Reason = iota // messages, bytes or messages per subject
	ByAge
	ByTTL
)

// A Removal is a message that went without being asked for.
type Removal struct {
	Seq     Seq
	Subject string // shared and immutable
	Reason  Reason
	// Last tells that no message is left on the subject.
	Last bool
	// Header is that of the message for ByAge and ByTTL, borrowed until the hook
	// returns: it tells delete markers.
	Header []byte
}

// Accounting is how sizes are reported, as the reference server does.
type Accounting uint8

const (
	// FileSizes counts 30 + subject + payload, and 4 + header if there is one.
	FileSizes Accounting = iota
	// MemorySizes counts 16 + subject + header + payload.
	MemorySizes
)

// State is a stream at a glance.
type State struct {
	Msgs       uint64
	Bytes      uint64 // reported sizes
	First      Seq    // Last+1 if empty, 0 if nothing was ever stored
	Last       Seq
	FirstTime  int64 // Unix nanoseconds, 0 if empty
	LastTime   int64 // of the last message stored, 0 if none ever
	Subjects   int
	NumDeleted uint64 // between First and Last
}

// SimpleState is what part of a stream holds.
type SimpleState struct {
	Msgs        uint64
	First, Last Seq
}

// A Log is what a store needs of the commit log: the shard's batch for one owner.
type Log interface {
	// Append adds a record of head followed by body. Head is borrowed until
	// Append returns, body until the shard hands the batch over.
	Append(kind uint8, head, body []byte)
	// End is the position behind every record appended so far.
	End() uint64
	// Committed is the position before which everything is durable.
	Committed() uint64
	// Need says that records before a position are not needed any more.
	Need(position uint64)
}

// Options of a stream. They are fixed while it is open, except for Limits.
type Options struct {
	Limits     Limits
	Accounting Accounting
	// FirstSeq is the sequence of the first message of a new stream.
	FirstSeq Seq
	// BlockBytes is the size at which a block is sealed. Default 8 MiB.
	BlockBytes int
	// ChunkBytes is the unit of writing. Default 128 KiB.
	ChunkBytes int
	// Log, if set, is told every change before the call returns.
	Log Log
	// Removed, if set, is told of messages that limits and time remove. It must
	// not call the stream.
	Removed func(Removal)
}

func (o Options) withDefaults() Options {
	if o.BlockBytes <= 0 {
		o.BlockBytes = 8 << 20
	}
	o.BlockBytes = min(o.BlockBytes, 1<<30)
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = 128 << 10
	}
	o.ChunkBytes = min(o.ChunkBytes, o.BlockBytes)
	return o
}
