package bench

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Values are the figures of one run, by metric name.
type Values map[string]float64

// Result is what one run gave.
type Result struct {
	Values Values
	hist   *hdrhistogram.Histogram // of latencies in ns; nil without
}

// Comparison is what interleaved runs of one scenario gave. B is empty when
// only one server was measured.
type Comparison struct {
	Scenario *Scenario
	A, B     []Result // by pair
	BFirst   []bool   // by pair: B ran before A
	Ceiling  Values   // of one run against the relay; nil when that says nothing
	Skipped  string   // why it was not run
	Err      error    // why there is nothing, or less than was asked
}

// Spread is the middle and the ends of a set of figures.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns zeros for an empty set.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	s := Spread{Median: v[mid], Min: v[0], Max: v[len(v)-1]}
	if len(v)%2 == 0 {
		s.Median = (v[mid-1] + v[mid]) / 2
	}
	return s
}

// column gathers one metric of all runs.
func column(runs []Result, metric string) (out []float64) {
	for _, r := range runs {
		if x, ok := r.Values[metric]; ok {
			out = append(out, x)
		}
	}
	return out
}

// ratios returns a/b pair by pair (a-b for a difference), for pairs where that
// means something.
func ratios(m Metric, a, b []float64) (out []float64) {
	for i := range min(len(a), len(b)) {
		r := a[i] / b[i]
		if m.Difference {
			r = a[i] - b[i]
		}
		if !math.IsNaN(r) && !math.IsInf(r, 0) {
			out = append(out, r)
		}
	}
	return out
}

// curvePoints are the percentiles of a latency curve.
var curvePoints = []float64{1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}

// latencyCurve merges the runs' histograms: µs at each of curvePoints; nil
// when nothing was recorded.
func latencyCurve(runs []Result) (curve []float64) {
	all := newHistogram()
	for _, r := range runs {
		if r.hist != nil {
			all.Merge(r.hist)
		}
	}
	if all.TotalCount() == 0 {
		return nil
	}
	for _, p := range curvePoints {
		curve = append(curve, float64(all.ValueAtPercentile(p))/1e3)
	}
	return curve
}
