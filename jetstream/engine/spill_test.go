package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// pairOf is an engine with two streams in a small log, of which the first has a
// checkpoint of its first messages and more in the log.
func pairOf(t *testing.T, fsys vfs.FS, seed uint64) (w *sim, victim, other *Stream) {
	w = newSim(seed)
	w.options.Shards = 1
	w.options.Log.SyncInterval = 0
	w.options.Log.PressureBytes, w.options.Log.LiveBytesMax = 64<<10, 256<<10
	w.stream = StreamOptions{FlushBytes: 8 << 10, CacheBytes: 8 << 10, Keys: w.options.Keys}
	w.stream.Options.ChunkBytes, w.stream.Options.BlockBytes = 2<<10, 16<<10
	_, err := w.open(fsys)
	must(t, err)
	s := w.e.shards[0]
	for _, st := range []**Stream{&victim, &other} {
		s.CreateStream([]byte("s"), w.stream, func(made *Stream, err error) { must(t, err); *st = made })
		must(t, w.settle())
	}
	c, err := s.CreateConsumer(victim, nil)
	must(t, err)
	fill(t, w, victim, 20)
	must(t, c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Delivery: 3, Stream: 3}}))
	checkpoint(t, w, &victim.asset, &other.asset, &c.asset)
	fill(t, w, victim, 20)
	must(t, victim.Messages.Remove(7))
	must(t, c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Delivery: 9, Stream: 9}}))
	must(t, w.settle())
	return w, victim, other
}

func fill(t *testing.T, w *sim, st *Stream, n int) {
	t.Helper()
	for range n {
		state, err := st.Messages.State()
		must(t, err)
		_, err = st.Messages.Append(&store.Message{Time: w.now, Subject: []byte("a"), Payload: content(uint64(state.Last) + 1)})
		must(t, err)
		must(t, w.settle())
	}
}

func content(seq uint64) []byte { return fmt.Appendf(make([]byte, 400), "%d", seq) }

// intact checks the victim's messages and its consumer.
func intact(s *Shard, id ID, n uint64) error {
	st := s.streams[id]
	if st == nil {
		return errors.New("the stream is not open")
	}
	var m store.Message
	for seq := uint64(1); seq <= n; seq++ {
		err := st.Messages.Load(store.Seq(seq), &m)
		if seq == 7 {
			if !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("removed message: %v", err)
			}
			continue
		}
		if err != nil || string(m.Payload) != string(content(seq)) {
			return fmt.Errorf("message %d: %v", seq, err)
		}
	}
	if state, err := st.Messages.State(); err != nil || uint64(state.Last) != n {
		return fmt.Errorf("%+v, %v", state, err)
	}
	for _, c := range st.consumers {
		if d := c.State.Delivered(); d.Delivery != 9 {
			return fmt.Errorf("consumer delivered %+v", d)
		}
		return nil
	}
	return errors.New("no consumer")
}

// hide takes the states of a stream away and returns a function that brings them
// back.
func hide(t *testing.T, disk *vfs.Mem, id ID) (restore func(*vfs.Mem)) {
	was := map[string][]byte{}
	for _, base := range []string{"state.a", "state.b"} {
		name := path.Join(streamDir(id), messagesDir, base)
		content, err := vfs.ReadFile(disk, name, 1<<20)
		must(t, err)
		was[name] = content
		must(t, disk.Corrupt(name, func(b []byte) []byte { clear(b); return b }))
	}
	return func(disk *vfs.Mem) {
		for name, content := range was {
			must(t, disk.Corrupt(name, func([]byte) []byte { return content }))
		}
	}
}

// A stream that cannot be opened does not hold the log; when it can be opened again,
// after any number of starts, it is what it was.
func TestBrokenStreamLeavesLog(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		disk := vfs.NewMem()
		w, victim, _ := pairOf(t, disk, seed)
		id := victim.id
		disk = disk.Crash(w.r, vfs.CrashOptions{})
		restore := hide(t, disk, id)
		for round := range 3 {
			report, err := w.open(disk)
			must(t, err)
			if len(report.Broken) != 2 || report.Streams != 1 {
				t.Fatalf("%+v", report)
			}
			s := w.e.shards[0]
			first := w.e.log.Stats().First
			fill(t, w, s.list[0], 800)
			if st := w.e.log.Stats(); st.First == first || st.LiveBytes > 128<<10 {
				t.Fatalf("round %d: the log is held: %+v", round, st)
			}
			if round == 1 {
				must(t, w.e.Close())
			}
			disk = disk.Crash(w.r, vfs.CrashOptions{})
		}
		restore(disk)
		for round := range 2 {
			report, err := w.open(disk)
			must(t, err)
			if len(report.Broken) > 0 {
				t.Fatalf("%+v", report)
			}
			must(t, intact(w.e.shards[0], id, 40))
			must(t, w.settle())
			if _, err := disk.Stat(tailFile(id, 0)); err == nil {
				t.Errorf("round %d: the tail is still there after a checkpoint", round)
			}
			disk = disk.Crash(w.r, vfs.CrashOptions{})
		}
	}
}

