package operator

import (
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// TestLoopFlags covers the flags that only Peregrine has.
func TestLoopFlags(t *testing.T) {
	t.Parallel()
	if !harness.HasFlag(t, harness.Peregrine, "-loops") {
		t.Skip("another server sits in Peregrine's seat")
	}
	t.Run("loops", func(t *testing.T) {
		t.Parallel()
		server := harness.Start(t, harness.Peregrine, "--loops", "3")
		server.Await(`\[INF\]   Loops:    3\b`)
	})
	for name, args := range map[string][]string{
		"no such processor":  {"--pin-cpus", "9999"},
		"no processor list":  {"--pin-cpus", "0-"},
		"no number of loops": {"--loops", "-4"},
		"no such engine":     {"--engine", "steam"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-a", "127.0.0.1", "-p", "-1"}, args...)
			code, stdout, stderr := finish(harness.Launch(t, harness.Peregrine, args...))
			text := strings.Join(append(stdout, stderr...), "\n")
			if code != 1 || !strings.Contains(text, args[len(args)-1]) {
				t.Errorf("exit code %d, output %q: want 1 and a word about %q", code, text, args[len(args)-1])
			}
		})
	}
}
