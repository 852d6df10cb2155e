// Package engine keeps the streams and consumers of one data directory: it joins
// stores to the commit log of the disk, so that what they store is durable and
// comes back.
//
// # Words
//
// A shard is one goroutine with the streams it owns and their consumers. A step is
// one round of a shard. A mark counts the shard's log records; the durable mark is
// that of the newest committed one. A job is work with files that a store hands
// out. The catalog is what streams and consumers there are, with bytes that their
// creator understands. An entry is doomed when it is deleted and its files are not. A
// tail is a file with log records of something that could not be opened.
//
// # Ownership
//
// A Shard owns everything of its streams; its application is called on its
// goroutine and works on Stream.Messages and Consumer.State directly. Other
// goroutines use Ring and Do. Jobs, the making and the removal of folders run on
// workers. The catalog is shared and has a lock of its own. Step is all that a
// shard does, without clock or goroutine: Start runs it, a simulation calls it.
//
//	         ┌─ shard: Turn ─▶ stores ─┐ records of a step
//	loops ─▶ │  ▲ Durable              ▼            ▲ jobs back
//	         └──┼───────────── commit log ──▶ disk   │
//	            └── committed ─────┘          workers ┘ block files, checkpoints
//
// # Invariants
//
//	I1 Durable(m) is told only when the log has committed every record up to m.
//	I2 A stream's folder is durable before its entry is logged, and is removed
//	   after its deletion is committed. So a folder without an entry is nobody's
//	   and an entry without a folder is damage.
//	I3 A checkpoint begins when the log has taken all records of its asset, and
//	   its position is the end of those.
//	I4 The catalog's files are of a committed position; changes are idempotent, so
//	   they may be of more.
//	   With a sync interval, I2 to I4 wait for what is on disk, not only committed.
//	I5 A shard always gets on: when the log is full, checkpoints that would make
//	   room get their records in, and the application gets no turn.
//
// # Layout
//
//	lock                              held while open
//	catalog.a, catalog.b              what there is, twice      catalog.encode
//	log/                              the commit log            package commitlog
//	streams/<id>/messages/            a stream                  package store
//	streams/<id>/messages.tail        its log records, if it could not be opened
//	streams/<id>/consumers/<id>.a .b  its consumers, .tail      package store
//	streams/<id>.gone/                a deleted one that is being removed
//	quarantine/                       what nobody knows
//
// Ids are 16 hexadecimal digits. With keys, the catalog is sealed with the
// operator's, log records with a secret in the catalog, and stores have their own.
//
// # Failure
//
// A log that stops, or a catalog that cannot be written, stops the shards: changes
// are refused, Durable does not move, reads go on. A store that fails stops alone.
// A stream that cannot be opened is reported and left as it is, with its consumers.
// Its log records move to a tail, so that the log can forget them, and so do those of
// a store that stopped, when the log needs room; the next opening that works replays
// the tail, and a checkpoint removes it. Records of owners that nobody knows are kept
// in quarantine, in the same form. Damage of the log is told to the streams whose
// checkpoints do not hold it: what later records show to be gone is lost there (a
// removal that is gone is undone, and a stream whose newest records are gone takes
// their sequences again: nothing tells of those). When all have checkpoints that
// say so, the log may forget. A catalog with both copies bad stops Open, as does a
// log that is not the catalog's. A log that ends before a position that a checkpoint
// or the catalog names is damaged.
//
// The scrubber of each shard reads all files of its streams and consumers, a piece at
// a time and not faster than ScrubRate; stores fence what it finds, Options.Damaged is
// told. What is under an old key or was damaged is written again without being asked.
//
// # Using it
//
//	e, report, err := engine.Open(disk, engine.Options{Shards: 2})
//	e.Start(func(s *engine.Shard) engine.App { return newApp(s) })
//	…on the shard: seq, err := stream.Messages.Append(&m)
//	               waiting.push(shard.Mark(), reply)   // sent by App.Durable
//	err = e.Close()
package engine
