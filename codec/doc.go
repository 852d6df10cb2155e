// Package codec turns bytes into frames of the NATS client protocol and back.
//
// # Words
//
// A frame is a control line with, for PUB, HPUB, MSG and HMSG, the payload
// behind it. The line is a verb, blanks and arguments. A header block opens a
// payload: a status line, "Key: value" lines and an empty line.
//
// # Ownership
//
// Nothing here does I/O, takes a lock or keeps a slice: frames and header
// values alias the bytes they were found in, encoders append to the caller's.
// A Parser belongs to the goroutine that reads its connection.
//
// # Invariants
//
//	I1 The frames of a stream, and the error that ends it, do not depend on how
//	   the stream is cut.
//	I2 An error is raised at the first byte that makes it certain, after all
//	   frames before that byte.
//	I3 The fast path answers as the slow one or not at all.
//	I4 A byte is scanned a bounded number of times, however it arrives.
//	I5 A limit is applied before the bytes it limits are waited for.
//	I6 Parsing and encoding allocate nothing; an error may.
//
// # Two paths
//
// fast.go knows one way of writing each frequent verb, the one that every
// client library uses, and only whole frames. It looks at eight bytes a step.
// Whatever else there is goes through parser.go: a table of verbs, phases that
// resume, and the tolerant grammar of the reference server, version 2.15.2:
// any case, runs of spaces and tabs, LF for CRLF, text behind PING.
//
// # Where the reference is not followed
//
// Its lexer depends on the cuts in a few places; here the answer is always the
// one for an uncut stream. A CR among arguments takes their last byte with it
// (cut, it may also vanish). An HMSG line from a client is an unknown operation
// at its LF (uncut and followed by CRLF, it counts there as an empty publish).
//
// # Sources
//
// The running reference server; the NATS client protocol documentation; ADR-4
// (headers).
package codec
