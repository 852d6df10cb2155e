package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"
)

// Schema names the report's format. A reader refuses another major number;
// fields may be added without changing it.
const Schema = "peregrine-bench/1"

// Report is a finished set of measurements, as it is kept in a file.
type Report struct {
	Schema      string           `json:"schema"`
	When        time.Time        `json:"when"`
	Command     string           `json:"command"`
	Environment Environment      `json:"environment"`
	Seats       []Seat           `json:"seats"` // A, then B if there is one
	Settings    Settings         `json:"settings"`
	Metrics     []Metric         `json:"metrics"`
	Percentiles []float64        `json:"percentiles"` // of latency curves
	Scenarios   []ScenarioReport `json:"scenarios"`
	// OtherCores is how many cores' worth of CPU processes other than server
	// and generator used while measuring: median over all runs. Above
	// disturbedCores the figures are those of a busy machine.
	OtherCores float64 `json:"other_cores"`
}

const disturbedCores = 0.15

// Seat is one of the servers compared.
type Seat struct {
	Name    string   `json:"name"`
	Version string   `json:"version"` // as --version prints it, revision included
	Args    []string `json:"args,omitempty"`
}

// Settings repeat what the measurement was asked to do.
type Settings struct {
	Pairs       int     `json:"pairs"`
	Duration    float64 `json:"duration_s"`
	Warmup      float64 `json:"warmup_s"`
	WindowBytes int     `json:"window_bytes"`
	Readers     int     `json:"readers"`
	Seed        uint64  `json:"seed"`
	ServerCPUs  []int   `json:"server_cpus,omitempty"`
	ClientCPUs  []int   `json:"client_cpus,omitempty"`
}

// ScenarioReport is one scenario's figures. A and B hold one number per pair,
// in the order of the pairs; Order names the seat that began each.
type ScenarioReport struct {
	Name    string               `json:"name"`
	Title   string               `json:"title"`
	Doc     string               `json:"doc"`
	Group   string               `json:"group"`
	Main    string               `json:"main"`
	Sync    string               `json:"sync"` // what was on disk before an acknowledgement
	Order   string               `json:"order,omitempty"`
	A       map[string][]float64 `json:"a,omitempty"`
	B       map[string][]float64 `json:"b,omitempty"`
	Ratio   map[string]Spread    `json:"ratio,omitempty"` // A/B, or A-B for differences
	CurveA  []float64            `json:"curve_a_us,omitempty"`
	CurveB  []float64            `json:"curve_b_us,omitempty"`
	Ceiling map[string]float64   `json:"ceiling,omitempty"`
	Skipped string               `json:"skipped,omitempty"`
	Error   string               `json:"error,omitempty"`
}

// syncNone is the sync policy of scenarios that store nothing.
const syncNone = "none (core messages, nothing stored)"

// add appends one comparison.
func (r *Report) add(c Comparison) *ScenarioReport {
	s := ScenarioReport{
		Name: c.Scenario.Name, Title: c.Scenario.Title, Doc: c.Scenario.Doc, Group: c.Scenario.Group,
		Main: c.Scenario.Main, Sync: syncNone, Skipped: c.Skipped, Ceiling: c.Ceiling,
		CurveA: latencyCurve(c.A), CurveB: latencyCurve(c.B),
	}
	if c.Err != nil {
		s.Error = c.Err.Error()
	}
	if len(c.B) > 0 {
		for _, bFirst := range c.BFirst {
			s.Order += map[bool]string{false: "A", true: "B"}[bFirst]
		}
	}
	s.A, s.B, s.Ratio = map[string][]float64{}, map[string][]float64{}, map[string]Spread{}
	for _, m := range Metrics {
		a, b := column(c.A, m.Name), column(c.B, m.Name)
		if len(a) > 0 {
			s.A[m.Name] = a
		}
		if len(b) > 0 {
			s.B[m.Name] = b
		}
		if q := ratios(m, a, b); len(q) > 0 {
			s.Ratio[m.Name] = spreadOf(q)
		}
	}
	r.Scenarios = append(r.Scenarios, s)
	r.OtherCores = r.otherCores()
	return &r.Scenarios[len(r.Scenarios)-1]
}

func (r *Report) otherCores() float64 {
	var all []float64
	for _, s := range r.Scenarios {
		all = append(append(all, s.A[othersCores]...), s.B[othersCores]...)
	}
	return spreadOf(all).Median
}

// quietness says how much the rest of the machine disturbed.
func (r *Report) quietness() string {
	text := fmt.Sprintf("other processes used %.2f cores meanwhile", r.OtherCores)
	if r.OtherCores > disturbedCores {
		text += ": a busy machine, so read the ratios and CPU per message, not the absolute figures"
	}
	return text
}

// mainMetric is the figure that the scenario is about.
func (s *ScenarioReport) mainMetric() Metric { return metricNamed(s.Main) }

func metricNamed(name string) Metric {
	i := slices.IndexFunc(Metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{Name: name, Title: name}
	}
	return Metrics[i]
}

// wirePercent is how much of the relay's rate A reached; ok is false where
// that was not measured.
func (s *ScenarioReport) wirePercent(seat map[string][]float64) (percent float64, ok bool) {
	ceiling, have := s.Ceiling["msgs_per_s"], len(seat["msgs_per_s"]) > 0
	if ceiling == 0 || !have || s.Group == groupLatency { // there the rate is given
		return 0, false
	}
	return 100 * spreadOf(seat["msgs_per_s"]).Median / ceiling, true
}

func (r *Report) twoSided() bool { return len(r.Seats) == 2 }

// failed says whether any scenario went wrong (a skipped one did not).
func (r *Report) failed() bool {
	return slices.ContainsFunc(r.Scenarios, func(s ScenarioReport) bool { return s.Error != "" })
}

// Save writes the report as JSON.
func (r *Report) Save(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// LoadReport reads what Save wrote.
func LoadReport(path string) (*Report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: %w: it has %q, this program reads %q", path, errSchema, r.Schema, Schema)
	}
	return r, nil
}

// joinReports makes one report of several that measured other scenarios with the
// same servers, settings and machine. Scenarios come in the catalogue's order.
func joinReports(paths []string) (*Report, error) {
	var all *Report
	for _, path := range paths {
		r, err := LoadReport(path)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = r
			continue
		}
		if !reflect.DeepEqual(r.Seats, all.Seats) || !reflect.DeepEqual(r.Settings, all.Settings) || r.Environment != all.Environment {
			return nil, fmt.Errorf("%s was measured with other servers or settings, or elsewhere, than %s", path, paths[0])
		}
		for i := range r.Scenarios {
			if name := r.Scenarios[i].Name; all.scenario(name) != nil {
				return nil, fmt.Errorf("%s: scenario %s is in an earlier report too", path, name)
			}
		}
		all.Scenarios = append(all.Scenarios, r.Scenarios...)
		all.Command += "; " + r.Command
	}
	names := map[string]int{}
	for i, s := range catalogue {
		names[s.Name] = i
	}
	slices.SortStableFunc(all.Scenarios, func(a, b ScenarioReport) int { return names[a.Name] - names[b.Name] })
	all.OtherCores = all.otherCores()
	return all, nil
}

var errSchema = errors.New("another report format")
