package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"peregrine/vfs"
)

// filled returns a world whose stream was checkpointed and closed, and what is in
// it.
func filled(t testing.TB, seed uint64, keys []Key, compress bool) (*world, Options, *model) {
	r := rand.New(rand.NewPCG(seed, 8))
	o := Options{ChunkBytes: 600, BlockBytes: 2000}
	w := newWorld(r, &o)
	w.files.Keys, w.files.Compress = keys, compress
	m := newModel(o)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{r: r, now: 1e18}
	for range 24 {
		msg := p.message()
		msg.TTL = 0
		if _, err := s.Append(msg); err != nil {
			t.Fatal(err)
		}
		m.appendAt(msg)
	}
	for _, seq := range []Seq{3, 4, 20} {
		s.Remove(seq)
		m.delete(seq)
	}
	s.Checkpoint()
	w.settle(s)
	s.Close()
	w.disk = w.disk.Crash(r, vfs.CrashOptions{Survive: 1})
	w.files.FS = w.disk
	return w, o, m
}

// survey opens what is left of a world: every message is what it was or the store
// says that it is damaged; nothing is silently missing or other.
func survey(w *world, disk *vfs.Mem, o Options, m *model) error {
	w.files.FS = disk
	s, report, err := Open(o, w.files)
	if err != nil {
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrKey) {
			return nil // refused as a whole, the files are as they were
		}
		return err
	}
	defer s.Close()
	var msg Message
	damaged := len(report.Damage) > 0
	for _, want := range m.msgs {
		err := s.Load(want.Seq, &msg)
		if err == nil && fmt.Sprint(msg) != fmt.Sprint(want) {
			return fmt.Errorf("message %d is %v, want %v", want.Seq, msg, want)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return fmt.Errorf("message %d: %w; report %+v", want.Seq, err, report)
		}
		damaged = damaged || err != nil
	}
	for seq := Seq(1); seq <= m.last; seq++ {
		if err := s.Load(seq, &msg); err == nil && m.find(seq) < 0 {
			return fmt.Errorf("removed message %d is back", seq)
		}
	}
	s.NumPending(NewFilter("a.>"), 5, false)
	s.MultiLast(Filter{}, 9, 0, nil)
	return nil
}

// blockFiles are the files of messages on a disk.
func blockFiles(t testing.TB, disk *vfs.Mem) (names []string) {
	entries, err := disk.List("streams/s")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".blk") {
			names = append(names, "streams/s/"+e.Name)
		}
	}
	return names
}

// A bit flipped anywhere, and a cut anywhere, is seen or does no harm.
func TestCorruptionEverywhere(t *testing.T) {
	for stride, keys := range [][]Key{nil, {DeriveKey(ChaCha, "x", "y", "z")}} {
		w, o, m := filled(t, 1, keys, false)
		for i, name := range append([]string{"streams/s/state.a"}, blockFiles(t, w.disk)...) {
			e, err := w.disk.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			step := int64(1) // the first two byte by byte, their like in steps
			if stride+i > 1 {
				step = 13
			}
			for at := int64(0); at < e.Size; at += step {
				if at%vfs.BlockSize > 1200 && strings.HasSuffix(name, ".blk") {
					continue // padding is no information
				}
				broken := w.disk.Clone()
				broken.FlipBit(name, at*8+at%8)
				if err := survey(w, broken, o, m); err != nil {
					t.Fatalf("%s, byte %d: %v", name, at, err)
				}
			}
			for size := int64(0); size < e.Size; size += 211 {
				broken := w.disk.Clone()
				broken.Cut(name, size)
				if err := survey(w, broken, o, m); err != nil {
					t.Fatalf("%s cut to %d: %v", name, size, err)
				}
			}
			broken := w.disk.Clone()
			broken.Remove(name)
			if err := survey(w, broken, o, m); err != nil {
				t.Fatalf("%s removed: %v", name, err)
			}
		}
	}
}

// What was found damaged stays known after checkpoints and restarts.
func TestLostStaysLost(t *testing.T) {
	w, o, m := filled(t, 2, nil, false)
	name := blockFiles(t, w.disk)[1]
	w.disk.Remove(name)
	w.log.records, w.log.needed = nil, 0
	o.Log = nil
	w.files.FS = w.disk
	lost := uint64(0)
	for range 3 {
		s, report, err := Open(o, w.files)
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		if lost == 0 {
			for _, r := range report.Lost {
				lost += r.Len()
			}
		}
		if lost == 0 || st.Msgs != uint64(len(m.msgs))-lost {
			t.Fatalf("lost %d of %d: %+v", lost, len(m.msgs), st)
		}
		bad := uint64(0)
		var msg Message
		for _, want := range m.msgs {
			if err := s.Load(want.Seq, &msg); errors.Is(err, ErrCorrupt) {
				bad++
			}
		}
		for seq, steps := Seq(1), 0; ; steps++ {
			err := s.LoadNext(NewFilter("a.>"), seq, &msg)
			var gap *LostError
			if errors.As(err, &gap) {
				seq = gap.Last + 1
				bad += 1000 * uint64(gap.Last-gap.First+1)
				continue
			}
			if err != nil {
				break
			}
			seq = msg.Seq + 1
		}
		if bad != lost+1000*lost {
			t.Fatalf("%d messages say that they are lost, %d on the way; want %d", bad%1000, bad/1000, lost)
		}
		s.Checkpoint()
		w.settle(s)
		s.Close()
	}
}

