package logging

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func FuzzJSONLine(f *testing.F) {
	f.Add("plain")
	f.Add("a \"quoted\" \\ text\r\n\x00\x7f\u2028é\xff")
	y := &layout{pid: "1", json: true}
	f.Fuzz(func(t *testing.T, text string) {
		line := lineOf(y, levelError, "%s", text)
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%q is not one line", line)
		}
		var object struct {
			Level, Message string
			PID            int
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := strings.ToValidUTF8(strings.TrimSuffix(text, "\n"), "\ufffd")
		// A run of bad bytes is one replacement for strings, one for each byte here.
		squeeze := func(s string) string {
			for strings.Contains(s, "\ufffd\ufffd") {
				s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
			}
			return s
		}
		if object.Level != "error" || object.PID != 1 || squeeze(object.Message) != squeeze(want) {
			t.Fatalf("%q gives %+v", line, object)
		}
	})
}

func TestJSONTime(t *testing.T) {
	var s sink
	l := New(&s, Options{JSON: true, UTC: true})
	l.Warnf("w %d", 1)
	l.Close()
	var object struct {
		Time    string
		PID     int
		Message string
	}
	if err := json.Unmarshal([]byte(s.String()), &object); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z", object.Time); err != nil || object.PID != os.Getpid() || object.Message != "w 1" {
		t.Errorf("%q: %v", s.String(), err)
	}
}
