package store

import (
	"bytes"
	"testing"

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
