package config

import (
	"os"
	"strings"
	"testing"

	"peregrine/config/corpus"
	"peregrine/conformance/harness"
)

// missingPart is how Peregrine refuses a configuration that is ahead of it.
const missingPart = ", which this version does not have yet"

// TestStartRefusals compares why servers do not start with files that -t accepts.
func TestStartRefusals(t *testing.T) {
	inTestdata(t)
	files, err := corpus.StartFiles()
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("start.txt")
	if err != nil {
		t.Fatal(err)
	}
	inParallel(t, files, nameOf, func(t *testing.T, file string) {
		reference := refusal(t, harness.Reference, file)
		if line := file + ": " + reference + "\n"; !strings.Contains(string(golden), line) {
			t.Errorf("start.txt does not have %q", line)
		}
		ours := refusal(t, harness.Peregrine, file)
		switch {
		case ours == reference:
		case reference == starts && strings.Contains(ours, missingPart):
			t.Skip("the reference starts, and Peregrine misses a part: " + ours)
		default:
			t.Errorf("reference: %s\nours:      %s", reference, ours)
		}
	})
}

// starts is the refusal of a server that does not refuse.
const starts = "none"

// refusal is the first line that a server says instead of starting.
func refusal(t *testing.T, seat harness.Seat, file string) string {
	t.Helper()
	args := []string{"-a", "127.0.0.1", "-p", "-1", "-c", file}
	if harness.HasFlag(t, seat, "-sd") {
		args = append(args, "-sd", t.TempDir())
	}
	server := harness.Launch(t, seat, args...)
	if _, ready := server.Log.Await(`Server is ready$`, harness.Patience); ready {
		server.Kill()
		return starts
	}
	if code := server.Exit(); code != 1 {
		t.Errorf("%s: exit code %d", seat, code)
	}
	lines := server.Log.Lines()
	if len(lines) == 0 {
		t.Fatalf("%s says nothing", seat)
	}
	return strings.TrimPrefix(lines[0], "nats-server: ")
}
