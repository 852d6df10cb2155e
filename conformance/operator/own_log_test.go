package operator

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// TestLogJSON has every line of a life as an object, to the end.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	path := configFile(t, "peregrine { log_format: json }\n")
	server := harness.Launch(t, harness.Peregrine, "-a", "127.0.0.1", "-p", "-1", "-c", path, "-DV", "--logtime_utc")
	server.Await(`"message":"Server is ready"}$`)
	address := server.Await(`"message":"Listening for client connections on ([^"]+)"}$`)[1]
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "CONNECT {\"name\":\"a \\\"quoted\\\" name\"}\r\nPUB foo 4\r\n\x00\"\\\xff\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	awaitText(t, conn, "PONG\r\n")
	if code := server.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	levels := make(map[string]int)
	var last string
	for _, line := range server.Log.Lines() {
		in := json.NewDecoder(strings.NewReader(line))
		in.DisallowUnknownFields()
		var entry struct {
			Time    time.Time
			Level   string
			PID     int
			Message string
		}
		if err := in.Decode(&entry); err != nil || in.More() {
			t.Errorf("%q: %v", line, err)
		}
		if _, offset := entry.Time.Zone(); offset != 0 || entry.Time.IsZero() || entry.PID != server.PID() || entry.Message == "" {
			t.Errorf("%q", line)
		}
		levels[entry.Level]++
		last = entry.Message
	}
	if levels["info"] == 0 || levels["debug"] == 0 || levels["trace"] == 0 || last != "Server Exiting.." {
		t.Errorf("levels %v, the last line is %q", levels, last)
	}
}

// TestRepeatedLines makes the server say the same more often than it writes.
func TestRepeatedLines(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Peregrine)
	harness.Poll(t, "a line that tells of repeats", func() bool {
		for range 10 {
			server.Signal(syscall.SIGUSR1)
		}
		return server.Log.Count(`\[INF\] Left out \d+ repeats of: File log re-open ignored, not a file logger$`) > 0
	})
	if code := server.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
