package engine

import (
	"testing"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// rounds appends a round of messages in one turn.
type rounds struct {
	streams []*Stream
	left    int
	next    int
	m       store.Message
	durable Mark
	err     error
}

func (f *rounds) Turn(now int64) bool {
	for ; f.left > 0; f.left-- {
		f.m.Time = now
		if _, err := f.streams[f.next%len(f.streams)].Messages.Append(&f.m); err != nil {
			f.err = err
		}
		f.next++
	}
	return false
}

func (f *rounds) Durable(m Mark)                   { f.durable = m }
func (f *rounds) Failed(*Stream, *Consumer, error) {}

// Appending and reading take no memory of their own: what is allocated is chunks,
// columns, jobs and checkpoints, of which there are few.
func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	fsys, err := vfs.OpenDisk(t.TempDir(), vfs.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := Open(fsys, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.shards[0]
	f := &rounds{m: store.Message{Subject: []byte("orders.new"), Payload: make([]byte, 128)}}
	s.app = f
	for range 2 {
		s.CreateStream(nil, StreamOptions{}, func(st *Stream, err error) {
			f.streams, f.err = append(f.streams, st), err
		})
	}
	for e.turn() {
	}
	s.Step(1)
	const each = 1000
	now := int64(1)
	round := func() {
		f.left = each
		for f.left > 0 || f.durable < s.mark {
			now++
			s.Step(now)
			for e.turn() {
			}
		}
	}
	for range 40 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > each/50 {
		t.Errorf("%.0f allocations for %d appends", n, each)
	}
	if f.err != nil {
		t.Fatal(f.err)
	}
	var m store.Message
	seq := f.streams[0].Messages
	state, err := seq.State()
	if err != nil {
		t.Fatal(err)
	}
	next := state.Last - 1000
	if n := testing.AllocsPerRun(900, func() {
		err = seq.LoadNext(store.Filter{}, next, &m)
		next++
	}); n > 0 || err != nil {
		t.Errorf("%.0f allocations for a read, %v", n, err)
	}
	if n := testing.AllocsPerRun(900, func() { err = seq.Load(state.Last, &m) }); n > 0 || err != nil {
		t.Errorf("%.0f allocations for a read, %v", n, err)
	}
}
