package sublist

import (
	"slices"
	"strings"
	"testing"

	"peregrine/internal/seeds"
)

func TestValidation(t *testing.T) {
	check := func(s string, valid, literal, publish, wild bool, tokens int) {
		t.Helper()
		if IsValidSubject(s) != valid || IsValidSubject([]byte(s)) != valid {
			t.Errorf("IsValidSubject(%q)", s)
		}
		if IsValidLiteral(s) != literal || IsValidLiteral([]byte(s)) != literal {
			t.Errorf("IsValidLiteral(%q)", s)
		}
		if IsValidPublishSubject(s) != publish {
			t.Errorf("IsValidPublishSubject(%q)", s)
		}
		if HasWildcard(s) != wild {
			t.Errorf("HasWildcard(%q)", s)
		}
		if NumTokens(s) != tokens {
			t.Errorf("NumTokens(%q) = %d", s, NumTokens(s))
		}
	}
	check("", false, false, false, false, 0)
	check("a", true, true, true, false, 1)
	check("a.b", true, true, true, false, 2)
	check("a.*", true, false, false, true, 2)
	check("*", true, false, false, true, 1)
	check(">", true, false, false, true, 1)
	check("a.>", true, false, false, true, 2)
	check(">.a", false, false, false, true, 2)
	check("a.>.b", false, false, false, true, 3)
	check("a*", true, true, true, false, 1)
	check("*a.b>", true, true, true, false, 2)
	check("a..b", false, false, false, false, 3)
	check(".a", false, false, false, false, 2)
	check("a.", false, false, false, false, 2)
	check(".", false, false, false, false, 2)
	check("a b", false, true, false, false, 1)
	check(" ", false, true, false, false, 1)
	check("a.\t", false, true, false, false, 2)
	check("a\r\n", false, true, false, false, 1)
	check("a.\x00", true, true, true, false, 2)
	for n, want := range []string{"", "foo", "*", "baz", ""} {
		if got := Token("foo.*.baz", n); got != want {
			t.Errorf("Token %d = %q", n, got)
		}
	}
}

func TestSubsetAndCollide(t *testing.T) {
	subset := func(s, p string, want bool) {
		t.Helper()
		if SubsetMatch(s, p) != want || SubsetMatch([]byte(s), p) != want {
			t.Errorf("SubsetMatch(%q, %q) = %v", s, p, !want)
		}
	}
	subset("foo.bar", "foo.bar", true)
	subset("foo.bar", "foo.*", true)
	subset("foo.bar", "foo.>", true)
	subset("foo.bar", ">", true)
	subset("foo", "foo.>", false)
	subset("foo.*", "foo.bar", false)
	subset("foo.*", "*.*", true)
	subset("foo.*", "foo.>", true)
	subset("foo.>", "foo.*", false)
	subset("foo.>", "foo.>", true)
	subset("foo.>", ">", true)
	subset(">", ">", true)
	subset(">", "*", false)
	subset("foo.bar.baz", "foo.*", false)
	subset("foo", "foo.*", false)
	subset("foo.bar", "foo.*x", false)
	subset("foo..bar", "foo.*.bar", false)
	collides := func(a, b string, want bool) {
		t.Helper()
		if SubjectsCollide(a, b) != want || SubjectsCollide([]byte(b), a) != want {
			t.Errorf("SubjectsCollide(%q, %q) = %v", a, b, !want)
		}
	}
	collides("foo", "foo", true)
	collides("foo", "bar", false)
	collides("foo.*", "*.bar", true)
	collides("foo.*", "foo.*.bar", false)
	collides("foo.>", "foo.*.bar", true)
	collides("foo.>", "foo", false)
	collides("foo.*.baz", "foo.bar.*", true)
	collides("foo.*.baz", "foo.bar.qux", false)
	collides("*.>", "a", false)
	collides("*.>", "a.b", true)
	collides("a.>", "b.>", false)
	collides("*", ">", true)
}

// witness tries literal subjects over the tokens of both patterns.
func witness(a, b string) bool {
	words := []string{"zz"}
	for _, s := range append(strings.Split(a, "."), strings.Split(b, ".")...) {
		if s != "*" && s != ">" {
			words = append(words, s)
		}
	}
	slices.Sort(words)
	words = slices.Compact(words)
	var try func(prefix []string) bool
	try = func(prefix []string) bool {
		if n := len(prefix); n > 0 && naiveMatch(prefix, strings.Split(a, ".")) && naiveMatch(prefix, strings.Split(b, ".")) {
			return true
		} else if n == 4 {
			return false
		}
		return slices.ContainsFunc(words, func(w string) bool { return try(append(prefix[:len(prefix):len(prefix)], w)) })
	}
	return try(nil)
}

// TestCollideHasWitness compares SubjectsCollide with a search for a subject that
// both sides match, and SubsetMatch with what it promises about such subjects.
func TestCollideHasWitness(t *testing.T) {
	r := seeds.Rand(t, 1)
	short := func() string {
		n := 1 + r.IntN(3)
		s := make([]string, n)
		for i := range s {
			s[i] = []string{"a", "b", "*", "*"}[r.IntN(4)]
		}
		if r.IntN(3) == 0 {
			s[n-1] = ">"
		}
		return strings.Join(s, ".")
	}
	for range 1000 {
		a, b := short(), short()
		if want := witness(a, b); SubjectsCollide(a, b) != want {
			t.Fatalf("SubjectsCollide(%q, %q) = %v", a, b, !want)
		}
		if SubsetMatch(a, b) && !SubjectsCollide(a, b) {
			t.Fatalf("%q within %q but apart", a, b)
		}
		if c := short(); SubsetMatch(a, b) && SubsetMatch(b, c) && !SubsetMatch(a, c) {
			t.Fatalf("%q within %q within %q", a, b, c)
		}
	}
}

// FuzzMatch subscribes to every line of input that is a valid pattern and
// publishes to every line, comparing with the naive list.
func FuzzMatch(f *testing.F) {
	f.Add("a.*\na.b\n>\na..b\n*.*")
	f.Add("_INBOX.x.*\n_INBOX.x.y\n_INBOX.>\n_INBOX")
	f.Add("*.a.*.b\na.a.a.b\n*.*.*.*\n>x\nb*r")
	f.Fuzz(func(t *testing.T, input string) {
		lines := strings.Split(input, "\n")
		if len(lines) > 40 {
			return
		}
		l := New[sub](Options{Shards: 1})
		n := naive{}
		c := NewCache[sub](CacheOptions{Entries: 4})
		for i, p := range lines {
			s := &sub{id: i, subject: p, loop: i % 3}
			if _, ok := analyse(p); (s.insertInto(l) == nil) != ok {
				t.Fatalf("insert %q", p)
			} else if ok {
				n[s] = true
			}
			HasWildcard(p)
			NumTokens(p)
			IsValidSubject(p)
		}
		var r Result[sub]
		for _, s := range lines {
			l.Match([]byte(s), &r)
			checkResult(t, n, s, &r)
			checkResult(t, n, s, c.Match(l, []byte(s)))
			SubjectsCollide(s, lines[0])
			SubsetMatch(s, lines[0])
		}
		for s := range n {
			if !l.Remove(s.subject, "", s) {
				t.Fatalf("remove %v", s)
			}
		}
		checkBare(t, l)
	})
}
