package harness

import (
	"regexp"
	"testing"
)

var monitorLine = regexp.MustCompile(`Starting http monitor on (\S+:\d+)$`)

// Each runs fn once per seat, side by side.
func Each(t *testing.T, fn func(t *testing.T, seat Seat)) {
	t.Helper()
	for _, seat := range Seats {
		t.Run(seat.String(), func(t *testing.T) {
			t.Parallel()
			fn(t, seat)
		})
	}
}

// Compare runs fn in both seats, side by side, and fails when the outcomes
// differ. fn must not call FailNow of t's parents; it gets a test of its own.
func Compare(t *testing.T, fn func(t *testing.T, seat Seat) string) {
	t.Helper()
	outcome := make(map[Seat]*string, len(Seats))
	for _, seat := range Seats {
		outcome[seat] = new(string)
	}
	t.Run("seats", func(t *testing.T) {
		for _, seat := range Seats {
			t.Run(seat.String(), func(t *testing.T) {
				t.Parallel()
				*outcome[seat] = fn(t, seat)
			})
		}
	})
	if t.Failed() {
		return
	}
	if want, got := *outcome[Reference], *outcome[Peregrine]; want != got {
		t.Errorf("outcomes differ\nreference:\n%s\n\nperegrine:\n%s", want, got)
	}
}
