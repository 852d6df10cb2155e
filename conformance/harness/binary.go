package harness

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Seat names the server under test.
type Seat int

// The two seats.
const (
	Peregrine Seat = iota
	Reference
)

// Seats lists both, the reference first.
var Seats = []Seat{Reference, Peregrine}

func (s Seat) String() string {
	if s == Reference {
		return "reference"
	}
	return "peregrine"
}

// source says where a seat's binary comes from: an environment variable that
// names a file, else a package for go build.
type source struct{ env, pkg, module string }

var sources = map[Seat]source{
	Peregrine: {env: "PEREGRINE_BIN", pkg: "./cmd/peregrine", module: ".."},
	Reference: {env: "REFERENCE_BIN", pkg: "github.com/nats-io/nats-server/v2", module: "."},
}

var built = map[Seat]func() (string, error){
	Peregrine: sync.OnceValues(func() (string, error) { return locate(Peregrine) }),
	Reference: sync.OnceValues(func() (string, error) { return locate(Reference) }),
}

// Binary returns the path of the seat's executable, building it at first use in
// this process. The go build cache makes later processes cheap.
func Binary(tb testing.TB, seat Seat) string {
	tb.Helper()
	path, err := built[seat]()
	if err != nil {
		tb.Fatalf("%s: %v", seat, err)
	}
	return path
}

// IsRaceBuild says whether the seat's binary was built with the race detector,
// which costs memory.
func IsRaceBuild(tb testing.TB, seat Seat) bool {
	tb.Helper()
	info, err := buildinfo.ReadFile(Binary(tb, seat))
	if err != nil {
		tb.Fatal(err)
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

func locate(seat Seat) (string, error) {
	src := sources[seat]
	if path := os.Getenv(src.env); path != "" {
		info, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", src.env, err)
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return "", fmt.Errorf("%s: %s is not an executable", src.env, path)
		}
		return filepath.Abs(path)
	}
	return build(seat, src)
}

// build compiles into a folder of the user's cache, under a lock because test
// packages run as processes side by side. The result is copied to a name made of
// its content, so that a later build never writes to a running executable.
func build(seat Seat, src source) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	output := filepath.Join(dir, seat.String()+".build")
	cmd := exec.Command("go", "build", "-o", output, src.pkg)
	cmd.Dir = filepath.Join(root, src.module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", src.pkg, err, strings.TrimSpace(log.String()))
	}
	return freeze(dir, seat.String(), output)
}

// freeze copies output to dir/name-<digest> unless it is there already, and
// removes copies that no test can still be using.
func freeze(dir, name, output string) (string, error) {
	in, err := os.Open(output)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	target := filepath.Join(dir, name+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	now := time.Now()
	if err := os.Chtimes(target, now, now); err == nil {
		return target, nil
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if err := copyExecutable(in, target); err != nil {
		return "", err
	}
	return target, prune(filepath.Join(dir, name+"-*"), now.Add(-copyLifetime))
}

// copyLifetime is longer than any test run.
const copyLifetime = 3 * time.Hour

func prune(pattern string, before time.Time) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || info.ModTime().After(before) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyExecutable(in io.Reader, target string) error {
	out, err := os.OpenFile(target+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(target+".part", target)
}

// moduleRoot finds the folder of this module from the place of this file.
func moduleRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("no source position to find the module with")
	}
	root := filepath.Dir(filepath.Dir(file))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("module root: %w", err)
	}
	return root, nil
}

// cacheDir gives every checkout a folder of its own.
func cacheDir(root string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(base, "peregrine-conformance", hex.EncodeToString(sum[:6]))
	return dir, os.MkdirAll(dir, 0o755)
}
