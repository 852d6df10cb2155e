package sublist

import (
	"errors"
	"strings"
	"unsafe"
)

// Subject tokens are separated by dots. A token that is exactly `*` or `>` is a
// wildcard; inside a longer token both are ordinary bytes.
const (
	separator       = '.'
	partialWildcard = '*'
	fullWildcard    = '>'
)

// ErrInvalidSubject says that a subject has an empty token, or a `>` token that
// is not the last one.
var ErrInvalidSubject = errors.New("sublist: invalid subject")

// Text is what a subject may be held in. Byte slices are borrowed.
type Text interface{ ~string | ~[]byte }

// view reads s as a string without copying; it must not outlive s. A slice
// header begins with the two words of a string header.
func view[S Text](s S) string { return *(*string)(unsafe.Pointer(&s)) }

// IsValidSubject reports whether s may be subscribed to: no empty token, `>`
// only as the last token, no blank (space, tab, CR, LF, FF) anywhere.
func IsValidSubject[S Text](s S) bool {
	str := view(s)
	_, ok := analyse(str)
	return ok && !strings.ContainsAny(str, " \t\r\n\f")
}

// IsValidLiteral reports whether s has neither an empty token nor a wildcard
// token. Blanks are not looked at: this is what a pedantic publisher is held to.
func IsValidLiteral[S Text](s S) bool {
	shape, ok := analyse(view(s))
	return ok && !shape.wild
}

// IsValidPublishSubject is IsValidSubject for a subject without wildcards.
func IsValidPublishSubject[S Text](s S) bool {
	str := view(s)
	shape, ok := analyse(str)
	return ok && !shape.wild && !strings.ContainsAny(str, " \t\r\n\f")
}

// HasWildcard reports whether any token of s is `*` or `>`; s need not be valid.
func HasWildcard[S Text](s S) bool {
	str := view(s)
	for i := 0; i < len(str); i++ {
		if c := str[i]; (c == partialWildcard || c == fullWildcard) &&
			(i == 0 || str[i-1] == separator) &&
			(i+1 == len(str) || str[i+1] == separator) {
			return true
		}
	}
	return false
}

// NumTokens counts the tokens of s, empty ones included; an empty s has none.
func NumTokens[S Text](s S) int {
	str := view(s)
	if len(str) == 0 {
		return 0
	}
	return strings.Count(str, ".") + 1
}

// Token returns token n of s, counted from 1, or nothing when s has fewer.
func Token(s string, n int) string {
	for at := 0; n > 0 && at <= len(s); n-- {
		end := tokenEnd(s, at)
		if n == 1 {
			return s[at:end]
		}
		at = end + 1
	}
	return ""
}

// tokenEnd returns where the token that starts at s[at] ends. Tokens are mostly
// a few bytes, where a plain loop beats a call.
func tokenEnd(s string, at int) int {
	for at < len(s) && s[at] != separator {
		at++
	}
	return at
}

func isPartial(token string) bool { return len(token) == 1 && token[0] == partialWildcard }
func isFull(token string) bool    { return len(token) == 1 && token[0] == fullWildcard }

// shape is what one scan over a subscription subject finds.
type shape struct {
	wild bool
	// literals counts the literal tokens before the first wildcard, up to
	// prefixTokens; prefix is the length in bytes of those tokens.
	literals, prefix int
}

// analyse scans a subject. ok is false when a token is empty or a `>` token is
// followed by another.
func analyse(s string) (sh shape, ok bool) {
	for at := 0; ; {
		end := tokenEnd(s, at)
		switch token := s[at:end]; {
		case len(token) == 0:
			return shape{}, false
		case isPartial(token):
			sh.wild = true
		case isFull(token):
			sh.wild = true
			if end != len(s) {
				return shape{}, false
			}
		case !sh.wild && sh.literals < prefixTokens:
			sh.literals++
			sh.prefix = end
		}
		if end == len(s) {
			return sh, true
		}
		at = end + 1
	}
}

// matchable reports whether a published subject can match anything: it has no
// empty token.
func matchable(s string) bool {
	last := byte(separator)
	for i := 0; i < len(s); i++ {
		if s[i] == separator && last == separator {
			return false
		}
		last = s[i]
	}
	return last != separator
}

// SubsetMatch reports whether every subject that subject stands for is matched
// by pattern; both may hold wildcards. `foo.*` is within `*.*`, `foo.>` and `>`,
// not within `foo.bar`. A literal subject makes it the plain match test.
func SubsetMatch[S, P Text](subject S, pattern P) bool {
	return subsetMatch(view(subject), view(pattern))
}

func subsetMatch(s, p string) bool {
	for i, j := 0, 0; ; {
		pe := tokenEnd(p, j)
		pt := p[j:pe]
		if i > len(s) || len(pt) == 0 {
			return false
		}
		if isFull(pt) {
			return true
		}
		se := tokenEnd(s, i)
		st := s[i:se]
		if len(st) == 0 || isFull(st) {
			return false
		}
		if !isPartial(pt) && st != pt {
			return false
		}
		i, j = se+1, pe+1
		if j > len(p) {
			return i > len(s)
		}
	}
}

// SubjectsCollide reports whether some literal subject is matched by both a and
// b. Equal strings always collide.
func SubjectsCollide[A, B Text](a A, b B) bool { return collide(view(a), view(b)) }

func collide(a, b string) bool {
	if a == b {
		return true
	}
	for i, j := 0, 0; ; {
		ae, be := tokenEnd(a, i), tokenEnd(b, j)
		at, bt := a[i:ae], b[j:be]
		if len(at) == 0 || len(bt) == 0 {
			return false
		}
		if isFull(at) || isFull(bt) {
			return true
		}
		if at != bt && !isPartial(at) && !isPartial(bt) {
			return false
		}
		if ae == len(a) || be == len(b) {
			return ae == len(a) && be == len(b)
		}
		i, j = ae+1, be+1
	}
}
