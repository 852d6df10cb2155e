// Package commitlog makes records durable: one append-only log per disk, written
// by one committer for every stream, consumer and raft group on it, so that
// thousands of them share one sync.
//
// # Words
//
// A record belongs to an owner and has a kind. A batch is what one write puts on
// disk; it is committed when it is synced, or when it is written if there is a
// sync interval. A segment is one preallocated, pre-written file, used again when
// no owner needs what it holds. A position is segment number and offset. The tail
// is where the log ends. Damage is a range that was on disk and is not readable
// any more. An epoch is the time between two openings.
//
// # Ownership
//
// Writers (shards) append from any goroutine. What they share is core, a state
// machine without clock, goroutine or I/O, behind one mutex that is held for the
// copy of a batch and never during I/O. Step does one write, Prepare one piece of
// work on segment files; Start runs each on a goroutine, a simulation calls them
// itself, with Tick instead of a timer. Payloads are borrowed until Append
// returns, and hashed before the lock is taken.
//
//	Append ─▶ open batch ──(flight is back)──▶ flight ──write, sync──▶ Committed
//	   │ no room                                 Prepare: next segment
//	   └──▶ ErrFull … Room
//
// A batch closes when the sync of the one before it returns; there is no timer.
// Full (the batch, or the log by LiveBytesMax) means ErrFull: publishers stop
// being read. Urgent batches, which help the log to shrink, get in beyond that.
//
// # Invariants
//
//	I1 Committed positions only grow, and what is before one is on disk (with a
//	   sync interval: written).
//	I2 A batch is written only after the one before it is on disk (with a sync
//	   interval: after it is written; a segment begins after the one before it is
//	   on disk). So what a crash can tear is one batch, or one interval.
//	I3 Bytes on disk are written once: a batch starts at a block of its own.
//	I4 A segment's file is used again only when no owner needs a position in it
//	   or before it, and after the metadata say so.
//	I5 Segment headers and metadata are there twice and change one after the
//	   other. A file with a segment's name is complete.
//	I6 What Open replays is on disk before Open returns.
//	I7 What a record refers to (Direct) is on disk before the record is written,
//	   also with a sync interval. So whatever is replayed can be relied on.
//
// # Format, version 1
//
// All numbers are little-endian, sums are xxh64. format.go has each shape.
//
//	meta           │ metadata │ metadata │                     4 KiB each
//	seg-NNNNNN.log │ header │ header │ batch │ batch │ … │      4 KiB each
//	batch          │ header 64 B │ record │ record │ … │ zeros to 4 KiB │
//	record         │ header 32 B │ payload │ zeros to 8 B │
//	quarantine/    files kept as evidence
//
// Every sum begins with the binding of log identity and segment number and with
// the offset, so flipped bits, stale blocks of an earlier life of the file and
// misdirected writes do not verify. A record names the sum of the one before it;
// the first of a batch names a seed made of the batch's epoch and of what was
// before the batch. A batch's header says where the log ended before it (prev,
// chain) and what was synced when it was written (synced). A segment's header says
// what was synced when it was made, and which segment was being written then.
//
// # Recovery
//
// Open follows the links. Where no batch links to the tail, it looks at all valid
// batches further on. If one of them, the header of a later segment, the metadata
// (where the log was closed, or began when it was last opened) or the caller's
// Proof says that more had been synced, that is damage: the range is fenced, told to
// Replay, in the report and by ErrDamaged, at each Open until DamageNoted; valid
// records behind it that chain up to the next batch are still delivered. Likewise if a
// segment that was written to has no file any more: the next one, made when it was
// half full, names it, and until then the metadata do. Otherwise the
// last write was cut short and so is the log: its valid beginning is kept. Batches
// that an earlier recovery cut off are recognised: a later epoch began before
// them. An idle log writes an empty batch (settles), so that damage to its last
// batch is told from a cut even after a kill.
//
// # Failure
//
//	failed write or sync   the log stops for good and says so; never retried
//	full disk              segments to come wait while the active one has room,
//	                       then the log stops
//	crash, kill -9         everything committed is there, in order, once
//	process dies between
//	write and sync         Open writes the unproven tail again and syncs it
//	both metadata bad      rebuilt from the segments, reported
//	both headers bad       the file is known by its first batch; if that is bad
//	                       too it moves to quarantine/ and its range is damage
//	a header or metadata
//	written elsewhere      seen at once, they are read back: the log stops
//	last batch destroyed
//	after a kill, before
//	the log settled        taken for a write cut short and reported as that, if
//	                       anything of it is recognisable: nothing on disk says
//	                       that its sync had returned, unless a checkpoint does
//	                       (Options.Proof)
//
// # Using it
//
// Replay ignores records before the owner's own checkpoint; Owner.Need after each
// checkpoint lets segments go. Checkpoints should carry Report.Identity. A
// forwarded record is replayed after records that are newer: it tells where the
// same record is now, it changes nothing else.
package commitlog
