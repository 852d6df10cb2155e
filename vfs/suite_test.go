package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
)

// implementations are the file systems that must answer alike.
func implementations(t *testing.T) map[string]FS {
	direct, err := OpenDisk(t.TempDir(), DiskOptions{Logf: t.Logf})
	must(t, err)
	buffered, err := OpenDisk(t.TempDir(), DiskOptions{Buffered: true})
	must(t, err)
	under, err := OpenDisk(t.TempDir(), DiskOptions{})
	must(t, err)
	overlay, err := NewOverlay(NewMem())
	must(t, err)
	return map[string]FS{
		"overlay":         overlay,
		"disk":            direct,
		"disk, buffered":  buffered,
		"memory":          NewMem(),
		"faulty(memory)":  NewFaulty(NewMem(), nil),
		"faulty(disk)":    NewFaulty(under, func(Call) Fault { return Fault{} }),
		"memory, cloned":  NewMem().Clone(),
		"memory, crashed": NewMem().Crash(seeded(t), CrashOptions{Survive: 0.5}),
	}
}

func TestSuite(t *testing.T) {
	cases := []struct {
		name string
		run  func(t *testing.T, fsys FS)
	}{
		{"read and write", suiteReadWrite},
		{"direct", suiteDirect},
		{"lengths", suiteLengths},
		{"open", suiteOpen},
		{"names", suiteNames},
		{"directories", suiteDirectories},
		{"map", suiteMap},
		{"lock", suiteLock},
		{"helpers", suiteHelpers},
		{"closed", suiteClosed},
	}
	for name := range implementations(t) {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) { c.run(t, implementations(t)[name]) })
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys FS, name string, content string) File {
	t.Helper()
	f, err := fsys.Open(name, Create|Exclusive)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	if content != "" {
		n, err := f.WriteAt([]byte(content), 0)
		must(t, err)
		if n != len(content) {
			t.Fatalf("wrote %d of %d", n, len(content))
		}
	}
	return f
}

