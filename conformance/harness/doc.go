// Package harness runs servers for black-box tests.
//
// # Words
//
// A seat is the server under test. A Server is one process in a seat.
//
// # Ownership
//
// A Server belongs to the test that started it and dies with it: at the end of
// the test, and through the kernel's parent-death signal if the test process is
// killed. Its methods are safe for concurrent use.
//
// # Invariants
//
//	I1  Start returns only when the client port accepts connections
//	I2  the log kept is complete until logLinesMax lines, then loses the oldest
//	I3  a server that dies by itself fails its test, unless the test waited for it
//
// # Failure
//
// A binary that cannot be built fails every test that asks for it, with the
// compiler's output. A test that fails shows the end of its servers' logs.
package harness
