package commitlog

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// A Batch collects records for one Append. It belongs to the caller and is used
// again after Reset; the zero value is empty. Payloads are hashed here, on the
// caller's core, and copied once, by Append.
type Batch struct {
	// Urgent lets the batch into the part of queue and disk that is kept free
	// for records that help the log to shrink: checkpoints and forwarded ones.
	Urgent bool

	entries []entry
	arena   []byte // copied heads
	bytes   int    // in the log, without the batch's header
	directs []Direct
	direct  int // bytes that those write
	first   Position
	end     Position
}

// A Direct is bytes that records of a batch refer to and that are put where they
// stay, so that they are not written twice. The committer calls it before it writes
// the batch: a record is never on disk without what it refers to.
type Direct interface {
	// Write writes to a file, which may stay open for another one of the batch.
	Write() error
	// Sync makes what was written durable, its file's name included, and closes
	// the file. It is called after all have been told to write, also if that failed.
	Sync() error
}

// entry is one record to be.
type entry struct {
	owner    *Owner
	body     []byte // borrowed until Append returns
	headOff  int    // head in the arena
	headLen  int
	hash     uint64 // of head and body
	position Position
	kind     Kind
	flags    uint8
}

// Add adds a record. payload is borrowed until Append returns.
func (b *Batch) Add(owner *Owner, kind Kind, payload []byte) {
	b.add(entry{owner: owner, kind: kind, body: payload, hash: xxhash.Sum64(payload)})
}

// AddParts adds a record whose payload is head followed by body. head is copied
// at once, body is borrowed until Append returns.
func (b *Batch) AddParts(owner *Owner, kind Kind, head, body []byte) {
	e := entry{owner: owner, kind: kind, body: body, headOff: len(b.arena), headLen: len(head)}
	b.arena = append(b.arena, head...)
	if len(body) == 0 {
		e.hash = xxhash.Sum64(head)
	} else {
		var d xxhash.Digest
		d.Reset()
		d.Write(head)
		d.Write(body)
		e.hash = d.Sum64()
	}
	b.add(e)
}

// AddForwarded adds a copy of an older record of the same owner, so that the
// old one is not needed any more. payload is copied at once. Replay delivers it
// with Forwarded set, after records that are newer.
func (b *Batch) AddForwarded(owner *Owner, kind Kind, payload []byte) {
	b.AddParts(owner, kind, payload, nil)
	b.entries[len(b.entries)-1].flags = flagForwarded
}

// AddDrop adds the word that the owner is gone for good: replay will not deliver
// its earlier records. Once it is committed, call Owner.Release.
func (b *Batch) AddDrop(owner *Owner) {
	b.add(entry{owner: owner, hash: xxhash.Sum64(nil), flags: flagDropped})
}

// AddDirect has n bytes put on disk before the records of the batch.
func (b *Batch) AddDirect(d Direct, n int) {
	b.directs = append(b.directs, d)
	b.direct += n
}

func (b *Batch) add(e entry) {
	b.entries = append(b.entries, e)
	b.bytes += recordSize(e.size())
}

func (e *entry) size() int { return e.headLen + len(e.body) }

// Len is the number of records.
func (b *Batch) Len() int { return len(b.entries) }

// Bytes is the room the records take in the log, with what is put on disk before
// them.
func (b *Batch) Bytes() int { return b.bytes + b.direct }

// Position is the place of record i after a successful Append.
func (b *Batch) Position(i int) Position { return b.entries[i].position }

// End is the position after the last record after a successful Append: the
// batch is committed when the log's committed position is at or beyond it.
func (b *Batch) End() Position { return b.end }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.entries) // they hold the caller's payloads
	b.entries = b.entries[:0]
	b.arena = b.arena[:0]
	clear(b.directs)
	b.directs = b.directs[:0]
	b.bytes, b.direct, b.first, b.end, b.Urgent = 0, 0, 0, 0, false
}

// check returns ErrTooLarge if the log cannot hold the batch.
func (b *Batch) check() error {
	for i := range b.entries {
		if n := b.entries[i].size(); n > RecordBytesMax {
			return fmt.Errorf("commitlog: append: record of %d bytes: %w", n, ErrTooLarge)
		}
	}
	if b.bytes > BatchBytesMax {
		return fmt.Errorf("commitlog: append: batch of %d bytes: %w", b.bytes, ErrTooLarge)
	}
	return nil
}
