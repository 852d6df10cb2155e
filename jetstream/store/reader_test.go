package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"peregrine/vfs"
)

// countedFS counts the reads of blocks, and can break one place of a file.
type countedFS struct {
	vfs.FS
	direct atomic.Int64 // opened past the page cache, to read
	other  atomic.Int64
}

func (c *countedFS) Open(name string, flag vfs.Flag) (vfs.File, error) {
	switch flag {
	case vfs.Direct:
		c.direct.Add(1)
	case 0:
		c.other.Add(1)
	}
	return c.FS.Open(name, flag)
}

// coldStream is a stream of n messages that are on disk alone.
func coldStream(t *testing.T, fsys vfs.FS, f Files, n int) *Stream {
	f.FS, f.Dir = fsys, "s"
	s, _, err := Open(Options{BlockBytes: 3 << 20, ChunkBytes: 64 << 10}, f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m := message(1000, i%5)
		copy(m.Payload, fmt.Sprint("payload ", i+1))
		if _, err := s.Append(m); err != nil {
			t.Fatal(err)
		}
		runJob(s)
	}
	s.Checkpoint()
	for runJob(s) {
	}
	s.Trim(0)
	s.Trim(0)
	return s
}

// runJob does the next job, if there is one.
func runJob(s *Stream) bool {
	j := s.Work()
	if j != nil {
		j.Run()
		s.Finish(j)
	}
	return j != nil
}

// readAll reads what matches as a worker does and returns the sequences that could
// not be read.
func readAll(t *testing.T, s *Stream, r *Reader, f Filter, want []Seq) (bad []Seq) {
	views := make([]View, 0, 100)
	var m Message
	for from := Seq(1); from <= s.last; {
		list, next, err := s.Views(f, from, views[:0])
		if err != nil || next <= from {
			t.Fatalf("views from %d: next %d, %v", from, next, err)
		}
		from = next
		for i := range list {
			if len(want) == 0 || list[i].seq != want[0] {
				t.Fatalf("view of %d, want %v", list[i].seq, want[:min(1, len(want))])
			}
			want = want[1:]
			err := r.Load(&list[i], &m)
			switch {
			case errors.Is(err, ErrCorrupt):
				bad = append(bad, list[i].seq)
			case err != nil:
				t.Fatalf("load %d: %v", list[i].seq, err)
			case m.Seq != list[i].seq || !bytes.HasPrefix(m.Payload, fmt.Append(nil, "payload ", m.Seq, "\x00")):
				t.Fatalf("load %d gave %d: %.20q", list[i].seq, m.Seq, m.Payload)
			}
		}
	}
	if len(want) > 0 {
		t.Fatalf("no view of %v", want)
	}
	return bad
}

func sequences(n int, wanted func(Seq) bool) (all []Seq) {
	for seq := Seq(1); seq <= Seq(n); seq++ {
		if wanted(seq) {
			all = append(all, seq)
		}
	}
	return all
}

// Reading in order gives everything, in large pieces, in every format; reading with a filter gives what matches.
func TestReadInOrder(t *testing.T) {
	const n = 9000
	for name, f := range map[string]Files{
		"plain": {}, "compressed": {Compress: true},
		"encrypted": {Keys: []Key{{Cipher: ChaCha, Secret: [32]byte{1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := &countedFS{FS: vfs.NewMem()}
			s := coldStream(t, fsys, f, n)
			defer s.Close()
			s.Remove(17)
			fsys.direct.Store(0)
			var r Reader
			readAll(t, s, &r, Filter{}, sequences(n, func(s Seq) bool { return s != 17 }))
			pieces, chunks := fsys.direct.Load(), int64(r.Misses.Load())
			if chunks < n/100 || pieces == 0 || pieces > chunks {
				t.Errorf("%d chunks in %d pieces", chunks, pieces)
			}
			if name == "plain" && pieces > chunks/8 {
				t.Errorf("%d chunks took %d pieces", chunks, pieces)
			}
			if name == "plain" && cap(r.spare) > 8 {
				t.Errorf("%d pieces of memory are kept", cap(r.spare))
			}
			readAll(t, s, &r, NewFilter("orders.3"), sequences(n, func(s Seq) bool { return s%5 == 4 }))
			readAll(t, s, &r, NewFilter("none"), nil)
		})
	}
}

// The second chunk in order is read with what follows it, and the next pieces are
// asked for: when their turn comes, they are there.
func TestReadAhead(t *testing.T) {
	s := coldStream(t, vfs.NewMem(), Files{}, 6000)
	defer s.Close()
	var r Reader
	var m Message
	seq := Seq(0)
	until := func(done func() bool) {
		t.Helper()
		for !done() {
			seq++
			v, err := s.View(seq)
			if err == nil {
				err = r.Load(&v, &m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	until(func() bool { return r.index == 1 })
	if n := r.piece.to - r.piece.from; n < 8 || len(r.ahead) != readAhead {
		t.Fatalf("a piece of %d chunks, %d asked for", n, len(r.ahead))
	}
	first, next := r.piece, r.ahead[0]
	until(func() bool { return r.piece != first })
	if r.piece != next || len(r.ahead) != readAhead {
		t.Errorf("what was asked for is not used, or nothing more was asked for: %d", len(r.ahead))
	}
}

// What is damaged is an error, and nothing else is.
func TestReadInOrderDamaged(t *testing.T) {
	const n = 9000
	fsys := vfs.NewMem()
	s := coldStream(t, fsys, Files{}, n)
	defer s.Close()
	b := s.blocks[1]
	c := b.chunks[7]
	name := s.path(b.fileName())
	if err := fsys.FlipBit(name, 8*(c.place.off+5000)); err != nil {
		t.Fatal(err)
	}
	lost := sequences(n, func(seq Seq) bool {
		slot := int(seq) - int(b.first)
		if slot < 0 || slot >= b.slots {
			return false
		}
		if s.columns(b) != nil {
			t.Fatal("no columns")
		}
		from, to := b.record(slot)
		at := c.start + 5000 - chunkHead
		return from <= at && at < to // other records of the chunk are good by themselves
	})
	var r Reader
	bad := readAll(t, s, &r, Filter{}, sequences(n, func(Seq) bool { return true }))
	if !slices.Equal(bad, lost) || len(bad) != 1 {
		t.Errorf("%d could not be read, want %d", len(bad), len(lost))
	}
}

// Reading here and there, and of two streams in turn, gives the right messages.
func TestReadAnywhere(t *testing.T) {
	const n = 4000
	var streams [2]*Stream
	for i := range streams {
		streams[i] = coldStream(t, vfs.NewMem(), Files{Compress: i == 1}, n)
		defer streams[i].Close()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var r Reader
	var m Message
	seq := Seq(1)
	for i := range 6000 {
		if seq++; seq > n || rng.IntN(50) == 0 {
			seq = 1 + Seq(rng.IntN(n))
		}
		v, err := streams[i/500%2].View(seq)
		if err == nil {
			err = r.Load(&v, &m)
		}
		if err != nil || m.Seq != seq || !bytes.HasPrefix(m.Payload, fmt.Append(nil, "payload ", seq, "\x00")) {
			t.Fatalf("load %d: %d, %v", seq, m.Seq, err)
		}
	}
}
