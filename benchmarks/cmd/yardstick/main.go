// Command yardstick measures two servers in the plainest way there is, to check
// the real benchmark by: it shares no code with it. A fixed amount of work is
// timed from its beginning to its end; CPU is what the kernel charged the server
// for its whole life. Clients are of one of two kinds: all subscribers on one
// thread, as in the benchmark and in any client built on an event loop, or a
// goroutine for each and the stock client for requests.
//
//	yardstick -a PATH -b PATH [-pairs N] [-seconds S] [-clients thread|goroutines] [-window BYTES] [-scenario NAMES] [-report FILE]
//
// As in the benchmark, a publisher is held back when too many bytes of deliveries
// are under way; -window 0 lets it flood, which measures how a server slows a
// publisher down, and on two cores something else.
//
// With -report it says how far the ratios are from those in a report of the
// real benchmark.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"peregrine/internal/bench"
)

// work is one thing to time. do handles n messages and returns how many
// seconds that took, and the median latency in seconds where there is one.
type work struct {
	name string
	do   func(addr string, n int, m model) (outcome, error)
	// figures to compare with the report: its metric, and how to read it here.
	metric string
	read   func(outcome, cpuSeconds) float64
	first  int // messages of the trial that sizes the real runs
}

// model is how clients use threads, and how many bytes of deliveries may be under
// way.
type model struct {
	threads string
	window  int64
}

func (m model) bound() string {
	if m.window <= 0 {
		return "no bound on deliveries under way"
	}
	return fmt.Sprintf("at most %d KiB of deliveries under way", m.window>>10)
}

const (
	oneThread  = "thread"     // that reads for all subscribers, and asks and answers
	goroutines = "goroutines" // for each connection; the stock client for requests
)

type outcome struct {
	messages int
	seconds  float64
	median   float64
}

type cpuSeconds float64

func rate(o outcome, _ cpuSeconds) float64      { return float64(o.messages) / o.seconds }
func cpuMicros(o outcome, c cpuSeconds) float64 { return float64(c) * 1e6 / float64(o.messages) }
func medianMicros(o outcome, _ cpuSeconds) float64 {
	return o.median * 1e6
}

var works = []work{
	{"pub16", traffic{pubs: 1, payload: 16}.do, "cpu_us_per_msg", cpuMicros, 500_000},
	{"1to1-16", traffic{pubs: 1, subs: 1, payload: 16}.do, "msgs_per_s", rate, 500_000},
	{"1to1-16", traffic{pubs: 1, subs: 1, payload: 16}.do, "cpu_us_per_msg", cpuMicros, 500_000},
	{"fan8-128", traffic{pubs: 1, subs: 8, payload: 128}.do, "msgs_per_s", rate, 200_000},
	{"fan8-128", traffic{pubs: 1, subs: 8, payload: 128}.do, "cpu_us_per_msg", cpuMicros, 200_000},
	{"2to10-1k", traffic{pubs: 2, subs: 10, payload: 1024}.do, "msgs_per_s", rate, 40_000},
	{"1to1-16k", traffic{pubs: 1, subs: 1, payload: 16 << 10}.do, "msgs_per_s", rate, 10_000},
	{"1to1-256k", traffic{pubs: 1, subs: 1, payload: 256 << 10}.do, "msgs_per_s", rate, 500},
	{"rr1-64", requests, "cpu_us_per_msg", cpuMicros, 3000},
	{"rr1-64", requests, "lat_p50_us", medianMicros, 3000},
}

func main() {
	a := flag.String("a", "", "`path` of the server in seat A")
	b := flag.String("b", "", "`path` of the server in seat B")
	pairs := flag.Int("pairs", 5, "runs in each seat, interleaved")
	seconds := flag.Float64("seconds", 1, "how long a run should take")
	clients := flag.String("clients", oneThread, "`how` clients use threads: thread or goroutines")
	window := flag.Int64("window", 16<<20, "`bytes` of deliveries under way; 0: no bound")
	names := flag.String("scenario", "", "`names` separated by commas; empty: all")
	reportFile := flag.String("report", "", "`file` of a report to compare the ratios with")
	flag.Parse()
	if err := measure(*a, *b, *pairs, *seconds, model{*clients, *window}, *names, *reportFile); err != nil {
		fmt.Fprintln(os.Stderr, "yardstick:", err)
		os.Exit(1)
	}
}

func measure(a, b string, pairs int, seconds float64, m model, names, reportFile string) error {
	if m.threads != oneThread && m.threads != goroutines {
		return fmt.Errorf("-clients %q: want %s or %s", m.threads, oneThread, goroutines)
	}
	var report *bench.Report
	if reportFile != "" {
		var err error
		if report, err = bench.LoadReport(reportFile); err != nil {
			return err
		}
	}
	fmt.Printf("%d pairs of about %.3g s, clients: %s, %s\n\n", pairs, seconds, m.threads, m.bound())
	fmt.Printf("| %-9s | %-14s | %12s | %12s | %7s | %-11s | %-15s | %7s |\n", "scenario", "figure", "A", "B", "ratio", "spread", "the benchmark's", "apart")
	fmt.Println("|---|---|--:|--:|--:|---|--:|--:|")
	for _, w := range works {
		if names != "" && !slices.Contains(strings.Split(names, ","), w.name) {
			continue
		}
		as, bs, err := w.pairs(a, b, pairs, seconds, m)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		var ratios []float64
		for i := range as {
			ratios = append(ratios, as[i]/bs[i])
		}
		ratio := median(ratios)
		theirs, apart := w.against(report, ratio)
		fmt.Printf("| %-9s | %-14s | %12.3f | %12.3f | %5.2f × | %-11s | %-15s | %7s |\n", w.name, w.metric, median(as), median(bs), ratio,
			fmt.Sprintf("%.2f–%.2f", slices.Min(ratios), slices.Max(ratios)), theirs, apart)
	}
	fmt.Printf("\nother processes used %.2f cores meanwhile, %.2f at most in a run\n", median(others), slices.Max(append(others, 0)))
	return nil
}

// against returns the report's ratio and how far the one here is from it.
func (w work) against(report *bench.Report, ratio float64) (theirs, apart string) {
	if report == nil {
		return "", ""
	}
	for _, s := range report.Scenarios {
		if q, ok := s.Ratio[w.metric]; ok && s.Name == w.name {
			return fmt.Sprintf("%.2f ×", q.Median), fmt.Sprintf("%+.0f %%", 100*(ratio/q.Median-1))
		}
	}
	return "not there", ""
}

// pairs returns one figure per run in each seat.
func (w work) pairs(a, b string, pairs int, seconds float64, m model) (as, bs []float64, err error) {
	var sizes [2]int
	for i, path := range []string{a, b} {
		sizes[i] = w.first
		for range 2 { // the first guess comes from a run that is mostly start
			o, _, err := w.once(path, sizes[i], m)
			if err != nil {
				return nil, nil, err
			}
			sizes[i] = max(w.first, int(float64(sizes[i])*seconds/o.seconds))
		}
	}
	for range pairs {
		for i, path := range []string{a, b} {
			o, cpu, err := w.once(path, sizes[i], m)
			if err != nil {
				return nil, nil, err
			}
			if i == 0 {
				as = append(as, w.read(o, cpu))
			} else {
				bs = append(bs, w.read(o, cpu))
			}
		}
	}
	return as, bs, nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
