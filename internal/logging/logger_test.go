package logging

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// sink is a stream whose writes can be held up.
type sink struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	gate    chan struct{} // nil: open. Otherwise a write waits until it closes
	entered chan struct{} // when set, told that a write waits at the gate
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		select {
		case s.entered <- struct{}{}:
		default:
		}
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestLineShape(t *testing.T) {
	var s sink
	l := New(&s, Options{Debug: true, Trace: true})
	l.Noticef("Server is ready")
	l.Warnf("w %d", 1)
	l.Errorf("e")
	l.Debugf("d")
	l.Tracef("<<- [PUB foo 2]")
	l.Close()
	want := []string{"[INF] Server is ready", "[WRN] w 1", "[ERR] e", "[DBG] d", "[TRC] <<- [PUB foo 2]"}
	got := strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("got %d lines, want %d: %q", len(got), len(want), got)
	}
	for i, w := range want {
		shape := fmt.Sprintf(`^\[%d\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} %s$`, os.Getpid(), regexp.QuoteMeta(w))
		if !regexp.MustCompile(shape).MatchString(got[i]) {
			t.Errorf("line %d = %q, want the shape %s", i, got[i], shape)
		}
	}
}

func TestNoTime(t *testing.T) {
	var s sink
	l := New(&s, Options{NoTime: true})
	l.Noticef("x")
	l.Close()
	if want := fmt.Sprintf("[%d] [INF] x\n", os.Getpid()); s.String() != want {
		t.Errorf("got %q, want %q", s.String(), want)
	}
}

// lineOf is one line in the form y.
func lineOf(y *layout, lv level, format string, args ...any) string {
	line, _ := y.appendLine(nil, lv, format, args)
	return string(line)
}

func TestColours(t *testing.T) {
	y := newLayout(Options{NoTime: true}, true)
	want := fmt.Sprintf("[%d] [\x1b[0;93mWRN\x1b[0m] x\n", os.Getpid())
	if got := lineOf(y, levelWarn, "x"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// I1: one call, one line, whatever a peer put into the text.
func TestControlBytesAreEscaped(t *testing.T) {
	y := layout{pid: "1"}
	check := func(text, want string) {
		t.Helper()
		if got := lineOf(&y, levelNotice, "%s", text); got != "[1] [INF] "+want+"\n" {
			t.Errorf("%q gives %q, want text %q", text, got, want)
		}
	}
	check("plain\ttab", "plain\ttab")
	check("a\nb\r\x1b[2J\x00\x7fz", `a\nb\r\x1b[2J\x00\x7fz`)
	check("trailing\n", "trailing")
	check("50% of é", "50% of é")
	if got := lineOf(&y, levelNotice, "100%"); got != "[1] [INF] 100%\n" {
		t.Errorf("a text without arguments became %q", got)
	}
}

func TestLevelsOff(t *testing.T) {
	var s sink
	l := New(&s, Options{NoTime: true})
	l.Debugf("no")
	l.Tracef("no")
	l.SetDebug(true)
	l.SetTrace(true)
	if !l.DebugOn() || !l.TraceOn() {
		t.Error("levels stay off")
	}
	l.Debugf("yes")
	l.Close()
	if got := s.String(); strings.Contains(got, "no") || !strings.Contains(got, "[DBG] yes") {
		t.Errorf("got %q", got)
	}
}

// I2: a stuck sink costs lines, never a caller's time; the loss is told once.
func TestStuckSinkDropsAndTells(t *testing.T) {
	s := &sink{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	l := New(s, Options{NoTime: true, QueueBytes: 1000})
	l.Noticef("first")
	<-s.entered // the writer now waits; nothing below may
	const lines = 1000
	for i := range lines {
		l.Noticef("line %04d", i)
	}
	dropped := l.Dropped()
	if dropped == 0 || dropped >= lines {
		t.Fatalf("%d of %d lines dropped", dropped, lines)
	}
	close(s.gate)
	l.Close()
	out := s.String()
	if want := fmt.Sprintf("[WRN] Log sink too slow, %d lines dropped (%d in total)", dropped, dropped); strings.Count(out, want) != 1 {
		t.Errorf("want exactly once %q in %q", want, out)
	}
	if kept := strings.Count(out, "line "); uint64(kept) != lines-dropped {
		t.Errorf("%d lines kept, %d dropped, of %d", kept, dropped, lines)
	}
}

// I3: order per caller, no torn lines, with many callers at once.
func TestConcurrentCallers(t *testing.T) {
	var s sink
	l := New(&s, Options{NoTime: true})
	const callers, lines = 8, 500
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range lines {
				l.Noticef("caller %d line %d.", c, i)
			}
		})
	}
	wg.Wait()
	l.Close()
	next := [callers]int{}
	for line := range strings.Lines(s.String()) {
		var pid, c, i int
		if _, err := fmt.Sscanf(line, "[%d] [INF] caller %d line %d.\n", &pid, &c, &i); err != nil {
			t.Fatalf("torn line %q: %v", line, err)
		}
		if next[c] != i {
			t.Fatalf("caller %d: line %d before %d", c, i, next[c])
		}
		next[c]++
	}
	for c, n := range next {
		if n != lines {
			t.Errorf("caller %d: %d lines", c, n)
		}
	}
}

