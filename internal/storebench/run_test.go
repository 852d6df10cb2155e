package storebench

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMain is also the child that fills a directory.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "store" && os.Args[3] == fillVerb {
		os.Exit(Main(os.Args[3:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Every line is measured, with little work, and nothing is left behind.
func TestLines(t *testing.T) {
	dir := t.TempDir()
	c := &config{only: regexp.MustCompile(""), messages: 3000, streams: 10, seconds: 0.01, log: t.Logf,
		sizes: sizes{round: 2000, large: 3, largeLogs: 3, rounds: 1, singles: 5, tail: 1, cold: 1 << 20}}
	r, err := measure(c, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"append 128 B, 1 stream", "CPU per message", "10 streams in turn", "append 1 MiB", "the log alone",
		"single synchronous", "tail read", "cold sequential read", "per idle stream", "per tracked subject", "after kill", "after clean stop"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	for _, l := range r.Lines {
		if l.Value <= 0 && !strings.Contains(l.Name, "allocations") && !strings.Contains(l.Name, "memory") {
			t.Errorf("%s: %v", l.Name, l.Value)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestJSON(t *testing.T) {
	var out, errs bytes.Buffer
	if status := Main([]string{"--json", "--only", "tail", t.TempDir()}, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	var r results
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Lines) == 0 || r.Lines[0].Met == nil {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"--only", "(", "a"}, {"--seconds", "0", "a"}, {"--unknown", "a"}} {
		var out, errs bytes.Buffer
		if status := Main(args, &out, &errs); status != 1 || !strings.Contains(errs.String(), "Usage:") {
			t.Errorf("%q: status %d, %s", args, status, errs.String())
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567.8: "1,234,568", 999.6: "1000", 10: "10"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}
