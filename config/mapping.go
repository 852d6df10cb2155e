package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"peregrine/config/grammar"
)

// Mapping publishes messages on other subjects than their publisher did.
type Mapping struct {
	Source string
	Dests  []MapDest
}

// MapDest is one subject that a mapping leads to.
type MapDest struct {
	Subject string
	Weight  uint8  // percent
	Cluster string // only there; "" is everywhere
}

const mappingRange = "a subject, a block with the keys below or a list of them, by source subject"

// mappings reads a map from subjects to destinations.
func (r *reader) mappings(v *grammar.Value) []Mapping {
	t, ok := r.table(v)
	if !ok {
		return nil
	}
	var all []Mapping
	for source, e := range t.All() {
		if !validSubject(source) {
			r.errorf(v, "Subject %q is not a valid subject", source)
			continue
		}
		m := Mapping{Source: source}
		before := len(r.Errors)
		switch e.Kind {
		case grammar.String:
			m.Dests = []MapDest{{Subject: e.Str, Weight: 100}}
			if err := checkMapping(m); err != nil {
				r.errorf(e, "Error adding mapping for %q to %q : %v", source, e.Str, err)
			}
		case grammar.List:
			for _, item := range e.List {
				if d, ok := r.mapDest(item); ok {
					m.Dests = append(m.Dests, d)
				}
			}
			if err := checkMapping(m); err != nil {
				r.errorf(e, "Error adding mapping for %q : %v", source, err)
			}
		default:
			d, ok := r.mapDest(e)
			if !ok {
				continue
			}
			m.Dests = []MapDest{d}
			if err := checkMapping(m); err != nil {
				r.errorf(e, "Error adding mapping for %q : %v", source, err)
			}
		}
		if len(r.Errors) == before {
			all = append(all, m)
		}
	}
	return all
}

// mapDest reads one destination.
func (r *reader) mapDest(v *grammar.Value) (MapDest, bool) {
	if v.Kind != grammar.Map {
		r.errorf(v, "Expected an entry for the mapping destination")
		return MapDest{}, false
	}
	d := destination{}
	before := len(r.Errors)
	r.blaming(v, func() { destinationBlock.read(r, v.Map, "", &d) })
	if len(r.Errors) > before {
		return MapDest{}, false
	}
	if !d.weighted {
		r.errorf(v, "Missing weight for mapping destination %q", d.Subject)
		return MapDest{}, false
	}
	return d.MapDest, true
}

// destination is one being read.
type destination struct {
	MapDest
	weighted bool
}

var destinationBlock = block[destination]{
	unknown: "Unknown field %q for mapping destination", strict: true,
	entries: []entry[destination]{
		text("destination", func(d *destination) *string { return &d.Subject },
			Spec{Aliases: []string{"dest"}, Unset: "refused", Range: "a subject, perhaps with $1 or functions such as {{wildcard(1)}}", Reload: Live, Use: "Subject", Doc: "Subject that messages get."}),
		custom("weight", "integer or percentage", func(r *reader, k key, d *destination) {
			var n int64
			switch k.Kind {
			case grammar.Int:
				n = k.Int
			case grammar.String:
				digits := strings.TrimSuffix(k.Str, "%")
				parsed, err := strconv.Atoi(digits)
				if err != nil {
					r.errorf(k.Value, "Invalid weight %q for mapping destination", digits)
					return
				}
				n = int64(parsed)
			default:
				r.errorf(k.Value, "Unknown entry type for weight of %v\n", k.Value)
				return
			}
			if n < 0 || n > 100 {
				r.errorf(k.Value, "Invalid weight %d for mapping destination", n)
				return
			}
			d.Weight, d.weighted = uint8(n), true
		}, nil, Spec{Unset: "refused", Range: `0 to 100, or "0%" to "100%"; together up to 100`, Reload: Live, Use: "Weight", Doc: "Share of the messages."}),
		text("cluster", func(d *destination) *string { return &d.Cluster },
			Spec{Unset: "all clusters", Range: "a cluster name", Reload: Live, Use: "Cluster", Doc: "Cluster where the destination holds."}),
	},
}

// Errors of mappings.
var (
	errBadSubject   = errors.New("invalid subject")
	errDestination  = "invalid mapping destination: "
	errTransform    = errors.New(errDestination + "invalid transform")
	errFunction     = errors.New(errDestination + "unknown function")
	errIndex        = errors.New(errDestination + "wildcard index out of range")
	errFewArgs      = errors.New(errDestination + "not enough arguments passed to the function")
	errManyArgs     = errors.New(errDestination + "too many arguments passed to the function")
	errBadArg       = errors.New(errDestination + "function argument is invalid or in the wrong format")
	errImportOnly   = errors.New(errDestination + "the only mapping function allowed for import transforms is {{Wildcard()}}")
	errAllWildcards = errors.New(errDestination + "not using all of the token wildcard(s)")
)

// checkMapping finds what is wrong with a mapping as a whole.
func checkMapping(m Mapping) error {
	seen := make(map[string]bool)
	total := make(map[string]int)
	for _, d := range m.Dests {
		if seen[d.Subject] {
			return fmt.Errorf("duplicate entry for %q", d.Subject)
		}
		seen[d.Subject] = true
		if total[d.Cluster] += int(d.Weight); total[d.Cluster] > 100 {
			return errors.New("total weight needs to be <= 100")
		}
		if err := checkDestination(d.Subject); err != nil {
			return err
		}
		if err := checkTransform(m.Source, d.Subject, false); err != nil {
			return err
		}
	}
	return nil
}

