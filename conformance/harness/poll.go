package harness

import (
	"testing"
	"time"
)

// Poll asks until done says true, and fails the test after Patience. It is for
// facts that nothing announces: the content of a file, a figure in /proc or in
// monitoring. The pause between questions only spares the processor.
func Poll(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	PollFor(tb, Patience, what, done)
}

// PollFor is Poll with a limit of its own.
func PollFor(tb testing.TB, limit time.Duration, what string, done func() bool) {
	tb.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for !done() {
		select {
		case <-pause.C:
		case <-deadline.C:
			tb.Fatalf("in vain: %s", what)
		}
	}
}
