//go:build !race

package sublist

const raceEnabled = false