// A file nobody knows is moved away, not deleted.
func TestQuarantine(t *testing.T) {
	w, o, _ := filled(t, 3, nil, false)
	for _, name := range []string{"note.txt", "00000000.7zz.blk"} {
		f, err := w.disk.Open("streams/s/"+name, vfs.Create)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte("keep me"), 0)
		f.Close()
	}
	s, report, err := Open(o, w.files)
	if err != nil || len(report.Quarantined) != 2 {
		t.Fatalf("%v, %+v", err, report)
	}
	s.Close()
	b, err := vfs.ReadFile(w.disk, "streams/s/quarantine/note.txt", 100)
	if err != nil || string(b) != "keep me" {
		t.Fatalf("%q, %v", b, err)
	}
}

// The scrubber finds what is broken, and nothing else.
func TestScrub(t *testing.T) {
	w, o, _ := filled(t, 4, nil, true)
	for _, flip := range []bool{false, true} {
		if flip {
			if err := w.disk.FlipBit(blockFiles(t, w.disk)[0], 8*(chunkHead+50)); err != nil {
				t.Fatal(err)
			}
		}
		s, _, err := Open(o, w.files)
		if err != nil {
			t.Fatal(err)
		}
		var sc Scrub
		for j := s.Scrub(&sc); j != nil; j = s.Scrub(&sc) {
			j.Run()
			s.Finish(j)
		}
		if sc.Blocks < 2 || (len(sc.Damage) > 0) != flip {
			t.Fatalf("flipped %v: %+v", flip, sc)
		}
		s.Close()
	}
}

// Keys change without the messages being lost, and without a key there is nothing
// to read.
func TestKeyRotation(t *testing.T) {
	a, b := DeriveKey(ChaCha, "old", "acc", "s"), DeriveKey(AES, "new", "acc", "s")
	w, o, m := filled(t, 5, nil, true)
	w.log.records = nil
	o.Log = nil
	pl := &play{w: w, m: m, o: o}
	for i, keys := range [][]Key{{a}, {b, a}, {b}, {DeriveKey(ChaCha, "new", "acc", "s")}} {
		w.files.Keys, w.files.FS = keys, w.disk
		s, _, err := Open(o, w.files)
		if err != nil {
			t.Fatalf("keys %d: %v", i, err)
		}
		if err := pl.same(s); err != nil {
			t.Fatalf("keys %d: %v", i, err)
		}
		for range 3 {
			s.Checkpoint()
			w.settle(s)
		}
		s.Close()
	}
	for _, keys := range [][]Key{nil, {a}} {
		w.files.Keys = keys
		if _, _, err := Open(o, w.files); !errors.Is(err, ErrKey) {
			t.Fatalf("with wrong keys: %v", err)
		}
	}
	for _, name := range append(blockFiles(t, w.disk), "streams/s/state.a", "streams/s/state.b") {
		content, err := vfs.ReadFile(w.disk, name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("orders.")) {
			t.Errorf("%s is in the clear", name)
		}
	}
}

