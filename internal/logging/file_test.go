package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// logFiles returns the contents of the log file and of those put aside, oldest
// first, with process ids cut off.
func logFiles(t *testing.T, path string) (contents []string, names []string) {
	t.Helper()
	backups, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(backups)
	names = append(backups, path)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, strings.ReplaceAll(string(b), fmt.Sprintf("[%d] ", os.Getpid()), ""))
	}
	return contents, names
}

// I8: the line that passes the limit is the last in a file, and none is lost.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 200})
	if err != nil {
		t.Fatal(err)
	}
	const lines = 100
	for i := range lines {
		l.Noticef("line %d", i)
	}
	l.Close()
	if l.WriteErrors() > 0 {
		t.Errorf("%d writes failed", l.WriteErrors())
	}
	contents, names := logFiles(t, path)
	if len(names) < 5 {
		t.Fatalf("files %q", names)
	}
	next := 0
	for i, content := range contents {
		name := filepath.Base(names[i])
		if last := i == len(contents)-1; !last && !regexp.MustCompile(`^server\.log\.\d{4}(\.\d\d){5}\.\d{9}$`).MatchString(name) {
			t.Errorf("name %q", name)
		}
		if i > 0 {
			first := fmt.Sprintf("[INF] Rotated log, backup saved as %q\r\n", names[i-1])
			if !strings.HasPrefix(content, first) {
				t.Errorf("%s begins with %q, want %q", name, content[:min(len(content), 90)], first)
			}
			content = strings.TrimPrefix(content, first)
		}
		for line := range strings.Lines(content) {
			if want := fmt.Sprintf("[INF] line %d\n", next); line != want {
				t.Fatalf("%s: %q, want %q", name, line, want)
			}
			next++
		}
	}
	if next != lines {
		t.Errorf("%d of %d lines are there", next, lines)
	}
}

func TestRotationKeepsSoManyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.log")
	old, other := path+".2020.01.02.03.04.05.000000006", path+".keep"
	for _, name := range []string{old, other} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 300, FilesMax: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		l.Noticef("line %d", i)
	}
	l.Close()
	if err := os.Remove(other); err != nil {
		t.Errorf("a file of somebody else: %v", err)
	}
	contents, names := logFiles(t, path)
	if len(names) != 3 || slices.Contains(names, old) {
		t.Errorf("files %q", names)
	}
	if want := "\r\n[INF] Purged log file \"server.log."; !strings.Contains(contents[2], want) {
		t.Errorf("%q has no %q", contents[2], want)
	}
}

// A file that is too big from the start goes at once.
func TestRotationOfAnOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	if err := os.WriteFile(path, []byte("0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 10})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	contents, _ := logFiles(t, path)
	if len(contents) != 2 || contents[0] != "0123456789\n[INF] Rotating logfile...\n" || !strings.HasPrefix(contents[1], "[INF] Rotated log") {
		t.Errorf("%q", contents)
	}
}

// I8: a folder that does not allow a rotation costs nothing but that.
func TestRotationThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "server.log")
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	keep, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if err := os.Rename(path, path+"-away"); err != nil { // the name is gone, the file is not
		t.Fatal(err)
	}
	for i := range 4 {
		l.Noticef("line %d of the file", i)
		l.Flush()
	}
	content, err := os.ReadFile(path + "-away")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(content); strings.Count(text, " of the file") != 4 || !strings.Contains(text, "[ERR] Unable to rename logfile for rotation (") {
		t.Errorf("%q", text)
	}
}

func TestRotationInJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 10, JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Noticef("hello")
	l.Close()
	contents, names := logFiles(t, path)
	want := fmt.Sprintf("{\"level\":\"info\",\"pid\":%d,\"message\":\"Rotated log, backup saved as \\\"%s\\\"\"}\n", os.Getpid(), names[0])
	if len(contents) != 2 || contents[1] != want {
		t.Errorf("%q, want %q", contents, want)
	}
}

// The limits outlive a re-opened file.
func TestReopenKeepsLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	l, err := Open(Options{File: path, NoTime: true, SizeLimit: 60, FilesMax: 2})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := l.Reopen(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for i := range 20 {
		l.Noticef("a line of some length %d", i)
	}
	l.Close()
	if _, names := logFiles(t, path); len(names) != 2 {
		t.Errorf("files %q", names)
	}
}
