package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// scrub reads all of a stream once.
func scrub(t *testing.T, s *Stream) *Scrub {
	t.Helper()
	sc := &Scrub{}
	for n := 0; !sc.Done(); n++ {
		if j := s.Scrub(sc); j != nil {
			j.Run()
			s.Finish(j)
		}
		if n > 1000 {
			t.Fatal("a scrub without end")
		}
	}
	return sc
}

// whole checks that every message is what it was or is told to be lost, and that
// figures and walks know of exactly those that are there. It returns how many are
// lost.
func whole(s *Stream, m *model) (lost int, err error) {
	var msg Message
	var reader Reader
	subjects := map[string]uint64{}
	for _, want := range m.msgs {
		err := s.Load(want.Seq, &msg)
		switch {
		case errors.Is(err, ErrCorrupt):
			if !s.lost.Contains(uint64(want.Seq)) {
				return 0, fmt.Errorf("message %d cannot be read and is not fenced: %w", want.Seq, err)
			}
			lost++
		case err != nil:
			return 0, fmt.Errorf("message %d: %w", want.Seq, err)
		case fmt.Sprint(msg) != fmt.Sprint(want):
			return 0, fmt.Errorf("message %d is %v, want %v", want.Seq, msg, want)
		default:
			subjects[string(want.Subject)]++
			v, err := s.View(want.Seq)
			if err == nil {
				err = reader.Load(&v, &msg)
			}
			if err != nil || fmt.Sprint(msg) != fmt.Sprint(want) {
				return 0, fmt.Errorf("message %d by a view: %v, %w", want.Seq, msg, err)
			}
		}
	}
	st, err := s.State()
	if err != nil {
		return 0, err
	}
	if int(st.Msgs) != len(m.msgs)-lost || st.Subjects != len(subjects) {
		return 0, fmt.Errorf("%+v with %d of %d lost, %d subjects", st, lost, len(m.msgs), len(subjects))
	}
	s.Subjects(Filter{}, func(name string, n uint64) bool {
		if subjects[name] != n {
			err = fmt.Errorf("%d on %s, want %d", n, name, subjects[name])
		}
		return err == nil
	})
	for seq, seen := Seq(1), 0; err == nil; seq = msg.Seq + 1 {
		walk := s.LoadNext(Filter{}, seq, &msg)
		var gap *LostError
		if errors.As(walk, &gap) {
			msg.Seq = gap.Last
			continue
		}
		if errors.Is(walk, ErrNotFound) {
			if seen != len(m.msgs)-lost {
				err = fmt.Errorf("a walk sees %d of %d", seen, len(m.msgs)-lost)
			}
			break
		}
		err = walk
		seen++
	}
	return lost, err
}

// damage does something to a random file of messages.
func damage(t *testing.T, w *world, r *rand.Rand) string {
	files := blockFiles(t, w.disk)
	name := files[r.IntN(len(files))]
	e, err := w.disk.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	switch off := r.Int64N(e.Size); r.IntN(5) {
	case 0:
		w.disk.Cut(name, off)
		return fmt.Sprintf("%s cut to %d", name, off)
	case 1:
		w.disk.Remove(name)
		return name + " removed"
	case 2:
		w.disk.Corrupt(name, func(b []byte) []byte { clear(b[off:min(off+3000, int64(len(b)))]); return b })
		return fmt.Sprintf("%s cleared from %d", name, off)
	default:
		off = off/vfs.BlockSize*vfs.BlockSize + off%300
		off = min(off, e.Size-1)
		w.disk.FlipBit(name, off*8+r.Int64N(8))
		return fmt.Sprintf("%s, byte %d", name, off)
	}
}

