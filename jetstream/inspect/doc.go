// Package inspect looks at a data directory that no server has open: what is in
// it, whether it is sound, and what the engine would put right.
//
// # Words
//
// A finding is something about a file that an operator should know, with its
// offset and severity (store.Severity). A part is a commit log, a stream or a
// consumer. A rehearsal is an opening of the directory by the engine itself, on an
// overlay that keeps every change in memory.
//
// # Invariants
//
//	I1 Nothing below the root is changed, whatever is found there: the disk is
//	   opened read-only, and what writes gets an overlay.
//	I2 A directory that a server holds is refused, and a server that starts
//	   meanwhile is refused by the locks taken here.
//	I3 Parts are known by their files, not by their place: a part of which the
//	   catalog knows nothing, or a copy of one, can be looked at, too.
//	I4 Damage is a finding, never an error. An error means that the directory
//	   could not be looked at.
//
// # What is checked
//
//	catalog    both copies; folders that it does not know are told by a rehearsal
//	log        by the log's own recovery: sums, links of batches, what was synced
//	stream     both copies of the state, every chunk, every record, the columns,
//	           and whether these agree; files that nothing refers to
//	consumer   both copies
//	together   a rehearsal: the engine opens everything and replays the log
package inspect
