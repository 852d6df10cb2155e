package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// confidentPairs is how many pairs it takes before "all on one side" means
// something: by chance that happens once in 2^(n-1) times, so 6 % for five.
const confidentPairs = 5

// worthTelling is the smallest change that is called one.
const worthTelling = 0.02

// verdict judges the ratio of a metric from its pairs: "better" or "worse"
// only when every pair is on the same side and the median is not negligible.
func verdict(m Metric, q []float64) string {
	s := spreadOf(q)
	neutral, tell := 1.0, worthTelling
	if m.Difference {
		neutral, tell = 0, 1
	}
	switch {
	case m.Neutral:
		return ""
	case len(q) < confidentPairs:
		return fmt.Sprintf("? too few pairs (%d of %d)", len(q), confidentPairs)
	case s.Min <= neutral && s.Max >= neutral || s.Median > neutral-tell && s.Median < neutral+tell:
		return "~ no change beyond noise"
	case (s.Median > neutral) == m.Lower:
		return "worse"
	}
	return "better"
}

// WriteChange prints how the new build (seat A) differs from the base (seat B)
// of a report whose pairs were interleaved: the only comparison that a shared
// machine's drift cannot spoil.
func (r *Report) WriteChange(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "scenario\tfigure\t%s\t%s\tratio\tspread\t\n", r.Seats[0].Name, r.Seats[1].Name)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Skipped+s.Error != "" {
			fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Skipped+s.Error)
			continue
		}
		for _, m := range Metrics {
			a, b := s.A[m.Name], s.B[m.Name]
			if len(a) == 0 || !s.shows(m.Name) {
				continue
			}
			fmt.Fprintf(t, "%s\t%s, %s\t%s\t%s\t%s\t%s\t%s\n", s.Name, m.Title, m.Unit, human(spreadOf(a).Median),
				human(spreadOf(b).Median), ratioText(m, s.Ratio), ratioSpread(m, s.Ratio), verdict(m, ratios(m, a, b)))
		}
	}
	t.Flush()
}

// WriteDrift prints how the ratios to the reference in a fresh report differ
// from those in an older one. The two were measured at different times, so
// only ranges that do not touch are called a change.
func WriteDrift(w io.Writer, base, fresh *Report) {
	if base.Environment.CPU != fresh.Environment.CPU || base.Environment.Cores != fresh.Environment.Cores {
		fmt.Fprintf(w, "The base was measured on another machine (%s, %d cores): only ratios are compared, and they move with the machine.\n\n",
			base.Environment.CPU, base.Environment.Cores)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tfigure\tratio before\tratio now\t")
	for i := range fresh.Scenarios {
		s := &fresh.Scenarios[i]
		old := base.scenario(s.Name)
		m := s.mainMetric()
		before, okBefore := Spread{}, false
		if old != nil {
			before, okBefore = old.Ratio[m.Name]
		}
		now, okNow := s.Ratio[m.Name]
		switch {
		case s.Skipped+s.Error != "":
			fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Skipped+s.Error)
		case !okBefore || !okNow:
			fmt.Fprintf(t, "%s\tnot in both reports\n", s.Name)
		default:
			fmt.Fprintf(t, "%s\t%s\t%s (%s)\t%s (%s)\t%s\n", s.Name, m.Title, ratioText(m, old.Ratio), ratioSpread(m, old.Ratio),
				ratioText(m, s.Ratio), ratioSpread(m, s.Ratio), drift(m, before, now))
		}
	}
	t.Flush()
}

func drift(m Metric, before, now Spread) string {
	switch {
	case now.Min > before.Max && m.Lower, now.Max < before.Min && !m.Lower:
		return "worse"
	case now.Min > before.Max, now.Max < before.Min:
		return "better"
	}
	return "~ ranges overlap"
}

func (r *Report) scenario(name string) *ScenarioReport {
	for i := range r.Scenarios {
		if r.Scenarios[i].Name == name {
			return &r.Scenarios[i]
		}
	}
	return nil
}
