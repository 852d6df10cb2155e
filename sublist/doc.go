// Package sublist knows who is interested in a subject.
//
// # Words
//
// A subject is tokens joined by dots. A pattern is a subject with a partial (`*`)
// or full (`>`) wildcard token; the rest are literal. A subscriber is a *T of the
// caller's, plain or a member of a queue group; the same *T is in a (subject,
// queue) once. An entry is one subject or pattern with its set of subscribers. A
// set is narrow (immutable arrays, handed out as they are) or wide (lanes of
// places, where a change touches one place). A Result is who receives a message.
//
//	literal subject ─ hash ─▶ shard ─▶ table ─▶ entry ─▶ set
//	pattern ─ up to two leading literal tokens ─▶ trie of that prefix ─▶ entry ─▶ set
//
//	published a.b.c:  table["a.b.c"]  +  tries of "", "a", "a.b"
//
// # Ownership
//
// A List is shared: any goroutine reads it without locks and without writing
// anything; writers hold the lock of the one shard their subject falls into. Tables
// and trie nodes are changed in place, one atomic word at a time, new things
// complete before they are linked; values never move inside a table, larger tables
// are published whole. A Cache belongs to one loop. A Result is shared and
// immutable, unless it is a caller's scratch.
//
// Tries are kept per prefix, and their nodes' literal children in the shard's hash
// table, instead of copying the way from a root at each change: with 100,000
// `_INBOX.<id>.*` the node of `_INBOX` would be copied at each connect.
//
// # Invariants
//
//	I1 A subscriber inserted before a match starts and not removed is in its result.
//	I2 A subscriber whose removal returned before a match starts is not, cached or not.
//	I3 A result is grouped by loop, loops ascending, and has each group once.
//	I4 A cached result holds until its literal's set, or a counter of the root, of
//	   its first token or of its first two tokens changes; other changes cost it a
//	   comparison at most.
//	I5 An empty list holds no table, node or entry.
//	I6 Watches are told of changes in order, one call at a time, with no lock held.
//
// # Failure
//
// Only invalid subjects are errors. Hashes are seeded per process (hash/maphash, as
// fast as xxhash on subjects of usual length), so a client cannot choose subjects
// that collide. Matching keeps its own list of branches, so the number of tokens
// is bounded by memory only; a match visits no trie node twice.
//
// # Sources
//
// Behaviour: nats-server 2.15.2, subject matching, queue groups, interest
// notification. One difference: in SubsetMatch and SubjectsCollide a token such as
// `*x` is a literal, as everywhere; the server compares its first byte only.
package sublist
