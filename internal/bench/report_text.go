package bench

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// writeText prints one scenario for a terminal.
func (r *Report) writeText(w io.Writer, s *ScenarioReport) {
	fmt.Fprintf(w, "%s: %s\n", s.Name, s.Title)
	if len(s.A) > 0 {
		r.writeFigures(w, s)
	}
	if percent, ok := s.wirePercent(s.A); ok {
		fmt.Fprintf(w, "  ceiling: a bare relay moves %s msg/s, of which %s reaches %.0f %%",
			human(s.Ceiling["msgs_per_s"]), r.Seats[0].Name, percent)
		if percent, ok := s.wirePercent(s.B); ok {
			fmt.Fprintf(w, ", %s %.0f %%", r.Seats[1].Name, percent)
		}
		fmt.Fprintln(w)
	}
	if p50, ok := s.Ceiling["lat_p50_us"]; ok {
		fmt.Fprintf(w, "  the bare relay's latency: p50 %s µs, p99 %s µs\n", human(p50), human(s.Ceiling["lat_p99_us"]))
	}
	if s.Skipped != "" {
		fmt.Fprintf(w, "  %s\n", s.Skipped)
	}
	if s.Error != "" {
		fmt.Fprintf(w, "  FAILED: %s\n", s.Error)
	}
	fmt.Fprintln(w)
}

func (r *Report) writeFigures(w io.Writer, s *ScenarioReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if r.twoSided() {
		fmt.Fprintf(t, "\t%s\t%s\tratio\tspread\t\n", r.Seats[0].Name, r.Seats[1].Name)
	} else {
		fmt.Fprintf(t, "\t%s\tspread\t\n", r.Seats[0].Name)
	}
	for _, m := range Metrics {
		a, b := spreadOf(s.A[m.Name]), spreadOf(s.B[m.Name])
		switch {
		case len(s.A[m.Name]) == 0:
		case r.twoSided():
			fmt.Fprintf(t, "%s, %s\t%s\t%s\t%s\t%s\t\n", m.Title, m.Unit, human(a.Median), human(b.Median),
				ratioText(m, s.Ratio), ratioSpread(m, s.Ratio))
		default:
			fmt.Fprintf(t, "%s, %s\t%s\t%s–%s\t\n", m.Title, m.Unit, human(a.Median), human(a.Min), human(a.Max))
		}
	}
	t.Flush()
}

func ratioText(m Metric, all map[string]Spread) string {
	q, ok := all[m.Name]
	if !ok {
		return "–"
	}
	if m.Difference {
		return fmt.Sprintf("%+.1f", q.Median)
	}
	return fmt.Sprintf("%.2f ×", q.Median)
}

func ratioSpread(m Metric, all map[string]Spread) string {
	q, ok := all[m.Name]
	if !ok {
		return ""
	}
	if m.Difference {
		return fmt.Sprintf("%+.1f … %+.1f", q.Min, q.Max)
	}
	return fmt.Sprintf("%.2f–%.2f", q.Min, q.Max)
}

// markdownMetrics are the columns of the summary table, besides the scenario's
// main figure.
var markdownMetrics = []string{"msgs_per_s", "cpu_us_per_msg", "lat_p50_us", "lat_p99_us", "lat_p999_us", "rss_peak_mb"}

// Markdown writes the whole report.
func (r *Report) Markdown(out io.Writer) error {
	w := &bytes.Buffer{}
	e := r.Environment
	fmt.Fprintf(w, "# Benchmark, %s\n\n", r.When.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(w, "`%s`\n\n", r.Command)
	for i, s := range r.Seats {
		fmt.Fprintf(w, "* %c: %s, %s\n", 'A'+i, s.Name, strings.Join(append([]string{s.Version}, s.Args...), " "))
	}
	fmt.Fprintf(w, "* %s, %d cores, %s MiB, %s, kernel %s, governor %s, %s%s\n", e.CPU, e.Cores,
		human(float64(e.MemoryMB)), e.OS, e.Kernel, e.Governor, e.Go, prefixed(", generator ", e.Generator))
	fmt.Fprintf(w, "* %d pairs, interleaved, order within a pair drawn with seed %d; %.3g s measured after %.3g s, longer where a scenario needs it; window %s KiB; medians, and the ratio's extremes\n",
		r.Settings.Pairs, r.Settings.Seed, r.Settings.Duration, r.Settings.Warmup, human(float64(r.Settings.WindowBytes>>10)))
	fmt.Fprintf(w, "* %s\n", r.quietness())
	if len(r.Settings.ServerCPUs)+len(r.Settings.ClientCPUs) > 0 {
		fmt.Fprintf(w, "* server on CPUs %v, generator on CPUs %v\n", r.Settings.ServerCPUs, r.Settings.ClientCPUs)
	}
	group := ""
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(w, "\n## %s\n\n", strings.ToUpper(group[:1])+group[1:])
			r.markdownHead(w)
		}
		r.markdownRows(w, s)
	}
	_, err := w.WriteTo(out)
	return err
}

func (r *Report) markdownHead(w io.Writer) {
	if r.twoSided() {
		fmt.Fprintf(w, "| scenario | figure | %s | %s | ratio | spread | of the wire | sync |\n|---|---|--:|--:|--:|--:|--:|---|\n",
			r.Seats[0].Name, r.Seats[1].Name)
		return
	}
	fmt.Fprintf(w, "| scenario | figure | %s | spread | of the wire | sync |\n|---|---|--:|--:|--:|---|\n", r.Seats[0].Name)
}

func (r *Report) markdownRows(w io.Writer, s *ScenarioReport) {
	if s.Skipped != "" || s.Error != "" {
		fmt.Fprintf(w, "| %s | %s |\n", s.Title, strings.ReplaceAll(s.Skipped+s.Error, "|", "\\|"))
	}
	title := s.Title
	for _, m := range Metrics {
		if len(s.A[m.Name]) == 0 || !s.shows(m.Name) {
			continue
		}
		a, b := spreadOf(s.A[m.Name]), spreadOf(s.B[m.Name])
		wire := ""
		if percent, ok := s.wirePercent(s.A); ok && m.Name == "msgs_per_s" {
			wire = fmt.Sprintf("%.0f %%", percent)
		}
		name := m.Title + ", " + m.Unit
		if m.Name == s.Main {
			name = "**" + name + "**"
		}
		if r.twoSided() {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", title, name, human(a.Median), human(b.Median),
				ratioText(m, s.Ratio), ratioSpread(m, s.Ratio), wire, s.syncShort())
		} else {
			fmt.Fprintf(w, "| %s | %s | %s | %s–%s | %s | %s |\n", title, name, human(a.Median), human(a.Min), human(a.Max), wire, s.syncShort())
		}
		title = ""
	}
}

func (s *ScenarioReport) shows(metric string) bool {
	if metric == s.Main {
		return true
	}
	for _, m := range markdownMetrics {
		if m == metric {
			return true
		}
	}
	return false
}

// syncShort is the policy's first word.
func (s *ScenarioReport) syncShort() string {
	short, _, _ := strings.Cut(s.Sync, " ")
	return short
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// human writes a figure with three significant digits or all of its integer
// part, with separators.
func human(x float64) string {
	switch a := math.Abs(x); {
	case a >= 1000:
		return thousands(int64(math.Round(x)))
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1 || a == 0:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
