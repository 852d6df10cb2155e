package sublist

import (
	"fmt"
	"strings"
	"testing"

	"peregrine/internal/seeds"
)

func allocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestAllocations(t *testing.T) {
	l := New[sub](Options{})
	for i := range 100 {
		_ = (&sub{id: i, subject: fmt.Sprintf("a.b.%d", i)}).insertInto(l)
		_ = (&sub{id: i, subject: "wide", loop: i % 3}).insertInto(l)
	}
	_ = (&sub{subject: "a.*.7"}).insertInto(l)
	_ = (&sub{subject: "_INBOX.me.*"}).insertInto(l)
	q := &sub{subject: "a.>", queue: "q", weight: 2}
	_ = q.insertInto(l)
	c := NewCache[sub](CacheOptions{Entries: 256})
	var r Result[sub]
	subjects := [][]byte{[]byte("a.b.7"), []byte("wide"), []byte("nobody"), []byte("a..b"), []byte(strings.Repeat("a.", 100) + "b")}
	for _, s := range subjects {
		c.Match(l, s)
		allocs(t, "hit", func() { c.Match(l, s) })
		l.Match(s, &r)
		if !raceEnabled {
			allocs(t, "uncached", func() { l.Match(s, &r) })
			allocs(t, "interest", func() { l.HasInterest(s) })
		}
	}
	// Subjects never seen before, merged or not.
	n := 0
	fresh := []byte("_INBOX.me.000000")
	next := func() {
		n++
		for i, k := 0, n; i < 6; i, k = i+1, k/10 {
			fresh[len(fresh)-1-i] = byte('0' + k%10)
		}
	}
	for range 5000 {
		next()
		c.MatchInto(l, fresh, &r)
	}
	allocs(t, "reply", func() { next(); c.MatchInto(l, fresh, &r) })
	copy(fresh, "a.b.cc.000000xxx")
	fresh = fresh[:13]
	allocs(t, "random with merge", func() { next(); c.MatchInto(l, fresh, &r) })
	// Other people's changes leave a hit free of allocations too.
	var others []*sub
	for i := range 300 {
		s := &sub{subject: fmt.Sprintf("_INBOX.other%d.*", i)}
		_ = s.insertInto(l)
		others = append(others, s)
	}
	c.Match(l, subjects[0])
	misses := c.matches - c.hits
	allocs(t, "hit beside churn", func() {
		s := others[0]
		others = others[1:]
		l.Remove(s.subject, "", s)
		c.Match(l, subjects[0])
	})
	if more := c.matches - c.hits - misses; more > 20 {
		t.Errorf("%d misses beside churn", more)
	}
}

// TestChurnKeepsCache proves I4: inboxes coming and going, literal or wildcard,
// leave the cached results of other subjects alone.
func TestChurnKeepsCache(t *testing.T) {
	l := New[sub](Options{})
	_ = (&sub{subject: "orders.new"}).insertInto(l)
	_ = (&sub{subject: "orders.*"}).insertInto(l)
	c := NewCache[sub](CacheOptions{})
	steady := [][]byte{[]byte("orders.new"), []byte("orders.old"), []byte("nobody.here")}
	for _, s := range steady {
		c.Match(l, s)
	}
	for i := range 10_000 {
		s := &sub{subject: fmt.Sprintf("_INBOX.%d.*", i)}
		if i%2 == 0 {
			s.subject = fmt.Sprintf("_INBOX.%d.%d", i, i)
		}
		_ = s.insertInto(l)
		for _, s := range steady {
			c.Match(l, s)
		}
		l.Remove(s.subject, "", s)
	}
	// Hashed counters collide now and then: one in 512, for each of two prefixes.
	misses := c.matches - c.hits
	if misses > c.matches/50 {
		t.Errorf("%d misses of %d", misses, c.matches)
	}
	if n := c.used; n != len(steady) {
		t.Errorf("%d entries", n)
	}
}

// TestCacheBounds shows that entries and pointers stay within bounds, and that
// steady subjects survive a flood of others.
func TestCacheBounds(t *testing.T) {
	l := New[sub](Options{})
	for i := range 40 {
		_ = (&sub{id: i, subject: "f.>", loop: i % 2}).insertInto(l)
		_ = (&sub{id: i, subject: "f.*", loop: i % 3}).insertInto(l)
	}
	other := New[sub](Options{})
	c := NewCache[sub](CacheOptions{Entries: 1024, Pointers: 4000})
	steady := []byte("steady")
	_ = (&sub{subject: "steady"}).insertInto(l)
	misses := 0
	for i := range 20_000 {
		s := []byte(fmt.Sprintf("f.%d", i))
		if n := len(c.Match(l, s).Plain); n != 80 {
			t.Fatalf("%d receivers", n)
		}
		if !c.Match(other, s).Empty() {
			t.Fatal("lists mixed up")
		}
		before := c.hits
		c.Match(l, steady)
		if c.hits == before {
			misses++
		}
		if c.pointers > 4000 || len(c.lines) > 1024 {
			t.Fatalf("%d pointers, %d lines", c.pointers, len(c.lines))
		}
	}
	checkCache(t, c)
	if misses > 200 {
		t.Errorf("steady subject missed %d times", misses)
	}
	// A single result beyond the bound is still remembered, alone.
	big := New[sub](Options{})
	for i := range 5000 {
		_ = (&sub{id: i, subject: "big"}).insertInto(big)
	}
	first := c.Match(big, []byte("big"))
	if c.Match(big, []byte("big")) != first || c.pointers != 5000 {
		t.Errorf("large result not kept, %d pointers", c.pointers)
	}
	c.Forget(big)
	checkCache(t, c)
	if c.pointers != 0 {
		t.Errorf("%d pointers left", c.pointers)
	}
}

func TestPickIsWeighted(t *testing.T) {
	r := seeds.Rand(t, 1)
	l := New[sub](Options{})
	weights := []int32{1, 5, 2, 0}
	for i, w := range weights {
		_ = l.Insert("q", "g", 0, w, &sub{id: i})
	}
	var res Result[sub]
	l.Match([]byte("q"), &res)
	g := &res.Groups[0]
	counts := make([]int, len(weights))
	const n = 90_000
	for range n {
		counts[g.Members[g.Pick(r.Uint64())].id]++
	}
	for i, w := range weights {
		want := n * int(max(w, 1)) / 9
		if counts[i] < want*9/10 || counts[i] > want*11/10 {
			t.Errorf("member of weight %d picked %d times of %d", w, counts[i], n)
		}
	}
}
