package subjecttree

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests, 0 for a few fixed ones")

func seeds(t *testing.T) []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	return []uint64{1, 2, 3, 4, 5, 6}
}

// naive is the definition of a match, token by token.
func naive(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" && i == len(p)-1 {
			return i < len(s) && (i < len(s)-1 || s[i] != "")
		}
		if i >= len(s) || (token != "*" && token != s[i]) || (token == "*" && s[i] == "") {
			return false
		}
	}
	return len(p) == len(s)
}

func randomSubject(r *rand.Rand, wild bool) string {
	words := []string{"a", "b", "ab", "abc", "orders", "order", "eu", "1", "12", "123", "\x00", "é", "a*", ">x"}
	if wild {
		words = append(words, "*", "*", ">")
	}
	n := 1 + r.IntN(5)
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = words[r.IntN(len(words))]
		if r.IntN(3) == 0 {
			tokens[i] = fmt.Sprint(r.IntN(300))
		}
		if tokens[i] == ">" && i < n-1 {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// The tree answers as a map with the naive matcher, whatever was done to it (I1, I3).
func TestTreeAgainstMap(t *testing.T) {
	for _, seed := range seeds(t) {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		var tree Tree[int]
		model := map[string]int{}
		for i := range 6000 {
			s := randomSubject(r, false)
			switch r.IntN(5) {
			case 0, 1, 2:
				key, v := tree.Insert([]byte(s))
				if *v != model[s] || key != s {
					t.Fatalf("seed %d: insert %q: key %q value %d", seed, s, key, *v)
				}
				*v, model[s] = i, i
			case 3:
				_, there := model[s]
				if tree.Delete(s) != there {
					t.Fatalf("seed %d: delete %q: want %v", seed, s, there)
				}
				delete(model, s)
			case 4:
				v := tree.Find([]byte(s))
				if want, there := model[s]; there != (v != nil) || (there && *v != want) {
					t.Fatalf("seed %d: find %q", seed, s)
				}
			}
			if tree.Len() != len(model) {
				t.Fatalf("seed %d: len %d want %d", seed, tree.Len(), len(model))
			}
			if i%100 != 0 {
				continue
			}
			pattern := randomSubject(r, true)
			var got, want []string
			tree.Match(pattern, func(s string, v *int) bool {
				if *v != model[s] {
					t.Fatalf("seed %d: value of %q", seed, s)
				}
				got = append(got, s)
				return true
			})
			for s := range model {
				if naive(pattern, s) {
					want = append(want, s)
				}
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: match %q: got %q want %q", seed, pattern, got, want)
			}
		}
		for s := range model {
			tree.Delete(s)
		}
		if tree.root != nil || tree.Len() != 0 {
			t.Fatalf("seed %d: not empty in the end", seed)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a.*.>", "a.b.c")
	f.Add("*", "")
	f.Add("a..b", "a..b")
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		if got, want := Matches(pattern, subject), naive(pattern, subject); got != want {
			t.Fatalf("match %q %q: got %v want %v", pattern, subject, got, want)
		}
		var tree Tree[struct{}]
		tree.Insert([]byte(subject))
		tree.Insert([]byte(subject + ".x"))
		found := false
		tree.Match(pattern, func(s string, _ *struct{}) bool {
			found = found || s == subject
			return true
		})
		if found != Matches(pattern, subject) {
			t.Fatalf("tree match %q %q: got %v", pattern, subject, found)
		}
	})
}

func TestFindDoesNotAllocate(t *testing.T) {
	var tree Tree[[5]uint64]
	s := []byte("orders.eu.17")
	tree.Insert(s)
	tree.Insert([]byte("orders.eu.18"))
	if n := testing.AllocsPerRun(100, func() { tree.Insert(s); tree.Find(s) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// The memory of a tracked subject, its own bytes apart.
func TestMemoryPerSubject(t *testing.T) {
	const n = 200_000
	var tree Tree[[4]uint64]
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	bytes := 0
	buf := []byte{}
	for i := range n {
		buf = fmt.Appendf(buf[:0], "orders.%d.customer.%d", i%1000, i)
		bytes += len(buf)
		tree.Insert(buf)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (int(after.HeapAlloc-before.HeapAlloc) - bytes) / n
	t.Logf("%d bytes per subject beside its %d", per, bytes/n)
	if per > 120 {
		t.Errorf("%d bytes per subject, want ≤ 120", per)
	}
	runtime.KeepAlive(&tree)
}

func BenchmarkInsert(b *testing.B) {
	subjects := make([][]byte, 1<<17)
	for i := range subjects {
		subjects[i] = fmt.Appendf(nil, "orders.%d.customer.%d", i%1000, i)
	}
	for i := 0; b.Loop(); {
		var tree Tree[[4]uint64]
		for range min(b.N, len(subjects)) {
			tree.Insert(subjects[i%len(subjects)])
			i++
		}
	}
}

func BenchmarkFind(b *testing.B) {
	var tree Tree[[4]uint64]
	subjects := make([][]byte, 1<<17)
	for i := range subjects {
		subjects[i] = fmt.Appendf(nil, "orders.%d.customer.%d", i%1000, i)
		tree.Insert(subjects[i])
	}
	for i := 0; b.Loop(); i++ {
		tree.Find(subjects[i*7919%len(subjects)])
	}
}
