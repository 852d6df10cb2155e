package timewheel

import (
	"bytes"
	"cmp"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests, 0 for a few fixed ones")

// The wheel answers as a list that is searched each time (I1, I2).
func TestAgainstList(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 3))
		var w Wheel
		model := map[uint64]int64{}
		now, seq := int64(1e18), uint64(0)
		for step := range 5000 {
			switch r.IntN(4) {
			case 0, 1:
				seq++
				spread := []int64{1e6, 1e9, 60e9, 1e13}[r.IntN(4)]
				model[seq] = now - 5e8 + r.Int64N(spread)
				w.Add(seq, model[seq])
			case 2:
				n := 1 + r.Uint64N(seq+1)
				deadline, there := model[n]
				if w.Remove(n, deadline) != there {
					t.Fatalf("seed %d step %d: remove %d", seed, step, n)
				}
				delete(model, n)
			case 3:
				now += r.Int64N([]int64{1e6, 2e9, 1e11}[r.IntN(3)])
				var got, want []Entry
				w.Expire(now, func(e Entry) { got = append(got, e) })
				for n, deadline := range model {
					if deadline <= now {
						want = append(want, Entry{n, deadline})
						delete(model, n)
					}
				}
				slices.SortFunc(want, func(a, b Entry) int {
					return cmp.Or(cmp.Compare(a.Deadline, b.Deadline), cmp.Compare(a.Seq, b.Seq))
				})
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: got %v want %v", seed, step, got, want)
				}
			}
			next, some := w.Next()
			if some != (len(model) > 0) || w.Len() != len(model) {
				t.Fatalf("seed %d step %d: %d entries, want %d", seed, step, w.Len(), len(model))
			}
			for _, deadline := range model {
				if deadline < next {
					t.Fatalf("seed %d step %d: next %d is after %d", seed, step, next, deadline)
				}
			}
		}
		b := w.Append(nil)
		again, rest, err := Decode(append(b, 7))
		if err != nil || len(rest) != 1 || !bytes.Equal(again.Append(nil), b) {
			t.Fatalf("seed %d: decode: %v", seed, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var w Wheel
	w.Add(5, 100)
	w.Add(9, -4)
	f.Add(w.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, _, err := Decode(b)
		if err != nil {
			return
		}
		again, _, err := Decode(w.Append(nil))
		if err != nil || again.Len() != w.Len() {
			t.Fatalf("decode again: %v", err)
		}
	})
}
