// Package bench puts NATS servers under load and reports how they differ.
//
// # Words
//
//	scenario    one piece of work, such as "1 → 8 fan-out, 128 B"
//	run         one scenario on one fresh server: warm-up, measured part, settling
//	seat        A or B, one of the two servers compared
//	pair        one run in each seat, directly after one another
//	ratio       A/B within a pair; reports give the median and the extremes
//	delivery    one message arriving at one subscriber
//	stamp       publisher and message number at the front of a payload
//	flow        publishers and the deliveries they cause
//	window      the most bytes of deliveries under way
//	relay       a process that moves the same bytes and does nothing else
//	ceiling     what the generator reaches against the relay
//
// # Way of a run
//
// A server is started on a free port, pinned if asked. The run opens its
// connections, warms up, and takes two snapshots: deliveries, the server's CPU
// and memory from /proc, the generator's own CPU. Then publishers stop, and the
// run waits until every delivery that is due has arrived: one that is missing,
// repeated or out of order fails the run. A and B take turns, pair by pair, so
// that what else happens on the machine strikes both; who begins a pair is
// drawn, each half of the time.
//
// Saturating scenarios are closed by the window only: it is far larger than any
// buffer of a server and far smaller than what makes one drop a subscriber.
// Latency scenarios are open: message i is due at start + i/rate and timed from
// then, however late it left (no coordinated omission).
//
// # Ownership
//
// A connection's read side belongs to one reader thread, its write side to one
// publisher goroutine, or to the reader thread if there is none. Counters that
// cross are in flow. Everything else of a run belongs to the goroutine that
// called runScenario.
//
// # Invariants
//
//	I1  at the end of a run, deliveries arrived = deliveries due
//	I2  from one publisher to one subscriber, stamps come in order
//	I3  no frame is allocated, formatted or copied per message
//	I4  a run ends within a bounded time whatever the server does
//	I5  when Main returns, no process that it started is left
//
// # Failure
//
// The first error ends a run and names its cause; a server of ours that died is
// quoted. A scenario that cannot be run here is skipped with the reason, which
// is no failure.
//
// # Sources
//
// The NATS client protocol; proc(5) for stat and status; Gil Tene, "How NOT to
// Measure Latency", for intended send times.
package bench
