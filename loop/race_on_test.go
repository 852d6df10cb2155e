//go:build race

package loop

// raceOn tells tests that the race detector allocates.
const raceOn = true
