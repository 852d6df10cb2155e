package bench

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// Metric describes a figure.
type Metric struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit"`
	Short string `json:"-"` // for narrow charts; empty: Title
	// Lower says that less is better. Neutral figures are no judgement.
	Lower   bool `json:"lower_is_better,omitempty"`
	Neutral bool `json:"neutral,omitempty"`
	// Difference says that the figure is already relative to something in the
	// same run, so A-B is reported instead of A/B.
	Difference bool `json:"difference,omitempty"`
}

// Metrics lists every figure that a run can yield, in the order of reports.
var Metrics = []Metric{
	{Name: "msgs_per_s", Title: "messages", Unit: "msg/s"},
	{Name: "mb_per_s", Title: "payload and frames", Unit: "MB/s"},
	{Name: "conns_per_s", Title: "connections", Unit: "conn/s"},
	{Name: "cpu_us_per_msg", Title: "server CPU per message", Short: "CPU per message", Unit: "µs", Lower: true},
	{Name: "cpu_user_us_per_msg", Title: "· user", Unit: "µs", Lower: true},
	{Name: "cpu_sys_us_per_msg", Title: "· system", Unit: "µs", Lower: true},
	{Name: "msgs_per_cpu_s", Title: "messages per server CPU second", Short: "messages per CPU s", Unit: "msg/s"},
	{Name: "cpu_us_per_conn", Title: "server CPU per connection made", Unit: "µs", Lower: true},
	{Name: "lat_p50_us", Title: "latency p50", Unit: "µs", Lower: true},
	{Name: "lat_p90_us", Title: "latency p90", Unit: "µs", Lower: true},
	{Name: "lat_p99_us", Title: "latency p99", Unit: "µs", Lower: true},
	{Name: "lat_p999_us", Title: "latency p99.9", Unit: "µs", Lower: true},
	{Name: "lat_max_us", Title: "latency max", Unit: "µs", Lower: true},
	{Name: "loss_pct", Title: "steady traffic lost to the neighbour", Unit: "%", Lower: true, Difference: true},
	{Name: "churn_per_s", Title: "neighbour's requests", Unit: "req/s", Neutral: true},
	{Name: "kib_per_conn", Title: "resident memory per connection", Short: "memory per connection", Unit: "KiB", Lower: true},
	{Name: "rss_peak_mb", Title: "peak resident memory", Unit: "MiB", Lower: true},
	{Name: "server_cores", Title: "server's share", Unit: "cores", Neutral: true},
	{Name: "generator_cores", Title: "generator's share", Unit: "cores", Neutral: true},
	{Name: othersCores, Title: "everybody else's share", Unit: "cores", Neutral: true, Difference: true},
}

// othersCores is the metric that tells how quiet the machine was.
const othersCores = "others_cores"

// Scenario is one piece of work.
type Scenario struct {
	Name  string
	Title string
	Doc   string // what it shows, one or two sentences
	Main  string // the metric that matters most
	Group string // heading in reports

	Quick   bool          // part of the short set
	Wire    bool          // a run against the bare relay is a meaningful ceiling
	Process bool          // looks into the server's process
	TLS     bool          // the server is started with a certificate
	Loops   int           // the server is started for that many cores; 0: all
	AtLeast time.Duration // a shorter run would not show the effect
	Config  string        // the server is started with this configuration file
	Later   string        // not there yet, and what it waits for
	run     func(*run) error
}

// FindScenarios resolves a comma-separated list of names. "quick" is the short
// set, "full" everything that exists today. Errors name what is known.
func FindScenarios(list string) ([]*Scenario, error) {
	switch list {
	case "quick":
		return selectScenarios(func(s *Scenario) bool { return s.Quick }), nil
	case "full", "all":
		return selectScenarios(func(s *Scenario) bool { return s.Later == "" }), nil
	}
	var found []*Scenario
	for name := range strings.SplitSeq(list, ",") {
		s := scenarioNamed(strings.TrimSpace(name))
		if s == nil {
			return nil, fmt.Errorf("no scenario named %q; there are: %s", name, strings.Join(ScenarioNames(), " "))
		}
		found = append(found, s)
	}
	return found, nil
}

func selectScenarios(want func(*Scenario) bool) (out []*Scenario) {
	for _, s := range catalogue {
		if want(s) {
			out = append(out, s)
		}
	}
	return out
}

func scenarioNamed(name string) *Scenario {
	for _, s := range catalogue {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// ScenarioNames lists what FindScenarios knows, sorted.
func ScenarioNames() []string {
	var names []string
	for _, s := range catalogue {
		names = append(names, s.Name)
	}
	sort.Strings(names)
	return names
}
