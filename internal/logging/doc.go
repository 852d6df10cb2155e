// Package logging writes the server's log in the line format that operators of
// nats-server already parse, without ever making a caller wait for the sink.
//
// # Words
//
//   - line: one call's text with its prefix, `[pid] date time [LVL] text`, or the
//     same as a JSON object.
//   - sink: the file, stream or syslog that receives lines.
//   - queue: finished lines that wait for the sink, bounded in bytes.
//   - repeat: a line whose text and level were logged a moment ago.
//   - rotation: putting a log file aside under a dated name once it has passed its
//     size limit, and beginning it anew.
//
// # Ownership
//
// A Logger may be shared by any goroutine. The sink belongs to one writer
// goroutine, started by Open or New and ended by Close; nobody else writes to
// it, renames it or closes it. The mutex guards the queue and the table of
// repeats, and is never held during formatting or I/O.
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
//   - I6 A line that repeats more than repeatBurst times in repeatWindow is left
//     out, and how often it was is logged when the window ends. Fatal, debug and
//     trace lines are never left out.
//   - I7 Every line ends in the sink that was in use when it was queued: a change
//     of options separates lines, it does not mix their forms.
//   - I8 Rotation happens between lines, loses none, and never leaves the logger
//     without an open file.
//
// # Form
//
// Text is the reference's form to the byte; the lines that a rotation itself
// writes end in CR LF there, so they do here. JSON lines are objects with time
// (RFC 3339, microseconds), level, pid and message. To syslog goes the text alone,
// or the object: time and process are in syslog's own prefix.
//
// # Failure
//
// A write that fails is counted and its lines are lost; the next batch is tried
// as usual. A log file that cannot be re-opened or put aside leaves the old one
// in use; a rotation is then tried again at twice the size.
//
// # Sources
//
// The running nats-server 2.15.2 for forms, names and rotation; RFC 5424 through
// log/syslog.
package logging
