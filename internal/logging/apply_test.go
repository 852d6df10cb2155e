package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// I7: lines queued before a change go to the old sink in the old form.
func TestApply(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
	l, err := Open(Options{File: first, NoTime: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Noticef("before")
	if err := l.Apply(Options{File: second, NoTime: true, JSON: true, Debug: true}); err != nil {
		t.Fatal(err)
	}
	l.Debugf("after")
	if err := l.Apply(Options{File: filepath.Join(dir, "no", "such.log"), Trace: true}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("err = %v", err)
	}
	l.Debugf("still")
	l.Tracef("not this")
	l.Close()
	expectFile(t, first, "[%d] [INF] before\n")
	expectFile(t, second, "{\"level\":\"debug\",\"pid\":%d,\"message\":\"after\"}\n{\"level\":\"debug\",\"pid\":%[1]d,\"message\":\"still\"}\n")
	if err := l.Apply(Options{}); err == nil {
		t.Error("a closed log was changed")
	}
}

// I7 with callers that do not wait for the change.
func TestApplyWhileLogging(t *testing.T) {
	dir := t.TempDir()
	name := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%d.log", i)) }
	l, err := Open(Options{File: name(0), NoTime: true})
	if err != nil {
		t.Fatal(err)
	}
	const changes, callers, lines = 20, 4, 500
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range lines {
				l.Noticef("caller %d line %d", c, i)
			}
		})
	}
	for i := 1; i <= changes; i++ {
		if err := l.Apply(Options{File: name(i), NoTime: true, JSON: i%2 == 1}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	l.Close()
	total := 0
	for i := range changes + 1 {
		content, err := os.ReadFile(name(i))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			total++
			if strings.HasPrefix(line, "{") != (i%2 == 1) {
				t.Fatalf("file %d has the line %q", i, line)
			}
		}
	}
	if want := callers * lines; total != want || l.Dropped() > 0 {
		t.Errorf("%d lines, %d dropped, want %d", total, l.Dropped(), want)
	}
}
