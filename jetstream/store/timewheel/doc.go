// Package timewheel finds the messages whose time is up.
//
// # Words
//
// An entry is a sequence number with a deadline, in nanoseconds of whichever
// clock the caller uses. Deadlines are hashed by second into slots; a slot holds
// entries of many rounds.
//
// # Ownership
//
// One goroutine owns a Wheel. It has no clock: Expire is told the time.
//
// # Invariants
//
//	I1 Expire hands out each entry whose deadline is due, once, by deadline and
//	   then by sequence.
//	I2 Next is never later than the earliest deadline.
//
// # Format
//
// Append writes version u8 (1), the number of entries as a uvarint, and by
// sequence for each: the distance from the sequence before as a uvarint and the
// deadline as i64, little-endian. Decode refuses everything else.
//
// # Failure
//
// Decode answers ErrInvalid and allocates no more than it was given.
package timewheel