// A crash anywhere while records are set aside loses none of them.
func TestSpillCrash(t *testing.T) {
	must(t, tailScenario(t, func(vfs.Call) bool { return false }))
}

// tailScenario sets the records of a broken stream aside, uses the log on, crashes
// anywhere, and brings the stream back.
func tailScenario(t *testing.T, skip func(vfs.Call) bool) error {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 1)
	id := victim.id
	disk = disk.Crash(w.r, vfs.CrashOptions{})
	restore := hide(t, disk, id)
	for n := int64(1); ; n++ {
		before, crashed, opening := disk.Clone(), (*vfs.Mem)(nil), true
		r := rand.New(rand.NewPCG(1, uint64(n)))
		_, err := w.open(vfs.NewFaulty(before, func(c vfs.Call) vfs.Fault {
			if opening && crashed == nil && c.Number >= n && c.Op.Changes() {
				n = c.Number
				return vfs.Fault{Crash: true, After: func() error {
					crashed = before.Crash(r, vfs.CrashOptions{Survive: 0.5})
					return vfs.ErrCrashed
				}}
			}
			return vfs.Fault{Skip: c.Op.Syncs() && skip(c)}
		}))
		last := crashed == nil
		opening = false
		if last {
			if err != nil {
				return err
			}
			fill(t, w, w.e.shards[0].list[0], 300) // its segments are used again
			crashed = before.Crash(r, vfs.CrashOptions{})
		} else {
			if _, err := w.open(crashed); err != nil { // it is broken still
				return fmt.Errorf("crash at call %d: %w", n, err)
			}
			fill(t, w, w.e.shards[0].list[0], 300)
			crashed = crashed.Crash(r, vfs.CrashOptions{})
		}
		restore(crashed)
		if _, err := w.open(crashed); err != nil {
			return fmt.Errorf("crash at call %d: %w", n, err)
		}
		if err := intact(w.e.shards[0], id, 40); err != nil {
			return fmt.Errorf("crash at call %d: %w", n, err)
		}
		if last {
			return nil
		}
	}
}

// A tail that is damaged anywhere is told, and the stream stays closed: it is not
// opened with less.
func TestTailFlipped(t *testing.T) {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 1)
	id := victim.id
	disk = disk.Crash(w.r, vfs.CrashOptions{})
	restore := hide(t, disk, id)
	_, err := w.open(disk)
	must(t, err)
	fill(t, w, w.e.shards[0].list[0], 300)
	disk = disk.Crash(w.r, vfs.CrashOptions{})
	restore(disk)
	e, err := disk.Stat(tailFile(id, 0))
	must(t, err)
	check := func(broken *vfs.Mem, what string) {
		report, err := w.open(broken)
		must(t, err)
		if intact(w.e.shards[0], id, 40) == nil {
			t.Fatalf("%s: not noticed", what)
		}
		if err := report.Broken[id]; !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := broken.Stat(tailFile(id, 0)); err != nil {
			t.Fatalf("%s: the tail is gone: %v", what, err)
		}
	}
	for at := int64(0); at < e.Size; at += 1 + at/64 {
		broken := disk.Clone()
		must(t, broken.FlipBit(tailFile(id, 0), at*8+at%8))
		check(broken, fmt.Sprintf("byte %d of %d", at, e.Size))
		broken = disk.Clone()
		must(t, broken.Cut(tailFile(id, 0), at))
		check(broken, fmt.Sprintf("cut to %d", at))
	}
}

