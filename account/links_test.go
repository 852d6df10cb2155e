package account

import (
	"math/rand/v2"
	"strings"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/sublist"
)

// A subscription of an importer gets of another account exactly what becomes a
// subject that it matches, whatever the pattern and the import look like.
func TestSourceAgreesWithEverySubject(t *testing.T) {
	rng := seeds.Rand(t, 1)
	literals := allLiterals([]string{"a", "b", "p"}, 4)
	sources := 0
	for range 4000 {
		im := randomStream(rng)
		m, err := connectStream(&im)
		if err != nil {
			t.Fatalf("%+v: %v", im, err)
		}
		pattern := randomPattern(rng, 4)
		source, ok := m.Source(pattern)
		if ok {
			sources++
		}
		for _, s := range literals {
			want := sublist.SubsetMatch(s, m.Subject) && sublist.SubsetMatch(m.AppendLocal(nil, []byte(s)), pattern)
			if got := ok && sublist.SubsetMatch(s, source); got != want {
				t.Fatalf("import of %q as %q, subscription to %q is one to %q (%v) there: %q matches: %v, want %v",
					m.Subject, im.Local+im.Prefix, pattern, source, ok, s, got, want)
			}
		}
	}
	if sources == 0 {
		t.Error("no pattern ever met an import: the test shows nothing")
	}
}

// allLiterals returns every subject of 1 to max of the tokens.
func allLiterals(tokens []string, max int) (all []string) {
	level := []string{""}
	for range max {
		var next []string
		for _, s := range level {
			for _, token := range tokens {
				next = append(next, strings.TrimPrefix(s+"."+token, "."))
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

func randomPattern(rng *rand.Rand, max int) string {
	n := 1 + rng.IntN(max)
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = []string{"a", "b", "p", "*", "*"}[rng.IntN(5)]
	}
	if rng.IntN(4) == 0 {
		tokens[n-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// randomStream returns an import that connects: as it is, with a prefix, or to a
// subject with the wildcards in any order.
func randomStream(rng *rand.Rand) Import {
	im := Import{Account: "X", Subject: randomPattern(rng, 3)}
	switch rng.IntN(3) {
	case 0:
		im.Prefix = []string{"p", "p.a.", "b"}[rng.IntN(3)]
	case 1:
		im.Local = randomLocal(rng, im.Subject)
	}
	return im
}

// randomLocal returns a destination that uses every wildcard of subject once.
func randomLocal(rng *rand.Rand, subject string) string {
	var tokens []string
	stars := 0
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" {
			stars++
		}
	}
	for _, n := range rng.Perm(stars) {
		if rng.IntN(2) == 0 {
			tokens = append(tokens, "a")
		}
		tokens = append(tokens, []string{"$", "{{wildcard("}[n%2]+string(rune('1'+n))+[]string{"", ")}}"}[n%2])
	}
	if len(tokens) == 0 {
		tokens = append(tokens, "b")
	}
	if strings.HasSuffix(subject, ">") {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

func TestServiceSubjects(t *testing.T) {
	check := func(subject, local, published, want string) {
		t.Helper()
		m, err := connectService(&Import{Service: true, Subject: subject, Local: local})
		if err != nil {
			t.Fatal(err)
		}
		if !sublist.SubsetMatch(published, m.Local) {
			t.Errorf("%q does not match %q", published, m.Local)
		}
		if got := string(m.AppendSubject(nil, []byte(published))); got != want {
			t.Errorf("%q asked as %q: %q becomes %q, want %q", subject, local, published, got, want)
		}
	}
	check("add", "", "add", "add")
	check("add", "sum", "sum", "add")
	check("add.>", "", "add.x.y", "add.x.y")
	check("add.*", "sum.*", "sum.1", "add.1")
	check("add.*.*", "sum.$2.x.$1", "sum.1.x.2", "add.2.1")
	check("add.$1.$2", "sum.*.*", "sum.1.2", "add.$1.$2")
	check("add.*.>", "sum.{{wildcard(1)}}.>", "sum.1.2.3", "add.1.2.3")
}
