package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// micro runs the micro-benchmarks of packages in both trees, in turn so that
// the machine's moods strike both, and prints benchstat's comparison, which
// knows what noise is.
func micro(w io.Writer, dir, base, tree string, rounds int, packages []string) error {
	files := [2]string{filepath.Join(dir, "base.txt"), filepath.Join(dir, "new.txt")}
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "micro-benchmarks, round %d of %d\n", round+1, rounds)
		for i, folder := range []string{base, tree} {
			if err := microOnce(files[i], folder, packages); err != nil {
				return err
			}
		}
	}
	stat := exec.Command("go", "tool", "benchstat", "base="+files[0], "new="+files[1])
	stat.Stdout, stat.Stderr = w, os.Stderr
	return stat.Run()
}

// microOnce appends one run's figures to file.
func microOnce(file, folder string, packages []string) error {
	cmd := exec.Command("go", append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "50ms"}, packages...)...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("micro-benchmarks in %s: %w\n%s", filepath.Base(folder), err, bytes.TrimSpace(out))
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(out)
	return err
}

// microRounds reads the -micro flag: how many rounds, none by default.
func microRounds(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("-micro %q: want a number of rounds from 1 to 100, such as 10", text)
	}
	return n, nil
}
