package seeds

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var seed = flag.Uint64("seed", 0, "seed of random tests; 0 takes the test's own")

// Each runs f as a sub-test for each seed from 1 to n, or for -seed alone.
func Each(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	if *seed != 0 {
		f(t, *seed)
		return
	}
	for s := uint64(1); s <= n; s++ {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) { f(t, s) })
	}
}

// Of returns -seed, else the test's own, and prints it.
func Of(t testing.TB, own uint64) uint64 {
	t.Helper()
	if *seed != 0 {
		own = *seed
	}
	t.Logf("-seed=%d", own)
	return own
}

// Rand returns a random source that begins with -seed, else with the test's own.
func Rand(t testing.TB, own uint64) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Of(t, own), 0))
}

// Bytes is an endless source of bytes.
type Bytes struct{ R *rand.Rand }

// Read fills p. It never fails.
func (b Bytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.R.Uint32())
	}
	return len(p), nil
}