// I4: Fatalf's line is out before the process is.
func TestFatalFlushesThenExits(t *testing.T) {
	var s sink
	var code int
	var seen string
	l := New(&s, Options{NoTime: true, Exit: func(c int) { code, seen = c, s.String() }})
	l.Fatalf("Error listening on port: %s", "x")
	if code != 1 || !strings.Contains(seen, "[FTL] Error listening on port: x\n") {
		t.Errorf("exit %d with %q written", code, seen)
	}
	l.Close()
	l.Close()
}

func TestFileAndReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	if err := os.WriteFile(path, []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{File: path, NoTime: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Noticef("before")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.Reopen(); !ok || err != nil {
		t.Fatalf("Reopen = %v, %v", ok, err)
	}
	l.Noticef("after")

	// A path that cannot be opened leaves the file in use.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.Reopen(); !ok || err == nil {
		t.Fatalf("Reopen of a directory = %v, %v", ok, err)
	}
	l.Noticef("still here")
	l.Close()

	expectFile(t, path+".1", "earlier\n[%d] [INF] before\n")
	expectFile(t, path+".2", "[%d] [INF] after\n[%[1]d] [INF] still here\n")
	if info, err := os.Stat(path + ".2"); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func expectFile(t *testing.T, path, format string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(format, os.Getpid()); string(got) != want {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), got, want)
	}
}

func TestReopenOfAStream(t *testing.T) {
	l := New(&sink{}, Options{})
	defer l.Close()
	if ok, err := l.Reopen(); ok || err != nil {
		t.Errorf("Reopen = %v, %v", ok, err)
	}
}

func TestOpenError(t *testing.T) {
	_, err := Open(Options{File: filepath.Join(t.TempDir(), "missing", "x.log")})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("err = %v", err)
	}
}

type brokenSink struct{}

func (brokenSink) Write([]byte) (int, error) { return 0, os.ErrInvalid }

func TestWriteErrorsAreCounted(t *testing.T) {
	l := New(brokenSink{}, Options{})
	l.Noticef("x")
	if !l.Flush() {
		t.Error("Flush failed")
	}
	if l.WriteErrors() != 1 {
		t.Errorf("%d write errors", l.WriteErrors())
	}
	l.Close()
}

// I5: a level that is off allocates nothing when its arguments do not.
func TestOffLevelsDoNotAllocate(t *testing.T) {
	l := New(&sink{}, Options{})
	defer l.Close()
	if n := testing.AllocsPerRun(100, func() { l.Tracef("x"); l.Debugf("y") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNotice(b *testing.B) {
	benchNotice := func(name string, step int) {
		b.Run(name, func(b *testing.B) {
			l := New(&nullSink{}, Options{})
			defer l.Close()
			b.ReportAllocs()
			cid := 0
			for b.Loop() {
				l.Noticef("127.0.0.1:4222 - cid:%d - Client connection created", cid)
				cid += step
			}
		})
	}
	benchNotice("lines=differ", 1)
	benchNotice("lines=repeat", 0)
}

type nullSink struct{}

func (*nullSink) Write(p []byte) (int, error) { return len(p), nil }