// checkDestination finds tokens that no destination can have.
func checkDestination(dest string) error {
	if dest == "" {
		return nil
	}
	full := false
	for token := range strings.SplitSeq(dest, ".") {
		switch {
		case token == "" && full, token == "":
			return errTransform
		case full:
			return fmt.Errorf("%w in %s", errTransform, token)
		case isFunction(token):
			if functionName.FindString(token) == "" {
				return fmt.Errorf("%w in %s", errFunction, token)
			}
		case token == ">":
			full = true
		case strings.ContainsAny(token, "\t\n\f\r "):
			return errTransform
		}
	}
	return nil
}

// checkTransform finds why subjects that match source cannot be turned into
// dest. reversible is for imports, which must be able to go back.
func checkTransform(source, dest string, reversible bool) error {
	if dest == "" {
		return nil
	}
	if source == "" {
		source = ">"
	}
	partials := count(source, "*")
	if !hasTokens(source) || !hasTokens(dest) || count(dest, "*") > 0 || count(source, ">") != count(dest, ">") {
		return errBadSubject
	}
	wild := partials > 0 || count(source, ">") > 0
	used := 0
	for token := range strings.SplitSeq(dest, ".") {
		f, err := parsePlaceholder(token)
		if err != nil {
			return fmt.Errorf("%w in %s", err, token)
		}
		switch {
		case f.name == "":
		case !wild && f.name != "random" && f.name != "partition":
			return fmt.Errorf("%w in %s", errIndex, token)
		case reversible && f.name != "wildcard":
			return fmt.Errorf("%w in %s", errImportOnly, token)
		case wild:
			used += len(f.indexes)
			for _, i := range f.indexes {
				if i > partials {
					return fmt.Errorf("%w in %s: [%d]", errIndex, token, i)
				}
			}
		}
	}
	if reversible && used < partials {
		return fmt.Errorf("%w in %s", errAllWildcards, dest)
	}
	return nil
}

func count(subject, want string) (n int) {
	for token := range strings.SplitSeq(subject, ".") {
		if token == want {
			n++
		}
	}
	return n
}

func isFunction(token string) bool {
	return len(token) > 4 && strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}")
}

// functionName finds the function of a token; its first letter and those that
// begin a word in it are of any case.
var functionName = regexp.MustCompile(`{{\s*([pP]artition|[wW]ildcard|[sS]plit[fF]rom[lL]eft|[sS]plit[fF]rom[rR]ight|` +
	`[sS]lice[fF]rom[lL]eft|[sS]lice[fF]rom[rR]ight|[sS]plit|[lL]eft|[rR]ight|[rR]andom)\s*\((.*)\)\s*}}`)

var argumentEnd = regexp.MustCompile(`,\s*`)

// placeholder is what stands for a part of the source in a destination.
type placeholder struct {
	name    string // in small letters; empty for a token that is itself
	indexes []int  // of wildcards of the source, from 1
}

// parsePlaceholder reads a token of a destination.
func parsePlaceholder(token string) (placeholder, error) {
	if digits, ok := strings.CutPrefix(token, "$"); ok && digits != "" {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return placeholder{}, nil
		}
		return placeholder{"wildcard", []int{n}}, nil
	}
	if !isFunction(token) {
		return placeholder{}, nil
	}
	found := functionName.FindStringSubmatch(token)
	if found == nil {
		return placeholder{}, errFunction
	}
	f := placeholder{name: strings.ToLower(found[1])}
	args := argumentEnd.Split(found[2], -1)
	var err error
	switch f.name {
	case "wildcard":
		if args[0] == "" && len(args) == 1 {
			return f, errFewArgs
		}
		f.indexes, err = numbers(args, 1, 1)
	case "partition":
		f.indexes, err = numbers(args, 1, len(args))
		if err == nil {
			if f.indexes[0] > math.MaxInt32 {
				return f, errBadArg
			}
			f.indexes = f.indexes[1:]
		}
	case "random":
		if len(args) != 1 {
			return f, errFewArgs
		}
		if _, err = numbers(args, 1, 1); err != nil {
			return f, err
		}
	case "split":
		if len(args) < 2 {
			return f, errFewArgs
		}
		if len(args) > 2 {
			return f, errManyArgs
		}
		if f.indexes, err = numbers(args[:1], 1, 1); err == nil && strings.ContainsAny(args[1], " .") {
			err = errBadArg
		}
	default:
		if f.indexes, err = numbers(args, 2, 2); err == nil {
			if n := f.indexes[1]; n > math.MaxInt32 || n < math.MinInt32 {
				return f, errBadArg
			}
			f.indexes = f.indexes[:1]
		}
	}
	return f, err
}

// numbers reads arguments of which there must be fewest to most.
func numbers(args []string, fewest, most int) ([]int, error) {
	switch {
	case len(args) < fewest:
		return nil, errFewArgs
	case len(args) > most:
		return nil, errManyArgs
	}
	all := make([]int, len(args))
	for i, arg := range args {
		n, err := strconv.Atoi(strings.Trim(arg, " "))
		if err != nil {
			return nil, errBadArg
		}
		all[i] = n
	}
	return all, nil
}
