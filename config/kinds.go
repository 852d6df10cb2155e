package config

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"peregrine/config/grammar"
)

// Types of options as the documentation calls them.
const (
	kindBool     = "boolean"
	kindInt      = "integer"
	kindSize     = "size"
	kindText     = "string"
	kindPath     = "path"
	kindDuration = "duration"
	kindSeconds  = "duration or seconds"
	kindAddress  = "port or host:port"
	kindTexts    = "string or list of strings"
	kindSubjects = "subjects or block"
	kindBlock    = "block"
	kindBlocks   = "list of blocks"
)

// boolean is an option that is on or off.
func boolean[T any](name string, at func(*T) *bool, s Spec) entry[T] {
	if s.Default == "" && s.Unset == "" {
		s.Default = "false"
	}
	return entry[T]{Spec: ranged(s, "true or false"), name: name, kind: kindBool,
		read: func(r *reader, k key, into *T) {
			if b, ok := r.boolean(k.Value); ok {
				*at(into) = b
			}
		},
		get: func(t *T) any { return *at(t) },
		set: func(t *T, text string) error {
			b, err := strconv.ParseBool(text)
			*at(t) = b
			return err
		},
	}
}

type number interface {
	~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint64
}

// integer is an option that counts something; one that does not fit its field
// is the nearest that does.
func integer[T any, N number](name string, at func(*T) *N, s Spec) entry[T] {
	return entry[T]{Spec: ranged(s, "any integer"), name: name, kind: kindInt,
		read: func(r *reader, k key, into *T) {
			if n, ok := r.integer(k.Value); ok {
				*at(into) = fit[N](n)
			}
		},
		get: func(t *T) any { return *at(t) },
		set: func(t *T, text string) error {
			n, err := strconv.ParseInt(text, 0, 64)
			*at(t) = fit[N](n)
			return err
		},
	}
}

// size is an integer that counts bytes.
func size[T any, N number](name string, at func(*T) *N, s Spec) entry[T] {
	e := integer(name, at, ranged(s, "bytes, with suffixes such as k, MB or GiB"))
	e.kind = kindSize
	return e
}

// fit returns n as an N, or the end of N's range that is nearer.
func fit[N number](n int64) N {
	var lowest, highest int64 = math.MinInt64, math.MaxInt64
	switch any(N(0)).(type) {
	case int32:
		lowest, highest = math.MinInt32, math.MaxInt32
	case uint8:
		lowest, highest = 0, math.MaxUint8
	case uint16:
		lowest, highest = 0, math.MaxUint16
	case uint64:
		lowest = 0
	}
	return N(min(max(n, lowest), highest))
}

// text is an option that takes any string.
func text[T any](name string, at func(*T) *string, s Spec) entry[T] {
	return entry[T]{Spec: ranged(s, "any string"), name: name, kind: kindText,
		read: func(r *reader, k key, into *T) {
			if str, ok := r.str(k.Value); ok {
				*at(into) = str
			}
		},
		get: func(t *T) any { return *at(t) },
		set: func(t *T, text string) error {
			*at(t) = text
			return nil
		},
	}
}

// filePath is an option that names a file or folder.
func filePath[T any](name string, at func(*T) *string, s Spec) entry[T] {
	e := text(name, at, ranged(s, "a path, relative to the working directory"))
	e.kind = kindPath
	return e
}

// duration is an option that takes a duration, or with a warning whole seconds.
// called is its name in messages.
func duration[T any](name, called string, at func(*T) *time.Duration, s Spec) entry[T] {
	if called == "" {
		called = name
	}
	return entry[T]{Spec: ranged(s, `a string such as "10s" or "2m"; an integer is seconds, with a warning`),
		name: name, kind: kindDuration,
		read: func(r *reader, k key, into *T) {
			if d, ok := r.duration(k.Value, called); ok {
				*at(into) = d
			}
		},
		get: func(t *T) any { return *at(t) },
	}
}

// duration reads a duration for the field of the given name.
func (r *reader) duration(v *grammar.Value, field string) (time.Duration, bool) {
	if v.Kind == grammar.String {
		d, err := time.ParseDuration(v.Str)
		if err != nil {
			r.errorf(v, "error parsing %s: %v", field, err)
			return 0, false
		}
		return d, true
	}
	r.misuse(v, field, field+" should be converted to a duration")
	n, ok := r.integer(v)
	return seconds(float64(n)), ok
}

// seconds is n seconds, at most what a duration holds.
func seconds(n float64) time.Duration {
	const limit = float64(math.MaxInt64 / int64(time.Second))
	return time.Duration(min(max(n, -limit), limit) * float64(time.Second))
}

// custom is an option with a way of its own to be read.
func custom[T any](name, kind string, read func(*reader, key, *T), get func(*T) any, s Spec) entry[T] {
	return entry[T]{Spec: ranged(s, ""), name: name, kind: kind, read: read, get: get}
}

