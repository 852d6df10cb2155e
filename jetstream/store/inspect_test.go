package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"peregrine/internal/seeds"
	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// inspected runs Inspect on a disk that refuses changes.
func inspected(t testing.TB, w *world, disk *vfs.Mem, tell Inspector) *Inspection {
	t.Helper()
	f := w.files
	f.FS = reading{disk}
	in, err := Inspect(f, tell)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// reading is a file system that opens files to read and does nothing else.
type reading struct{ vfs.FS }

var errWrites = errors.New("it writes")

func (r reading) Open(name string, flag vfs.Flag) (vfs.File, error) {
	if flag&^vfs.Direct != 0 {
		return nil, errWrites
	}
	return r.FS.Open(name, flag)
}
func (r reading) Remove(string) error         { return errWrites }
func (r reading) Rename(string, string) error { return errWrites }
func (r reading) MkdirAll(string) error       { return errWrites }
func (r reading) SyncDir(string) error        { return errWrites }

func worst(findings []Finding) (s Severity) {
	for _, f := range findings {
		s = max(s, f.Severity)
	}
	return s
}

// What the engine makes, also what it leaves at any moment, is sound, and the
// inspection sees what is in it.
func TestInspectSound(t *testing.T) {
	seeds.Each(t, 40, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 5))
		o := randomOptions(r)
		w := newWorld(r, &o)
		s, _, err := w.open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p := &pair{r: r, now: 1e18}
		for range 150 {
			if m := p.message(); s.AppendAt(&Message{Seq: s.last + 1 + Seq(r.IntN(3)), Time: m.Time, Subject: m.Subject, Payload: m.Payload, Header: m.Header}) == nil && r.IntN(4) == 0 {
				s.Remove(Seq(1 + r.IntN(int(s.last))))
			}
			if r.IntN(10) == 0 {
				s.Checkpoint()
			}
			w.work(s)
			if in := inspected(t, w, w.disk, Inspector{}); worst(in.Findings) > Note {
				t.Fatalf("findings %v", in.Findings)
			}
		}
		s.Checkpoint()
		w.settle(s)
		subjects, live := map[string]bool{}, 0
		in := inspected(t, w, w.disk, Inspector{Record: func(_ string, _ int64, m *Message, alive bool) error {
			if !alive {
				return nil
			}
			live++
			subjects[string(m.Subject)] = true
			var want Message
			if err := s.Load(m.Seq, &want); err != nil || fmt.Sprint(want) != fmt.Sprint(*m) {
				t.Errorf("message %d: %v, want %v (%v)", m.Seq, m, want, err)
			}
			return nil
		}})
		want, err := s.State()
		if err != nil {
			t.Fatal(err)
		}
		if in.State.Msgs != want.Msgs || live != int(want.Msgs) || in.State.First != want.First && want.Msgs > 0 ||
			in.State.Last != want.Last || in.State.Subjects != want.Subjects || len(subjects) != want.Subjects ||
			in.State.FirstTime != want.FirstTime || worst(in.Findings) > Note {
			t.Errorf("inspection %+v, %d records, state %+v", in.Inspected(), live, want)
		}
	})
}

// Inspected is the state for messages of tests.
func (in *Inspection) Inspected() string { return fmt.Sprintf("%+v %v", in.State, in.Findings) }

// covered tells whether a finding of damage names a message.
func covered(in *Inspection, seq Seq) bool {
	for _, f := range in.Findings {
		if f.Severity == Damage && (f.Lost == seqset.Range{} || uint64(seq) >= f.Lost.First && uint64(seq) <= f.Lost.Last) {
			return true
		}
	}
	return false
}

// Every flipped bit and every cut is found, with its file, and names at least the
// messages that cannot be read any more.
func TestInspectDamage(t *testing.T) {
	for i, keys := range [][]Key{nil, {DeriveKey(AES, "x", "y", "z")}} {
		w, o, m := filled(t, 1, keys, i == 1)
		for _, name := range append([]string{"streams/s/state.a", "streams/s/state.b"}, blockFiles(t, w.disk)...) {
			e, err := w.disk.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			for at := int64(0); at < e.Size; at += 7 {
				broken := w.disk.Clone()
				if broken.FlipBit(name, at*8+at%8); at%vfs.BlockSize > 1200 && strings.HasSuffix(name, ".blk") {
					continue // padding is no information
				}
				checkInspection(t, fmt.Sprintf("%s, byte %d", name, at), w, broken, o, m, name, usedByte(t, w, name, at))
			}
			for size := int64(0); size < e.Size; size += 211 {
				broken := w.disk.Clone()
				if err := broken.Cut(name, size); err != nil {
					t.Fatal(err)
				}
				checkInspection(t, fmt.Sprintf("%s, cut to %d", name, size), w, broken, o, m, name, true)
			}
			broken := w.disk.Clone()
			if err := broken.Remove(name); err != nil {
				t.Fatal(err)
			}
			checkInspection(t, name+" removed", w, broken, o, m, name, true)
		}
	}
}

