// Package config is the option table, and all that reads it: parsing, defaults,
// checks, reload, flags, documentation.
//
// # Words
//
// An option is a key of a block, or of the file itself. Its row in the table says
// what it is called, what it takes, what holds without it, what a reload does, who
// reads it, what for. A path names it: "cluster.pool_size", and "[]" for the items
// of a list. A part is a piece of the server that options can wait for until it
// exists.
//
// # The way of a configuration
//
//	file ─▶ grammar ─▶ Load ─▶ ApplyFlags ─▶ Complete ─▶ Missing ─▶ the server
//	                    │  what -t checks        │ defaults, what only
//	                    ▼                        ▼ the whole can tell
//	              *Problems, with places    one error, as at a start
//
// A reload goes the same way with the same flags, and then Diff tells what
// changes or why nothing does.
//
// # Files
//
// A block is one file: its struct, its table, its checks. table.go is the
// machinery, kinds.go the types that options have.
//
// # Ownership
//
// Options are built by one goroutine and not changed after Complete: share them
// behind an atomic pointer. Nothing here keeps a reference to them. Complete is
// called once.
//
// # Invariants
//
//	I1 What nats-server -t accepts is accepted and what it refuses is refused, at
//	   the same lines; testdata/exceptions.txt has the exceptions.
//	I2 A key is declared in one place, and a key that the table does not have is
//	   refused.
//	I3 Reading never panics, whatever the file is.
//	I4 An option that the program does not honour waits for a part, so that a start
//	   with it is refused, or says why it is without effect.
//	I5 Values of secret options are in no message and in no output of Show.
//
// # Where the reference is not followed
//
// All problems of a file are told, not the first of each block, and in the order
// of the file. A refused reload of a block names the key in it. A reload applies
// all flags again, so a server that was named by a flag can be reloaded, and
// users that did not change are not told to be new. The block of trusted proxies
// may come and go. JetStream syncs before it acknowledges unless told otherwise.
// The Windows certificate store is for no build of this program.
//
// # Sources
//
// The running nats-server 2.15.2: conformance/config gives it every file of
// testdata. Formats of nkeys and JWTs: their documentation.
package config
