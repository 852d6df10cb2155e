package harness

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seed returns the seed of a random test, 1 unless SEED in the environment says
// another or "random", and logs it.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := uint64(1)
	if text := os.Getenv("SEED"); text == "random" {
		seed = rand.Uint64()
	} else if text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("SEED: %v", err)
		}
		seed = given
	}
	tb.Logf("SEED=%d", seed)
	return seed
}
