// Package monitor shows a running server over HTTP, in the JSON that tools
// written for nats-server read.
//
// # Words
//
//   - source: the server being shown, seen through the Source interface.
//   - endpoint: one path with its parameters and body, one file each.
//   - own figures: what the reference has no name for (loops, their processors,
//     buffers); they live under the key "peregrine" and nowhere else.
//
// # Ownership
//
// Handlers run on goroutines of net/http, never on a loop. They ask the source
// for copies and own what they get. Answers that visit every connection are made
// one at a time (Monitor.walk), so that a crowd of readers costs the loops no
// more than one reader does.
//
// # Invariants
//
//   - I1 A handler waits for the source, the source never for a handler: a slow
//     reader of HTTP holds no lock and no snapshot of the server.
//   - I2 Field names, order, types and error texts are the reference's.
//   - I3 A field that stands for a part which does not exist yet is shown empty
//     or zero as the reference shows it when that part is not configured. Paths
//     of such parts answer 404, or the reference's empty body where monitoring
//     tools ask for it unconditionally.
//   - I4 Parameters are limits on the answer, checked before the source is asked.
//
// # Failure
//
// A monitor that cannot listen refuses to start. An error while serving goes to
// the log with the prefix "monitoring: " and ends that request alone.
//
// # Sources
//
// The monitoring documentation of nats-server 2.15, and the running reference
// where that is silent.
package monitor
