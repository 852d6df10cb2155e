package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// What happens on an overlay is what would happen below, and nothing does.
func TestOverlayLeavesWhatIsBelow(t *testing.T) {
	below := NewMem()
	must(t, below.MkdirAll("d"))
	long := bytes.Repeat([]byte("0123456789"), 2000)
	for name, content := range map[string][]byte{"d/written": long, "d/renamed": []byte("r"), "d/removed": []byte("x"), "d/same": long, "d/cut": long} {
		must(t, WriteFile(below, name, content))
	}
	o, err := NewOverlay(below)
	must(t, err)
	defer o.Close()

	open := func(name string, flag Flag) File {
		f, err := o.Open(name, flag)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	write := func(f File, p string, off int64) {
		_, err := f.WriteAt([]byte(p), off)
		must(t, err)
	}
	f := open("d/written", Write)
	write(f, "WW", BlockSize-1)
	write(f, "tail", int64(len(long)))
	want := append(slices.Clone(long), "tail"...)
	copy(want[BlockSize-1:], "WW")
	wantContent(t, o, "d/written", string(want))
	write(open("d/same", Write), string(long[100:200]), 100)
	cut := open("d/cut", Write)
	must(t, cut.Truncate(5000))
	must(t, cut.Truncate(9000))
	wantContent(t, o, "d/cut", string(long[:5000])+string(make([]byte, 4000)))
	must(t, o.MkdirAll("q"))
	must(t, o.Rename("d/renamed", "q/renamed"))
	must(t, o.Remove("d/removed"))
	write(open("d/removed", Create), "anew", 0)
	must(t, o.Rename("d", "e"))
	must(t, o.Rename("e", "d"))

	got, err := o.Changes()
	must(t, err)
	wantChanges := []Change{
		{Name: "d/cut", From: "d/cut", Kind: Written, Size: 9000},
		{Name: "d/removed", From: "d/removed", Kind: Removed},
		{Name: "d/removed", Kind: Created, Size: 4, Ranges: []Range{{0, 4}}},
		{Name: "d/written", From: "d/written", Kind: Written, Size: int64(len(want)),
			Ranges: []Range{{0, 2 * BlockSize}, {4 * BlockSize, int64(len(want))}}},
		{Name: "q/renamed", From: "d/renamed", Kind: Renamed, Size: 1},
	}
	if fmt.Sprint(got) != fmt.Sprint(wantChanges) {
		t.Errorf("changes\n%v, want\n%v", got, wantChanges)
	}
	for name, content := range map[string][]byte{"d/written": long, "d/renamed": []byte("r"), "d/removed": []byte("x"), "d/cut": long} {
		wantContent(t, below, name, string(content))
	}
}

// Random calls answer alike on an overlay of some files and on a copy of them.
func TestOverlayAgainstMem(t *testing.T) {
	random := seeded(t)
	for range 50 {
		below := NewMem()
		for i := range 3 {
			must(t, WriteFile(below, fmt.Sprint(i), randomBytes(random, 3*BlockSize)))
		}
		o, err := NewOverlay(below)
		must(t, err)
		plain := below.Clone()
		for range 60 {
			overlayStep(t, random, o, plain)
		}
		for i := range 3 {
			same(t, fmt.Sprint(i), o, plain)
		}
	}
}

func randomBytes(random *rand.Rand, most int) []byte {
	b := make([]byte, random.IntN(most))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func overlayStep(t *testing.T, random *rand.Rand, a, b FS) {
	name, off, size := fmt.Sprint(random.IntN(3)), random.Int64N(3*BlockSize), random.Int64N(4*BlockSize)
	data, op := randomBytes(random, 2*BlockSize), random.IntN(5)
	other := fmt.Sprint(random.IntN(3))
	step := func(fsys FS) error {
		switch op {
		case 0:
			return fsys.Rename(name, other)
		case 1:
			return fsys.Remove(name)
		}
		f, err := fsys.Open(name, Create)
		if err != nil {
			return err
		}
		defer f.Close()
		switch op {
		case 2:
			return f.Truncate(size)
		case 3:
			return f.Allocate(off, size+1)
		}
		_, err = f.WriteAt(data, off)
		return err
	}
	if x, y := step(a), step(b); (x == nil) != (y == nil) {
		t.Fatalf("op %d: %v and %v", op, x, y)
	}
	same(t, name, a, b)
}

func same(t *testing.T, name string, a, b FS) {
	t.Helper()
	x, errX := ReadFile(a, name, 1<<20)
	y, errY := ReadFile(b, name, 1<<20)
	if (errX == nil) != (errY == nil) || !bytes.Equal(x, y) {
		t.Fatalf("%s differs: %d and %d bytes, %v, %v", name, len(x), len(y), errX, errY)
	}
}

// A disk opened to read changes nothing and makes nothing.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenDisk(filepath.Join(dir, "none"), DiskOptions{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("opened what is not there: %v", err)
	}
	writer, err := OpenDisk(dir, DiskOptions{})
	must(t, err)
	must(t, writer.MkdirAll("sub"))
	must(t, WriteFile(writer, "a", []byte("content")))
	if _, err := OpenDisk(filepath.Join(dir, "a"), DiskOptions{ReadOnly: true}); !errors.Is(err, syscall.ENOTDIR) {
		t.Fatalf("opened a file as a disk: %v", err)
	}
	d, err := OpenDisk(dir, DiskOptions{ReadOnly: true})
	must(t, err)
	for _, flag := range []Flag{Write, Create, Create | Exclusive, Write | Direct} {
		_, err := d.Open("a", flag)
		wantIs(t, err, ErrReadOnly)
	}
	wantIs(t, d.Remove("a"), ErrReadOnly)
	wantIs(t, d.Rename("a", "b"), ErrReadOnly)
	wantIs(t, d.MkdirAll("sub"), ErrReadOnly)
	wantContent(t, d, "a", "content")
	_, err = d.Lock("LOCK")
	wantIs(t, err, fs.ErrNotExist)
	held, err := writer.Lock("LOCK")
	must(t, err)
	_, err = d.Lock("LOCK")
	wantIs(t, err, ErrLocked)
	must(t, held.Close())
	mine, err := d.Lock("LOCK")
	must(t, err)
	_, err = writer.Lock("LOCK")
	wantIs(t, err, ErrLocked)
	must(t, mine.Close())
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 3 {
		t.Errorf("entries %v", entries)
	}
}
