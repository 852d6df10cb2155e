package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Charts are drawn for a column of 400 units, so that their text stays legible
// on a phone; wider pages put several side by side. Colours come from classes:
// the page's style, or chartStyle where a chart stands alone.
const (
	chartWidth = 400
	rowHeight  = 40
)

const chartStyle = `<style>text{font:12px system-ui,sans-serif;fill:#1b1f24;stroke:#fff;stroke-width:3px;paint-order:stroke}.dim{font-size:11px;fill:#667}.a{fill:#1769aa}.b{fill:#b9bec6}` +
	`.la{stroke:#1769aa}.lb{stroke:#8a9099}.line{fill:none;stroke-width:2}.spread{stroke:#1b1f24;stroke-width:1.2}` +
	`.grid{stroke:#dde1e6;stroke-width:1}.one{stroke:#1b1f24;stroke-width:1;stroke-dasharray:3 3}</style>` +
	`<rect width="100%" height="100%" fill="#fff"/>`

// drawing collects one chart.
type drawing struct {
	strings.Builder
	height float64
}

func (d *drawing) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
}

func (d *drawing) bar(x, y, w, h float64, class string) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" class="%s"/>`, x, y, max(w, 1), h, class)
}

func (d *drawing) rule(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(d, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// whisker marks the range from x1 to x2 around height y.
func (d *drawing) whisker(x1, x2, y float64) {
	d.rule(x1, y, x2, y, "spread")
	d.rule(x1, y-3, x1, y+3, "spread")
	d.rule(x2, y-3, x2, y+3, "spread")
}

// finish wraps the drawing as an SVG element that is read out as title.
func (d *drawing) finish(title, style string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" role="img" aria-label="%s">%s%s</svg>`,
		chartWidth, d.height, html.EscapeString(title), style, d.String())
}

// gain is how many times better A is than B in a scenario's main figure.
type gain struct {
	title, figure string
	Spread
}

// gains lists the scenarios whose main figure has a ratio; for figures where
// less is better it is turned over, so that more is always better.
func (r *Report) gains() (out []gain) {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		m := s.mainMetric()
		q, ok := s.Ratio[m.Name]
		if !ok || m.Difference || q.Min <= 0 {
			continue
		}
		if m.Lower {
			q = Spread{Median: 1 / q.Median, Min: 1 / q.Max, Max: 1 / q.Min}
		}
		figure := m.Short
		if figure == "" {
			figure = m.Title
		}
		out = append(out, gain{s.Title, figure, q})
	}
	return out
}

// gainChart draws gains on a logarithmic scale with the 1 × line.
func (r *Report) gainChart(style string) string {
	all := r.gains()
	if len(all) == 0 {
		return ""
	}
	low, high := 1.0, 2.0
	for _, g := range all {
		low, high = min(low, g.Min), max(high, g.Max)
	}
	low, high = low*0.95, high*1.05
	const left, right = 0, chartWidth - 56
	at := func(v float64) float64 {
		return left + (right-left)*(math.Log(v)-math.Log(low))/(math.Log(high)-math.Log(low))
	}
	d := &drawing{height: float64(len(all))*rowHeight + 24}
	for _, tick := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100} {
		if tick < low || tick > high {
			continue
		}
		class := "grid"
		if tick == 1 {
			class = "one"
		}
		d.rule(at(tick), 0, at(tick), d.height-18, class)
		d.text(at(tick), d.height-4, "dim", "middle", fmt.Sprintf("%g ×", tick))
	}
	for i, g := range all {
		y := float64(i) * rowHeight
		d.text(0, y+13, "", "start", g.title)
		d.text(chartWidth, y+13, "dim", "end", g.figure)
		from, to := min(at(1), at(g.Median)), max(at(1), at(g.Median))
		d.bar(from, y+18, to-from, 14, "a")
		d.whisker(at(g.Min), at(g.Max), y+25)
		d.text(chartWidth, y+30, "", "end", fmt.Sprintf("%.2f ×", g.Median))
	}
	return d.finish("how many times better, by scenario", style)
}

