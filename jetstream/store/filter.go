package store

import (
	"slices"

	"peregrine/jetstream/store/subjecttree"
)

// A Filter is a set of subjects and patterns. The zero value matches everything.
// It is immutable.
type Filter struct {
	literals []string // sorted
	patterns []string
}

// NewFilter is the filter of what matches any of the given subjects or patterns.
// None, an empty one and `>` mean everything.
func NewFilter(subjects ...string) Filter {
	var f Filter
	for _, subject := range subjects {
		switch {
		case subject == "" || subject == ">":
			return Filter{}
		case subjecttree.IsLiteral(subject):
			f.literals = append(f.literals, subject)
		default:
			f.patterns = append(f.patterns, subject)
		}
	}
	slices.Sort(f.literals)
	f.literals = slices.Compact(f.literals)
	return f
}

// All tells whether the filter matches everything.
func (f Filter) All() bool { return len(f.literals) == 0 && len(f.patterns) == 0 }

// Matches tells whether a subject matches.
func (f Filter) Matches(subject string) bool {
	if f.All() {
		return true
	}
	if _, found := slices.BinarySearch(f.literals, subject); found {
		return true
	}
	for _, pattern := range f.patterns {
		if subjecttree.Matches(pattern, subject) {
			return true
		}
	}
	return false
}

// literal is the only subject the filter can match, if there is one.
func (f Filter) literal() (string, bool) {
	if len(f.literals) == 1 && len(f.patterns) == 0 {
		return f.literals[0], true
	}
	return "", false
}

// eachSubject visits the subjects of the stream that match, each once, until
// visit returns false. The order is that of the filter's parts.
func (s *Stream) eachSubject(f Filter, visit func(name string, v *subject) bool) {
	if f.All() {
		s.subjects.Walk(visit)
		return
	}
	for _, literal := range f.literals {
		if v := s.subjects.FindString(literal); v != nil && !visit(literal, v) {
			return
		}
	}
	for i, pattern := range f.patterns {
		seen := Filter{f.literals, f.patterns[:i]} // what was visited before
		if !s.subjects.Match(pattern, func(name string, v *subject) bool {
			return (!seen.All() && seen.Matches(name)) || visit(name, v)
		}) {
			return
		}
	}
}
