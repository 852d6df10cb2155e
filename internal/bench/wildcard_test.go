package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The deliveries that the set promises are those of a matcher that takes every
// subscription in turn.
func TestWildSetAgainstNaiveMatcher(t *testing.T) {
	const seed = 3
	t.Log("seed", seed)
	w := wildcards{subs: 2000, conns: 3, subject: 1024, payload: 8}
	set := w.make(seed)
	var patterns [][]string
	for _, subs := range set.subs {
		for line := range strings.Lines(string(subs)) {
			words := strings.Fields(line)
			if len(words) != 3 || words[0] != "SUB" || len(words[2]) != 6 {
				t.Fatalf("%q", line)
			}
			patterns = append(patterns, strings.Split(words[1], "."))
		}
	}
	if len(patterns) != w.subs {
		t.Fatalf("%d subscriptions", len(patterns))
	}
	for i, b := range set.blocks {
		var due uint64
		for line := range bytes.Lines(b.bytes) {
			words := bytes.Fields(line)
			if len(words) != 3 {
				continue // a payload
			}
			for _, p := range patterns {
				if naiveMatch(p, strings.Split(string(words[1]), ".")) {
					due++
				}
			}
		}
		if due != set.matches[i] {
			t.Fatalf("block %d: %d matches, set says %d", i, due, set.matches[i])
		}
	}
	if again := w.make(seed); fmt.Sprint(again.matches) != fmt.Sprint(set.matches) {
		t.Error("the same seed gave another set")
	}
}

func naiveMatch(pattern, subject []string) bool {
	for i, token := range pattern {
		switch {
		case token == ">":
			return len(subject) > i
		case i >= len(subject), token != "*" && token != subject[i]:
			return false
		}
	}
	return len(pattern) == len(subject)
}

func TestInboxNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range uint64(10_000) {
		name := string(inboxName(nil, i))
		if seen[name] || len(name) != len("_INBOX.")+16 {
			t.Fatalf("inbox %d: %q", i, name)
		}
		seen[name] = true
	}
}

func TestTokensDoNotRepeat(t *testing.T) {
	seen := map[string]bool{}
	for i := range uint64(100_000) {
		token := make([]byte, tokenWidth)
		writeToken(token, i)
		if seen[string(token)] {
			t.Fatalf("token %d: %q", i, token)
		}
		seen[string(token)] = true
	}
}

func TestLineReply(t *testing.T) {
	for line, want := range map[string]string{
		"MSG a 1 r.x 16\r\n": "r.x", "MSG a 1 16\r\n": "", "MSG": "",
	} {
		if got := string(lineReply([]byte(line))); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
