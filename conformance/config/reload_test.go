package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"peregrine/config/corpus"
	"peregrine/conformance/harness"
)

// TestReloads compares what the servers say of changes of their configuration.
func TestReloads(t *testing.T) {
	inTestdata(t)
	cases, err := corpus.Reloads()
	if err != nil {
		t.Fatal(err)
	}
	inParallel(t, cases, func(c corpus.Reload) string { return c.Name }, func(t *testing.T, c corpus.Reload) {
		if !strings.Contains(c.Before, "listen:") {
			t.Skip("a server with it would listen on a port that may be in use; config tests the case")
		}
		if !c.Ours() {
			if theirs := reload(t, harness.Reference, c); theirs != c.Outcome {
				t.Errorf("reference:\n%s\nreload.txt:\n%s", theirs, c.Outcome)
			}
		}
		ours := reload(t, harness.Peregrine, c)
		switch {
		case ours == c.Outcome:
		case strings.Contains(ours, missingPart):
			t.Skip("Peregrine misses a part: " + ours)
		default:
			t.Errorf("peregrine:\n%s\nreload.txt:\n%s", ours, c.Outcome)
		}
	})
}

// reload lets a server start with a configuration and read another. It returns
// what the server logs of it, or why it did not start.
func reload(t *testing.T, seat harness.Seat, c corpus.Reload) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(src string) {
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(c.Before)
	server := harness.Launch(t, seat, "-T=false", "-c", file)
	if _, ready := server.Log.Await(`Server is ready$`, harness.Patience); !ready {
		server.Exit()
		return server.Log.Tail(10)
	}
	start := len(server.Log.Lines())
	write(c.After)
	server.Signal(syscall.SIGHUP)
	server.Await(`Reloaded server configuration|Failed to reload server configuration`)
	server.Kill()
	var lines []string
	for _, line := range server.Log.Lines()[start:] {
		_, line, _ = strings.Cut(line, "] ") // the process
		_, line, _ = strings.Cut(line, "] ") // the level
		lines = append(lines, line)
	}
	return corpus.ReloadOutcome(lines, file)
}
