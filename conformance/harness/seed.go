package harness

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seed returns the seed of a random test and logs it. SEED in the environment
// repeats a run.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("SEED: %v", err)
		}
		seed = given
	}
	tb.Logf("SEED=%d", seed)
	return seed
}
