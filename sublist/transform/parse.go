package transform

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// kind is what a destination token is.
type kind uint8

const (
	kindText kind = iota
	kindWildcard
	kindPartition
	kindSplitFromLeft
	kindSplitFromRight
	kindSliceFromLeft
	kindSliceFromRight
	kindLeft
	kindRight
	kindSplit
	kindRandom
)

// piece is a destination token, parsed.
type piece struct {
	kind  kind
	text  string // kindText: the token; kindSplit: the delimiter
	args  []int  // wildcards by number, from 1; New turns them into token indexes
	count int32  // position, size or number of buckets
}

// function is one entry of the table of what may stand between braces.
type function struct {
	kind  kind
	call  *regexp.Regexp // matches a call and captures its arguments
	parse func(f *function, token string, args []string) (piece, error)
}

// functions is in the order in which names are tried.
var functions = []function{
	{kindWildcard, calls("wildcard"), parseWildcard},
	{kindPartition, calls("partition"), parsePartition},
	{kindSplitFromLeft, calls("split", "from", "left"), parseSized},
	{kindSplitFromRight, calls("split", "from", "right"), parseSized},
	{kindSliceFromLeft, calls("slice", "from", "left"), parseSized},
	{kindSliceFromRight, calls("slice", "from", "right"), parseSized},
	{kindRight, calls("right"), parseSized},
	{kindLeft, calls("left"), parseSized},
	{kindSplit, calls("split"), parseSplit},
	{kindRandom, calls("random"), parseRandom},
}

// calls returns what matches a call of the function whose name consists of words:
// each may begin with a capital, blanks may surround everything but the words.
func calls(words ...string) *regexp.Regexp {
	name := ""
	for _, w := range words {
		name += "[" + w[:1] + strings.ToUpper(w[:1]) + "]" + w[1:]
	}
	return regexp.MustCompile(`\{\{\s*` + name + `\s*\((.*)\)\s*\}\}`)
}

var commas = regexp.MustCompile(`,\s*`)

// braced reports whether a token is meant as a function call.
func braced(token string) bool {
	return len(token) > 4 && strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}")
}

// known reports whether a braced token calls a function there is.
func known(token string) bool {
	for i := range functions {
		if functions[i].call.MatchString(token) {
			return true
		}
	}
	return false
}

// parseToken parses one destination token. Text that merely resembles a
// placeholder is text: `$JS` and the like are ordinary tokens.
func parseToken(token string) (piece, error) {
	if len(token) > 1 && token[0] == '$' {
		if n, err := strconv.Atoi(token[1:]); err == nil {
			return piece{kind: kindWildcard, args: []int{n}}, nil
		}
	}
	if !braced(token) {
		return piece{kind: kindText, text: token}, nil
	}
	for i := range functions {
		f := &functions[i]
		if m := f.call.FindStringSubmatch(token); m != nil {
			return f.parse(f, token, commas.Split(m[1], -1))
		}
	}
	return piece{}, &DestinationError{token, ErrUnknownFunction}
}

func parseWildcard(f *function, token string, args []string) (piece, error) {
	if len(args) > 1 {
		return piece{}, &DestinationError{token, ErrTooManyArgs}
	}
	if args[0] == "" {
		return piece{}, &DestinationError{token, ErrNotEnoughArgs}
	}
	n, err := number(token, args[0])
	return piece{kind: f.kind, args: []int{n}}, err
}

func parsePartition(f *function, token string, args []string) (piece, error) {
	buckets, err := count(token, args[0])
	if err != nil {
		return piece{}, err
	}
	p := piece{kind: f.kind, count: buckets}
	for _, arg := range args[1:] {
		n, err := number(token, arg)
		if err != nil {
			return piece{}, err
		}
		p.args = append(p.args, n)
	}
	return p, nil
}

func parseRandom(f *function, token string, args []string) (piece, error) {
	if len(args) != 1 {
		return piece{}, &DestinationError{token, ErrNotEnoughArgs}
	}
	n, err := count(token, args[0])
	return piece{kind: f.kind, count: n}, err
}

// parseSized parses the functions of a wildcard and a position or size.
func parseSized(f *function, token string, args []string) (piece, error) {
	if err := two(token, args); err != nil {
		return piece{}, err
	}
	n, err := number(token, args[0])
	if err != nil {
		return piece{}, err
	}
	size, err := strconv.ParseInt(strings.Trim(args[1], " "), 10, 32)
	if err != nil {
		return piece{}, &DestinationError{token, ErrInvalidArg}
	}
	return piece{kind: f.kind, args: []int{n}, count: int32(size)}, nil
}

func parseSplit(f *function, token string, args []string) (piece, error) {
	if err := two(token, args); err != nil {
		return piece{}, err
	}
	n, err := number(token, args[0])
	if err != nil {
		return piece{}, err
	}
	if strings.ContainsAny(args[1], " .") {
		return piece{}, &DestinationError{token, ErrInvalidArg}
	}
	return piece{kind: f.kind, text: args[1], args: []int{n}}, nil
}

func two(token string, args []string) error {
	switch {
	case len(args) < 2:
		return &DestinationError{token, ErrNotEnoughArgs}
	case len(args) > 2:
		return &DestinationError{token, ErrTooManyArgs}
	}
	return nil
}

func number(token, arg string) (int, error) {
	n, err := strconv.Atoi(strings.Trim(arg, " "))
	if err != nil {
		return 0, &DestinationError{token, ErrInvalidArg}
	}
	return n, nil
}

// count parses how many buckets there are. Only the upper bound is checked;
// below the lower one the low 32 bits count, as in the server.
func count(token, arg string) (int32, error) {
	n, err := number(token, arg)
	if err != nil || n > math.MaxInt32 {
		return 0, &DestinationError{token, ErrInvalidArg}
	}
	return int32(n), nil
}
