package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"peregrine/config/corpus"
	"peregrine/conformance/harness"
)

// askedAtMost is how often the reference is asked before an answer of it that
// differs counts.
const askedAtMost = 12

// workers is how many files are looked at side by side. A check is mostly the
// start of a process.
const workers = 4

// TestCorpus gives the corpus to both servers.
func TestCorpus(t *testing.T) {
	inTestdata(t)
	files, err := corpus.Files()
	if err != nil {
		t.Fatal(err)
	}
	rules := readRules(t, files)

	inParallel(t, files, nameOf, func(t *testing.T, file string) {
		if err := compare(t, file, rules[nameOf(file)]); err != nil {
			t.Error(err)
		}
	})
}

// inTestdata moves to where the corpus is and sets its variables.
func inTestdata(t *testing.T) {
	t.Helper()
	for _, seat := range harness.Seats {
		harness.Binary(t, seat) // found from this folder
	}
	t.Chdir(filepath.Join("..", "..", "config", "testdata"))
	for _, v := range corpus.Environ() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	t.Setenv("HOME", "/home/corpus")
}

// inParallel runs a test for each of all. Tests of T.Parallel cannot have a folder
// and an environment of their own.
func inParallel[T any](t *testing.T, all []T, name func(T) string, test func(t *testing.T, one T)) {
	t.Helper()
	var next atomic.Int64
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				t.Run(name(all[i]), func(t *testing.T) { test(t, all[i]) })
			}
		})
	}
	work.Wait()
}

// compare says how the servers' answers about a file differ, given its rule.
func compare(t *testing.T, file, rule string) (err error) {
	differ := corpus.Compare
	switch rule {
	case "lines":
		differ = corpus.SameLines
	case "ours":
		differ = func(reference, ours corpus.Outcome) error {
			if corpus.Compare(reference, ours) == nil {
				return fmt.Errorf("is an exception, but both servers say %s", ours)
			}
			return nil
		}
	}
	ours := check(t, harness.Peregrine, file)
	for range askedAtMost {
		if err = differ(check(t, harness.Reference, file), ours); err == nil {
			return nil
		}
	}
	return err
}

// check asks a server about a file.
func check(t *testing.T, seat harness.Seat, file string) corpus.Outcome {
	t.Helper()
	server := harness.Launch(t, seat, "-t", "-c", file)
	code := server.Exit()
	if out := server.Output.Lines(); len(out) > 0 {
		t.Errorf("%s: -t writes to standard output: %q", seat, out)
	}
	if code != 0 && code != 1 {
		t.Errorf("%s: exit code %d", seat, code)
	}
	return corpus.Parse(code, strings.Join(server.Log.Lines(), "\n"))
}

// readRules returns the rules of exceptions.txt by file. Each must be about a
// file of the corpus.
func readRules(t *testing.T, files []string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, file := range files {
		known[nameOf(file)] = true
	}
	rules := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " ", 3)
		if len(parts) != 3 || !known[parts[0]] || !slices.Contains([]string{"lines", "ours", "start"}, parts[1]) {
			t.Fatalf("exceptions.txt: %q", line)
		}
		rules[parts[0]] = parts[1]
	}
	return rules
}

// nameOf is the name of a file of the corpus in tests and exceptions.
func nameOf(file string) string { return strings.TrimSuffix(filepath.Base(file), ".conf") }
