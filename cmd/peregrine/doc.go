// Command peregrine is a NATS server.
//
// # Words
//
//   - option: one entry of the table in options.go, with all its spellings. Those
//     that a file can set too have their meaning in package config.
//   - refused option: one that nats-server has and whose part does not exist here
//     yet. Using it ends the program with a message; none is ignored. The same
//     holds for keys of a configuration file.
//   - configuration in effect: the file, the options on top of it, and defaults
//     for the rest.
//   - command: a first argument that makes the program something else than a
//     server, such as bench.
//
// # Ownership
//
// main reads options and file, opens the log, starts the server and its monitor,
// and then only waits for signals. The server belongs to itself from Start on;
// main ends it through Shutdown or LameDuck and leaves when Wait returns. The
// configuration in effect, the monitor and the ports file belong to the goroutine
// that answers signals.
//
// # Invariants
//
//   - I1 The option table is the only place that knows an option: parsing, help
//     and refusals read it.
//   - I2 Exit status 0 after help, version, a usage error (as nats-server does),
//     a signal sent, a file found valid and every orderly stop; 1 when the program
//     cannot do what was asked. The command store has statuses of its own.
//   - I3 What belongs to help, version and commands goes to standard output,
//     everything else to standard error.
//   - I4 A reload changes all of what differs or nothing: it is refused before
//     anything changed, in the reference's words.
//   - I5 Signals go to processes that run under this program's own name, never to
//     groups of processes, and not to commands.
//
// # Life
//
//	options ─▶ file ─▶ checks ─▶ log ─▶ banner ─▶ pid file, profiler, monitor
//	─▶ listener ─▶ ports file ─▶ signals … ─▶ clients closed ─▶ monitor closed
//	─▶ ports file removed ─▶ log flushed ─▶ status 0
//
// # Failure
//
// Before the log is open, errors are lines on standard error that start with
// "nats-server: ", the text that scripts look for. After that they are [FTL]
// lines. A ports file that cannot be written is an error in the log alone.
//
// # Sources
//
// The running nats-server 2.15.2: texts, statuses and files are compared with it
// by the tests in conformance/operator.
package main
