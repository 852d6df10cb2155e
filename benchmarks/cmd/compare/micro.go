package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// microTime is how long one micro-benchmark runs in one round.
const microTime = "50ms"

// trees are the sources that micro-benchmarks are taken from.
type trees struct{ base, fresh string }

// micro runs the micro-benchmarks of packages in both trees, in turn so that
// the machine's moods strike both, and prints benchstat's comparison, which
// knows what noise is. dir is for binaries and figures. Without packages it takes
// all that have benchmarks.
func micro(w io.Writer, dir string, t trees, rounds int, packages []string) error {
	if len(packages) == 0 {
		var err error
		if packages, err = benchmarked(t.fresh); err != nil {
			return err
		}
	}
	for _, p := range packages {
		if !isFolder(t.base, p) && !isFolder(t.fresh, p) {
			return fmt.Errorf("no folder %s in either tree; -packages takes folders such as ./codec, no patterns", p)
		}
	}
	var binaries [2][]microBinary
	var figures [2]string
	for i, tree := range []string{t.base, t.fresh} {
		name := [2]string{"base", "new"}[i]
		figures[i] = filepath.Join(dir, name+".txt")
		var err error
		if binaries[i], err = compileAll(tree, filepath.Join(dir, name+"-micro"), packages); err != nil {
			return err
		}
		if err := os.WriteFile(figures[i], nil, 0o600); err != nil { // also if no package is there
			return err
		}
	}
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "micro-benchmarks, round %d of %d\n", round+1, rounds)
		for k := range 2 {
			i := (k + round) % 2 // each tree begins half of the rounds
			for _, b := range binaries[i] {
				if err := b.appendTo(figures[i]); err != nil {
					return err
				}
			}
		}
	}
	stat := exec.Command("go", "tool", "benchstat", "base="+figures[0], "new="+figures[1])
	stat.Stdout, stat.Stderr = w, os.Stderr
	return stat.Run()
}

var benchmarkFunc = regexp.MustCompile(`(?m)^func Benchmark`)

// benchmarked lists the packages of the module at root that have benchmarks, as
// ./folder. Modules inside it are others.
func benchmarked(root string) (packages []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root:
			_, mod := os.Stat(filepath.Join(path, "go.mod"))
			if mod == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "testdata" {
				return filepath.SkipDir
			}
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(path))
			if name := "./" + filepath.ToSlash(folder); err == nil && benchmarkFunc.Match(b) && !slices.Contains(packages, name) {
				packages = append(packages, name)
			}
			return err
		}
		return nil
	})
	if err == nil && len(packages) == 0 {
		err = fmt.Errorf("no benchmark in %s", root)
	}
	return packages, err
}

func isFolder(tree, name string) bool {
	info, err := os.Stat(filepath.Join(tree, name))
	return err == nil && info.IsDir()
}

// microBinary is one package's compiled tests, which run in its folder.
type microBinary struct{ path, folder string }

// compileAll compiles packages of tree into dir. One that tree does not have is
// left out: benchstat then shows the other side alone.
func compileAll(tree, dir string, packages []string) (all []microBinary, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for i, p := range packages {
		if !isFolder(tree, p) {
			continue
		}
		b := microBinary{path: filepath.Join(dir, strconv.Itoa(i)+".test"), folder: filepath.Join(tree, p)}
		cmd := exec.Command("go", "test", "-c", "-o", b.path, p)
		cmd.Dir = tree
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile the benchmarks of %s: %w\n%s", p, err, bytes.TrimSpace(out))
		}
		if _, err := os.Stat(b.path); err == nil { // no test files: no binary
			all = append(all, b)
		}
	}
	return all, nil
}

// appendTo runs all benchmarks once and appends what they print to file.
func (b microBinary) appendTo(file string) error {
	cmd := exec.Command(b.path, "-test.run", "^$", "-test.bench", ".", "-test.benchmem", "-test.benchtime", microTime)
	cmd.Dir = b.folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmarks in %s: %w\n%s", b.folder, err, bytes.TrimSpace(out))
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(out)
	return errors.Join(err, f.Close())
}

// microRounds reads the -micro flag: how many rounds, none by default.
func microRounds(text string) (int, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("-micro %q: want a number of rounds from 0 to 100, such as 10", text)
	}
	return n, nil
}
