package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"peregrine/vfs"
)

// directStream is a stream whose log puts what is at least 1,000 bytes directly.
func directStream(t *testing.T) (*Stream, *memoryLog, *vfs.Mem, Options, Files) {
	disk, log := vfs.NewMem(), &memoryLog{}
	if err := disk.MkdirAll("streams"); err != nil {
		t.Fatal(err)
	}
	if err := disk.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	o := Options{BlockBytes: 20_000, ChunkBytes: 2_000, Log: log}
	f := Files{FS: disk, Dir: "streams/s", DirectBytes: 1000, FlushBytes: 3000, CacheBytes: 8000}
	s, _, err := Open(o, f)
	if err != nil {
		t.Fatal(err)
	}
	return s, log, disk, o, f
}

func payload(seq Seq) []byte {
	size := 50
	if seq%3 != 0 {
		size = 1500 + int(seq)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%04d", seq), size/4+1)
}

// fillDirect appends small and large messages up to last.
func fillDirect(t *testing.T, s *Stream, last Seq) {
	for seq := s.last + 1; seq <= last; seq++ {
		m := &Message{Subject: fmt.Appendf(nil, "a.%d", seq%4), Payload: payload(seq), Time: int64(seq)}
		if seq%5 == 0 {
			m.Header = []byte("NATS/1.0\r\nA: b\r\n\r\n")
		}
		if _, err := s.Append(m); err != nil {
			t.Fatal(err)
		}
		runJob(s)
	}
}

func checkDirect(t *testing.T, s *Stream, last Seq) {
	t.Helper()
	var m Message
	for seq := Seq(1); seq <= last; seq++ {
		err := s.Load(seq, &m)
		if err != nil || !bytes.Equal(m.Payload, payload(seq)) || len(m.Header) > 0 != (seq%5 == 0) {
			t.Fatalf("load %d: %d bytes, %v", seq, len(m.Payload), err)
		}
	}
	if st, err := s.State(); err != nil || st.Last != last || st.Msgs != uint64(last) {
		t.Fatalf("%+v, %v", st, err)
	}
}

// Large messages are in the block's file alone, can be read before and after they
// are, and come back with and without a checkpoint, again and again.
func TestDirect(t *testing.T) {
	s, log, disk, o, f := directStream(t)
	last := Seq(0)
	for round := range 6 {
		last += 50
		fillDirect(t, s, last)
		checkDirect(t, s, last) // those that the log has not put yet are in memory
		log.put()
		s.Trim(0)
		checkDirect(t, s, last)
		if round%3 == 2 {
			s.Checkpoint()
			log.committed = log.End()
			for runJob(s) {
			}
		}
		disk = disk.Crash(rand.New(rand.NewPCG(1, uint64(round))), vfs.CrashOptions{})
		f.FS = disk
		var report *Report
		var err error
		if s, report, err = Open(o, f); err != nil || len(report.Damage)+len(report.Quarantined) > 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		for i, rec := range log.records[report.Position:] {
			if len(rec.payload) > 500 {
				t.Fatalf("record %d holds %d bytes", i, len(rec.payload))
			}
			if err := s.Replay(rec.kind, rec.payload); err != nil {
				t.Fatalf("record %d of kind %d: %v", i, rec.kind, err)
			}
		}
		s.CheckReferences(func(seq Seq, file string, off int64, err error) {
			t.Errorf("%d in %s at %d: %v", seq, file, off, err)
		})
		checkDirect(t, s, last)
	}
	s.Checkpoint()
	log.committed = log.End()
	for runJob(s) {
	}
	for _, b := range s.blocks {
		if !b.sealed || b.live != b.slots {
			continue
		}
		held := int64(b.end) + int64(len(b.chunks)+1)*vfs.BlockSize
		if b.size > 2*held { // what was in the log whole may have left holes
			t.Errorf("block %d: %d bytes of records in a file of %d", b.id, b.end, b.size)
		}
	}
}

// What damage of a file takes that only the log refers to is told, and only that.
func TestDirectDamaged(t *testing.T) {
	s, log, disk, o, f := directStream(t)
	fillDirect(t, s, 40)
	log.put()
	_, slot, err := s.locate(22)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.slotOf(22)
	from, _ := b.record(slot)
	c := b.chunkAt(from)
	if err := disk.FlipBit(s.path(b.fileName()), 8*(c.place.off+1000)); err != nil {
		t.Fatal(err)
	}
	s, _, err = Open(o, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range log.records {
		if err := s.Replay(rec.kind, rec.payload); err != nil {
			t.Fatal(err)
		}
	}
	var told []Seq
	s.CheckReferences(func(seq Seq, _ string, _ int64, err error) {
		if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		told = append(told, seq)
	})
	if len(told) != 1 || told[0] != 22 {
		t.Errorf("told of %d, want 22", told)
	}
	var m Message
	for seq := Seq(1); seq <= 40; seq++ {
		if err := s.Load(seq, &m); (seq == 22) != errors.Is(err, ErrCorrupt) || seq != 22 && err != nil {
			t.Errorf("load %d: %v", seq, err)
		}
	}
}

// A reference to a block that takes no more messages is followed by copying.
func TestDirectCopied(t *testing.T) {
	s, log, _, o, f := directStream(t)
	fillDirect(t, s, 7)
	log.put()
	s, _, err := Open(o, f)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range log.records {
		if i == 4 {
			s.seal(s.blocks[len(s.blocks)-1])
		}
		if err := s.Replay(rec.kind, rec.payload); err != nil {
			t.Fatal(err)
		}
	}
	checkDirect(t, s, 7)
}

// References are hostile: a flipped bit is an error, and so is every cut.
func TestReferenceDamaged(t *testing.T) {
	b := &block{id: 7}
	whole := appendReference(nil, &Message{Seq: 9, Subject: []byte("a.b"), Header: []byte("h"), Payload: make([]byte, 2000)}, b,
		place{off: 8192, stored: 2044, sum: 5}, 3)
	r, err := referenceOf(whole, 3)
	if err != nil || r.id != 7 || r.message.Seq != 9 || string(r.message.Subject) != "a.b" || !r.header || r.size != 2044 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range 8 * len(whole) {
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := referenceOf(bad, 3); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d: %v", i, err)
		}
		if _, err := referenceOf(whole[:i/8], 3); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d: %v", i/8, err)
		}
	}
	if _, err := referenceOf(whole, 4); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("of another stream: %v", err)
	}
}

