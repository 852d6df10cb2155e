// Package seqset is a set of sequence numbers, kept as ranges.
//
// # Words
//
// A range is first and last number, both in the set. Ranges are in pages of up to
// 256, so a change costs the size of a page and the number of pages.
//
//	{1–5, 9–9, 20–31}  →  [1 5] [9 9] | [20 31]
//
// # Ownership
//
// One goroutine owns a Set.
//
// # Invariants
//
//	I1 Ranges ascend and neither overlap nor touch.
//	I2 No page is empty.
//
// # Format
//
// Append writes: version u8 (1), then uvarints: number of ranges, and for each
// its distance from the end of the one before and its length − 1. Decode refuses
// everything that Append would not write.
//
// # Failure
//
// Decode answers ErrInvalid; what it allocates is bounded by what it was given.
package seqset
