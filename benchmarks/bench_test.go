package benchmarks

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"peregrine/internal/bench"
)

// binaries are built once for all tests.
var binaries struct{ peregrine, reference string }

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bench" { // the generator starting itself
		os.Exit(bench.Main(os.Args[2:], os.Stdout, os.Stderr))
	}
	dir, err := os.MkdirTemp("", "benchmarks-")
	if err != nil {
		panic(err)
	}
	binaries.peregrine = filepath.Join(dir, "peregrine")
	binaries.reference = filepath.Join(dir, "nats-server")
	build("..", binaries.peregrine, "./cmd/peregrine")
	build(".", binaries.reference, "github.com/nats-io/nats-server/v2")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(folder, path, pkg string) {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, pkg)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic("build " + pkg + ": " + err.Error() + "\n" + string(out))
	}
}

// B1: every scenario that this machine can run ends well on both servers, with
// every delivery accounted for. How fast is nobody's business here.
func TestEveryScenario(t *testing.T) {
	full, err := bench.FindScenarios("full")
	if err != nil {
		t.Fatal(err)
	}
	skipped := map[string]string{
		"idle5k": "idle1k again", "idle9k": "idle1k again", "slow": "takes seconds; the load tests have one",
		"fan1000-128": "fan100-128 again", "tls-idle1k": "idle1k and tls1to1-128 again", "tls1to1-1k": "tls1to1-128 again",
		"pub8": "pub16 again", "pub128": "pub16 again", "pub1k": "pub16 again", "pub64k": "pub1m again",
		"1to1-128": "1to1-16 again", "1to1-1k": "1to1-16 again", "1to1-256k": "1to1-1m again",
		"rr1-64": "rr16-64 again", "lat-bg100k": "lat-bg400k again",
	}
	for _, s := range full {
		t.Run(s.Name, func(t *testing.T) {
			if why := skipped[s.Name]; why != "" {
				t.Skip(why)
			}
			for duration := 50 * time.Millisecond; !measures(t, s, duration); duration *= 8 {
				if duration > 10*time.Second {
					t.Fatalf("no figure %s on both sides", s.Main)
				}
			}
		})
	}
}

// measures runs s once on both servers, and reports whether there was time enough
// to measure anything: on a busy machine a short run can be over before.
func measures(t *testing.T, s *bench.Scenario, duration time.Duration) bool {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr bytes.Buffer
	code := bench.Main([]string{
		"--server", binaries.peregrine, "--reference", binaries.reference, "--scenario", s.Name, "--pairs", "1",
		"--duration", duration.String(), "--warmup", "20ms", "--no-ceiling", "--json", report,
	}, &stdout, &stderr)
	text := stdout.String()
	if strings.Contains(text, "skipped: ") {
		t.Skip(text)
	}
	if code != 0 {
		t.Fatalf("code %d\n%s\n%s", code, text, stderr.String())
	}
	r, err := bench.LoadReport(report)
	if err != nil {
		t.Fatal(err)
	}
	got := r.Scenarios[0]
	return len(got.A[s.Main]) == 1 && len(got.B[s.Main]) == 1
}

// The scenarios for 1, 2, 4 and 8 cores are skipped in words where the machine
// has fewer.
func TestScalingIsSkippedInWords(t *testing.T) {
	b := &bench.Bench{A: bench.Command{Name: "a"}, Pairs: 1, Progress: func(string) {}, Options: bench.DefaultOptions()}
	eight, err := bench.FindScenarios("loops8")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.NumCPU() >= 8 {
		t.Skip("this machine has the cores")
	}
	if c := b.Compare(context.Background(), eight[0]); !strings.Contains(c.Skipped, "8 loops want 8 cores, this machine has") {
		t.Fatalf("%+v", c)
	}
}

// The commands build and refuse nonsense.
func TestCommands(t *testing.T) {
	refuses := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command("go", append([]string{"run"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v, said %q, want %q", args, err, out, want)
		}
	}
	refuses("no scenario named", "./cmd/compare", "-a", binaries.peregrine, "-b", binaries.reference, "--scenario", "nope")
	refuses("-micro", "./cmd/compare", "-micro", "x")
	refuses("give -base COMMIT", "./cmd/compare", "-micro", "3")
	refuses("both name seat B", "./cmd/compare", "-a", binaries.peregrine, "-b", "x", "-base", "y")
	refuses("no such file", "./cmd/yardstick", "-a", binaries.peregrine, "-b", binaries.reference, "-report", "/nonexistent.json")
}

// The yardstick runs with both kinds of clients, with its window and without.
func TestYardstick(t *testing.T) {
	t.Parallel()
	yardstick := filepath.Join(t.TempDir(), "yardstick")
	build(".", yardstick, "./cmd/yardstick")
	for _, more := range [][]string{
		{"-scenario", "2to10-1k"},
		{"-scenario", "2to10-1k", "-clients", "goroutines", "-window", "0"},
		{"-scenario", "rr1-64", "-clients", "goroutines"},
	} {
		args := append(more, "-a", binaries.peregrine, "-b", binaries.reference, "-pairs", "1", "-seconds", "0.01",
			"-report", "results/quick-2-cores.json")
		out, err := exec.Command(yardstick, args...).CombinedOutput()
		if rows := strings.Count(string(out), more[1]); err != nil || rows == 0 || strings.Count(string(out), "%") != rows {
			t.Errorf("%v: %v, %d rows:\n%s", more, err, rows, out)
		}
		bounded := !slices.Contains(more, "-window")
		if strings.Contains(string(out), "at most 16384 KiB") != bounded || strings.Contains(string(out), "no bound") == bounded {
			t.Errorf("%v: says another window:\n%s", more, out)
		}
	}
	if out, err := exec.Command(yardstick, "-clients", "nobody").CombinedOutput(); err == nil || !strings.Contains(string(out), "want thread or goroutines") {
		t.Errorf("%v %s", err, out)
	}
}

// The committed baseline can be read by the program beside it.
func TestBaselineIsReadable(t *testing.T) {
	files, err := filepath.Glob("results/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no baseline: %v", err)
	}
	for _, f := range files {
		if _, err := bench.LoadReport(f); err != nil {
			t.Error(err)
		}
	}
}