// A disk that is almost full gets no direct messages: their failure would stop the log.
func TestDirectNeedsRoom(t *testing.T) {
	s, log, disk, _, _ := directStream(t)
	s.files.FS = fullFS{disk}
	fillDirect(t, s, 20)
	if len(log.directs) > 0 {
		t.Errorf("%d messages were put directly", len(log.directs))
	}
}

type fullFS struct{ vfs.FS }

func (fullFS) Space() (vfs.Space, error) { return vfs.Space{Total: 1 << 40, Free: 1 << 20}, nil }

// After a replay blocks may be in another order than their names. A scrub reads all.
func TestScrubAfterReplay(t *testing.T) {
	s, log, disk, o, f := directStream(t)
	small := func(s *Stream) {
		if _, err := s.Append(&Message{Subject: []byte("a"), Payload: []byte("small")}); err != nil {
			t.Fatal(err)
		}
	}
	large := func(s *Stream) {
		if _, err := s.Append(&Message{Subject: []byte("a"), Payload: make([]byte, 5000)}); err != nil {
			t.Fatal(err)
		}
	}
	small(s)
	s.seal(s.blocks[0])
	s.Checkpoint()
	log.committed = log.End()
	for runJob(s) {
	}
	small(s)
	large(s)
	log.put()
	s, report, err := Open(o, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range log.records[report.Position:] {
		if err := s.Replay(rec.kind, rec.payload); err != nil {
			t.Fatal(err)
		}
	}
	s.Checkpoint()
	log.committed = log.End()
	for runJob(s) {
	}
	b := s.blocks[len(s.blocks)-1]
	if len(s.blocks) < 2 || b.id > s.blocks[len(s.blocks)-2].id {
		t.Fatal("blocks are in the order of their names")
	}
	if err := disk.FlipBit(s.path(b.fileName()), 8*(b.chunks[len(b.chunks)-1].place.off+1000)); err != nil {
		t.Fatal(err)
	}
	if sc := scrub(t, s); len(sc.Damage) != 1 || len(sc.Lost) != 1 || sc.Blocks != len(s.blocks) {
		t.Errorf("%d blocks, damage %v, lost %v", sc.Blocks, sc.Damage, sc.Lost)
	}
}

// A reader is not told of places where the log has yet to put something.
func TestDirectNotReadAhead(t *testing.T) {
	s, log, _, _, _ := directStream(t)
	fillDirect(t, s, 40)
	log.put()
	s.Checkpoint()
	log.committed = log.End()
	for runJob(s) {
	}
	s.Trim(0)
	fillDirect(t, s, 41)
	b, _ := s.slotOf(41)
	c := b.chunks[len(b.chunks)-1]
	if !c.place.written() {
		t.Fatal("it was not put directly")
	}
	told := func() bool { return s.coldBlock(b).places[len(b.chunks)-1].written() }
	if told() {
		t.Error("the place is told before it holds anything")
	}
	log.put()
	if !told() {
		t.Error("the place is not told")
	}
}
