package sublist

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"peregrine/internal/seeds"
)

// sub is a subscriber in tests; it knows what it subscribed to.
type sub struct {
	id             int
	subject, queue string
	loop           int
	weight         int32
}

func (s *sub) String() string {
	return fmt.Sprintf("#%d(%s q=%s loop=%d)", s.id, s.subject, s.queue, s.loop)
}

func (s *sub) insertInto(l *List[sub]) error {
	return l.Insert(s.subject, s.queue, s.loop, s.weight, s)
}

// naiveMatch is the definition: token by token, recursively.
func naiveMatch(subject, pattern []string) bool {
	if len(pattern) == 0 || len(subject) == 0 {
		return len(pattern) == len(subject)
	}
	if slices.Contains(subject, "") {
		return false
	}
	switch {
	case pattern[0] == ">":
		return true
	case pattern[0] == "*", pattern[0] == subject[0] && subject[0] != "*" && subject[0] != ">":
		return naiveMatch(subject[1:], pattern[1:])
	}
	return false
}

// naive is the obviously right list.
type naive map[*sub]bool

func (n naive) match(subject string) (plain []*sub, groups map[string][]*sub) {
	groups = map[string][]*sub{}
	for s := range n {
		if !naiveMatch(strings.Split(subject, "."), strings.Split(s.subject, ".")) {
			continue
		}
		if s.queue == "" {
			plain = append(plain, s)
		} else {
			groups[s.queue] = append(groups[s.queue], s)
		}
	}
	return plain, groups
}

func byID(a, b *sub) int { return a.id - b.id }

// checkResult compares a result with the naive list's answer, order of loops
// included.
func checkResult(t *testing.T, n naive, subject string, r *Result[sub]) {
	t.Helper()
	plain, groups := n.match(subject)
	if !slices.IsSortedFunc(r.Plain, func(a, b *sub) int { return a.loop - b.loop }) {
		t.Fatalf("match %q: not grouped by loop: %v", subject, r.Plain)
	}
	checkSame(t, subject, plain, r.Plain)
	if len(groups) != len(r.Groups) {
		t.Fatalf("match %q: want %d groups, got %d", subject, len(groups), len(r.Groups))
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		checkSame(t, subject+" queue "+g.Name, groups[g.Name], g.Members)
		total := uint64(0)
		for k, m := range g.Members {
			if g.weight(k) != max(m.weight, 1) {
				t.Fatalf("match %q: weight of %v is %d", subject, m, g.weight(k))
			}
			total += uint64(g.weight(k))
		}
		if len(g.Weights) > 0 && total != g.total {
			t.Fatalf("match %q: total %d, want %d", subject, g.total, total)
		}
	}
}

func checkSame(t *testing.T, what string, want, got []*sub) {
	t.Helper()
	want, got = slices.Clone(want), slices.Clone(got)
	slices.SortFunc(want, byID)
	slices.SortFunc(got, byID)
	if !slices.Equal(want, got) {
		t.Fatalf("match %q:\nwant %v\n got %v", what, want, got)
	}
}

// vocabulary is small, so that random subjects meet.
var vocabulary = []string{"a", "b", "c", "foo", "bar", "b*r", ">x", "_INBOX", "x1", "x2", "x3"}

