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

// servers returns the flags that name the servers to compare, building into
// dir what own does not name.
func servers(dir string, own map[string]string) ([]string, error) {
	var flags []string
	a := own["a"]
	if a == "" {
		root, err := rootModule()
		if err != nil {
			return nil, err
		}
		if a, err = build(root, dir, "peregrine", "./cmd/peregrine"); err != nil {
			return nil, err
		}
	}
	base, b := own["base"], own["b"]
	switch {
	case strings.HasSuffix(base, ".json"):
		flags = append(flags, "--base-report", base)
	case base != "" && b != "":
		return nil, errors.New("-base COMMIT and -b both name seat B")
	case base != "":
		var err error
		if b, err = buildCommit(dir, base); err != nil {
			return nil, err
		}
		flags = append(flags, "--changes", "--server-name", "new", "--reference-name", base)
	}
	if b == "" {
		var err error
		if b, err = build("", dir, "nats-server", referencePackage); err != nil {
			return nil, err
		}
	}
	return append(flags, "--server", a, "--reference", b), nil
}

// rootModule is the folder of Peregrine's own module.
func rootModule() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "peregrine").Output()
	if err != nil {
		return "", fmt.Errorf("run this inside the benchmarks module: %w", withOutput(err))
	}
	return strings.TrimSpace(string(out)), nil
}

// build compiles a package as seen from folder.
func build(folder, dir, name, pkg string) (string, error) {
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, pkg)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return path, nil
}

// buildCommit compiles Peregrine as it was at commit, from an export: neither
// the working tree nor git's records are touched.
func buildCommit(dir, commit string) (string, error) {
	root, err := rootModule()
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "base")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	archive := exec.Command("git", "archive", "--format=tar", commit)
	archive.Dir = root
	tar, err := archive.Output()
	if err != nil {
		return "", fmt.Errorf("git archive %s: %w", commit, withOutput(err))
	}
	unpack := exec.Command("tar", "-x", "-C", tree)
	unpack.Stdin = bytes.NewReader(tar)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w\n%s", commit, err, out)
	}
	return build(tree, dir, "peregrine-base", "./cmd/peregrine")
}

// withOutput adds what a command said on standard error.
func withOutput(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