// usedByte tells whether a byte of a file carries information.
func usedByte(t *testing.T, w *world, name string, at int64) bool {
	if !strings.HasSuffix(name, ".blk") {
		return true
	}
	b, err := vfs.ReadFile(w.disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	chunk := vfs.AlignDown(at)
	return little.Uint32(b[chunk:]) == magicChunk && at-chunk < chunkHead+int64(little.Uint32(b[chunk+8:]))
}

func checkInspection(t *testing.T, what string, w *world, broken *vfs.Mem, o Options, m *model, name string, must bool) {
	t.Helper()
	in := inspected(t, w, broken, Inspector{})
	if must {
		found := false
		for _, f := range in.Findings {
			found = found || f.File == name && f.Severity > Note
		}
		if !found {
			t.Fatalf("%s: not found: %v", what, in.Findings)
		}
	}
	f := w.files
	f.FS = broken
	s, report, err := Open(o, f)
	if err != nil {
		if worst(in.Findings) != Damage {
			t.Fatalf("%s: does not open (%v), found %v", what, err, in.Findings)
		}
		return
	}
	defer s.Close()
	var msg Message
	for _, want := range m.msgs {
		if err := s.Load(want.Seq, &msg); err != nil && !covered(in, want.Seq) {
			t.Fatalf("%s: message %d: %v; %+v; found %v", what, want.Seq, err, report, in.Findings)
		}
	}
}

// Without the key sums are still checked.
func TestInspectLocked(t *testing.T) {
	w, _, _ := filled(t, 1, []Key{DeriveKey(ChaCha, "x", "y", "z")}, false)
	w.files.Keys = nil
	in := inspected(t, w, w.disk, Inspector{})
	if !in.Locked || worst(in.Findings) > Note || in.Bytes == 0 {
		t.Fatalf("%+v", in)
	}
	name := blockFiles(t, w.disk)[0]
	w.disk.FlipBit(name, 100*8)
	in = inspected(t, w, w.disk, Inspector{})
	if worst(in.Findings) != Damage || in.Findings[len(in.Findings)-1].File != name {
		t.Fatalf("%v", in.Findings)
	}
}

// A consumer's copies are judged one by one.
func TestInspectConsumer(t *testing.T) {
	for _, keys := range [][]Key{nil, {DeriveKey(ChaCha, "x", "y", "z")}} {
		disk := vfs.NewMem()
		f := Files{FS: disk, Dir: ".", Keys: keys}
		c, _, err := OpenConsumer(nil, f, "c")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			p := Position{DeliverySeq(i + 1), Seq(i + 1)}
			if err := c.Apply(&ConsumerChange{Delivered: p, Pending: []PendingMessage{{Stream: p.Stream, Delivery: p.Delivery}}}); err != nil {
				t.Fatal(err)
			}
			c.Checkpoint()
			j := c.Work()
			j.Run()
			c.Finish(j)
		}
		in, err := InspectConsumer(f, "c")
		if err != nil || len(in.Findings) > 0 || in.Delivered != (Position{3, 3}) || len(in.Pending) != 3 {
			t.Fatalf("%+v, %v", in, err)
		}
		e, err := disk.Stat("c.a")
		if err != nil {
			t.Fatal(err)
		}
		for at := range e.Size {
			broken := disk.Clone()
			broken.FlipBit("c.a", at*8+at%8)
			g := f
			g.FS = reading{broken}
			if in, err = InspectConsumer(g, "c"); err != nil || worst(in.Findings) == Note && !in.Locked || in.Delivered.Delivery != 3 {
				t.Fatalf("byte %d: %+v, %v", at, in, err)
			}
			broken.FlipBit("c.b", at*8)
			if in, err = InspectConsumer(g, "c"); err != nil || !in.Locked && worst(in.Findings) != Damage {
				t.Fatalf("byte %d of both: %+v, %v", at, in, err)
			}
		}
	}
}

// Hostile bytes in any file end in findings.
func FuzzInspect(f *testing.F) {
	w, _, _ := filled(f, 1, nil, true)
	block := blockFiles(f, w.disk)[0]
	for _, name := range []string{"streams/s/state.a", block} {
		b, err := vfs.ReadFile(w.disk, name, 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, name == block)
	}
	f.Fuzz(func(t *testing.T, raw []byte, inBlock bool) {
		b := bytes.Clone(raw)
		disk := w.disk.Clone()
		name := "streams/s/state.a"
		if inBlock {
			name = block
		} else if len(b) > stateHead+stateSum {
			// A body with the right sum gets further.
			n := len(b) - stateSum
			little.PutUint32(b[16:], uint32(n-stateHead))
			little.PutUint64(b[n:], xxhash.Sum64(b[:n]))
			b = append(b, make([]byte, vfs.AlignUp(int64(len(b)))-int64(len(b)))...)
			if err := disk.Remove("streams/s/state.b"); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFile(disk, name, b); err != nil {
			t.Fatal(err)
		}
		inspected(t, w, disk, Inspector{})
	})
}
