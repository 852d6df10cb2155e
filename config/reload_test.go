package config

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reloadCase is a change of a configuration and what comes of it.
type reloadCase struct{ name, before, after, outcome string }

// readReloads reads testdata/reload.txt: "## name", a configuration, ">>", the
// one after it, "==" and the lines of the log. A name that ends in "(ours)" is
// not for the reference.
func readReloads(t *testing.T) []reloadCase {
	text, err := os.ReadFile("reload.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []reloadCase
	for i, part := range strings.Split(string(text), "## ") {
		if i == 0 {
			continue
		}
		name, rest, _ := strings.Cut(part, "\n")
		before, rest, ok := strings.Cut(rest, ">>\n")
		after, outcome, ok2 := strings.Cut(rest, "==\n")
		if !ok || !ok2 {
			t.Fatalf("reload.txt: %s", name)
		}
		all = append(all, reloadCase{name, before, after, strings.TrimSpace(outcome)})
	}
	return all
}

// outcomeOf is what our reload does, in sorted lines.
func outcomeOf(t *testing.T, c reloadCase) string {
	var both [2]*Options
	for i, src := range []string{c.before, c.after} {
		o, _, err := Parse(src, "test.conf", Env{})
		if err == nil {
			err = o.Complete()
		}
		if err != nil && i == 1 {
			return "Failed to reload server configuration: " + strings.TrimSpace(err.Error())
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		both[i] = o
	}
	changes, err := Diff(both[0], both[1])
	if err != nil {
		return "Failed to reload server configuration: " + err.Error()
	}
	var lines []string
	for _, one := range changes {
		if one.Log != "" {
			lines = append(lines, one.Log)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestReload runs the cases against Diff.
func TestReload(t *testing.T) {
	inTestdata(t)
	var b strings.Builder
	b.WriteString("Changes of a configuration and what a reload says of them, in sorted lines.\n")
	for _, c := range readReloads(t) {
		fmt.Fprintf(&b, "\n## %s\n%s>>\n%s==\n%s\n", c.name, c.before, c.after, outcomeOf(t, c))
	}
	golden(t, "reload.txt", b.String())
}

// TestReloadReference lets the reference server reload.
func TestReloadReference(t *testing.T) {
	bin := os.Getenv("REFERENCE_BIN")
	if bin == "" {
		t.Skip("REFERENCE_BIN is not set")
	}
	inTestdata(t)
	for _, c := range readReloads(t) {
		if strings.HasSuffix(c.name, "(ours)") {
			continue
		}
		if theirs, ours := reloadReference(t, bin, c), outcomeOf(t, c); theirs != ours {
			t.Errorf("%s:\nreference:\n%s\nours:\n%s", c.name, theirs, ours)
		}
	}
}

func reloadReference(t *testing.T, bin string, c reloadCase) string {
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	write := func(src string) {
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(c.before)
	cmd := exec.CommandContext(t.Context(), bin, "-a", "127.0.0.1", "-p", "-1", "-T=false", "-c", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var lines, all []string
	for s := bufio.NewScanner(out); s.Scan(); {
		line := s.Text()
		all = append(all, line)
		_, text, _ := strings.Cut(line, "] ")
		_, text, _ = strings.Cut(text, "] ")
		switch {
		case strings.Contains(line, "Server is ready"):
			write(c.after)
			_ = cmd.Process.Signal(syscall.SIGHUP)
		case strings.HasPrefix(text, "Reloaded server configuration"):
			_ = cmd.Process.Kill()
		case strings.HasPrefix(text, "Failed to reload"):
			lines = append(lines, strings.ReplaceAll(text, file, "test.conf"))
			_ = cmd.Process.Kill()
		case strings.HasPrefix(text, "Reload"):
			lines = append(lines, text)
		}
	}
	_ = cmd.Wait()
	if len(lines) == 0 {
		return strings.Join(all, "\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
