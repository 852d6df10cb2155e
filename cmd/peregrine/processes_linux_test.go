package main

import "testing"

// I5: a benchmark that runs is not a server to signal.
func TestIsSubCommand(t *testing.T) {
	check := func(args string, want bool) {
		t.Helper()
		if isSubCommand([]byte(args)) != want {
			t.Errorf("%q: %v", args, !want)
		}
	}
	check("peregrine\x00bench\x00-h\x00", true)
	check("peregrine\x00config\x00", true)
	check("peregrine\x00-c\x00bench\x00", false)
	check("peregrine\x00", false)
	check("peregrine", false)
}
