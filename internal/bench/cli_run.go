package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// run measures, prints and writes the files.
func (s *settings) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(s.clientCPU) > 0 {
		if err := pinSelf(s.clientCPU); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return exitUsage
		}
	}
	runtimeForLoad()
	report := s.newReport(args)
	if !report.twoSided() && s.bench.URL == nil {
		fmt.Fprintln(stderr, "bench: no reference server (--reference PATH), so there are no ratios")
	}
	if report.twoSided() {
		fmt.Fprintf(stderr, "bench: %d pairs, order of seats drawn with seed %d\n", s.bench.Pairs, s.bench.Options.Seed)
	}
	line := newProgress(stderr, s)
	s.bench.Progress = line.show
	code := exitOK
	ran := 0
	for i, sc := range s.scenarios {
		line.begin(i)
		c := s.bench.Compare(ctx, sc)
		line.clear()
		if ctx.Err() != nil {
			code = exitInterrupted
			break
		}
		report.writeText(stdout, report.add(c))
		if c.Skipped == "" {
			ran++
		}
		if c.Err != nil {
			code = exitFailed
			if errors.Is(c.Err, errUnreachable) {
				break // every other scenario would say the same
			}
		}
	}
	switch {
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "bench: interrupted; servers are stopped, no report is written")
		return code
	case ran == 0:
		fmt.Fprintln(stderr, "bench: nothing was run")
		return exitUsage
	}
	if report.OtherCores > disturbedCores {
		fmt.Fprintln(stderr, "bench:", report.quietness())
	}
	if err := s.finish(report, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	return code
}

// rejoin writes what was asked for from reports that are there already.
func (s *settings) rejoin(stdout, stderr io.Writer) int {
	r, err := joinReports(s.join)
	if err == nil {
		for i := range r.Scenarios {
			r.writeText(stdout, &r.Scenarios[i])
		}
		err = s.finish(r, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	return exitOK
}

// finish writes what was asked for besides the figures themselves.
func (s *settings) finish(r *Report, stdout io.Writer) error {
	if s.changes && r.twoSided() {
		r.WriteChange(stdout)
	}
	if s.base != "" {
		base, err := LoadReport(s.base)
		if err != nil {
			return err
		}
		WriteDrift(stdout, base, r)
	}
	writers := []struct {
		path  string
		write func(io.Writer) error
	}{
		{s.outputs.markdown, r.Markdown},
		{s.outputs.html, r.HTML},
		{s.outputs.svg, r.SVG},
	}
	for _, w := range writers {
		if err := writeFile(w.path, w.write); err != nil {
			return err
		}
	}
	if s.outputs.json == "" {
		return nil
	}
	return r.Save(s.outputs.json)
}

// writeFile does nothing for an empty path.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (s *settings) newReport(args []string) *Report {
	o := s.bench.Options
	r := &Report{
		Schema: Schema, When: time.Now(), Command: commandText(args), Environment: readEnvironment(),
		Metrics: Metrics, Percentiles: curvePoints,
		Settings: Settings{
			Pairs: s.bench.Pairs, Duration: o.Duration.Seconds(), Warmup: o.Warmup.Seconds(), WindowBytes: o.Window,
			Readers: o.Readers, Seed: o.Seed, ServerCPUs: s.bench.A.CPUs, ClientCPUs: s.clientCPU,
		},
	}
	r.Seats = append(r.Seats, seatOf(s.bench.A))
	if s.bench.URL == nil && s.bench.B.Path != "" {
		r.Seats = append(r.Seats, seatOf(s.bench.B))
	}
	return r
}

func seatOf(c Command) Seat {
	return Seat{Name: c.Name, Version: c.Version, Args: c.Args}
}

// commandText is the command line without the directories of this machine and
// without passwords.
func commandText(args []string) string {
	words := []string{"bench"}
	for _, a := range args {
		flag, value, joined := strings.Cut(a, "=")
		if !joined {
			flag, value = "", a
		}
		switch {
		case strings.Contains(value, "@"):
			value = "URL"
		case strings.ContainsRune(value, filepath.Separator) && !strings.Contains(value, "://"):
			value = filepath.Base(value)
		}
		if joined {
			value = flag + "=" + value
		}
		words = append(words, value)
	}
	return strings.Join(words, " ")
}

// progress is one line about what is running now, rewritten on a terminal.
type progress struct {
	w        io.Writer
	terminal bool
	total    int
	index    int
	began    time.Time
	estimate time.Duration
	last     string // scenario shown last, off a terminal
}

func newProgress(w io.Writer, s *settings) *progress {
	p := &progress{w: w, total: len(s.scenarios), began: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	const startStop = 250 * time.Millisecond
	for _, sc := range s.scenarios {
		if s.bench.feasible(sc) == nil {
			each := max(s.bench.Options.Duration, sc.AtLeast) + s.bench.Options.Warmup + startStop
			p.estimate += each * time.Duration(s.bench.Pairs*len(s.bench.seats()))
			if s.bench.Ceiling && sc.Wire {
				p.estimate += 3 * (300*time.Millisecond + 150*time.Millisecond + startStop)
			}
		}
	}
	return p
}

func (p *progress) begin(index int) { p.index = index }

func (p *progress) show(what string) {
	text := fmt.Sprintf("[%d/%d] %s · %s of about %s", p.index+1, p.total, what, clockText(time.Since(p.began)), clockText(p.estimate))
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	if name, _, _ := strings.Cut(what, " "); name != p.last {
		p.last = name
		fmt.Fprintln(p.w, text)
	}
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func clockText(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