// A stream whose disk fails stops alone, and does not hold the log; what was durable
// of it is there at the next start.
func TestStoppedStreamLeavesLog(t *testing.T) {
	failing := ""
	below := vfs.NewMem()
	fsys := vfs.NewFaulty(below, func(c vfs.Call) vfs.Fault {
		if failing != "" && strings.HasPrefix(c.Name, failing) && c.Op == vfs.OpWrite {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	})
	w, victim, other := pairOf(t, fsys, 2)
	id := victim.id
	failing = path.Join(streamDir(id), messagesDir) + "/"
	s := w.e.shards[0]
	victim.want = true
	s.enqueue(&victim.asset)
	if err := w.settle(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the application was told %v", err)
	}
	w.doubt = nil
	if victim.Messages.Stopped() == nil {
		t.Fatal("the stream did not stop")
	}
	fill(t, w, other, 1500)
	if st := w.e.log.Stats(); st.LiveBytes > 160<<10 {
		t.Fatalf("the log is held: %+v", st)
	}
	failing = ""
	disk := below.Crash(w.r, vfs.CrashOptions{})
	report, err := w.open(disk)
	must(t, err)
	if len(report.Broken) > 0 {
		t.Fatalf("%+v", report)
	}
	must(t, intact(w.e.shards[0], id, 40))
}

// A stream may stop when the log has asked for its checkpoint, or while its records
// are being set aside: the log, which asks once, need not ask again.
func TestStopsWhenAsked(t *testing.T) {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 2)
	must(t, w.e.Close())
	w.options.Log.PressureBytes, w.options.Log.LiveBytesMax = 1<<20, 4<<20 // it does not ask by itself
	w.options.Workers = 4
	_, err := w.open(disk)
	must(t, err)
	s := w.e.shards[0]
	victim = s.streams[victim.id]
	fill(t, w, victim, 40)
	oldest := victim.owner.Oldest()
	first, second := commitlog.Position((oldest.Segment()+1)<<32), commitlog.Position((oldest.Segment()+2)<<32)
	if oldest == 0 || second > s.end {
		t.Fatalf("the log ends at %v, the stream needs %v", s.end, oldest)
	}
	s.asked(ask{owner: victim.owner.ID(), before: first})
	victim.Messages.Stop(syscall.EIO)
	s.app = nil
	s.Step(w.now)
	if !victim.busy {
		t.Fatal("its records are not being set aside")
	}
	s.asked(ask{owner: victim.owner.ID(), before: second})
	must(t, w.settle())
	if oldest := victim.owner.Oldest(); oldest != 0 && oldest < second {
		t.Errorf("it needs %v, the log asked for %v", oldest, second)
	}
}

// Records of an owner that nobody knows are set aside and told.
func TestUnknownOwner(t *testing.T) {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 3)
	id := victim.id
	disk = disk.Crash(w.r, vfs.CrashOptions{})
	log, _, err := commitlog.Open(disk, logDir, w.options.Log, commitlog.Replay{})
	must(t, err)
	writer := log.NewWriter(nil)
	var b commitlog.Batch
	for i := range 5 {
		b.AddParts(writer.Owner(999), 3, fmt.Appendf(nil, "nobody's %d", i), nil)
	}
	for writer.Append(&b) == commitlog.ErrFull {
		log.Prepare()
	}
	for log.Step() {
	}
	must(t, log.Close())
	for round := range 2 {
		report, err := w.open(disk)
		must(t, err)
		must(t, w.settle())
		must(t, intact(w.e.shards[0], id, 40))
		name := path.Join(quarantineDir, consumerName(999)+tailEnding)
		if round == 0 && (report.Unknown != 5 || len(report.Quarantined) != 1 || report.Quarantined[0] != name) {
			t.Fatalf("%+v", report)
		}
		tail, err := openTail(disk, name, report.Log.Identity, 999)
		must(t, err)
		n := 0
		must(t, tail.each(func(item tailItem) error {
			if want := fmt.Sprintf("nobody's %d", n); string(item.data) != want || item.kind != 3 {
				return fmt.Errorf("%q, want %q", item.data, want)
			}
			n++
			return nil
		}))
		if n != 5 {
			t.Errorf("%d records are kept", n)
		}
		must(t, w.e.Close())
	}
}

// Without its key a stream is left alone, and its log records too; with the key it
// is all there.
func TestKeyComesBack(t *testing.T) {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 4)
	id := victim.id
	for seed := uint64(5); len(w.options.Keys) == 0; seed++ {
		disk = vfs.NewMem()
		w, victim, _ = pairOf(t, disk, seed)
		id = victim.id
	}
	disk = disk.Crash(w.r, vfs.CrashOptions{})
	right := w.options.Stream
	w.options.Stream = func(x ID, meta []byte) StreamOptions {
		o := right(x, meta)
		if x == id {
			o.Keys = []store.Key{store.DeriveKey(store.AES, "another", "key", "")}
		}
		return o
	}
	report, err := w.open(disk)
	must(t, err)
	if !errors.Is(report.Broken[id], store.ErrKey) {
		t.Fatalf("%+v", report)
	}
	fill(t, w, w.e.shards[0].list[0], 600)
	must(t, w.e.Close())
	w.options.Stream = right
	_, err = w.open(disk)
	must(t, err)
	must(t, intact(w.e.shards[0], id, 40))
}