func randomSubject(r *rand.Rand, wild, broken bool) string {
	n := 1 + r.IntN(5)
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = vocabulary[r.IntN(len(vocabulary))]
		if wild && r.IntN(3) == 0 {
			tokens[i] = "*"
		}
		if broken && r.IntN(20) == 0 {
			tokens[i] = ""
		}
	}
	if wild && r.IntN(4) == 0 {
		tokens[n-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// TestRandomOps proves I1 and I2: uncached and cached matches, with and without
// scratch, agree with the naive list after every change.
func TestRandomOps(t *testing.T) {
	r := seeds.Rand(t, 1)
	ops := 4000
	if raceEnabled {
		ops = 1000
	}
	for round := range 6 {
		l := New[sub](Options{Shards: 1 << (round % 3)})
		n := naive{}
		c := NewCache[sub](CacheOptions{Entries: 64 << round, Pointers: 200 << round})
		var scratch, scratch2 Result[sub]
		var all []*sub
		grow := true
		for op := range ops {
			// Waxing and waning makes sets and tables grow and shrink.
			if len(all) > 600 {
				grow = false
			} else if len(all) < 50 {
				grow = true
			}
			switch k := r.IntN(10); {
			case k < 4 && grow, k < 2:
				s := &sub{id: op, subject: randomSubject(r, r.IntN(2) == 0, false), loop: r.IntN(4)}
				if round%2 == 0 {
					s.subject = []string{"a", "a.*", "a.b", ">"}[r.IntN(4)]
				}
				if r.IntN(3) == 0 {
					s.queue = fmt.Sprint("q", r.IntN(1+r.IntN(30)))
					s.weight = int32(r.IntN(3))
				}
				if err := s.insertInto(l); err != nil {
					t.Fatal(err)
				}
				n[s] = true
				all = append(all, s)
			case k < 6 && len(all) > 0:
				i := r.IntN(len(all))
				s := all[i]
				if !l.Remove(s.subject, s.queue, s) || l.Remove(s.subject, s.queue, s) {
					t.Fatalf("remove %v", s)
				}
				delete(n, s)
				all = slices.Delete(all, i, i+1)
			case k == 6 && len(all) > 0: // again, perhaps with a new weight
				s := all[r.IntN(len(all))]
				if s.queue != "" {
					s.weight = int32(r.IntN(4))
				}
				if isNew, err := l.InsertNew(s.subject, s.queue, s.loop, s.weight, s); isNew || err != nil {
					t.Fatalf("insert %v again: %v %v", s, isNew, err)
				}
			default:
				subject := randomSubject(r, r.IntN(8) == 0, true)
				if round%2 == 0 && r.IntN(2) == 0 {
					subject = []string{"a", "a.b", "a.c"}[r.IntN(3)]
				}
				l.Match([]byte(subject), &scratch)
				checkResult(t, n, subject, &scratch)
				checkResult(t, n, subject, c.Match(l, []byte(subject)))
				checkResult(t, n, subject, c.MatchInto(l, []byte(subject), &scratch2))
				plain, queue := l.NumInterest([]byte(subject))
				q := 0
				for i := range scratch.Groups {
					q += len(scratch.Groups[i].Members)
				}
				if plain != len(scratch.Plain) || queue != q || l.HasInterest([]byte(subject)) != !scratch.Empty() {
					t.Fatalf("interest in %q: %d %d", subject, plain, queue)
				}
			}
			if l.Count() != len(n) {
				t.Fatalf("count %d, want %d", l.Count(), len(n))
			}
			if r.IntN(50) == 0 {
				c.Sweep(20)
				checkCache(t, c)
			}
		}
		checkRange(t, l, n)
		var batch []Subscription[sub]
		for s := range n {
			batch = append(batch, Subscription[sub]{s.subject, s.queue, s})
		}
		if got := l.RemoveBatch(batch); got != len(n) {
			t.Fatalf("removed %d of %d", got, len(n))
		}
		checkBare(t, l)
		c.Sweep(1 << 20)
		if st := c.Stats(); st.Pointers != 0 {
			t.Fatalf("cache of an empty list holds %d pointers", st.Pointers)
		}
		c.Forget(l)
		if st := c.Stats(); st.Entries != 0 {
			t.Fatalf("forgotten list has %d entries", st.Entries)
		}
	}
}

// checkCache recounts what a cache believes to hold.
func checkCache(t *testing.T, c *Cache[sub]) {
	t.Helper()
	used, pointers := 0, 0
	for i := range c.lines {
		if c.lines[i].list != nil {
			used++
			pointers += int(c.lines[i].cost)
		}
	}
	if used != c.used || pointers != c.pointers {
		t.Fatalf("cache says %d lines, %d pointers; has %d, %d", c.used, c.pointers, used, pointers)
	}
	if len(c.lines) > c.o.Entries {
		t.Fatalf("cache has %d lines, allowed %d", len(c.lines), c.o.Entries)
	}
}

func checkRange(t *testing.T, l *List[sub], n naive) {
	t.Helper()
	var want, got []*sub
	for s := range n {
		want = append(want, s)
	}
	l.Range(func(subject, queue string, s *sub) bool {
		if subject != s.subject || queue != s.queue {
			t.Fatalf("range gives %q %q for %v", subject, queue, s)
		}
		got = append(got, s)
		return true
	})
	checkSame(t, "range", want, got)
	for _, pattern := range []string{">", "a.*", "a.>", "*.*.*", "a.b", "*.b.>"} {
		want, got = nil, nil
		var overlap, gotOverlap []*sub
		for s := range n {
			if SubsetMatch(s.subject, pattern) {
				want = append(want, s)
			}
			if SubjectsCollide(s.subject, pattern) {
				overlap = append(overlap, s)
			}
		}
		l.RangeWithin(pattern, func(_, _ string, s *sub) bool { got = append(got, s); return true })
		checkSame(t, "within "+pattern, want, got)
		l.RangeColliding(pattern, func(_, _ string, s *sub) bool { gotOverlap = append(gotOverlap, s); return true })
		checkSame(t, "colliding "+pattern, overlap, gotOverlap)
		var r Result[sub]
		l.ReverseMatch(pattern, &r)
		for i := range r.Groups {
			r.Plain = append(r.Plain, r.Groups[i].Members...)
		}
		checkSame(t, "reverse "+pattern, want, r.Plain)
	}
}

// checkBare proves I5: an empty list holds no table, node or entry.
func checkBare(t *testing.T, l *List[sub]) {
	t.Helper()
	if n := l.Count(); n != 0 {
		t.Fatalf("count %d", n)
	}
	for i := range l.lits {
		if l.lits[i].table.cells.Load() != nil || l.lits[i].table.live != 0 {
			t.Fatalf("literal shard %d has a table", i)
		}
	}
	w := l.wild.Load()
	if w == nil {
		return
	}
	if !w.top.bare() || w.root.table.live != 0 {
		t.Fatalf("root trie is not bare")
	}
	for i := range w.shards {
		if w.shards[i].table.live != 0 {
			t.Fatalf("wildcard shard %d has nodes", i)
		}
	}
}

func TestReferenceSemantics(t *testing.T) {
	l := New[sub](Options{})
	for i, s := range []string{"foo.*", "foo.>", ">", "foo.bar", "*", "b*r", "foo.*.baz", ">x"} {
		s := &sub{id: i, subject: s}
		if err := s.insertInto(l); err != nil {
			t.Fatal(err)
		}
	}
	check := func(subject string, want ...string) {
		t.Helper()
		var r Result[sub]
		l.Match([]byte(subject), &r)
		var got []string
		for _, s := range r.Plain {
			got = append(got, s.subject)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q reaches %q, want %q", subject, got, want)
		}
	}
	// A published wildcard token is just a token; only wildcards match it.
	check("foo.*", "foo.*", "foo.>", ">")
	check("foo.>", "foo.*", "foo.>", ">")
	check(">", ">", "*")
	check("*", ">", "*")
	check("foo.bar", "foo.bar", "foo.*", "foo.>", ">")
	check("b*r", "b*r", "*", ">")
	check("bar", "*", ">")
	check(">x", ">x", "*", ">")
	check("foo", "*", ">")
	check("foo.x.baz", "foo.*.baz", "foo.>", ">")
	for _, s := range []string{"", ".", "foo.", ".foo", "foo..bar", "foo.."} {
		check(s)
	}
	for _, s := range []string{"", ".", "a.", ".a", "a..b", ">.a", "a.>.b", ">.>"} {
		if err := l.Insert(s, "", 0, 1, &sub{}); err != ErrInvalidSubject {
			t.Errorf("insert %q: %v", s, err)
		}
		if l.Remove(s, "", &sub{}) {
			t.Errorf("removed %q", s)
		}
	}
	if err := l.Insert("a", "", -1, 1, &sub{}); err != ErrBadLoop {
		t.Error(err)
	}
	if err := l.Insert("a", "", MaxLoop+1, 1, &sub{}); err != ErrBadLoop {
		t.Error(err)
	}
}

// TestDeepSubjects shows that subjects with very many tokens need no deep stack.
func TestDeepSubjects(t *testing.T) {
	const depth = 200_000
	deep := strings.Repeat("a.", depth)
	l := New[sub](Options{})
	subs := []*sub{
		{id: 1, subject: deep + "a"}, {id: 2, subject: deep + "*"}, {id: 3, subject: deep + ">"},
		{id: 4, subject: strings.Repeat("*.", depth) + "a"}, {id: 5, subject: strings.Repeat("*.a.", depth/2) + ">"},
	}
	n := naive{}
	for _, s := range subs {
		if err := s.insertInto(l); err != nil {
			t.Fatal(err)
		}
	}
	var r Result[sub]
	l.Match([]byte(deep+"a"), &r)
	if len(r.Plain) != len(subs) {
		t.Fatalf("matched %d of %d", len(r.Plain), len(subs))
	}
	for _, s := range subs {
		if !l.Remove(s.subject, "", s) {
			t.Fatalf("remove #%d", s.id)
		}
	}
	checkRange(t, l, n)
	checkBare(t, l)
}
