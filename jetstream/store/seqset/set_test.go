package seqset

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests, 0 for a few fixed ones")

// The set answers as a map of numbers and keeps its invariants.
func TestAgainstMap(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 2))
		var s Set
		const top = 3000
		var model [top + 10]bool
		count := func(first, last uint64) (n uint64) {
			for i := first; i <= last; i++ {
				if model[i] {
					n++
				}
			}
			return n
		}
		for step := range 6000 {
			first := r.Uint64N(top)
			last := min(first+r.Uint64N(1+r.Uint64N(6)), top)
			size := last - first + 1
			switch op := r.IntN(20); {
			case op < 12:
				want := size - count(first, last)
				if got := s.Add(first, last); got != want {
					t.Fatalf("seed %d step %d: add %d–%d: %d want %d", seed, step, first, last, got, want)
				}
				for i := first; i <= last; i++ {
					model[i] = true
				}
			case op < 17:
				want := count(first, last)
				if got := s.Remove(first, last); got != want {
					t.Fatalf("seed %d step %d: remove %d–%d: %d want %d", seed, step, first, last, got, want)
				}
				for i := first; i <= last; i++ {
					model[i] = false
				}
			case op == 17 && r.IntN(40) == 0:
				s.DropBelow(first / 4)
				for i := range first / 4 {
					model[i] = false
				}
			case op == 18 && r.IntN(40) == 0:
				s.DropAbove(top - first/4)
				for i := top - first/4 + 1; i <= top; i++ {
					model[i] = false
				}
			}
			n := r.Uint64N(top)
			next, prev := n, n
			for model[next] {
				next++
			}
			for prev > 0 && model[prev] {
				prev--
			}
			if s.Contains(n) != model[n] || s.NextAbsent(n) != next || s.PrevAbsent(n) != prev {
				t.Fatalf("seed %d step %d: look up %d: %v %d %d", seed, step, n, s.Contains(n), s.NextAbsent(n), s.PrevAbsent(n))
			}
			if s.CountIn(first, top) != count(first, top) || s.Len() != count(0, top) {
				t.Fatalf("seed %d step %d: counts", seed, step)
			}
			if step%50 == 0 {
				check(t, &s)
			}
		}
	}
}

func check(t *testing.T, s *Set) {
	t.Helper()
	parts, end := 0, uint64(0)
	for _, page := range s.pages {
		if len(page) == 0 {
			t.Fatal("empty page (I2)")
		}
		for _, r := range page {
			if r.First > r.Last || (parts > 0 && r.First < end+2) {
				t.Fatalf("range %v after %d (I1)", r, end)
			}
			end = r.Last
			parts++
		}
	}
	if parts != s.Ranges() {
		t.Fatalf("%d ranges, counted %d", parts, s.Ranges())
	}
	b := s.Append(nil)
	again, rest, err := Decode(append(b, 1, 2, 3))
	if err != nil || len(rest) != 3 || !bytes.Equal(again.Append(nil), b) || again.Len() != s.Len() {
		t.Fatalf("decode: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	var s Set
	s.Add(1, 5)
	s.Add(9, 9)
	s.Add(1<<40, math.MaxUint64-1)
	f.Add(s.Append(nil))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, err := Decode(b)
		if err != nil {
			return
		}
		check(t, &s)
		if again := s.Append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x decoded and encoded is %x", b, again)
		}
	})
}

func BenchmarkAddRandom(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var s Set
	for b.Loop() {
		n := r.Uint64N(10_000_000)
		s.Add(n, n)
	}
}