// What a scrub finds is fenced: nothing else is lost than what cannot be read, that
// is known after a crash at any time, good records are moved, and the file is kept.
func TestScrubFences(t *testing.T) {
	total := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 31))
		var keys []Key
		if seed%3 == 2 {
			keys = []Key{DeriveKey(Cipher(1+seed%2), "a", "b", "c")}
		}
		w, o, m := filled(t, 10+seed, keys, seed%3 == 1)
		s, _, err := w.open(o)
		if err != nil {
			t.Fatal(err)
		}
		if seed%2 == 0 {
			s.Trim(0)
			s.Trim(0) // columns are on disk alone, too
		}
		what := fmt.Sprintf("seed %d: %s", seed, damage(t, w, r))
		sc := scrub(t, s)
		if s.Stopped() != nil {
			t.Fatalf("%s: %v", what, s.Stopped())
		}
		lost, err := whole(s, m)
		if err != nil {
			t.Fatalf("%s: %v\n%v", what, err, sc.Damage)
		}
		if lost > 0 && len(sc.Damage) == 0 {
			t.Fatalf("%s: %d lost, no damage is told", what, lost)
		}
		total += lost
		// A crash now: the log knows.
		w.log.committed = w.log.End()
		crashed := w.disk.Clone()
		before := w.disk
		w.disk = crashed
		again, _, err := w.open(o)
		if err != nil {
			t.Fatalf("%s: after a crash: %v", what, err)
		}
		if n, err := whole(again, m); err != nil || n != lost {
			t.Fatalf("%s: after a crash %d lost, before %d: %v", what, n, lost, err)
		}
		again.Close()
		w.disk = before
		w.files.FS = before
		// The rest moves to a sound file.
		for range 3 {
			s.Checkpoint()
			w.settle(s)
		}
		if sc := scrub(t, s); len(sc.Damage) > 0 || len(sc.Trouble) > 0 {
			t.Fatalf("%s: the second scrub still finds %v, %v", what, sc.Damage, sc.Trouble)
		}
		if n, err := whole(s, m); err != nil || n != lost {
			t.Fatalf("%s: healed: %d lost, before %d: %v", what, n, lost, err)
		}
		s.Close()
		s, report, err := w.open(o)
		if err != nil || len(report.Damage) > 0 {
			t.Fatalf("%s: %v, %+v", what, err, report)
		}
		if n, err := whole(s, m); err != nil || n != lost {
			t.Fatalf("%s: reopened: %d lost, before %d: %v", what, n, lost, err)
		}
		s.Close()
		e, err := w.disk.List("streams/s/quarantine")
		if lost > 0 && !strings.HasSuffix(what, "removed") && (err != nil || len(e) == 0) {
			t.Errorf("%s: the damaged file is not in quarantine: %v", what, err)
		}
	}
	if total == 0 {
		t.Error("no damage took a message")
	}
}

// A stream goes on after a scrub has fenced something: limits, removals and appends
// are the same after a replay.
func TestFencedReplay(t *testing.T) {
	seeds.Each(t, 20, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 32))
		w, o, _ := filled(t, 40+seed, nil, false)
		o.Limits = Limits{MaxMsgs: 15, MaxMsgsPerSubject: 3}
		s, _, err := w.open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetLimits(o.Limits); err != nil {
			t.Fatal(err)
		}
		what := damage(t, w, r)
		scrub(t, s)
		p := &pair{r: r, now: 3e18}
		for range 30 {
			msg := p.message()
			if _, err := s.Append(msg); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if r.IntN(4) == 0 {
				s.Remove(s.first + Seq(r.Uint64N(uint64(s.last-s.first)+1)))
			}
			if r.IntN(20) == 0 {
				s.Checkpoint()
				w.settle(s)
			}
		}
		w.log.committed = w.log.End()
		want, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		s, _, err = w.open(o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := s.State(); err != nil || got != want {
			t.Fatalf("%s: %v\n got %+v\nwant %+v", what, err, got, want)
		}
		s.Close()
	})
}

// A copy of the state that is bad is written again.
func TestScrubState(t *testing.T) {
	w, o, _ := filled(t, 5, nil, false)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.disk.FlipBit("streams/s/state.b", 999); err != nil {
		t.Fatal(err)
	}
	if sc := scrub(t, s); len(sc.Damage) != 1 {
		t.Fatalf("damage %v", sc.Damage)
	}
	s.Checkpoint()
	w.settle(s)
	if sc := scrub(t, s); len(sc.Damage) != 0 {
		t.Fatalf("damage %v", sc.Damage)
	}
}

