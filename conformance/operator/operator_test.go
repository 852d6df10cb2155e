package operator

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"peregrine/conformance/harness"
	"peregrine/conformance/script"
)

// finish waits for a launched binary and tells its exit code and what it printed.
func finish(s *harness.Server) (code int, stdout, stderr []string) {
	code = s.Exit()
	return code, normalise(s.Output.Lines()), normalise(s.Log.Lines())
}

var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\bN[A-Z2-7]{55}\b`), `<id>`},
	{regexp.MustCompile(`\[\d+\]`), `[<pid>]`},
	{regexp.MustCompile(`\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}\.\d{6}`), `<time>`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), `127.0.0.1:<port>`},
	{regexp.MustCompile(`/tmp/\S+/`), `<dir>/`},
	{regexp.MustCompile(`\[[0-9a-f]{7}\]|\[not set\]`), `[<git>]`},
}

func normalise(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = string(script.Normalise([]byte(line)))
		for _, v := range volatile {
			out[i] = v.pattern.ReplaceAllString(out[i], v.name)
		}
	}
	return out
}

// missingLines returns the lines of want that got does not contain in order.
func missingLines(want, got []string) []string {
	var missing []string
	for _, line := range want {
		i := 0
		for i < len(got) && got[i] != line {
			i++
		}
		if i == len(got) {
			missing = append(missing, line)
			continue
		}
		got = got[i+1:]
	}
	return missing
}

// compareLogs runs fn in both seats; the lines it returns for the reference must
// be among Peregrine's.
func compareLogs(t *testing.T, fn func(t *testing.T, seat harness.Seat) []string) {
	t.Helper()
	logs := make(map[harness.Seat]*[]string)
	for _, seat := range harness.Seats {
		logs[seat] = new([]string)
	}
	t.Run("seats", func(t *testing.T) {
		for _, seat := range harness.Seats {
			t.Run(seat.String(), func(t *testing.T) {
				t.Parallel()
				*logs[seat] = normalise(fn(t, seat))
			})
		}
	})
	want, got := *logs[harness.Reference], *logs[harness.Peregrine]
	if missing := missingLines(want, got); len(missing) > 0 && !t.Failed() {
		t.Errorf("not in Peregrine's log, or not in this order:\n%s\nthe reference's log:\n%s\nPeregrine's:\n%s",
			strings.Join(missing, "\n"), strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// logOf reads a log file.
func logOf(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// mode describes a file's permission bits.
func mode(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%#o", info.Mode().Perm())
}

// awaitText reads until text has arrived.
func awaitText(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%q does not come: %v", text, err)
		}
		seen = append(seen, buf[:n]...)
	}
}
