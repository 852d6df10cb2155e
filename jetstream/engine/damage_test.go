package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"testing"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// Damage in the middle of the log is reported, the messages that were there are
// lost and not merely missing, the rest is readable, and all of that is remembered
// when the log has forgotten its damage.
func TestDamagedLog(t *testing.T) {
	disk, w := vfs.NewMem(), newSim(1)
	w.options.Shards, w.options.Keys, w.stream.Keys = 1, nil, nil
	w.options.Log.SegmentBytesMin, w.options.Log.SegmentBytesMax = 1<<20, 1<<20
	w.options.Log.PressureBytes, w.options.Log.LiveBytesMax = 8<<20, 32<<20
	w.stream.Options.Limits = store.Limits{}
	_, err := w.open(disk)
	must(t, err)
	s := w.e.shards[0]
	var st *Stream
	s.CreateStream([]byte("s"), w.stream, func(made *Stream, err error) { must(t, err); st = made })
	must(t, w.settle())
	const n = 60
	var places []int64 // where the batch of a message ends
	for i := range n {
		m := store.Message{Time: int64(i + 1), Subject: []byte("a"), Payload: make([]byte, 500)}
		_, err := st.Messages.Append(&m)
		must(t, err)
		if i == n-1 {
			must(t, st.Messages.Remove(store.Seq(30))) // of what will be lost
		}
		must(t, w.settle())
		places = append(places, s.end.Offset())
	}
	name := "log/seg-000001.log"
	disk = disk.Crash(rand.New(rand.NewPCG(1, 1)), vfs.CrashOptions{Survive: 1})
	must(t, disk.Corrupt(name, func(b []byte) []byte {
		clear(b[vfs.AlignUp(places[24]):vfs.AlignUp(places[34])]) // messages 26 to 35
		return b
	}))
	for round := range 3 {
		report, err := w.open(disk)
		must(t, err)
		if got := len(report.Log.Damages); (got > 0) != (round == 0) {
			t.Fatalf("round %d: damages %v", round, report.Log.Damages)
		}
		if len(report.Broken) > 0 {
			t.Fatalf("round %d: %+v", round, report.Broken)
		}
		st := w.e.shards[0].list[0]
		state, err := st.Messages.State()
		must(t, err)
		if state.Last != n || state.Msgs != n-10 {
			t.Errorf("round %d: %+v", round, state)
		}
		var m store.Message
		for seq := store.Seq(1); seq <= n; seq++ {
			err := st.Messages.Load(seq, &m)
			if seq > 25 && seq <= 35 {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("round %d: load %d: %v", round, seq, err)
				}
			} else if err != nil {
				t.Errorf("round %d: load %d: %v", round, seq, err)
			}
		}
		var lost *store.LostError
		if err := st.Messages.LoadNext(store.Filter{}, 20, &m); err != nil {
			t.Error(err)
		}
		if err := st.Messages.LoadNext(store.Filter{}, 26, &m); !errors.As(err, &lost) || lost.First != 26 || lost.Last != 35 {
			t.Errorf("round %d: next: %v", round, err)
		}
		// The damaged segment goes to quarantine when the log is in another
		// and everybody has a checkpoint behind it.
		for range 3 {
			_, err = w.e.shards[0].CreateConsumer(st, nil)
			must(t, err)
			must(t, w.settle())
			w.now += 3e9
		}
		must(t, w.e.Close())
		if _, err := disk.List("log/quarantine"); err != nil {
			t.Errorf("round %d: the damaged segment is not kept: %v", round, err)
		}
		disk = disk.Crash(rand.New(rand.NewPCG(1, uint64(round))), vfs.CrashOptions{})
	}
}

// Every byte of one copy of the catalog and of a consumer flipped, every length of
// it, and the copy gone: the other copy serves, and the bad one is made again. Both
// copies: refused, not guessed.
func TestCopiesDamaged(t *testing.T) {
	disk := vfs.NewMem()
	w, victim, _ := pairOf(t, disk, 1)
	var c *Consumer
	for _, c = range victim.consumers {
		checkpoint(t, w, &victim.asset, &c.asset)
	}
	must(t, w.e.Close())
	id := victim.id
	consumer := path.Join(streamDir(id), consumersDir, consumerName(c.id))
	for _, names := range [][2]string{catalogNames, {consumer + ".a", consumer + ".b"}} {
		for i, name := range names {
			e, err := disk.Stat(name)
			must(t, err)
			try := func(what string, change func(*vfs.Mem)) {
				broken := disk.Clone()
				change(broken)
				report, err := w.open(broken)
				if err != nil || len(report.Broken) > 0 {
					t.Fatalf("%s: %v, %+v", what, err, report)
				}
				if err := intact(w.e.shards[0], id, 40); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				was, err := vfs.ReadFile(broken, names[0], 1<<20)
				must(t, err)
				if is, err := vfs.ReadFile(broken, names[1], 1<<20); err != nil || string(is) != string(was) {
					t.Fatalf("%s: the copies differ afterwards: %v", what, err)
				}
			}
			for at := int64(0); at < e.Size; at++ {
				if i == 0 || at%7 == 0 {
					try(fmt.Sprintf("%s, byte %d", name, at), func(m *vfs.Mem) { must(t, m.FlipBit(name, at*8+at%8)) })
				}
				if at%5 == 0 {
					try(fmt.Sprintf("%s cut to %d", name, at), func(m *vfs.Mem) { must(t, m.Cut(name, at)) })
				}
			}
			try(name+" removed", func(m *vfs.Mem) { must(t, m.Remove(name)) })
		}
		broken := disk.Clone()
		for i, name := range names {
			must(t, broken.FlipBit(name, 8*int64(20+i)))
		}
		report, err := w.open(broken)
		if err == nil {
			err = report.Broken[c.id]
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("both copies of %s: %v", names[0], err)
		}
	}
}