// Erased bytes are nowhere on disk after two checkpoints.
func TestErase(t *testing.T) {
	w, o, _ := filled(t, 6, nil, false)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("the secret that must not stay anywhere")
	seq, err := s.Append(&Message{Subject: []byte("a"), Payload: secret, Time: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Checkpoint()
	w.settle(s)
	if err := s.Erase(seq); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Checkpoint()
		w.settle(s)
	}
	s.Close()
	for _, name := range blockFiles(t, w.disk) {
		content, err := vfs.ReadFile(w.disk, name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, secret) {
			t.Errorf("still in %s", name)
		}
	}
}

// A snapshot restored is the same stream, in files or in memory.
func TestSnapshot(t *testing.T) {
	w, o, m := filled(t, 7, nil, false)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Remove(1)
	m.delete(1)
	s.Remove(m.last)
	m.delete(m.last)
	sn, err := s.Snapshot([]string{"c1"}, func(string) []byte { return []byte(`{"x":1}`) })
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	for err == nil {
		var b []byte
		b, err = sn.Next(100)
		archive.Write(b)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	fresh := NewMemory(Options{})
	told := ""
	consumer := func(name string, content []byte) error {
		told = name + string(content)
		return nil
	}
	if err := fresh.Restore(bytes.NewReader(archive.Bytes()), nil, consumer); err != nil {
		t.Fatal(err)
	}
	if err := (&play{m: m}).same(fresh); err != nil {
		t.Fatal(err)
	}
	if told != `c1{"x":1}` {
		t.Fatalf("consumer %q", told)
	}
	for n := range archive.Len() {
		cut := NewMemory(Options{})
		if err := cut.Restore(bytes.NewReader(archive.Bytes()[:n]), nil, consumer); err == nil && n < archive.Len()-20 {
			t.Fatalf("cut to %d of %d: no error", n, archive.Len())
		}
	}
}

// Readers on other goroutines see what was there, while the owner appends,
// evicts and compacts.
func TestConcurrentReaders(t *testing.T) {
	w, o, _ := filled(t, 8, nil, true)
	s, _, err := w.open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 8))
	views := make(chan View, 16)
	done := make(chan error)
	for range 2 {
		go func() {
			var reader Reader
			var msg Message
			var failed error
			for v := range views {
				err := reader.Load(&v, &msg)
				if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
					failed = err
				}
				if err == nil && msg.Seq != v.seq {
					failed = fmt.Errorf("read %d, want %d", msg.Seq, v.seq)
				}
			}
			done <- failed
		}()
	}
	p := &pair{r: r, now: 2e18}
	var jobs *Job
	for range 3000 {
		if _, err := s.Append(p.message()); err != nil {
			t.Fatal(err)
		}
		if v, err := s.View(s.first + Seq(r.Uint64N(uint64(s.last-s.first)+1))); err == nil {
			views <- v
		}
		s.Remove(s.first + Seq(r.Uint64N(uint64(s.last-s.first)+1)))
		w.log.committed = w.log.End()
		if jobs == nil {
			if jobs = s.Work(); jobs != nil {
				jobs.Run()
			}
		} else if r.IntN(3) == 0 {
			s.Finish(jobs)
			jobs = nil
		}
		if r.IntN(50) == 0 {
			s.Checkpoint()
		}
		if r.IntN(50) == 0 {
			s.Trim(0)
		}
	}
	close(views)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if s.Stopped() != nil {
		t.Fatal(s.Stopped())
	}
}

// A crash anywhere while a file is moved to quarantine leaves it in one of the two
// places; without one of the syncs it may be lost.
func TestQuarantineCrash(t *testing.T) {
	play := func(skip func(vfs.Call) bool) error {
		for n := int64(1); ; n++ {
			w, o, _ := filled(t, 3, nil, false)
			if err := vfs.WriteFile(w.disk, "streams/s/note.txt", []byte("keep me")); err != nil {
				return err
			}
			below, crashed := w.disk, (*vfs.Mem)(nil)
			w.files.FS = vfs.NewFaulty(below, func(c vfs.Call) vfs.Fault {
				if crashed == nil && c.Number >= n && c.Op.Changes() {
					n = c.Number
					return vfs.Fault{Crash: true, After: func() error {
						crashed = below.Crash(rand.New(rand.NewPCG(1, 1)), vfs.CrashOptions{})
						return vfs.ErrCrashed
					}}
				}
				return vfs.Fault{Skip: c.Op.Syncs() && skip(c)}
			})
			s, _, err := Open(o, w.files)
			last := crashed == nil
			if last {
				if err != nil {
					return err
				}
				s.Close()
				crashed = below.Crash(rand.New(rand.NewPCG(1, 1)), vfs.CrashOptions{})
			}
			found := false
			for _, name := range []string{"streams/s/note.txt", "streams/s/quarantine/note.txt"} {
				b, err := vfs.ReadFile(crashed, name, 100)
				found = found || err == nil && string(b) == "keep me"
			}
			if !found {
				return fmt.Errorf("crash at call %d: the file is gone", n)
			}
			if last && err == nil {
				if _, err := crashed.Stat("streams/s/quarantine/note.txt"); err != nil {
					return fmt.Errorf("it was moved, and is not there after a crash")
				}
				return nil
			}
		}
	}
	sites := map[string]bool{}
	if err := play(func(c vfs.Call) bool {
		if site := c.Site(); strings.HasPrefix(site, "open.go") {
			sites[site] = true
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	if len(sites) != 2 {
		t.Errorf("syncs at %v", sites)
	}
	for site := range sites {
		if play(func(c vfs.Call) bool { return c.Site() == site }) == nil {
			t.Errorf("nothing fails without the sync at %s", site)
		}
	}
}
