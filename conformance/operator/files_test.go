package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"peregrine/conformance/harness"
)

// TestPidFile compares content, permissions and what is left at the end.
func TestPidFile(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		path := filepath.Join(t.TempDir(), "server.pid")
		server := harness.Start(t, seat, "-P", path)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		outcome := fmt.Sprintln("right", string(content) == fmt.Sprint(server.PID()), "mode", mode(t, path))
		server.Stop()
		_, err = os.Stat(path)
		return outcome + fmt.Sprintln("left behind", err == nil)
	})
}

func TestPidFileImpossible(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-P", filepath.Join(t.TempDir(), "no", "such.pid"))
		code, _, stderr := finish(server)
		return fmt.Sprintln(code, stderr[max(0, len(stderr)-1):])
	})
}

// TestLogFile compares permissions, lines, and that an old file is continued.
func TestLogFile(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		path := filepath.Join(t.TempDir(), "server.log")
		run := func(times int) {
			server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-l", path)
			awaitInFile(t, server, path, "Server is ready", times)
			server.Stop()
			if lines := server.Log.Lines(); len(lines) > 0 {
				t.Errorf("also on standard error: %q", lines)
			}
		}
		run(1)
		first := len(logOf(t, path))
		run(2)
		if second := len(logOf(t, path)); second != 2*first {
			t.Errorf("%d lines after the first run, %d after the second", first, second)
		}
		return append(logOf(t, path), "mode "+mode(t, path))
	})
}

// TestLogReopen renames the log and asks for a new one, as log rotation does.
func TestLogReopen(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		dir := t.TempDir()
		path, old := filepath.Join(dir, "server.log"), filepath.Join(dir, "old.log")
		server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-l", path)
		awaitInFile(t, server, path, "Server is ready", 1)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		server.Signal(syscall.SIGUSR1)
		awaitInFile(t, server, path, "File log re-opened", 1)
		server.Stop()
		return slices.Concat(logOf(t, old), []string{"then"}, logOf(t, path))
	})
}

// awaitInFile waits until the file contains text so many times. Files announce
// nothing, so this asks again and again.
func awaitInFile(t *testing.T, server *harness.Server, path, text string, times int) {
	t.Helper()
	harness.Poll(t, fmt.Sprintf("%q in %s, %d times", text, filepath.Base(path), times), func() bool {
		select {
		case <-server.Exited():
			t.Fatalf("the server ended: %s", server.Log.Tail(20))
		default:
		}
		data, err := os.ReadFile(path)
		return err == nil && strings.Count(string(data), text) >= times
	})
}

// TestLogShape compares the shapes of lines with and without times.
func TestLogShape(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"plain":   nil,
		"no time": {"-T=false"},
		"utc":     {"--logtime_utc"},
		"debug":   {"-D"},
		"trace":   {"-V"},
		"both":    {"-DV"},
		"named":   {"-n", "some_name"},
		"monitor": {"-m", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				server := harness.Start(t, seat, flags...)
				server.Stop()
				lines := server.Log.Lines()
				// The system account arrives with accounts.
				return slices.DeleteFunc(lines, func(line string) bool {
					return strings.Contains(line, "ystem account") || strings.Contains(line, "SYSTEM - ")
				})
			})
		})
	}
}
