package transform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"peregrine/sublist"
)

// Random returns a uniformly random number below n, which is at least 1.
type Random func(n uint32) uint32

// Transform maps subjects that match its source to its destination.
type Transform struct {
	source, destination string
	pieces              []piece
	sourceTokens        int  // tokens of source, a final `>` included
	rest                bool // destination ends with `>`
	identity            bool // both are `>`
}

// New returns the transform from source (`>` when empty) to destination.
//
// Errors: ErrBadSubject, *DestinationError.
func New(source, destination string) (*Transform, error) {
	return build(source, destination, false)
}

// NewStrict is New for imports: the destination may use placeholders only, and
// must use each of the source's partial wildcards, so that Reverse works.
func NewStrict(source, destination string) (*Transform, error) {
	return build(source, destination, true)
}

// Validate checks a destination as account mappings and streams do: like New, and
// the text in between must not hold blanks. An empty destination is valid.
func Validate(source, destination string) error {
	if destination == "" {
		return nil
	}
	ended := false
	for token := range strings.SplitSeq(destination, ".") {
		switch {
		case token == "" || ended:
			return &DestinationError{token, ErrInvalidTransform}
		case braced(token):
			if !known(token) {
				return &DestinationError{token, ErrUnknownFunction}
			}
		case token == ">":
			ended = true
		case strings.ContainsAny(token, "\t\n\f\r "):
			return ErrInvalidTransform
		}
	}
	_, err := New(source, destination)
	return err
}

func build(source, destination string, strict bool) (*Transform, error) {
	if source == "" {
		source = ">"
	}
	from, stars, open, ok := dissect(source)
	to, marks, rest, ok2 := dissect(destination)
	if !ok || !ok2 || len(marks) > 0 || open != rest {
		return nil, ErrBadSubject
	}
	t := &Transform{
		source: source, destination: destination,
		sourceTokens: len(from), rest: rest,
		identity: source == ">" && destination == ">",
	}
	literal := len(stars) == 0 && !open
	used := 0
	for _, token := range to {
		p, err := parseToken(token)
		if err != nil {
			return nil, err
		}
		if literal {
			err = p.bindLiteral(token)
		} else {
			if strict && p.kind != kindText && p.kind != kindWildcard {
				return nil, &DestinationError{token, ErrNotForImport}
			}
			used += len(p.args)
			err = p.bind(token, stars)
		}
		if err != nil {
			return nil, err
		}
		t.pieces = append(t.pieces, p)
	}
	if rest {
		t.pieces = t.pieces[:len(t.pieces)-1]
	}
	if strict && used < len(stars) {
		return nil, &DestinationError{destination, ErrUnusedWildcards}
	}
	return t, nil
}

// bind turns the numbers of wildcards into the indexes of their tokens. Numbers
// below 1 stand for the first token, as in the server.
func (p *piece) bind(token string, stars []int) error {
	for i, n := range p.args {
		switch {
		case n > len(stars):
			return &DestinationError{fmt.Sprintf("%s: [%d]", token, n), ErrIndexOutOfRange}
		case n < 1:
			p.args[i] = 0
		default:
			p.args[i] = stars[n-1]
		}
	}
	return nil
}

// bindLiteral is bind for a source without wildcards, where only what needs none
// can be used.
func (p *piece) bindLiteral(token string) error {
	switch p.kind {
	case kindText, kindRandom, kindPartition:
		p.args = nil
		return nil
	}
	return &DestinationError{token, ErrIndexOutOfRange}
}

// dissect splits a subject, tells where its `*` tokens are and whether it ends
// with `>`. ok is false when it has an empty token, or a `>` before the end.
func dissect(subject string) (tokens []string, stars []int, open, ok bool) {
	tokens = strings.Split(subject, ".")
	for i, token := range tokens {
		switch {
		case token == "" || open:
			return nil, nil, false, false
		case token == "*":
			stars = append(stars, i)
		case token == ">":
			open = true
		}
	}
	return tokens, stars, open, true
}

// Source returns the pattern whose subjects are transformed.
func (t *Transform) Source() string { return t.source }

// Destination returns the destination as it was given.
func (t *Transform) Destination() string { return t.destination }

// Matches reports whether subject, which is borrowed, matches the source.
func (t *Transform) Matches(subject []byte) bool {
	return sublist.SubsetMatch(subject, t.source)
}

// Match transforms a literal subject that matches the source.
//
// Errors: ErrBadSubject when subject is not literal or has an empty token,
// ErrNoTransforms when it does not match.
func (t *Transform) Match(subject string, random Random) (string, error) {
	if t.identity {
		return subject, nil
	}
	if !sublist.IsValidLiteral(subject) {
		return "", ErrBadSubject
	}
	if !sublist.SubsetMatch(subject, t.source) {
		return "", ErrNoTransforms
	}
	return string(t.Apply(nil, []byte(subject), random)), nil
}

// Reverse returns the transform of a strict one's results back to its subjects.
//
// Errors: *DestinationError when t uses functions, leaves wildcards out or uses one
// twice.
func (t *Transform) Reverse() (*Transform, error) {
	from, stars, _, _ := dissect(t.source)
	to := strings.Split(t.destination, ".")
	at := make(map[int]int) // source token → number of the wildcard it becomes
	n := 0
	for i, p := range t.pieces {
		switch p.kind {
		case kindText:
		case kindWildcard:
			n++
			at[p.args[0]] = n
			to[i] = "*"
		default:
			return nil, &DestinationError{to[i], ErrNotForImport}
		}
	}
	for _, star := range stars {
		k, ok := at[star]
		if !ok {
			return nil, &DestinationError{t.destination, ErrUnusedWildcards}
		}
		from[star] = "$" + strconv.Itoa(k)
	}
	return NewStrict(strings.Join(to, "."), strings.Join(from, "."))
}

// WithPlaceholders returns a pattern as a destination: each `*` becomes the
// placeholder of its number, so `a.*.*` gives `a.$1.$2`.
func WithPlaceholders(pattern string) string {
	tokens := strings.Split(pattern, ".")
	n := 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
}

// WithWildcards is the way back: a destination's placeholders become `*`, and are
// returned in the order in which they stand.
func WithWildcards(destination string) (pattern string, placeholders []string) {
	tokens := strings.Split(destination, ".")
	for i, token := range tokens {
		if p, err := parseToken(token); err == nil && p.kind == kindWildcard {
			placeholders = append(placeholders, token)
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, "."), slices.Clip(placeholders)
}
