package config

import (
	"os"
	"strings"
	"testing"

	"peregrine/config/corpus"
)

// startFiles are configurations that -t accepts and a start refuses.
func startFiles(t *testing.T) []string {
	inTestdata(t)
	files, err := corpus.StartFiles()
	if err != nil {
		t.Fatal(err)
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