// nested is an option that holds a block. wrong is the message for another
// type, with a verb for that.
func nested[T, B any](name, wrong string, at func(*T) **B, b *block[B], s Spec) entry[T] {
	return entry[T]{Spec: ranged(s, "see the keys below"), name: name, kind: kindBlock,
		read: func(r *reader, k key, into *T) {
			if k.Kind != grammar.Map {
				r.errorf(k.Value, wrong, k.Kind)
				return
			}
			if *at(into) == nil {
				*at(into) = new(B)
			}
			b.read(r, k.Map, k.path, *at(into))
		},
		get: func(t *T) any {
			if *at(t) == nil {
				return nil
			}
			return *at(t)
		},
		rows: func(path string, find func(*Options) *T) []Option {
			if find == nil {
				return b.rows(path+".", nil)
			}
			return b.rows(path+".", func(o *Options) *B {
				if t := find(o); t != nil {
					return *at(t)
				}
				return nil
			})
		},
		down: func(r *reader, path string, into *T) {
			if *at(into) != nil {
				b.complete(r, path, *at(into))
			}
		},
	}
}

// listed makes e, which reads a list of blocks, one with the keys of b inside.
func listed[T, B any](e entry[T], b *block[B], items func(*T) []*B) entry[T] {
	e.kind = kindBlocks
	e.rows = func(path string, _ func(*Options) *T) []Option { return b.rows(path+"[].", nil) }
	e.down = func(r *reader, _ string, into *T) {
		for _, item := range items(into) {
			b.complete(r, "", item)
		}
	}
	return e
}

// inside shows the keys of b below e, which reads them in its own way.
func inside[T, B any](e entry[T], b *block[B]) entry[T] {
	if e.Range == "" {
		e.Range = "see the keys below"
	}
	e.rows = func(path string, _ func(*Options) *T) []Option { return b.rows(path+".", nil) }
	return e
}

// then makes e call f when it has been read.
func then[T any](e entry[T], f func(*reader, key, *T)) entry[T] {
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		read(r, k, into)
		f(r, k, into)
	}
	return e
}

// refusing makes e leave out values that refuse reports.
func refusing[T any](e entry[T], refuse func(*reader, key) bool) entry[T] {
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		if !refuse(r, k) {
			read(r, k, into)
		}
	}
	return e
}

func ranged(s Spec, standard string) Spec {
	if s.Range == "" {
		s.Range = standard
	}
	return s
}

// address is an option that sets a host and a port at once.
func address[T any](name string, host func(*T) *string, port func(*T) *int, s Spec) entry[T] {
	return custom(name, kindAddress, func(r *reader, k key, into *T) {
		h, p, err := parseAddress(k.Value)
		if err != nil {
			r.errorf(k.Value, "%v", err)
			return
		}
		*host(into), *port(into) = h, p
	}, nil, ranged(unset(s, "what `host` and `port` say"), "a port, -1 for any, or a quoted host:port"))
}

func unset(s Spec, words string) Spec {
	if s.Unset == "" && s.Default == "" {
		s.Unset = words
	}
	return s
}

func parseAddress(v *grammar.Value) (host string, port int, err error) {
	switch v.Kind {
	case grammar.Int:
		return "", int(v.Int), nil
	case grammar.String:
		host, text, err := net.SplitHostPort(v.Str)
		if err != nil {
			return "", 0, fmt.Errorf("could not parse address string %q", v.Str)
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return "", 0, fmt.Errorf("could not parse port %q", text)
		}
		return host, port, nil
	}
	return "", 0, fmt.Errorf("expected port or host:port, got %s", v.Kind)
}

// texts reads a string or a list of strings for the field of the given name.
// The second result is false when the value is neither; items of other types
// are reported and left out.
func (r *reader) texts(v *grammar.Value, field string) ([]string, bool) {
	switch v.Kind {
	case grammar.String:
		return []string{v.Str}, true
	case grammar.List:
		all := make([]string, 0, len(v.List))
		for _, e := range v.List {
			if e.Kind != grammar.String {
				r.errorf(e, "error parsing %s: unsupported type in array %s", field, e.Kind)
				continue
			}
			all = append(all, e.Str)
		}
		return all, true
	}
	r.errorf(v, "error parsing %s: unsupported type %s", field, v.Kind)
	return nil, false
}

// texts is an option that takes one or more strings. called is its name in messages.
func texts[T any](name, called string, at func(*T) *[]string, s Spec) entry[T] {
	return custom(name, kindTexts, func(r *reader, k key, into *T) {
		if all, ok := r.texts(k.Value, called); ok {
			*at(into) = all
		}
	}, func(t *T) any { return *at(t) }, ranged(s, "any strings"))
}

// timeout reads seconds, whole or not, or a duration. complaint begins the
// messages.
func (r *reader) timeout(v *grammar.Value, complaint string) (time.Duration, bool) {
	switch v.Kind {
	case grammar.Int:
		return seconds(float64(v.Int)), true
	case grammar.Float:
		return seconds(v.Float), true
	case grammar.String:
		d, err := time.ParseDuration(v.Str)
		if err != nil {
			r.errorf(v, "%s %s", complaint, err)
			return 0, false
		}
		return d, true
	}
	r.errorf(v, "%s wrong type", complaint)
	return 0, false
}
