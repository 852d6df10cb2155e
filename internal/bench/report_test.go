package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample is a report with every kind of line in it.
func sample() *Report {
	r := &Report{
		Schema: Schema, When: time.Unix(1_800_000_000, 0).UTC(), Command: "bench --pairs 5", Metrics: Metrics,
		Percentiles: curvePoints, Environment: Environment{CPU: "test <CPU> & co", Cores: 2, Kernel: "6", Governor: "performance"},
		Seats:    []Seat{{Name: "new", Version: "v1"}, {Name: "old", Version: "v0"}},
		Settings: Settings{Pairs: 5, Duration: 0.8, Warmup: 0.25, WindowBytes: 16 << 20},
	}
	runs := func(values ...float64) (out []Result) {
		for _, x := range values {
			h := newHistogram()
			h.RecordValue(int64(1e5 / x))
			out = append(out, Result{hist: h, Values: Values{
				"msgs_per_s": 1e6 * x, "cpu_us_per_msg": 1 / x, "lat_p50_us": 100 / x, "lat_p99_us": 1e5 / x,
				"loss_pct": 3 * x, "kib_per_conn": 44 / x, "rss_peak_mb": 20,
			}})
		}
		return out
	}
	r.add(Comparison{Scenario: scenarioNamed("1to1-16"), A: runs(5, 5.2, 4.8, 5.1, 5), B: runs(1, 1, 1.1, 0.9, 1),
		Ceiling: Values{"msgs_per_s": 2e7}})
	r.add(Comparison{Scenario: scenarioNamed("rr1-64"), A: runs(2, 2, 2, 2, 2), B: runs(1, 1, 3, 1, 1)})
	r.add(Comparison{Scenario: scenarioNamed("churn"), A: runs(1, 1, 1, 1, 1), B: runs(2, 2, 2, 2, 2)})
	r.add(Comparison{Scenario: scenarioNamed("idle1k"), A: runs(9, 9, 9), B: runs(1, 1, 1)})
	r.add(Comparison{Scenario: scenarioNamed("loops8"), Skipped: "skipped: 8 loops want 8 cores"})
	r.add(Comparison{Scenario: scenarioNamed("storm"), Err: errors.New("went | wrong <badly>")})
	return r
}

func TestReportSurvivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	r := sample()
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := LoadReport(path)
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	r.Markdown(&a)
	back.Markdown(&b)
	if a.String() != b.String() {
		t.Errorf("differs after loading:\n%s\n%s", a.String(), b.String())
	}
	if !back.failed() || !back.twoSided() || back.scenario("rr1-64") == nil || back.scenario("nope") != nil {
		t.Error("the loaded report is not the one saved")
	}
}

