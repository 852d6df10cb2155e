// Package randtest gives tests random sources that can be had again. It adds the flag
// -seed to the test binaries that import it, and only tests do.
package randtest

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var given = flag.Uint64("seed", 1, "seed of random tests, 0 for a new one")

// New returns a random source and leaves its seed in the log of the test.
func New(t testing.TB) *rand.Rand {
	t.Helper()
	n := *given
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("seed %d (again with -seed=%d)", n, n)
	return rand.New(rand.NewPCG(n, 0))
}
