package storebench

import (
	"fmt"
	"io"
	"math"
	"strconv"
)

// print writes a table in Markdown, which is also fit to be read as it is.
func (r *results) print(w io.Writer) error {
	for _, e := range r.Environment {
		if _, err := fmt.Fprintln(w, e); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "\n| %-52s | %14s | %-12s | %-10s | %-4s | %s\n|---|--:|---|---|---|---|\n", "work", "figure", "unit", "target", "met", "note |"); err != nil {
		return err
	}
	for _, l := range r.Lines {
		met := ""
		if l.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*l.Met]
		}
		if _, err := fmt.Fprintf(w, "| %-52s | %14s | %-12s | %-10s | %-4s | %s |\n", l.Name, number(l.Value), l.Unit, l.Target, met, l.Note); err != nil {
			return err
		}
	}
	return nil
}

// number is a value with three significant digits, in groups of thousands.
func number(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	if v == math.Trunc(v) && math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
