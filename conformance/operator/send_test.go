package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"peregrine/conformance/harness"
)

// TestSendSignal compares the effect of --signal with a process id and with a
// pid file, on servers of the same seat.
func TestSendSignal(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"stop", "quit", "term", "reopen", "reload", "ldm"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				pid := filepath.Join(t.TempDir(), "pid")
				server := harness.Start(t, seat, "-P", pid)
				target := pid
				if command == "quit" {
					target = fmt.Sprint(server.PID())
				}
				code, stdout, stderr := finish(harness.Launch(t, seat, "--signal", command+"="+target))
				outcome := fmt.Sprintln("sender", code, stdout, stderr)
				switch command {
				case "reopen", "reload":
					line := server.Await(`Trapped (".*") signal$`)
					server.Await(`re-open ignored|can only reload`)
					return outcome + line[1]
				}
				return outcome + fmt.Sprint("server ", server.Exit(), server.Log.Count("Server Exiting"))
			})
		})
	}
}

// TestSendSignalMistakes compares what the sender refuses.
func TestSendSignalMistakes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"no such process": "reload=99999999",
		"no number":       "reload=abc",
		"no number, glob": "reload=abc*",
		"no command":      "foo=99999999",
		"too many":        "a=b=c=d",
		"file":            "reload=" + file,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Launch(t, seat, "--signal", value)
				return fmt.Sprint(server.Exit(), server.Output.Lines(), server.Log.Lines())
			})
		})
	}
}
