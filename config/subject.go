package config

import "strings"

// validSubject says whether s is a subject, with wildcards or without.
func validSubject(s string) bool {
	return hasTokens(s) && !strings.ContainsAny(s, "\t\n\f\r ")
}

// hasTokens says whether s has the form of a subject, whatever its tokens are
// made of.
func hasTokens(s string) bool {
	for {
		token, rest, more := strings.Cut(s, ".")
		if token == "" || token == ">" && more {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// isWild says whether a token of subject is a wildcard.
func isWild(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			return true
		}
	}
	return false
}

// isLiteral says whether s is a subject without wildcards.
func isLiteral(s string) bool { return validSubject(s) && !isWild(s) }

// within says whether pattern matches all that subject matches.
func within(subject, pattern string) bool {
	tokens, tests := strings.Split(subject, "."), strings.Split(pattern, ".")
	for i, test := range tests {
		if i >= len(tokens) || test == "" {
			return false
		}
		if test == ">" {
			return true
		}
		token := tokens[i]
		if token == "" || token == ">" || token != test && (test != "*" || token == ">") {
			return false
		}
	}
	return len(tokens) == len(tests)
}

// collide says whether some subject matches both a and b.
func collide(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		switch {
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
	return len(as) == len(bs)
}