// metricChart draws one figure of every scenario that has it: a row each, with
// a bar per seat. Each row has its own scale, since figures of different
// scenarios cannot be compared.
func (r *Report) metricChart(m Metric, want func(*ScenarioReport) bool) string {
	d := &drawing{}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if len(s.A[m.Name]) == 0 || !want(s) {
			continue
		}
		a, b := spreadOf(s.A[m.Name]), spreadOf(s.B[m.Name])
		if max(a.Max, b.Max) <= 0 {
			continue
		}
		d.text(0, d.height+13, "", "start", s.Title)
		scale := (chartWidth - 80) / max(a.Max, b.Max)
		d.metricBar(a, scale, "a")
		if len(s.B[m.Name]) > 0 {
			d.metricBar(b, scale, "b")
		}
		d.height += 24
	}
	if d.height == 0 {
		return ""
	}
	return d.finish(m.Title, "")
}

// metricBar draws below what is there already, leaving room for a row's title.
func (d *drawing) metricBar(s Spread, scale float64, class string) {
	y := d.height + 18
	d.bar(0, y, s.Median*scale, 12, class)
	d.whisker(s.Min*scale, s.Max*scale, y+6)
	d.text(chartWidth, y+10, "", "end", human(s.Median))
	d.height += 15
}

// curveChart draws latency against percentile, both logarithmic.
func (r *Report) curveChart(s *ScenarioReport) string {
	if len(s.CurveA) == 0 {
		return ""
	}
	const left, top, bottom = 56, 8, 190
	nines := func(p float64) float64 { return -math.Log10(1 - min(p, 99.99)/100) }
	first, last := nines(r.Percentiles[0]), 4.0
	low, high := math.Inf(1), 0.0
	for _, v := range append(append([]float64{}, s.CurveA...), s.CurveB...) {
		low, high = min(low, max(v, 0.1)), max(high, v)
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high*1.0001)))
	x := func(p float64) float64 { return left + (chartWidth-left-8)*(nines(p)-first)/(last-first) }
	y := func(v float64) float64 {
		return bottom - (bottom-top)*(math.Log10(max(v, 0.1))-math.Log10(low))/(math.Log10(high)-math.Log10(low))
	}
	d := &drawing{height: bottom + 22}
	for v := low; v <= high*1.0001; v *= 10 {
		d.rule(left, y(v), chartWidth, y(v), "grid")
		d.text(left-4, y(v)+4, "dim", "end", micros(v))
	}
	for _, p := range []float64{50, 90, 99, 99.9, 99.99} {
		d.rule(x(p), top, x(p), bottom, "grid")
		d.text(min(x(p), chartWidth-20), bottom+15, "dim", "middle", fmt.Sprintf("p%g", p))
	}
	d.curve(r.Percentiles, s.CurveB, x, y, "line lb")
	d.curve(r.Percentiles, s.CurveA, x, y, "line la")
	return d.finish(s.Title+": latency by percentile", "")
}

func (d *drawing) curve(percentiles, values []float64, x, y func(float64) float64, class string) {
	var points []string
	for i, v := range values {
		if p := percentiles[i]; p <= 99.99 {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(p), y(v)))
		}
	}
	fmt.Fprintf(d, `<polyline class="%s" points="%s"/>`, class, strings.Join(points, " "))
}

// micros writes a round number of microseconds.
func micros(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g s", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g ms", v/1e3)
	}
	return fmt.Sprintf("%g µs", v)
}

// SVG writes the chart of gains as a picture of its own.
func (r *Report) SVG(w io.Writer) error {
	chart := r.gainChart(chartStyle)
	if chart == "" {
		return errNoRatios
	}
	_, err := io.WriteString(w, chart+"\n")
	return err
}