// What cannot be read this time is no damage.
func TestScrubTrouble(t *testing.T) {
	w, o, m := filled(t, 6, nil, false)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	bad := true
	trouble := errors.New("the cable")
	s.files.FS = vfs.NewFaulty(w.disk, func(c vfs.Call) vfs.Fault {
		if bad && c.Op == vfs.OpRead {
			return vfs.Fault{Err: trouble}
		}
		return vfs.Fault{}
	})
	sc := scrub(t, s)
	if len(sc.Trouble) == 0 || len(sc.Lost) > 0 || !errors.Is(sc.Trouble[0], trouble) {
		t.Fatalf("%+v", sc)
	}
	bad = false
	if sc := scrub(t, s); len(sc.Damage)+len(sc.Trouble) > 0 {
		t.Fatalf("%+v", sc)
	}
	if lost, err := whole(s, m); lost > 0 || err != nil {
		t.Fatal(lost, err)
	}
}

// A block of which little is left far apart is rewritten small, and neighbours that
// are small become one; a restart reads the result.
func TestSmallBlocksMerge(t *testing.T) {
	disk := vfs.NewMem()
	if err := disk.MkdirAll("streams"); err != nil {
		t.Fatal(err)
	}
	o, f := Options{BlockBytes: 256 << 10}, Files{FS: disk, Dir: "streams/s"}
	s, _, err := Open(o, f)
	if err != nil {
		t.Fatal(err)
	}
	work := func() {
		for range 3 {
			s.Checkpoint()
			for j := s.Work(); j != nil; j = s.Work() {
				j.Run()
				s.Finish(j)
			}
		}
	}
	const n = 40000
	for i := range n {
		if _, err := s.Append(&Message{Time: int64(i), Subject: fmt.Appendf(nil, "s.%d", i%7), Payload: []byte("payload")}); err != nil {
			t.Fatal(err)
		}
	}
	work()
	blocks := len(s.blocks)
	keep := func(seq Seq) bool { return seq%2500 == 1 }
	for seq := Seq(1); seq <= n-5000; seq++ {
		if !keep(seq) {
			if err := s.Remove(seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	work()
	if got := len(s.blocks); got > 4 || blocks < 8 {
		t.Errorf("%d blocks became %d", blocks, got)
	}
	check := func(s *Stream) {
		t.Helper()
		var m Message
		for seq := Seq(1); seq <= n; seq++ {
			err := s.Load(seq, &m)
			switch {
			case seq <= n-5000 && !keep(seq):
				if !errors.Is(err, ErrNotFound) {
					t.Fatalf("removed message %d: %v", seq, err)
				}
			case err != nil || m.Seq != seq || string(m.Subject) != fmt.Sprintf("s.%d", (seq-1)%7):
				t.Fatalf("message %d: %v %v", seq, m, err)
			}
		}
		if n, err := s.NumPending(NewFilter("s.3"), 1, false); err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	check(s)
	s.Close()
	s, report, err := Open(o, f)
	if err != nil || len(report.Damage)+len(report.Quarantined) > 0 {
		t.Fatalf("%v, %+v", err, report)
	}
	check(s)
	if _, err := s.Append(&Message{Subject: []byte("a")}); err != nil {
		t.Fatal(err)
	}
}

// Damage of a block's columns, which are on disk alone, is found while a piece of
// its messages is looked at that is damaged, too: also if the file is gone. What was
// lost before is not told again.
func TestScrubLargeBlock(t *testing.T) {
	gone := func(t *testing.T, disk *vfs.Mem, name string, b *block) { disk.Remove(name) }
	flipped := func(t *testing.T, disk *vfs.Mem, name string, b *block) {
		for _, off := range []int64{b.index.off + 100, b.chunks[2].place.off + 5000} {
			if err := disk.FlipBit(name, 8*off); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("gone", func(t *testing.T) { scrubLargeBlocks(t, gone, true) })
	t.Run("gone, one by one", func(t *testing.T) { scrubLargeBlocks(t, gone, false) })
	t.Run("flipped", func(t *testing.T) { scrubLargeBlocks(t, flipped, true) })
	t.Run("flipped, one by one", func(t *testing.T) { scrubLargeBlocks(t, flipped, false) })
}

// scrubLargeBlocks scrubs two blocks, at once or in turn.
func scrubLargeBlocks(t *testing.T, hurt func(*testing.T, *vfs.Mem, string, *block), once bool) {
	const n = 9000
	disk := vfs.NewMem()
	s := coldStream(t, disk, Files{}, n)
	defer s.Close()
	lost := uint64(0)
	for i, b := range []*block{s.blocks[0], s.blocks[1]} {
		if b.ix != nil || b.size < 2*scrubBytes {
			t.Fatal("columns are in memory, or the block is small")
		}
		hurt(t, disk, s.path(b.fileName()), b)
		if once && i == 0 {
			continue
		}
		sc := scrub(t, s)
		if s.Stopped() != nil || len(sc.Damage) == 0 || len(sc.Lost) == 0 {
			t.Fatalf("%v, damage %v, lost %v", s.Stopped(), sc.Damage, sc.Lost)
		}
		for _, r := range sc.Lost {
			lost += r.Len()
		}
		s.Trim(0)
		s.Trim(0)
	}
	var m Message
	good := uint64(0)
	for seq := Seq(1); seq <= n; seq++ {
		if err := s.Load(seq, &m); err == nil {
			good++
		} else if !errors.Is(err, ErrCorrupt) || !s.lost.Contains(uint64(seq)) {
			t.Fatalf("load %d: %v", seq, err)
		}
	}
	if st, err := s.State(); err != nil || st.Msgs != good || good+lost != n {
		t.Errorf("%+v, %v: %d are good, %d lost", st, err, good, lost)
	}
}

// An erased message does not go to quarantine with the damaged file that held it.
func TestEraseDamaged(t *testing.T) {
	w, o, _ := filled(t, 7, nil, true)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	b := s.blocks[0]
	if !b.sealed || len(b.chunks) < 2 {
		t.Fatal("a block with one chunk")
	}
	name := s.path(b.fileName())
	if err := s.Erase(b.first); err != nil {
		t.Fatal(err)
	}
	last := b.chunks[len(b.chunks)-1]
	if err := w.disk.FlipBit(name, 8*(last.place.off+100)); err != nil {
		t.Fatal(err)
	}
	s.Checkpoint()
	w.settle(s)
	if !b.bad {
		t.Fatal("the damaged block was compacted")
	}
	scrub(t, s)
	for range 3 {
		s.Checkpoint()
		w.settle(s)
	}
	if kept, err := w.disk.List("streams/s/quarantine"); err == nil && len(kept) > 0 {
		t.Errorf("quarantine holds %v", kept)
	}
	if _, err := w.disk.Stat(name); err == nil {
		t.Error("the file is still there")
	}
}

// A message that is erased while its block is rewritten is overwritten in both files.
func TestEraseWhileCompacting(t *testing.T) {
	w, o, _ := filled(t, 7, nil, false)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	b := s.blocks[0]
	b.heal, s.waste = true, true
	s.Checkpoint()
	w.log.committed = w.log.End()
	for old := b.generation; ; {
		j := s.Work()
		if j == nil {
			t.Fatal("the block is not rewritten")
		}
		j.Run()
		if b.tried > old {
			if err := s.Erase(b.first); err != nil {
				t.Fatal(err)
			}
			s.Finish(j)
			break
		}
		s.Finish(j)
	}
	for _, g := range s.garbage {
		if !g.wipe {
			t.Errorf("%s is not overwritten", g.name)
		}
	}
}
