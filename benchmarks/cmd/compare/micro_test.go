package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes a module with one package whose benchmark allocates n bytes.
func module(t *testing.T, size string, more map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"go.mod": "module peregrine\n\ngo 1.26\n",
		"thing/thing_test.go": "package thing\n\nimport \"testing\"\n\nvar sink []byte\n\n" +
			"func BenchmarkThing(b *testing.B) {\n\tfor b.Loop() {\n\t\tsink = make([]byte, " + size + ")\n\t}\n}\n",
		"plain/plain_test.go":        "package plain\n",
		"inner/go.mod":               "module inner\n",
		"inner/inner_test.go":        "package inner\n\nfunc BenchmarkInner() {}\n",
		"bin/base/source/x_test.go":  "package x\n\nfunc BenchmarkX() {}\n",
		".hidden/hidden_test.go":     "package x\n\nfunc BenchmarkX() {}\n",
		"thing/testdata/old_test.go": "package x\n\nfunc BenchmarkX() {}\n",
	}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBenchmarkedPackages(t *testing.T) {
	got, err := benchmarked(module(t, "1", nil))
	if want := []string{"./thing"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if _, err := benchmarked(t.TempDir()); err == nil {
		t.Error("an empty folder has benchmarks")
	}
	all, err := benchmarked(filepath.Join("..", "..", ".."))
	if err != nil || !slices.Contains(all, "./codec") || !slices.Contains(all, "./sublist") {
		t.Errorf("the tree's own: %v %v", all, err)
	}
}

// Both trees run, and what differs is said by benchstat. A package that is new
// stands alone.
func TestMicro(t *testing.T) {
	other := map[string]string{"other/other_test.go": "package other\n\nimport \"testing\"\n\nfunc BenchmarkOther(b *testing.B) {\n\tfor b.Loop() {\n\t}\n}\n"}
	var out bytes.Buffer
	both := trees{base: module(t, "64", nil), fresh: module(t, "256", other)}
	if err := micro(&out, t.TempDir(), both, 2, nil); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"base", "new", "Thing", "Other", "64.00", "256.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	out.Reset()
	if err := micro(&out, t.TempDir(), both, 1, []string{"./other"}); err != nil || !strings.Contains(out.String(), "Other") {
		t.Errorf("only what is new: %v\n%s", err, out.String())
	}
	if err := micro(&out, t.TempDir(), both, 1, []string{"./thing/..."}); err == nil || !strings.Contains(err.Error(), "no folder ./thing/... in either tree") {
		t.Errorf("a pattern: %v", err)
	}
	broken := module(t, "nonsense", nil)
	err := micro(&out, t.TempDir(), trees{base: broken, fresh: broken}, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "compile the benchmarks of ./thing") || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Errorf("a tree that does not compile: %v", err)
	}
}
