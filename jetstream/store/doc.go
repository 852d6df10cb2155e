// Package store keeps the messages of one stream, and the state of one consumer,
// in memory or in files.
//
// # Words
//
// A record is a message on disk. A chunk is records that are written, checked,
// compressed and encrypted together. A block is a run of sequences in one file; it
// is open while it takes messages and sealed afterwards. Columns are a block's
// index: per sequence an offset, a subject and the distance to the subject's
// message before. A checkpoint is the state of a stream at one position of the
// log, durable. A message is erased if it was removed and overwritten, lost if it
// should be there and cannot be read.
//
// # One engine
//
// A Stream is the same code in memory and in files: blocks with columns in memory,
// a radix tree of subjects (count, first, last), a set of missing sequences and a
// wheel of deadlines. In files, what is written may leave memory and come back.
//
//	Append ─▶ record in the open chunk ─▶ log (the same bytes)
//	              │ chunk full                 │ synced: PubAck
//	              ▼                            ▼
//	          write job ─▶ block file     checkpoint ─▶ Log.Need
//
// A large message (Files.DirectBytes) is written once: it gets a chunk of its own
// with a place in the block's file, and a reference to it in the log. The log has
// the chunk put there and synced, with the file's name, before it writes the
// reference (Direct). Until that is done, the chunk stays in memory and nobody reads
// its place. Streams that are compressed or encrypted, logs that cannot do that and
// disks that are almost full do without.
//
// # Ownership
//
// One goroutine owns a Stream or Consumer. It does no waiting: files are written
// by jobs (Work, Job.Run, Finish), of which one runs at a time, on any goroutine.
// Time and randomness come in from outside. Reading what is not in memory is the
// exception, Load does it at once; View and Reader do it elsewhere. Memory of
// records never changes once it is written, so readers need no lock.
//
// # Invariants
//
//	I1 A stream is a function of the log: replay from a checkpoint gives what was
//	   there, limits included, which are applied again and not logged.
//	I2 A checkpoint becomes durable after the log has committed its position.
//	I3 What a durable checkpoint refers to is not changed or removed before the
//	   next one is durable in both copies.
//	I4 The set of missing sequences is exactly what is not there between the first
//	   and the last message.
//	I5 A subject's last message is exact; its first may be a bound from below.
//	I6 A name of a file is used for one content: what a crash left unfinished is
//	   not written to again.
//	I7 What a reference in the log names is on disk, and stays until a checkpoint
//	   behind it is durable. Replay takes it without reading it.
//
// # Format
//
// Version 1. Numbers are little-endian, sums are xxh64, sizes of files and chunks
// are multiples of 4 KiB. A stream has a random identity that all sums depend on.
//
//	<stream>/state.a, state.b      checkpoint, twice       appendState
//	<stream>/<block>.<gen>.blk     chunks of one block     appendChunk
//	<stream>/quarantine/           what nobody knows, and evidence of damage
//	<folder>/<consumer>.a, .b      consumer, twice         Consumer.encode
//
//	block    ┌ chunk ────────┬ chunk ────────┬ columns ──┬ chunk ─┬ columns ──┐
//	chunk    │ head 64 │ payload, compressed, encrypted │ zeros to 4 KiB │
//	record   │ head 32 │ subject │ header │ payload │ sum │
//
// A chunk's head has block, generation and codec, and sums of itself, its place in
// the file and its payload: a stale or misdirected chunk is seen. Compaction
// writes a block's next generation, or that of small neighbours as one block, which
// begins with its first live message. The state holds everything but messages and
// columns; places of chunks are in it, so data behind them does not exist. A
// restart reads the state, the columns and the chunks behind the newest columns.
// Write jobs reserve their part of a file when they are made, so that what is put
// directly meanwhile goes behind it: a file may have holes where a crash came.
// Replay puts a reference into the block that it names, makes that block if need be,
// and may have the small messages around it in another one than before.
// Removals are in the log and in the state's set of missing sequences; blocks hold
// no tombstones.
//
// Encryption: each stream has a random key, kept in the state under the operator's
// key; chunks, columns and states are sealed with random nonces. Another operator
// key is taken over by the next checkpoint, and a stream in the clear is rewritten
// when it gets its first.
//
// # Failure
//
// A failed write or sync stops the stream: changes answer ErrStopped, reads go on.
// A torn state is the older copy's turn. Bad columns are made again from records.
// Bad records are lost: Load answers ErrCorrupt, LoadNext a LostError, counts do
// without them, and that is remembered. Of a bad chunk in the clear the records that
// are good by their own sums are not lost; they move to a new file, and the old one
// goes to quarantine. Open finds that in the chunks it reads, Scrub in all; what Scrub
// fences is in the log, because limits count what is there. So are messages that were in a damaged
// part of the log (LogDamaged). With both copies of the state bad, Open
// answers ErrCorrupt and touches nothing. Unknown files go to quarantine. A change
// that failed may be in the log: it is unknown, not undone.
//
// # Sources
//
// Behaviour: nats-server 2.15.2. Archive of a snapshot: its V2 format. Removal by
// limits differs in nothing; a purge's Keep leaves exactly so many messages.
package store
