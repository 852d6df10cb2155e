// Package vfs is the seam between the storage engine and disks: one interface,
// a real file system behind it, and one in memory that can crash, fail and rot.
//
// # Words
//
// Durable is what survives a power cut, pending what was changed since the last
// sync. Direct I/O goes past the page cache and is aligned to BlockSize. A torn
// write is one of which some sectors reached the disk. A lost write never did, a
// misdirected one went to another place, a stale block is what was there before.
//
//	Disk    the operating system's files; O_DIRECT, fallocate, mmap
//	Mem     bytes and names, each with a durable and a pending part
//	Faulty  over either: a Hook decides about every call
//	Overlay over any: changes stay in memory and can be listed
//
// # Ownership
//
// An FS and its Files may be used from any goroutine. Buffers are borrowed until
// the call returns. A Hook runs on the goroutine that makes the call, inside it,
// so a hook that waits is a slow disk.
//
// # Invariants
//
//	I1 What was synced, under a synced name, survives every crash.
//	I2 Nothing else is promised: pending sectors, lengths and names survive one
//	   by one, in any combination. Only a renaming is whole.
//	I3 What a failed sync should have covered is never made durable by a later
//	   sync, though it stays readable until the crash.
//	I4 Mem is strict where real file systems may be kind: the sync of a file does
//	   not sync its name, of a directory not the names above it.
//	I5 The same calls, seed and options leave the same disk.
//
// # Failure
//
// A file system that refuses direct I/O, at open or at the first transfer, is
// used through the page cache; that is logged once per Disk. Transfers on such a
// file must be aligned all the same, so code is right on both or on neither.
// Touching a mapping beyond the end of a file that was cut is a bus error; Guard
// makes it ErrFault.
//
// # Crashing at every call
//
// Run the work on NewFaulty(NewMem(), hook) once to count its calls. Then, for
// each n, run it again with a hook that answers call n with
// Fault{Crash: true, After: …} where After calls Mem.Crash and keeps what it
// returns: the call has happened, its sync has not, and everything later answers
// ErrCrashed. Reopen what was kept. Call.Site names the line that made a call,
// so a test can take each sync away in turn (Fault.Skip).
package vfs
