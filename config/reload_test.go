package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"peregrine/config/corpus"
)

// outcomeOf is what our reload does, in sorted lines.
func outcomeOf(t *testing.T, c corpus.Reload) string {
	var both [2]*Options
	for i, src := range []string{c.Before, c.After} {
		o, _, err := Parse(src, "test.conf", Env{})
		if err == nil {
			err = o.Complete()
		}
		if err != nil && i == 1 {
			return "Failed to reload server configuration: " + strings.TrimSpace(err.Error())
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		both[i] = o
	}
	changes, err := Diff(both[0], both[1])
	if err != nil {
		return "Failed to reload server configuration: " + err.Error()
	}
	var lines []string
	for _, one := range changes {
		if one.Log != "" {
			lines = append(lines, one.Log)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestReload runs the cases against Diff.
func TestReload(t *testing.T) {
	inTestdata(t)
	var b strings.Builder
	b.WriteString("Changes of a configuration and what a reload says of them, in sorted lines.\n")
	cases, err := corpus.Reloads()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		fmt.Fprintf(&b, "\n## %s\n%s>>\n%s==\n%s\n", c.Name, c.Before, c.After, outcomeOf(t, c))
	}
	golden(t, "reload.txt", b.String())
}
