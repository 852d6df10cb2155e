package config

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startFiles are configurations that -t accepts and a start refuses.
func startFiles(t *testing.T) []string {
	inTestdata(t)
	files, err := filepath.Glob("start/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

// refusal is why a server does not start with a file.
func refusal(t *testing.T, file string) string {
	o, _, err := Load(file, Env{})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := o.Complete(); err != nil {
		return err.Error()
	}
	return "none"
}

func TestStartGolden(t *testing.T) {
	var b strings.Builder
	for _, file := range startFiles(t) {
		b.WriteString(file + ": " + refusal(t, file) + "\n")
	}
	golden(t, "start.txt", b.String())
}

// golden compares text with a file of testdata, or writes it with -update.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(text, "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(have) || have[i] != line {
			t.Fatalf("%s:%d:\nwant %s\nhave %s", file, i+1, line, append(have, "nothing")[min(i, len(have))])
		}
	}
	if text != string(want) {
		t.Fatalf("%s: more lines than there", file)
	}
}

// TestStartReference lets the reference server refuse to start.
func TestStartReference(t *testing.T) {
	bin := os.Getenv("REFERENCE_BIN")
	if bin == "" {
		t.Skip("REFERENCE_BIN is not set")
	}
	for _, file := range startFiles(t) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, bin, "-a", "127.0.0.1", "-p", "-1", "-sd", t.TempDir(), "-c", file)
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var first string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := lines.Text()
			if first == "" {
				first = strings.TrimPrefix(line, "nats-server: ")
			}
			if strings.Contains(line, "Server is ready") {
				first = "starts"
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		cancel()
		if ours := refusal(t, file); ours != first {
			t.Errorf("%s:\nreference %s\nours      %s", file, first, ours)
		}
	}
}
