package engine

import (
	"errors"
	"math/rand/v2"
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
