package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"peregrine/vfs"
)

// onDisk returns a stream on a real disk with sealed blocks, trimmed.
func onDisk(t *testing.T, n int) (s *Stream, o Options, f Files, root string) {
	root = t.TempDir()
	fsys, err := vfs.OpenDisk(root, vfs.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o = Options{BlockBytes: 64 << 10, ChunkBytes: 16 << 10}
	f = Files{FS: fsys, Dir: "s", FlushBytes: 32 << 10}
	if s, _, err = Open(o, f); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := s.Append(message(200, i%7)); err != nil {
			t.Fatal(err)
		}
	}
	s.Checkpoint()
	for j := s.Work(); j != nil; j = s.Work() {
		j.Run()
		s.Finish(j)
	}
	s.Trim(0)
	s.Trim(0)
	return s, o, f, root
}

// On a real disk everything is there again, read through mappings.
func TestRealDisk(t *testing.T) {
	const n = 3000
	s, o, f, _ := onDisk(t, n)
	s.Close()
	s, report, err := Open(o, f)
	if err != nil || len(report.Damage) > 0 {
		t.Fatalf("%v, %+v", err, report)
	}
	defer s.Close()
	var m Message
	for seq := Seq(1); seq <= n; seq++ {
		if err := s.Load(seq, &m); err != nil || m.Seq != seq || len(m.Payload) != 200 {
			t.Fatalf("load %d: %v", seq, err)
		}
	}
	if s.blocks[0].mapping == nil {
		t.Error("sealed blocks are not mapped")
	}
}

// A file that is cut under its mapping is an error, not the end of the process.
func TestTruncatedMapping(t *testing.T) {
	s, _, _, root := onDisk(t, 3000)
	defer s.Close()
	var m Message
	if err := s.Load(1, &m); err != nil {
		t.Fatal(err)
	}
	b := s.blocks[0]
	if err := os.Truncate(filepath.Join(root, "s", b.fileName()), vfs.BlockSize); err != nil {
		t.Fatal(err)
	}
	bad := 0
	for seq := b.first; seq < b.next(); seq++ {
		if err := s.Load(seq, &m); errors.Is(err, ErrCorrupt) {
			bad++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if bad == 0 {
		t.Error("nothing was missed")
	}
	if err := s.Load(b.next(), &m); err != nil {
		t.Errorf("the next block: %v", err)
	}
}
