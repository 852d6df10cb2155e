package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// TestSendSignalByName compares what becomes of signals for servers that are
// found by their name. Peregrine goes by the name of the sender, which is one here
// that nobody else has; the reference asks a program, which is replaced by one
// that knows the servers of this test alone.
func TestSendSignalByName(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		f := newFamily(t, seat)
		f.send("quit")
		first := f.start()
		f.send("reopen")
		first.Await(`re-open ignored`)
		f.send("foo")
		second := f.start()
		f.send("reload")
		f.send("reload=*")
		first.Await(`can only reload`)
		second.Await(`can only reload`)
		// All digits of an id and an asterisk: of two ids the longer one is never
		// the beginning of the other.
		if len(fmt.Sprint(first.PID())) > len(fmt.Sprint(second.PID())) {
			first, second = second, first
		}
		f.send(fmt.Sprintf("ldm=%d*", second.PID()))
		f.ended(second)
		f.send("stop")
		f.ended(first)
		f.send("term=*")
		return f.outcome.String()
	})
}

// family is the servers that a sender finds.
type family struct {
	t        *testing.T
	seat     harness.Seat
	program  []string // runs the seat's binary
	list     string   // a file with the ids of those that run
	children []*harness.Server
	outcome  strings.Builder
}

func newFamily(t *testing.T, seat harness.Seat) *family {
	dir := t.TempDir()
	f := &family{t: t, seat: seat, list: filepath.Join(dir, "list")}
	if seat == harness.Peregrine {
		name := filepath.Join(dir, fmt.Sprintf("pg%d", os.Getpid()))
		if err := os.Symlink(harness.Binary(t, seat), name); err != nil {
			t.Fatal(err)
		}
		f.program = []string{name}
		return f
	}
	// It knows the sender, too, and ends like the real one.
	script := fmt.Sprintf("#!/bin/sh\necho $PPID\ntest -s %q || exit 1\ncat %q\n", f.list, f.list)
	if err := os.WriteFile(filepath.Join(dir, "pgrep"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	f.program = []string{"env", "PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH"), harness.Binary(t, seat)}
	return f
}

func (f *family) run(args ...string) *harness.Server {
	return harness.Run(f.t, f.seat, append(append([]string(nil), f.program...), args...)...)
}

func (f *family) start() *harness.Server {
	f.t.Helper()
	s := f.run("-a", "127.0.0.1", "-p", "-1")
	s.Await(`Server is ready$`)
	f.children = append(f.children, s)
	f.write()
	return s
}

// ended waits for the end of a child.
func (f *family) ended(s *harness.Server) {
	f.t.Helper()
	fmt.Fprintln(&f.outcome, "a server ends with", s.Exit(), s.Log.Count("Server Exiting"))
	for i, c := range f.children {
		if c == s {
			f.children = append(f.children[:i], f.children[i+1:]...)
			break
		}
	}
	f.write()
}

func (f *family) write() {
	f.t.Helper()
	var ids strings.Builder
	for _, c := range f.children {
		fmt.Fprintln(&ids, c.PID())
	}
	if err := os.WriteFile(f.list, []byte(ids.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// send notes what a sender answers.
func (f *family) send(value string) {
	f.t.Helper()
	code, stdout, stderr := finish(f.run("--signal", value))
	text := strings.Join(append(stdout, stderr...), "\n")
	for _, c := range f.children {
		text = strings.ReplaceAll(text, fmt.Sprint(c.PID()), "<child>")
	}
	command, _, _ := strings.Cut(value, "=")
	fmt.Fprintf(&f.outcome, "%s: %d %q\n", command, code, text)
}
