package codec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Run counts exactly the frames that the parser would find, as long as their
// lines are the first one's.
func TestRunAgainstParser(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	lines := []string{"PUB a 3\r\n", "PUB a 3\r\n", "PUB a 3\r\n", "PUB b 3\r\n", "PUB a r 3\r\n", "pub a 3\r\n", "PUB a 03\r\n", "HPUB a 0 3\r\n"}
	for range 20000 {
		var b []byte
		for range 1 + rng.IntN(6) {
			b = fmt.Appendf(b, "%s%03d\r\n", lines[rng.IntN(len(lines))], rng.IntN(1000))
		}
		b = b[:len(b)-rng.IntN(4)]
		if rng.IntN(4) == 0 {
			b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
		}
		p := Parser{MaxPayload: 1 << 20, HeadersOK: true}
		var f Frame
		n, err := p.Next(b, &f)
		if err != nil || n == 0 || f.Tail == nil {
			continue
		}
		line := append([]byte(nil), b[:f.Line]...)
		max := rng.IntN(100)
		want := 0
		for at := n; at < len(b) && bytes.HasPrefix(b[at:], line); {
			var g Frame
			m, err := p.Next(b[at:], &g)
			if err != nil || m == 0 || at+m > n+max {
				break
			}
			want++
			at += m
		}
		p.Reset()
		if _, err := p.Next(b, &f); err != nil {
			t.Fatal(err)
		}
		if got := Run(b, &f, n, max); got != want {
			t.Fatalf("seed %d: %d frames repeat the first of %q within %d bytes, want %d", seed, got, b, max, want)
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	b := bytes.Repeat([]byte("PUB subject.of.some.length 2\r\nhi\r\n"), 100)
	p := Parser{MaxPayload: 1 << 20}
	var f Frame
	n, err := p.Next(b, &f)
	if err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		if Run(b, &f, n, len(b)) != 99 {
			t.Fatal("not a run")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkRun(b *testing.B) {
	in := bytes.Repeat([]byte("PUB subject.of.some.length 2\r\nhi\r\n"), 1000)
	p := Parser{MaxPayload: 1 << 20}
	var f Frame
	n, _ := p.Next(in, &f)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		Run(in, &f, n, len(in))
	}
}
