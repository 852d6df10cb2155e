package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// help is the text each binary prints about its flags, by path.
var help sync.Map

// HasFlag says whether the seat's -h lists the flag, given with one dash. The
// flag -c counts only when a file would really be read.
func HasFlag(tb testing.TB, seat Seat, flag string) bool {
	tb.Helper()
	path := Binary(tb, seat)
	text, ok := help.Load(path)
	if !ok {
		// Peregrine ends its help with the options it only refuses.
		usable, _, _ := strings.Cut(ask(tb, path, "-h"), "that are refused")
		text, _ = help.LoadOrStore(path, usable)
	}
	name := regexp.QuoteMeta(strings.TrimLeft(flag, "-"))
	listed := regexp.MustCompile(`(?m)(^|[\s,])--?` + name + `($|[\s,=])`).MatchString(text.(string))
	if listed && strings.TrimLeft(flag, "-") == "c" {
		missing := filepath.Join(tb.TempDir(), "missing.conf")
		return strings.Contains(ask(tb, path, "-c", missing), "no such file or directory")
	}
	return listed
}

// ask runs the binary to its end and returns what it printed.
func ask(tb testing.TB, path string, args ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.CombinedOutput() // the exit code is no concern here
	if ctx.Err() != nil {
		tb.Fatalf("%s %v: %v", path, args, err)
	}
	return string(out)
}
