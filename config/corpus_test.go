package config

import (
	"flag"
	"strings"
	"testing"

	"peregrine/config/corpus"
)

var update = flag.Bool("update", false, "write what is found into the golden files")

// check is what our -t says of a file.
func check(path string) corpus.Outcome {
	o, warnings, err := Load(path, Env{})
	if err == nil && len(warnings) > 0 {
		err = &Problems{Warnings: warnings}
	}
	if err != nil {
		return corpus.Refused(err.Error())
	}
	return corpus.Outcome{Accepted: true, Digest: o.Digest}
}

// inTestdata moves to where the corpus is and sets its variables.
func inTestdata(t *testing.T) []string {
	t.Chdir("testdata")
	for _, v := range corpus.Environ() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	t.Setenv("HOME", "/home/corpus")
	files, err := corpus.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 250 {
		t.Fatalf("the corpus has %d files only", len(files))
	}
	return files
}

// TestCorpus compares what we say of the corpus with what we said.
func TestCorpus(t *testing.T) {
	var b strings.Builder
	for _, file := range inTestdata(t) {
		o := check(file)
		if o.Accepted {
			b.WriteString(file + ": " + o.Digest + "\n")
			continue
		}
		for _, line := range o.Lines {
			b.WriteString(file + ": " + line + "\n")
		}
	}
	golden(t, "outcomes.txt", b.String())
}
