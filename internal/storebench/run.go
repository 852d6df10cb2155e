package storebench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"

	"peregrine/vfs"
)

const usage = `
Usage: peregrine store bench [options] <directory>

Measures the storage engine on the disk of a directory, in a folder that it makes
there and removes, beside what the disk can do by itself.

  --only PATTERN   lines whose name matches: append, streams, large, single, tail,
                   cold, restart, memory
  --messages N     for restart: how many (10000000), with a tenth as many subjects
  --streams N      for restart and streams: how many (1000)
  --seconds N      for append and streams: how long each (5)
  --json           the results as JSON
  --profile FILE   write a CPU profile of the lines

Status: 0, also when a target is missed; 1 when something could not be measured.

`

// config says what is measured and how much of it.
type config struct {
	dir      string // of this run, made and removed
	only     *regexp.Regexp
	messages int
	streams  int
	seconds  float64
	sizes    sizes
	log      func(format string, args ...any)
}

// sizes is how much work the lines do.
type sizes struct {
	round     int   // messages of a round of append
	large     int   // messages of 1 MiB in a round
	largeLogs int   // the same for the log alone
	rounds    int   // of large
	singles   int   // synchronous appends
	tail      int   // reads of each message
	cold      int64 // bytes of records
}

// full is for figures; tests have less.
var full = sizes{round: 400_000, large: 256, largeLogs: 128, rounds: 7, singles: 4000, tail: 150, cold: 1 << 30}

// A Line is one figure.
type Line struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"` // nil: there is no target
	Note   string  `json:"note,omitempty"`
}

// results collects lines.
type results struct {
	Environment []string `json:"environment"`
	Lines       []Line   `json:"lines"`
}

func (r *results) add(name string, value float64, unit, note string) {
	r.Lines = append(r.Lines, Line{Name: name, Value: value, Unit: unit, Note: note})
}

// atLeast and atMost add a line with a target.
func (r *results) atLeast(name string, value, want float64, unit, note string) {
	met := value >= want
	r.Lines = append(r.Lines, Line{name, value, unit, fmt.Sprintf("≥ %s", number(want)), &met, note})
}

func (r *results) atMost(name string, value, want float64, unit, note string) {
	met := value <= want
	r.Lines = append(r.Lines, Line{name, value, unit, fmt.Sprintf("≤ %s", number(want)), &met, note})
}

// parts are the measurements in the order they are made.
var parts = []struct {
	name string
	run  func(c *config, r *results) error
}{
	{"append", measureAppend},
	{"streams", measureStreams},
	{"large", measureLarge},
	{"single", measureSingle},
	{"tail", measureTail},
	{"cold", measureCold},
	{"memory", measureMemory},
	{"restart", measureRestart},
}

// Main is the sub-command.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == fillVerb {
		return fillMain(args[1:], stdout, stderr)
	}
	c := config{sizes: full}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	only := set.String("only", "", "")
	set.IntVar(&c.messages, "messages", 10_000_000, "")
	set.IntVar(&c.streams, "streams", 1000, "")
	set.Float64Var(&c.seconds, "seconds", 5, "")
	asJSON := set.Bool("json", false, "")
	profile := set.String("profile", "", "")
	err := set.Parse(args)
	if err == nil && set.NArg() != 1 {
		err = errors.New("say which directory")
	}
	if err == nil && (c.messages < 1000 || c.streams < 1 || c.seconds <= 0) {
		err = errors.New("too little to measure")
	}
	if err == nil {
		c.only, err = regexp.Compile(*only)
	}
	if err != nil {
		fmt.Fprintf(stderr, "store bench: %v\n%s", err, usage)
		return 1
	}
	c.log = func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	r, err := measure(&c, set.Arg(0), *profile)
	if err != nil {
		fmt.Fprintf(stderr, "store bench: %v\n", err)
		return 1
	}
	if *asJSON {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		err = out.Encode(r)
	} else {
		err = r.print(stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "store bench: %v\n", err)
		return 1
	}
	return 0
}

// measure runs the parts in a folder of their own.
func measure(c *config, dir, profile string) (r *results, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(dir, "peregrine-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(c.dir)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
		defer pprof.StopCPUProfile()
	}
	r = &results{Environment: environment(c.dir)}
	for _, p := range parts {
		if !c.only.MatchString(p.name) {
			continue
		}
		c.log("measuring %s", p.name)
		if err := p.run(c, r); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		runtime.GC()
	}
	return r, nil
}

// folder opens a fresh folder of the run as a disk.
func (c *config) folder(name string) (*vfs.Disk, error) {
	return vfs.OpenDisk(filepath.Join(c.dir, name), vfs.DiskOptions{Logf: c.log})
}

// drop removes a folder of the run.
func (c *config) drop(name string) { os.RemoveAll(filepath.Join(c.dir, name)) }
