// Package logging writes the server's log in the line format that operators of
// nats-server already parse, without ever making a caller wait for the sink.
//
// # Words
//
//   - line: one call's text with its prefix, `[pid] date time [LVL] text`.
//   - sink: the file or stream that receives lines.
//   - queue: finished lines that wait for the sink, bounded in bytes.
//
// # Ownership
//
// A Logger may be shared by any goroutine. The sink belongs to one writer
// goroutine, started by Open or New and ended by Close; nobody else writes to
// it, renames it or closes it. The mutex guards the queue alone and is never
// held during formatting or I/O.
//
// # Invariants
//
//   - I1 One call is one line: control bytes inside the text are escaped, so
//     what a client sends cannot forge a line or drive a terminal.
//   - I2 A call never waits for the sink. A full queue drops the line and counts
//     it; the count is logged, once, as soon as there is room again.
//   - I3 Lines reach the sink in the order they were queued, and a line is
//     written whole or not at all while the sink accepts writes.
//   - I4 What was queued before Flush, Reopen, Close or Fatalf is offered to the
//     sink before they finish, for at most flushPatience.
//   - I5 A level that is off costs one atomic load (plus the caller's boxing of
//     arguments: hot paths ask DebugOn or TraceOn first).
//
// # Failure
//
// A write that fails is counted and its lines are lost; the next batch is tried
// as usual. A log file that cannot be re-opened leaves the old one in use.
package logging
