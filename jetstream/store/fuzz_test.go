package store

import (
	"bytes"
	"testing"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

// small is a checkpointed stream's files, for seeds.
func small(f *testing.F) (state, block []byte) {
	w, _, _ := filled(f, 1, nil, true)
	state, err := vfs.ReadFile(w.disk, "streams/s/state.a", 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	block, err = vfs.ReadFile(w.disk, blockFiles(f, w.disk)[0], 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	return state, block
}

// Any state body is refused or makes a stream that answers without panic.
func FuzzState(f *testing.F) {
	state, _ := small(f)
	f.Add(state[stateHead : stateHead+int(little.Uint32(state[16:]))])
	f.Fuzz(func(t *testing.T, body []byte) {
		fsys := vfs.NewMem()
		s := newStream(Options{})
		s.disk = &disk{files: Files{FS: fsys, Dir: "s"}.withDefaults(), erasing: map[*block]bool{}}
		if s.decodeState(body) != nil || s.setKeys() != nil {
			return
		}
		var r Report
		if s.loadBlocks(&r) != nil {
			return
		}
		var m Message
		s.State()
		s.Load(s.first, &m)
		s.LoadNext(NewFilter("a.>"), 1, &m)
		s.Append(&Message{Subject: []byte("a")})
		s.Purge(Purge{})
	})
}

func FuzzStateFile(f *testing.F) {
	state, _ := small(f)
	f.Add(state)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &disk{files: Files{Keys: []Key{{Cipher: ChaCha}}}.withDefaults()}
		d.openState(b)
	})
}

func FuzzColumns(f *testing.F) {
	f.Add(appendColumns(nil, &columns{offset: []uint32{0, 50}, subject: []uint32{0, slotAbsent}, back: []uint32{0, 1}, names: []string{"a"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ix, err := columnsOf(bytes.Clone(b))
		if err == nil && !bytes.Equal(appendColumns(nil, ix), b) {
			t.Fatal("decoded and encoded is not the same")
		}
	})
}

func FuzzChunk(f *testing.F) {
	_, block := small(f)
	f.Add(block[:vfs.BlockSize], uint32(300))
	f.Fuzz(func(t *testing.T, b []byte, stored uint32) {
		codec := &format{}
		if len(b) >= chunkHead { // sums that fit, so that what follows is reached
			stored %= uint32(len(b) - chunkHead + 1)
			little.PutUint32(b[8:], stored)
			little.PutUint64(b[56:], codec.headSum(b, 0))
		}
		p := place{stored: stored, sum: codec.headSum(append(b, make([]byte, chunkHead)...)[:chunkHead], 0)}
		codec.openChunk(nil, b, kindRecords, address{}, p)
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, &Message{Seq: 1, Subject: []byte("a"), Header: []byte("h"), Payload: []byte("p")}, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if n := recordLen(b); n > 0 && recordOf(b[:n], &m, 7) == nil {
			if again := appendRecord(nil, &m, 7); !bytes.Equal(again, b[:n]) {
				t.Fatal("decoded and encoded is not the same")
			}
		}
	})
}

func FuzzReplay(f *testing.F) {
	f.Add(uint8(logRemove), []byte{1, 2})
	f.Add(uint8(logSkip), []byte{9, 2})
	f.Add(uint8(logTruncate), []byte{1})
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		s := NewMemory(Options{})
		for range 5 {
			s.Append(&Message{Subject: []byte("a")})
		}
		s.Replay(kind, b)
		s.State()
	})
}

func FuzzRestore(f *testing.F) {
	s := NewMemory(Options{})
	s.Append(&Message{Subject: []byte("a"), Payload: []byte("x")})
	sn, err := s.Snapshot(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	b, _ := sn.Next(1 << 20)
	f.Add(bytes.Clone(b))
	f.Fuzz(func(t *testing.T, b []byte) {
		NewMemory(Options{}).Restore(bytes.NewReader(b), nil, func(string, []byte) error { return nil })
	})
}

// Any bytes as a consumer's file are refused or are a state that is written the same.
func FuzzConsumerFile(f *testing.F) {
	key := Key{Cipher: ChaCha}
	for _, keys := range [][]Key{nil, {key}} {
		c := NewMemoryConsumer(nil)
		c.files.Keys = keys
		all := ConsumerChange{Delivered: Position{3, 4}, AckFloor: Position{1, 2}, Pending: []PendingMessage{{4, 3, 9, 1}}}
		b, err := c.encode(&consumerCheckpoint{position: 7, body: appendChange(nil, &all)}, 5)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		f.Add(b[:consumerHead], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if n := len(b); seal && n >= consumerHead+8 { // a sum that fits
			b = little.AppendUint64(bytes.Clone(b[:n-8]), xxhash.Sum64(b[:n-8]))
		}
		c := NewMemoryConsumer(nil)
		c.files = Files{Keys: []Key{key}}
		if c.decode(b) != nil || b[6] != 0 {
			return
		}
		all := ConsumerChange{Delivered: c.delivered, AckFloor: c.floor, Pending: c.AllPending(nil)}
		again := NewMemoryConsumer(nil)
		if !all.sameAfter(again) || again.delivered != c.delivered || len(again.pending) != len(c.pending) {
			t.Fatal("decoded and encoded is not the same")
		}
	})
}

// sameAfter replays a change, encoded, to a consumer.
func (ch *ConsumerChange) sameAfter(c *Consumer) bool {
	return c.Replay(logConsumer, appendChange(nil, ch)) == nil
}

// Any bytes where a damaged chunk was: what is taken for records are records, and
// the columns made of them are sound.
func FuzzSparedChunk(f *testing.F) {
	s := newStream(Options{})
	s.identity = 9
	var good []byte
	for seq := range Seq(5) {
		good = appendRecord(good, &Message{Seq: 10 + seq, Subject: []byte("a.b"), Payload: bytes.Repeat([]byte{1}, 20)}, s.identity)
	}
	f.Add(good)
	bad := bytes.Clone(good)
	bad[70]++
	f.Add(bad)
	f.Fuzz(func(t *testing.T, raw []byte) {
		fsys := vfs.NewMem()
		file, err := fsys.Open("00000000.0.blk", vfs.Create)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 0 {
			file.WriteAt(raw, chunkHead)
		}
		s := newStream(Options{})
		s.identity = 9
		s.disk = &disk{files: Files{FS: fsys}.withDefaults(), erasing: map[*block]bool{}, codec: &format{}}
		size := uint32(len(raw))
		b := &block{first: 10, slots: 100, end: size}
		c := &chunk{size: size, place: place{stored: size, sum: 1}}
		b.chunks = []*chunk{c}
		ix, end := &columns{}, uint32(0)
		if s.scanChunk(b, ix, c, &end) == nil {
			t.Fatal("a chunk without a head is good")
		}
		s.last = 109
		if err := s.adopt(b, ix, end); err != nil {
			t.Fatal(err)
		}
		for slot, word := range b.ix.subject {
			from, to := b.record(slot)
			var m Message
			if word&slotAbsent == 0 && (recordOf(raw[from:to], &m, s.identity) != nil || m.Seq != b.first+Seq(slot)) {
				t.Fatalf("slot %d from %d to %d is no record", slot, from, to)
			}
		}
	})
}
