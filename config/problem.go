package config

import (
	"fmt"
	"strings"

	"peregrine/config/grammar"
)

// Problem is something wrong at a place of a file.
type Problem struct {
	Pos  grammar.Pos // Line is 0 if there is no one place
	Text string
}

// String returns "file:line:column: text".
func (p Problem) String() string {
	if p.Pos.Line == 0 {
		return p.Text
	}
	return p.Pos.String() + ": " + p.Text
}

// Problems are all that was found wrong with a configuration. As an error it
// reads like the reference's: a line for each, warnings first.
type Problems struct {
	Warnings []Problem
	Errors   []Problem
}

func (p *Problems) Error() string {
	var b strings.Builder
	for _, list := range [][]Problem{p.Warnings, p.Errors} {
		for _, one := range list {
			b.WriteString(one.String())
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// reader is one reading of a tree into options.
type reader struct {
	Problems
	env   Env
	opts  *Options
	where map[string]grammar.Pos
	// blame is named instead of a value's own place when its type is wrong: in
	// some blocks the reference knows no better than the block's key.
	blame *grammar.Pos
	// dependent parts of accounts, checked when all are known.
	later []func()
}

func (r *reader) errorAt(pos grammar.Pos, format string, args ...any) {
	r.Errors = append(r.Errors, Problem{pos, fmt.Sprintf(format, args...)})
}

func (r *reader) errorf(v *grammar.Value, format string, args ...any) {
	r.errorAt(v.Pos, format, args...)
}

func (r *reader) warnf(v *grammar.Value, format string, args ...any) {
	r.Warnings = append(r.Warnings, Problem{v.Pos, fmt.Sprintf(format, args...)})
}

// misuse warns of a field that is used in a way that works for now.
func (r *reader) misuse(v *grammar.Value, field, reason string) {
	r.warnf(v, "invalid use of field %q: %s", field, reason)
}

// mismatch reports a value that is not of the type want, a type of Go.
func (r *reader) mismatch(v *grammar.Value, want string) {
	pos := v.Pos
	if r.blame != nil {
		pos = *r.blame
	}
	r.errorAt(pos, "interface conversion: interface {} is %s, not %s", v.Kind, want)
}

// blaming runs f with type errors named at v.
func (r *reader) blaming(v *grammar.Value, f func()) {
	old := r.blame
	r.blame = &v.Pos
	f()
	r.blame = old
}

func (r *reader) str(v *grammar.Value) (string, bool) {
	if v.Kind != grammar.String {
		r.mismatch(v, "string")
		return "", false
	}
	return v.Str, true
}

func (r *reader) boolean(v *grammar.Value) (bool, bool) {
	if v.Kind != grammar.Bool {
		r.mismatch(v, "bool")
		return false, false
	}
	return v.Bool, true
}

func (r *reader) integer(v *grammar.Value) (int64, bool) {
	if v.Kind != grammar.Int {
		r.mismatch(v, "int64")
		return 0, false
	}
	return v.Int, true
}

func (r *reader) list(v *grammar.Value) ([]*grammar.Value, bool) {
	if v.Kind != grammar.List {
		r.mismatch(v, "[]interface {}")
		return nil, false
	}
	return v.List, true
}

func (r *reader) table(v *grammar.Value) (*grammar.Table, bool) {
	if v.Kind != grammar.Map {
		r.mismatch(v, "map[string]interface {}")
		return nil, false
	}
	return v.Map, true
}
