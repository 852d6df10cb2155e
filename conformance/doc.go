// Package conformance holds Peregrine against nats-server v2.15.2, from outside.
//
// Both servers run as processes of their own, from their real binaries, and are
// spoken to over loopback only. Nothing here imports the product: what these
// tests see is what a user sees. (Of its module, config/corpus alone is imported:
// a test's judge of answers, without product code.) The module stands alone so
// that the reference server and the stock client never become dependencies of
// the product.
//
// # Words
//
//   - seat: the server under test, Peregrine or the reference. The same test is
//     run once per seat, or its outcomes in both seats are compared.
//   - script: a file in scripts/ that plays raw protocol on named connections.
//     It says what to send and how far to read, never what to expect: the
//     expectation is whatever the reference answers in the same run.
//   - transcript: what a script saw, after the values that differ between any
//     two starts of one server (ids, ports, nonces) were replaced by names.
//   - outcome: one comparable line that a client test reports.
//
// # Folders
//
//	harness    builds and starts servers, reads their logs and /proc figures
//	script     the script language: parser, player, normaliser, comparison
//	scripts    the scripts; scripts_test.go here plays them, random_test.go
//	           makes more of them at random, many damaged
//	clients    stock nats.go (core and micro) in both seats
//	secure     TLS: handshakes, certificates that are users, OCSP, hostile
//	           records, PROXY headers
//	config     what both binaries say of a corpus of configuration files
//	operator   flags, signals, files and log lines in both seats
//	load       order, slow receivers, many connections, leaks
//
// # Running
//
//	go test ./...                     everything, a few minutes on two cores
//	go test . -run Scripts/pub        some scripts
//	go test . -v -transcripts         the reference's transcripts
//	SOAK=1 go test . ./load -timeout 1h the heavier variants
//	SEED=1 go test . -run Random      the same random sessions again
//
// PEREGRINE_BIN and REFERENCE_BIN name binaries to use instead of building
// them; the same binary may sit in both seats to try out the tests themselves.
//
// # Invariants
//
//	I1  no test sleeps to synchronise: it waits for bytes, a log line, an exit
//	I2  no fixed port, no address but loopback
//	I3  no process outlives the test that started it, even when the test crashes
//	I4  no duration is asserted; timeouts only turn a hang into a failure
package conformance