func TestLoadReportRefusesOtherFormats(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"other.json": `{"schema":"peregrine-bench/2"}`, "empty.json": `{}`, "text.json": "hello",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadReport(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRatios(t *testing.T) {
	r := sample()
	if q := r.scenario("1to1-16").Ratio["msgs_per_s"]; q.Median != 5 || q.Min < 4.3 || q.Max > 5.7 {
		t.Errorf("%+v", q)
	}
	if q := r.scenario("churn").Ratio["loss_pct"]; q.Median != -3 {
		t.Errorf("a difference is not divided: %+v", q)
	}
	if q := ratios(Metric{}, []float64{1, 2}, []float64{0, 1}); len(q) != 1 || q[0] != 2 {
		t.Errorf("division by nothing: %v", q)
	}
	if s := spreadOf([]float64{4, 1, 3, 2}); s != (Spread{2.5, 1, 4}) {
		t.Errorf("%+v", s)
	}
	if percent, ok := r.scenario("1to1-16").wirePercent(r.scenario("1to1-16").A); !ok || percent != 25 {
		t.Errorf("%v %v", percent, ok)
	}
}

func TestTextForms(t *testing.T) {
	r := sample()
	var md, text bytes.Buffer
	if err := r.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	for i := range r.Scenarios {
		r.writeText(&text, &r.Scenarios[i])
	}
	for _, want := range []string{"5.00 ×", "8 loops want 8 cores", "25 %", "44.0"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("no %q in the tables:\n%s", want, md.String())
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the text:\n%s", want, text.String())
		}
	}
	if !strings.Contains(md.String(), `went \| wrong`) || !strings.Contains(text.String(), "FAILED: went") {
		t.Error("the failure is not told")
	}
	r.Seats, r.Scenarios[0].B = r.Seats[:1], nil
	text.Reset()
	r.writeText(&text, &r.Scenarios[0])
	if strings.Contains(text.String(), "ratio") {
		t.Errorf("one-sided, with a ratio:\n%s", text.String())
	}
}

// The page holds well-formed pictures, escapes what it is given, and asks for
// nothing from elsewhere.
func TestPage(t *testing.T) {
	r := sample()
	var page, picture bytes.Buffer
	if err := errors.Join(r.HTML(&page), r.SVG(&picture)); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	for _, bad := range []string{"<CPU>", "<badly>", "<script", "src=", "href=", "@import", "NaN", "Inf"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	count := 0
	for rest := html; ; count++ {
		from := strings.Index(rest, "<svg")
		if from < 0 {
			break
		}
		to := strings.Index(rest, "</svg>") + len("</svg>")
		wellFormed(t, rest[from:to])
		rest = rest[to:]
	}
	if count < 5 {
		t.Errorf("only %d pictures", count)
	}
	wellFormed(t, picture.String())
	r.Seats = r.Seats[:1]
	for i := range r.Scenarios {
		r.Scenarios[i].B, r.Scenarios[i].Ratio, r.Scenarios[i].CurveB = nil, nil, nil
	}
	page.Reset()
	if err := r.HTML(&page); err != nil || strings.Contains(page.String(), "times better") {
		t.Errorf("one-sided page: %v", err)
	}
	if err := r.SVG(io.Discard); !errors.Is(err, errNoRatios) {
		t.Errorf("one-sided picture: %v", err)
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Errorf("%v in %s", err, svg)
			return
		}
	}
}

func TestVerdict(t *testing.T) {
	is := func(want string, m Metric, q ...float64) {
		t.Helper()
		if got := verdict(m, q); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%v: %q, want %q", q, got, want)
		}
	}
	more, less := Metric{}, Metric{Lower: true}
	is("better", more, 1.1, 1.2, 1.1, 1.05, 1.3)
	is("worse", less, 1.1, 1.2, 1.1, 1.05, 1.3)
	is("worse", more, 0.9, 0.8, 0.9, 0.9, 0.9)
	is("better", less, 0.9, 0.8, 0.9, 0.9, 0.9)
	is("~", more, 1.1, 1.2, 0.99, 1.05, 1.3)
	is("~", more, 1.01, 1.01, 1.01, 1.01, 1.01)
	is("too few", more, 2, 2, 2, 2)
	is("", Metric{Neutral: true}, 2, 2, 2, 2, 2)
	is("better", Metric{Lower: true, Difference: true}, -4, -3, -5, -3, -3)
	is("~", Metric{Lower: true, Difference: true}, -4, -3, 5, -3, -3)
}

func TestChangeTables(t *testing.T) {
	r := sample()
	var out bytes.Buffer
	r.WriteChange(&out)
	for _, want := range []string{"better", "~ no change", "too few", "8 loops want", "went | wrong"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	base := sample()
	base.Environment.Cores = 64
	base.scenario("1to1-16").Ratio["msgs_per_s"] = Spread{9, 8.5, 9.5}
	base.scenario("rr1-64").Ratio["lat_p50_us"] = Spread{3, 2.9, 3.1}
	base.Scenarios = base.Scenarios[:3]
	out.Reset()
	WriteDrift(&out, base, r)
	for _, want := range []string{"another machine", "worse", "better", "ranges overlap", "not in both"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestHuman(t *testing.T) {
	for want, x := range map[string]float64{
		"1,234,568": 1234567.6, "-1,000": -1000, "123": 123.4, "12.3": 12.34, "1.23": 1.234, "0.123": 0.1234, "0.00": 0,
	} {
		if got := human(x); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
}

// Reports of parts become one; what does not belong together is refused.
func TestReportsAreJoined(t *testing.T) {
	dir := t.TempDir()
	part := func(name string, change func(r *Report)) string {
		r := sample()
		change(r)
		path := filepath.Join(dir, name)
		if err := r.Save(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := part("a.json", func(r *Report) { r.Scenarios = r.Scenarios[2:] })
	b := part("b.json", func(r *Report) { r.Scenarios = r.Scenarios[:2] })
	whole := filepath.Join(dir, "whole.json")
	if code, _, stderr := command("--join", a+","+b, "--json", whole); code != exitOK {
		t.Fatalf("code %d: %s", code, stderr)
	}
	got, err := LoadReport(whole)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Scenarios) != len(sample().Scenarios) || got.Scenarios[0].Name != "1to1-16" || got.Scenarios[1].Name != "rr1-64" {
		t.Errorf("%d scenarios, first %s, %s", len(got.Scenarios), got.Scenarios[0].Name, got.Scenarios[1].Name)
	}
	refuses := func(want, list string) {
		t.Helper()
		if code, _, stderr := command("--join", list); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("code %d, said %q, want %q", code, stderr, want)
		}
	}
	refuses("is in an earlier report too", a+","+a)
	refuses("other servers or settings", a+","+part("c.json", func(r *Report) { r.Settings.Pairs, r.Scenarios = 3, r.Scenarios[:1] }))
	refuses("no such file", a+",/nonexistent.json")
}
