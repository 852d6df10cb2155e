//go:build race

package sublist

// raceEnabled: the race detector makes tests slow and pools forgetful.
const raceEnabled = true
