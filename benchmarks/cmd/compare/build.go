package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// referencePackage is the reference server; go.mod decides its version.
const referencePackage = "github.com/nats-io/nats-server/v2"

// seats is what is to be compared.
type seats struct {
	flags          []string // for the benchmark
	tree, baseTree string   // sources: the working tree, and the base's export
}

// prepare builds into dir what own does not name.
func prepare(dir string, own map[string]string) (s seats, err error) {
	a, b, base := own["a"], own["b"], own["base"]
	if a == "" || base != "" {
		if s.tree, err = rootModule(); err != nil {
			return s, err
		}
	}
	if a == "" {
		if a, err = build(s.tree, dir, "peregrine", "./cmd/peregrine"); err != nil {
			return s, err
		}
	}
	switch {
	case strings.HasSuffix(base, ".json"):
		s.flags = append(s.flags, "--base-report", base)
	case base != "" && b != "":
		return s, errors.New("-base COMMIT and -b both name seat B")
	case base != "":
		s.baseTree = filepath.Join(dir, "base")
		if err := export(s.tree, base, s.baseTree); err != nil {
			return s, err
		}
		if b, err = build(s.baseTree, dir, "peregrine-base", "./cmd/peregrine"); err != nil {
			return s, err
		}
		s.flags = append(s.flags, "--changes", "--server-name", "new", "--reference-name", base)
	}
	if b == "" {
		if b, err = build("", dir, "nats-server", referencePackage); err != nil {
			return s, err
		}
	}
	s.flags = append(s.flags, "--server", a, "--reference", b)
	return s, nil
}

// rootModule is the folder of Peregrine's own module.
func rootModule() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "peregrine").Output()
	if err != nil {
		return "", fmt.Errorf("run this inside the benchmarks module: %w", withOutput(err))
	}
	return strings.TrimSpace(string(out)), nil
}

// build compiles a package as seen from folder, with git's revision in it where
// there is one.
func build(folder, dir, name, pkg string) (string, error) {
	path := filepath.Join(dir, name)
	var problem error
	for _, vcs := range []string{"auto", "false"} { // git may refuse to look into the folder
		cmd := exec.Command("go", "build", "-buildvcs="+vcs, "-trimpath", "-o", path, pkg)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err == nil {
			return path, nil
		}
		problem = fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return "", problem
}

// export writes the repository as it was at commit into tree. Neither the
// working tree nor git's records are touched.
func export(root, commit, tree string) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	archive := exec.Command("git", "archive", "--format=tar", commit)
	archive.Dir = root
	tar, err := archive.Output()
	if err != nil {
		return fmt.Errorf("git archive %s: %w", commit, withOutput(err))
	}
	unpack := exec.Command("tar", "-x", "-C", tree)
	unpack.Stdin = bytes.NewReader(tar)
	if out, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", commit, err, out)
	}
	return nil
}

// withOutput adds what a command said on standard error.
func withOutput(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
