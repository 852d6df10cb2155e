//go:build race

package server

// raceEnabled: pools drop at random what they hold, so allocations mean nothing.
const raceEnabled = true
