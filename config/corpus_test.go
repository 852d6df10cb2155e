package config

import (
	"errors"
	"flag"
	"os"
	"os/exec"
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

// TestCorpusReference gives the corpus to the reference server. It is skipped
// without REFERENCE_BIN, the path of nats-server.
func TestCorpusReference(t *testing.T) {
	bin := os.Getenv("REFERENCE_BIN")
	if bin == "" {
		t.Skip("REFERENCE_BIN is not set")
	}
	files := inTestdata(t)
	exceptions := readExceptions(t)
	for _, file := range files {
		ours := check(file)
		compare := corpus.Compare
		switch exceptions[file].rule {
		case "lines":
			compare = corpus.SameLines
		case "ours":
			continue
		}
		// The reference looks at the keys of a map in random order, and where two
		// do not go together either may be blamed.
		var err error
		for range 12 {
			if err = compare(reference(t, bin, file), ours); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func reference(t *testing.T, bin, file string) corpus.Outcome {
	var stderr strings.Builder
	cmd := exec.Command(bin, "-t", "-c", file)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return corpus.Parse(cmd.ProcessState.ExitCode(), stderr.String())
}

// exception is a file that Compare is not right for.
type exception struct{ rule, why string }

// readExceptions reads testdata/exceptions.txt: lines of a file's name, a rule
// ("lines": the same lines, other words; "ours": we decide otherwise) and why.
func readExceptions(t *testing.T) map[string]exception {
	text, err := os.ReadFile("exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]exception)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " ", 3)
		if len(parts) != 3 {
			t.Fatalf("exceptions.txt: %q", line)
		}
		all["corpus/"+parts[0]+".conf"] = exception{parts[1], parts[2]}
	}
	return all
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
