package engine

import (
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// scrubbing is an engine on a disk in memory with one stream of so many messages,
// all in files, and a consumer.
func scrubbing(t *testing.T, disk vfs.FS, n int, told *[]Damage) (*sim, *Stream, *Consumer) {
	w := newSim(1)
	w.options.Shards, w.options.Keys, w.stream.Keys = 1, nil, nil
	w.options.ScrubRest, w.options.ScrubRate = time.Minute, 64<<10
	w.options.Log.PressureBytes, w.options.Log.LiveBytesMax = 8<<20, 32<<20
	w.options.Damaged = func(d Damage) { *told = append(*told, d) }
	w.stream = StreamOptions{FlushBytes: 32 << 10, CacheBytes: 1}
	w.stream.Options.ChunkBytes, w.stream.Options.BlockBytes = 4<<10, 64<<10
	_, err := w.open(disk)
	must(t, err)
	s := w.e.shards[0]
	var st *Stream
	s.CreateStream([]byte("s"), w.stream, func(made *Stream, err error) { must(t, err); st = made })
	must(t, w.settle())
	for i := range n {
		_, err := st.Messages.Append(&store.Message{Time: int64(i + 1), Subject: []byte("a"), Payload: make([]byte, 500)})
		must(t, err)
		if i%50 == 0 {
			must(t, w.settle())
		}
	}
	c, err := s.CreateConsumer(st, nil)
	must(t, err)
	must(t, c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Delivery: 5, Stream: 5}}))
	must(t, w.settle())
	checkpoint(t, w, &st.asset, &c.asset)
	return w, st, c
}

// checkpoint has assets and the catalog write everything.
func checkpoint(t *testing.T, w *sim, assets ...*asset) {
	t.Helper()
	for _, a := range assets {
		a.want = true
		a.shard.enqueue(a)
	}
	w.now += 5e9
	must(t, w.settle())
	w.now += 5e9
	must(t, w.settle())
}

// pass lets time go by, without changes.
func (w *sim) pass(d time.Duration) error {
	for end := w.now + int64(d); w.now < end; w.now += int64(50 * time.Millisecond) {
		if err := w.settle(); err != nil {
			return err
		}
	}
	return nil
}

// Damage of every sort of file is found in the background, told, and put right or
// fenced; a restart knows.
func TestScrub(t *testing.T) {
	var told []Damage
	disk := vfs.NewMem()
	w, st, c := scrubbing(t, disk, 600, &told)
	messages, consumers := path.Join(streamDir(st.id), messagesDir), path.Join(streamDir(st.id), consumersDir)
	must(t, w.pass(3*time.Minute))
	if len(told) > 0 {
		t.Fatalf("sound files: %v", told)
	}
	for name, at := range map[string]int64{path.Join(messages, "00000001.0.blk"): 700, path.Join(messages, "state.a"): 20,
		path.Join(consumers, consumerName(c.id)+".b"): 20, catalogNames[1]: 20} {
		must(t, disk.FlipBit(name, 8*at))
	}
	must(t, w.pass(3*time.Minute))
	found := map[ID]int{}
	lost := 0
	for _, d := range told {
		found[d.ID] += len(d.Errors)
		for _, r := range d.Lost {
			lost += int(r.Len())
		}
	}
	if found[st.id] < 1 || found[c.id] != 1 || found[0] != 1 || lost != 1 {
		t.Fatalf("told %v, %d lost: %v", found, lost, told)
	}
	told = nil
	checkpoint(t, w, &st.asset, &c.asset)
	must(t, w.pass(3*time.Minute))
	if len(told) > 0 {
		t.Fatalf("after it was put right: %v", told)
	}
	if kept, err := disk.List(path.Join(messages, quarantineDir)); err != nil || len(kept) != 1 {
		t.Errorf("quarantine: %v, %v", kept, err)
	}
	must(t, w.e.Close())
	report, err := w.open(disk)
	must(t, err)
	if len(report.Broken)+len(report.Stores) > 0 {
		t.Fatalf("%+v", report)
	}
	st = w.e.shards[0].list[0]
	var m store.Message
	bad := 0
	for seq := store.Seq(1); seq <= 600; seq++ {
		if err := st.Messages.Load(seq, &m); errors.Is(err, store.ErrCorrupt) {
			bad++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if bad != 1 {
		t.Errorf("%d are lost after a restart", bad)
	}
}

// The scrubber reads no faster than it may, and leaves nothing out.
func TestScrubRate(t *testing.T) {
	var told []Damage
	read := map[string]int64{}
	counting := false
	fsys := vfs.NewFaulty(vfs.NewMem(), func(c vfs.Call) vfs.Fault {
		if counting && c.Op == vfs.OpRead && strings.HasSuffix(c.Name, ".blk") {
			read[c.Name] += c.Len
		}
		return vfs.Fault{}
	})
	w, st, _ := scrubbing(t, fsys, 600, &told)
	counting = true
	total := func() (n int64) {
		for _, bytes := range read {
			n += bytes
		}
		return n
	}
	from := w.now
	for range 400 {
		must(t, w.pass(50*time.Millisecond))
		allowed := w.options.ScrubRate*(w.now-from)/int64(time.Second) + 1<<20 + 64<<10
		if total() > allowed {
			t.Fatalf("%d bytes read after %v, %d are allowed", total(), time.Duration(w.now-from), allowed)
		}
	}
	must(t, w.pass(2*time.Minute))
	_, live := st.Messages.Utilization()
	if total() < int64(live) {
		t.Errorf("%d bytes read of %d", total(), live)
	}
}

// A shard that has failed, or whose piece is being read, does not wake up for the
// scrubber over and over.
func TestScrubSleeps(t *testing.T) {
	var told []Damage
	w, _, _ := scrubbing(t, vfs.NewMem(), 100, &told)
	s := w.e.shards[0]
	due := func() {
		t.Helper()
		w.now += int64(2 * time.Minute)
		s.trimAt = w.now + int64(time.Second)
		s.scrubs.at = w.now - 1
	}
	due()
	s.scrubs.running = true
	if d := s.sleep(w.now); d < time.Second {
		t.Errorf("a running piece: sleeps %v", d)
	}
	s.scrubs.running = false
	if d := s.sleep(w.now); d > time.Millisecond {
		t.Errorf("a piece is due: sleeps %v", d)
	}
	s.failed = errors.New("failed")
	if d := s.sleep(w.now); d < time.Second {
		t.Errorf("a failed shard: sleeps %v", d)
	}
}
