package harness

import (
	"strings"
	"testing"
	"time"
)

func TestLogAwait(t *testing.T) {
	log := newLog()
	if _, ok := log.Await("x", time.Millisecond); ok {
		t.Error("a line that nobody wrote")
	}
	reader := make(chan []string)
	go func() {
		match, _ := log.Await(`port (\d+)$`, Patience)
		reader <- match
	}()
	log.consume(strings.NewReader("first\r\nport 12\nport 13"))
	if match := <-reader; len(match) != 2 || match[1] != "12" {
		t.Errorf("match %q", match)
	}
	if _, ok := log.Await("nothing", Patience); ok { // ends at once: the log has ended
		t.Error("a line that nobody wrote")
	}
	if got := log.Tail(2); got != "port 12\nport 13" || log.Count("^port") != 2 {
		t.Errorf("tail %q, count %d", got, log.Count("^port"))
	}
}

func TestLogForgetsTheOldest(t *testing.T) {
	log := newLog()
	for range logLinesMax + 1 {
		log.append("x")
	}
	log.append("last")
	if lines := log.Lines(); len(lines) != logLinesMax/2+2 || lines[len(lines)-1] != "last" {
		t.Errorf("%d lines", len(lines))
	}
	if _, ok := log.Await("last", Patience); !ok {
		t.Error("the newest line is not found")
	}
}

// TestStartFailure shows that a server that cannot start is reported at once.
func TestStartFailure(t *testing.T) {
	Each(t, func(t *testing.T, seat Seat) {
		if s, err := TryStart(t, seat, "--no_such_flag"); err == nil {
			t.Errorf("a server with an unknown flag listens on %s", s.Addr)
		}
	})
}

func TestStartStop(t *testing.T) {
	Each(t, func(t *testing.T, seat Seat) {
		s := Start(t, seat, "-m", "-1")
		if s.Port() == 0 || s.PID() == 0 || s.RSS() < 1<<20 || s.PeakRSS() < 1<<20 || s.FDs() < 3 {
			t.Errorf("port %d, pid %d, memory %d of %d, descriptors %d", s.Port(), s.PID(), s.RSS(), s.PeakRSS(), s.FDs())
		}
		if code := s.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}
