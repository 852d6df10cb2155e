package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Verdict is what there is to say of a configuration file before a server
// starts with it.
type Verdict struct {
	Options  *Options // complete; nil if there are errors
	Warnings []Problem
	Errors   []Problem
	Missing  []string // what it asks for and this version does not have
}

// CheckFile judges the file at path: what -t checks, what a start checks, and
// whether the parts of the server that it asks for exist.
func CheckFile(path string, env Env) Verdict {
	o, warnings, err := Load(path, env)
	v := Verdict{Options: o, Warnings: warnings}
	if err == nil {
		err = o.Complete()
	}
	var problems *Problems
	var syntax *grammar.Error
	switch {
	case err == nil:
		v.Missing = o.Missing()
		return v
	case errors.As(err, &problems):
		v.Warnings, v.Errors = problems.Warnings, problems.Errors
	case errors.As(err, &syntax):
		// The text may name a line alone; the place says the rest.
		v.Errors = []Problem{{Pos: syntax.Pos, Text: syntax.Text}}
	default:
		v.Errors = []Problem{{Text: err.Error()}}
	}
	v.Options = nil
	return v
}

// OK says whether a server would start without a word.
func (v Verdict) OK() bool { return len(v.Warnings)+len(v.Errors)+len(v.Missing) == 0 }

// Write writes a line for each thing there is to say.
func (v Verdict) Write(w io.Writer) {
	for _, p := range v.Warnings {
		fmt.Fprintf(w, "warning: %s\n", p)
	}
	for _, p := range v.Errors {
		fmt.Fprintf(w, "error: %s\n", p)
	}
	for _, line := range v.Missing {
		fmt.Fprintf(w, "missing: %s\n", line)
	}
}

// Show writes what o's options are set to and by what: a line each, with the
// path in the table. all adds those that nothing set. Secrets are left out. o is
// complete.
func (o *Options) Show(w io.Writer, all bool) {
	rows := Table()
	for i := range rows {
		row := &rows[i]
		value, ok := row.Get(o)
		if !ok || told(rows, i) {
			continue
		}
		pos, set := o.where[row.Path]
		if !set && !all || !set && isEmpty(value) {
			continue
		}
		source := "default"
		switch {
		case set && pos.Line > 0:
			source = pos.String()
		case set && pos.File != "":
			source = "option " + pos.File
		}
		if row.Secret && !reflect.ValueOf(value).IsZero() {
			value = redacted
		}
		fmt.Fprintf(w, "%s: %s  # %s\n", row.Path, written(value), source)
	}
}

// written is v as a file could have it.
func written(v any) string {
	switch v := plainValue(v).(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case time.Duration:
		return fmt.Sprintf("%q", v)
	case WriteTimeout:
		return fmt.Sprintf("%q", v)
	case []string:
		return fmt.Sprintf("%q", v)
	case map[string]string:
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprint(v)
	}
}

// ErrUnknownKey says that no option has the name that Explain was asked for.
var ErrUnknownKey = errors.New("no option has that name")

// Explain writes all that the table knows of an option: of a path such as
// "cluster.pool_size", or of every option with that name or alias.
func Explain(w io.Writer, name string) error {
	var found []*Option
	rows := Table()
	for i := range rows {
		if explains(&rows[i], strings.ToLower(name)) {
			found = append(found, &rows[i])
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("%q: %w", name, ErrUnknownKey)
	}
	// What many blocks have is told once.
	told := make(map[string]string)
	for _, o := range found {
		var b strings.Builder
		o.explain(&b)
		if first, same := told[b.String()]; same {
			fmt.Fprintf(w, "%s: as %s\n\n", o.Path, first)
			continue
		}
		told[b.String()] = o.Path
		fmt.Fprintf(w, "%s\n%s\n", o.Path, b.String())
	}
	return nil
}

// explains says whether name is o's path, or its name or alias.
func explains(o *Option, name string) bool {
	if o.Path == name || o.Name() == name || strings.ReplaceAll(o.Path, "[]", "") == name {
		return true
	}
	parent := strings.TrimSuffix(o.Path, o.Name())
	for _, alias := range o.Aliases {
		if alias == name || parent+alias == name {
			return true
		}
	}
	return false
}

// explain writes what there is to say of o, a line each.
func (o *Option) explain(w io.Writer) {
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-8s %s\n", what, text)
		}
	}
	fmt.Fprintf(w, "  %s\n", o.Doc)
	line("type", o.Type)
	line("values", o.Range)
	line("default", o.defaultText())
	line("reload", o.reloadText())
	line("also", strings.Join(o.Aliases, ", "))
	line("flags", strings.Join(o.flagTexts(), ", "))
	line("varz", o.Varz)
	switch {
	case o.Waiting != "":
		line("needs", string(o.Waiting))
	case o.Ignored != "":
		line("ignored", o.Ignored)
	}
}

func (o *Option) defaultText() string {
	if o.Default != "" {
		return o.Default
	}
	return o.Unset
}

func (o *Option) reloadText() string {
	if o.ReloadNote != "" {
		return o.ReloadNote
	}
	return o.Reload.String()
}

// flagTexts are the flags with their dashes: one for short ones.
func (o *Option) flagTexts() []string {
	var all []string
	for _, f := range o.Flags {
		dashes := "--"
		if len(f) <= 2 {
			dashes = "-"
		}
		all = append(all, dashes+f)
	}
	sort.Slice(all, func(i, j int) bool { return len(all[i]) < len(all[j]) })
	return all
}
