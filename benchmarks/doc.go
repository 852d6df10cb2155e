// Package benchmarks compares Peregrine with the reference server from outside.
//
// The load and the reports are in peregrine/internal/bench, which is also the
// sub-command `peregrine bench`. Here is what needs the reference server or a
// stock client, and so cannot be in the product's module:
//
//	cmd/compare     builds both servers and runs the benchmark on them
//	cmd/yardstick   an independent, much simpler measurement to check it by
//	results/        the committed baseline
//
// # Invariants
//
//	B1  every scenario runs to its end on both servers, every delivery accounted for
//	B2  the same server in both seats gives ratios of 1 within the stated spread
//	B3  ratios agree with the yardstick's within 15 %
//
// B1 is tested. B2 and B3 are timing, which tests never assert: compare and
// yardstick print them, and docs/benchmarks.md says how.
package benchmarks