func wantContent(t *testing.T, fsys FS, name, want string) {
	t.Helper()
	got, err := ReadFile(fsys, name, 1<<20)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func suiteReadWrite(t *testing.T, fsys FS) {
	f := create(t, fsys, "a", "hello")
	must(t, f.WriteSync([]byte("HE"), 0))
	_, err := f.WriteAt([]byte("end"), 8)
	must(t, err)
	must(t, f.SyncData())
	must(t, f.Sync())
	wantContent(t, fsys, "a", "HEllo\x00\x00\x00end")
	p := make([]byte, 6)
	n, err := f.ReadAt(p, 8)
	if n != 3 || err != io.EOF || string(p[:3]) != "end" {
		t.Fatalf("read %d %v %q", n, err, p)
	}
	if n, err = f.ReadAt(p, 11); n != 0 || err != io.EOF {
		t.Fatalf("read at the end: %d %v", n, err)
	}
	if n, err = f.ReadAt(p, 0); n != 6 || err != nil {
		t.Fatalf("whole read: %d %v", n, err)
	}
	if f.Name() != "a" || f.Direct() {
		t.Fatalf("name %q, direct %v", f.Name(), f.Direct())
	}
	r, err := fsys.Open("a", 0)
	must(t, err)
	defer r.Close()
	if _, err := r.WriteAt([]byte("x"), 0); err == nil {
		t.Fatal("a file opened to read was written")
	}
}

func suiteDirect(t *testing.T, fsys FS) {
	f, err := fsys.Open("d", Create|Direct)
	must(t, err)
	defer f.Close()
	p := Buffer(2 * BlockSize)
	for i := range p {
		p[i] = byte(i / 7)
	}
	_, err = f.WriteAt(p, BlockSize)
	must(t, err)
	must(t, f.WriteSync(p[:BlockSize], 0))
	q := Buffer(4 * BlockSize)
	n, err := f.ReadAt(q, 0)
	if n != 3*BlockSize || err != io.EOF {
		t.Fatalf("read %d %v", n, err)
	}
	if !bytes.Equal(q[:BlockSize], p[:BlockSize]) || !bytes.Equal(q[BlockSize:3*BlockSize], p) {
		t.Fatal("other bytes came back")
	}
	_, err = f.WriteAt(p, 1)
	wantIs(t, err, ErrUnaligned)
	_, err = f.WriteAt(p[:10], 0)
	wantIs(t, err, ErrUnaligned)
	wantIs(t, f.WriteSync(p[8:BlockSize], 0), ErrUnaligned)
	_, err = f.ReadAt(p[1:BlockSize+1], 0)
	wantIs(t, err, ErrUnaligned)
}

func suiteLengths(t *testing.T, fsys FS) {
	f := create(t, fsys, "a", "hello")
	size := func(want int64) {
		t.Helper()
		got, err := f.Size()
		must(t, err)
		if got != want {
			t.Fatalf("size %d, want %d", got, want)
		}
	}
	size(5)
	must(t, f.Allocate(0, 8))
	size(8)
	must(t, f.Allocate(2, 3))
	size(8)
	wantContent(t, fsys, "a", "hello\x00\x00\x00")
	must(t, f.Truncate(2))
	size(2)
	must(t, f.Truncate(4))
	wantContent(t, fsys, "a", "he\x00\x00")
	if f.Truncate(-1) == nil {
		t.Fatal("negative length accepted")
	}
}

func suiteOpen(t *testing.T, fsys FS) {
	_, err := fsys.Open("a", 0)
	wantIs(t, err, fs.ErrNotExist)
	_, err = fsys.Open("a", Write)
	wantIs(t, err, fs.ErrNotExist)
	_, err = fsys.Open("no/a", Create)
	wantIs(t, err, fs.ErrNotExist)
	create(t, fsys, "a", "x")
	_, err = fsys.Open("a", Create|Exclusive)
	wantIs(t, err, fs.ErrExist)
	_, err = fsys.Open("a", Create|Exclusive|Direct)
	wantIs(t, err, fs.ErrExist)
	f, err := fsys.Open("a", Create)
	must(t, err)
	must(t, f.Close())
	wantContent(t, fsys, "a", "x")
	for _, bad := range []string{"", "/a", "../a", "b/../../a", "a/", "b//c"} {
		_, err := fsys.Open(bad, Create)
		wantIs(t, err, ErrPath)
		wantIs(t, fsys.Remove(bad), ErrPath)
		wantIs(t, fsys.Rename("a", bad), ErrPath)
		wantIs(t, fsys.Rename(bad, "a"), ErrPath)
		wantIs(t, fsys.MkdirAll(bad), ErrPath)
		wantIs(t, fsys.SyncDir(bad), ErrPath)
		_, err = fsys.List(bad)
		wantIs(t, err, ErrPath)
		_, err = fsys.Stat(bad)
		wantIs(t, err, ErrPath)
		_, err = fsys.Lock(bad)
		wantIs(t, err, ErrPath)
	}
}

func suiteNames(t *testing.T, fsys FS) {
	f := create(t, fsys, "a", "one")
	create(t, fsys, "b", "two")
	must(t, fsys.Rename("a", "b"))
	must(t, fsys.SyncDir("."))
	wantContent(t, fsys, "b", "one")
	_, err := fsys.Stat("a")
	wantIs(t, err, fs.ErrNotExist)
	wantIs(t, fsys.Rename("a", "c"), fs.ErrNotExist)
	must(t, fsys.Rename("b", "b"))
	_, err = f.WriteAt([]byte("O"), 0) // the open file follows its name
	must(t, err)
	wantContent(t, fsys, "b", "One")
	must(t, fsys.MkdirAll("dir"))
	must(t, fsys.Rename("b", "dir/b"))
	wantContent(t, fsys, "dir/b", "One")
	must(t, fsys.Remove("dir/b"))
	wantIs(t, fsys.Remove("dir/b"), fs.ErrNotExist)
	p := make([]byte, 3)
	_, err = f.ReadAt(p, 0) // a removed file lives until it is closed
	must(t, err)
}

func suiteDirectories(t *testing.T, fsys FS) {
	must(t, fsys.MkdirAll("x/y/z"))
	must(t, fsys.MkdirAll("x/y/z"))
	must(t, fsys.MkdirAll("."))
	create(t, fsys, "x/f", "12345")
	if fsys.MkdirAll("x/f/g") == nil {
		t.Fatal("directory below a file")
	}
	entries, err := fsys.List("x")
	must(t, err)
	want := []Entry{{Name: "f", Size: 5}, {Name: "y", Dir: true}}
	if !slices.Equal(entries, want) {
		t.Fatalf("entries %v, want %v", entries, want)
	}
	e, err := fsys.Stat("x/y")
	must(t, err)
	if !e.Dir || e.Name != "y" {
		t.Fatalf("entry %v", e)
	}
	_, err = fsys.List("none")
	wantIs(t, err, fs.ErrNotExist)
	wantIs(t, fsys.SyncDir("none"), fs.ErrNotExist)
	if fsys.Remove("x") == nil {
		t.Fatal("removed a directory that is not empty")
	}
	if _, err := fsys.Open("x", 0); err == nil {
		if f, _ := fsys.Open("x", Write); f != nil {
			t.Fatal("opened a directory to write")
		}
	}
	must(t, fsys.Rename("x", "w"))
	wantContent(t, fsys, "w/f", "12345")
	if fsys.Rename("w", "w/y/w") == nil {
		t.Fatal("a directory moved below itself")
	}
	must(t, fsys.SyncDir("w/y"))
	must(t, RemoveAll(fsys, "w"))
	must(t, RemoveAll(fsys, "w"))
	entries, err = fsys.List(".")
	must(t, err)
	if len(entries) != 0 {
		t.Fatalf("left: %v", entries)
	}
	space, err := fsys.Space()
	must(t, err)
	if space.Free <= 0 || space.Total < space.Free {
		t.Fatalf("space %+v", space)
	}
}

func suiteMap(t *testing.T, fsys FS) {
	f := create(t, fsys, "a", "hello")
	m, err := f.Map(4)
	must(t, err)
	if string(m.Bytes()) != "hell" {
		t.Fatalf("mapped %q", m.Bytes())
	}
	must(t, m.Close())
	_, err = f.Map(6)
	wantIs(t, err, ErrFault)
	m, err = f.Map(0)
	must(t, err)
	if len(m.Bytes()) != 0 {
		t.Fatal("bytes in an empty mapping")
	}
	must(t, m.Close())
}

func suiteLock(t *testing.T, fsys FS) {
	lock, err := fsys.Lock("LOCK")
	must(t, err)
	second, err := fsys.Lock("LOCK")
	wantIs(t, err, ErrLocked)
	if second != nil {
		t.Errorf("a lock with an error: %v", second)
	}
	must(t, lock.Close())
	lock, err = fsys.Lock("LOCK")
	must(t, err)
	must(t, lock.Close())
}

func suiteHelpers(t *testing.T, fsys FS) {
	must(t, WriteFile(fsys, "a", []byte("one")))
	must(t, WriteFile(fsys, "a", []byte("two!")))
	wantContent(t, fsys, "a", "two!")
	create(t, fsys, "a.new", "left by a crash, and longer")
	must(t, WriteFile(fsys, "a", []byte("3")))
	wantContent(t, fsys, "a", "3")
	_, err := ReadFile(fsys, "a", 0)
	wantIs(t, err, ErrTooLong)
	_, err = ReadFile(fsys, "none", 1)
	wantIs(t, err, fs.ErrNotExist)
}

func suiteClosed(t *testing.T, fsys FS) {
	f := create(t, fsys, "a", "hello")
	must(t, f.Close())
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantIs(t, err, fs.ErrClosed)
	_, err = f.WriteAt([]byte("x"), 0)
	wantIs(t, err, fs.ErrClosed)
	wantIs(t, f.WriteSync([]byte("x"), 0), fs.ErrClosed)
	wantIs(t, f.Sync(), fs.ErrClosed)
	wantIs(t, f.SyncData(), fs.ErrClosed)
	wantIs(t, f.Truncate(0), fs.ErrClosed)
	wantIs(t, f.Allocate(0, 9), fs.ErrClosed)
	_, err = f.Size()
	wantIs(t, err, fs.ErrClosed)
	_, err = f.Map(1)
	wantIs(t, err, fs.ErrClosed)
}
