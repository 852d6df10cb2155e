package bench

import (
	_ "embed"
	"errors"
	"html/template"
	"io"
	"slices"
)

var errNoRatios = errors.New("no ratios to draw: only one server was measured")

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"human":  human,
	"spread": spreadOf,
}).Parse(pageText))

// panel is one chart with its heading.
type panel struct {
	Title, Note string
	Chart       template.HTML // made by chart.go, which escapes what it prints
}

// row is one line of the page's table.
type row struct {
	Scenario, Figure, A, B, Ratio, Spread, Wire, Sync string
	Main                                              bool
}

// HTML writes a page that needs nothing else: no script, no font, no network.
func (r *Report) HTML(w io.Writer) error {
	return page.Execute(w, map[string]any{
		"Report": r, "TwoSided": r.twoSided(), "Panels": r.panels(), "Curves": r.curvePanels(),
		"Gains": template.HTML(r.gainChart("")), "Rows": r.rows(), "Problems": r.problems(),
		"Quietness": r.quietness(),
	})
}

func (r *Report) panels() (out []panel) {
	add := func(title, note, metric string, want func(*ScenarioReport) bool) {
		if chart := r.metricChart(metricNamed(metric), want); chart != "" {
			out = append(out, panel{title, note, template.HTML(chart)})
		}
	}
	always := func(*ScenarioReport) bool { return true }
	saturated := func(s *ScenarioReport) bool {
		return slices.Contains([]string{"msgs_per_s", "cpu_us_per_msg", "msgs_per_cpu_s", "loss_pct"}, s.Main)
	}
	add("Messages a second", "More is better. Every row has its own scale.", "msgs_per_s", saturated)
	add("Server CPU per message, µs", "Less is better.", "cpu_us_per_msg", always)
	add("Resident memory per idle connection, KiB", "Less is better.", "kib_per_conn", always)
	add("Connections made a second", "More is better.", "conns_per_s", always)
	add("Peak resident memory, MiB", "Less is better.", "rss_peak_mb", saturated)
	return out
}

func (r *Report) curvePanels() (out []panel) {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if chart := r.curveChart(s); chart != "" {
			out = append(out, panel{s.Title, s.Doc, template.HTML(chart)})
		}
	}
	return out
}

func (r *Report) rows() (out []row) {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		title := s.Title
		for _, m := range Metrics {
			if len(s.A[m.Name]) == 0 || !s.shows(m.Name) {
				continue
			}
			line := row{Scenario: title, Figure: m.Title + ", " + m.Unit, Main: m.Name == s.Main, Sync: s.syncShort(),
				A: human(spreadOf(s.A[m.Name]).Median)}
			if r.twoSided() {
				line.B = human(spreadOf(s.B[m.Name]).Median)
				line.Ratio, line.Spread = ratioText(m, s.Ratio), ratioSpread(m, s.Ratio)
			}
			if percent, ok := s.wirePercent(s.A); ok && m.Name == "msgs_per_s" {
				line.Wire = human(percent) + " %"
			}
			out = append(out, line)
			title = ""
		}
	}
	return out
}

// problems lists what was skipped or went wrong.
func (r *Report) problems() (out []string) {
	for _, s := range r.Scenarios {
		if s.Skipped+s.Error != "" {
			out = append(out, s.Name+": "+s.Skipped+s.Error)
		}
	}
	return out
}
