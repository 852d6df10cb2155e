// Command peregrine is a NATS server.
//
// # Words
//
//   - option: one entry of the table in options.go, with all its spellings.
//   - refused option: one that nats-server has and whose part does not exist here
//     yet. Using it ends the program with a message; none is ignored.
//
// # Ownership
//
// main reads options, opens the log, starts the server and its monitor, and then
// only waits for signals. The server belongs to itself from Start on; main ends
// it through Shutdown or LameDuck and leaves when Wait returns.
//
// # Invariants
//
//   - I1 The option table is the only place that knows an option: parsing, help
//     and refusals read it.
//   - I2 Exit status 0 after help, version, a usage error (as nats-server does)
//     and every orderly stop; 1 when the server cannot do what was asked.
//   - I3 What belongs to help and version goes to standard output, everything
//     else to standard error.
//
// # Failure
//
// Before the log is open, errors are one line on standard error that starts with
// "nats-server: ", the text that scripts look for. After that they are [FTL]
// lines.
package main
