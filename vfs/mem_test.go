package vfs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0 takes the test's own")

// seeded returns random numbers from -seed, else from a fixed seed, and prints it.
func seeded(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = 1
	}
	t.Logf("-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func crashed(t *testing.T, m *Mem, survive float64) *Mem {
	return m.Crash(seeded(t), CrashOptions{Survive: survive})
}

func names(t *testing.T, m *Mem, dir string) string {
	t.Helper()
	entries, err := m.List(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name)
	}
	return strings.Join(all, " ")
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	f := create(t, m, "a", "synced")
	must(t, f.SyncData())
	must(t, m.SyncDir("."))
	_, err := f.WriteAt([]byte("UN"), 0)
	must(t, err)
	must(t, f.Truncate(3))
	create(t, m, "b", "no name")
	after := crashed(t, m.Clone(), 0)
	wantContent(t, after, "a", "synced")
	if got := names(t, after, "."); got != "a" {
		t.Fatalf("names %q", got)
	}
	after = crashed(t, m, 1)
	wantContent(t, after, "a", "UNn")
	wantContent(t, after, "b", "no name")
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantIs(t, err, ErrCrashed)
	_, err = m.Open("a", 0)
	wantIs(t, err, ErrCrashed)
}

func TestCrashKeepsUnsyncedNameOfSyncedBytesOut(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("d"))
	f := create(t, m, "d/a", "x")
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	if got := names(t, crashed(t, m.Clone(), 0), "."); got != "" {
		t.Fatalf("the directory's own name was not synced, got %q", got)
	}
	must(t, m.SyncDir("."))
	must(t, m.Rename("d/a", "d/b"))
	if got := names(t, crashed(t, m.Clone(), 0), "d"); got != "a" {
		t.Fatalf("names %q", got)
	}
	if got := names(t, crashed(t, m.Clone(), 1), "d"); got != "b" {
		t.Fatalf("names %q", got)
	}
	must(t, m.Remove("d/b"))
	if got := names(t, crashed(t, m.Clone(), 0), "d"); got != "a" {
		t.Fatalf("names %q", got)
	}
}

func TestMoveAcrossDirectoriesIsWhole(t *testing.T) {
	random := seeded(t)
	for range 200 {
		m := NewMem()
		must(t, m.MkdirAll("d"))
		create(t, m, "a", "x")
		must(t, m.SyncDir("."))
		must(t, m.Rename("a", "d/a"))
		if random.IntN(2) == 0 {
			must(t, m.SyncDir([]string{".", "d"}[random.IntN(2)]))
		}
		after := m.Crash(random, CrashOptions{Survive: 0.5})
		_, here := after.Stat("a")
		_, there := after.Stat("d/a")
		if (here == nil) == (there == nil) {
			t.Fatalf("at source: %v, at target: %v", here, there)
		}
	}
}

func TestCrashTearsAtSectors(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		m := NewMem()
		f := create(t, m, "a", strings.Repeat("o", 1<<16))
		must(t, f.Sync())
		must(t, m.SyncDir("."))
		_, err := f.WriteAt(bytes.Repeat([]byte("n"), 1<<16-100), 100)
		must(t, err)
		after := m.Crash(seeded(t), CrashOptions{Survive: 0.5, Sector: sector})
		b, err := ReadFile(after, "a", 1<<20)
		must(t, err)
		fresh := 0
		for off := 0; off < len(b); off += sector {
			piece := b[max(off, 100) : off+sector]
			if bytes.Count(piece, piece[:1]) != len(piece) {
				t.Fatalf("sector at %d is mixed", off)
			}
			if piece[0] == 'n' {
				fresh++
			}
		}
		if total := len(b) / sector; fresh < total/4 || fresh > total*3/4 {
			t.Fatalf("%d of %d sectors survived", fresh, total)
		}
	}
}

func TestCrashReplaysFromSeed(t *testing.T) {
	build := func() *Mem {
		m := NewMem()
		for i := range 20 {
			create(t, m, fmt.Sprint("f", i), strings.Repeat("x", i*300))
		}
		return m
	}
	content := func(m *Mem) string {
		var all strings.Builder
		entries, err := m.List(".")
		must(t, err)
		for _, e := range entries {
			b, err := ReadFile(m, e.Name, 1<<20)
			must(t, err)
			fmt.Fprintf(&all, "%s %q\n", e.Name, b)
		}
		return all.String()
	}
	one := content(crashed(t, build(), 0.5))
	two := content(crashed(t, build(), 0.5))
	if one != two || one == "" {
		t.Fatal("two crashes from one seed differ")
	}
}

func TestFailedSyncLosesItsBytes(t *testing.T) {
	for _, call := range []func(File) error{
		File.Sync, File.SyncData,
		func(f File) error { return f.WriteSync([]byte("more"), 3) },
	} {
		m := NewMem()
		fail := false
		fsys := NewFaulty(m, func(c Call) Fault {
			if fail && c.Op.Syncs() {
				return Fault{Err: syscall.EIO}
			}
			return Fault{}
		})
		f, err := fsys.Open("a", Create)
		must(t, err)
		must(t, fsys.SyncDir("."))
		_, err = f.WriteAt([]byte("one"), 0)
		must(t, err)
		fail = true
		wantIs(t, call(f), syscall.EIO)
		fail = false
		must(t, f.Sync()) // the lie that must not be believed
		wantContent(t, crashed(t, m, 0), "a", "")
	}
	m := NewMem()
	fsys := NewFaulty(m, FailAt(2, syscall.EIO))
	_, err := fsys.Open("a", Create)
	must(t, err)
	wantIs(t, fsys.SyncDir("."), syscall.EIO)
	must(t, fsys.SyncDir("."))
	if got := names(t, crashed(t, m, 0), "."); got != "" {
		t.Fatalf("names %q", got)
	}
}

func TestLostBytesDoNotComeBackOverNewerOnes(t *testing.T) {
	m := NewMem()
	failed := false
	fsys := NewFaulty(m, func(c Call) Fault {
		if c.Op == OpSync && !failed {
			failed = true
			return Fault{Err: syscall.EIO}
		}
		return Fault{}
	})
	f, err := fsys.Open("a", Create)
	must(t, err)
	must(t, fsys.SyncDir("."))
	_, err = f.WriteAt([]byte("lost--lost"), 0)
	must(t, err)
	wantIs(t, f.Sync(), syscall.EIO)
	must(t, f.WriteSync([]byte("new"), 4))
	wantContent(t, crashed(t, m.Clone(), 0), "a", "\x00\x00\x00\x00new")
	wantContent(t, crashed(t, m.Clone(), 1), "a", "lostnewost")
	must(t, f.Truncate(2))
	must(t, f.Sync())
	wantContent(t, crashed(t, m.Clone(), 1), "a", "lo")
}

func TestFaults(t *testing.T) {
	m := NewMem()
	var next Fault
	var last Call
	var site string
	fsys := NewFaulty(m, func(c Call) Fault {
		last, site = c, c.Site()
		fault := next
		next = Fault{}
		return fault
	})
	f, err := fsys.Open("a", Create)
	must(t, err)

	next = Fault{Err: syscall.ENOSPC, Short: 2}
	n, err := f.WriteAt([]byte("hello"), 0)
	wantIs(t, err, syscall.ENOSPC)
	if n != 2 {
		t.Fatalf("short write of %d", n)
	}
	wantContent(t, m, "a", "he")
	if last.Op != OpWrite || last.Len != 5 || !strings.HasPrefix(site, "mem_test.go:") {
		t.Fatalf("call %+v at %s", last, site)
	}

	next = Fault{Skip: true} // lost write
	n, err = f.WriteAt([]byte("lost"), 0)
	must(t, err)
	if n != 4 {
		t.Fatalf("a lost write says %d", n)
	}
	next = Fault{Shift: 3} // misdirected write
	_, err = f.WriteAt([]byte("x"), 0)
	must(t, err)
	wantContent(t, m, "a", "he\x00x")

	must(t, f.Sync())
	must(t, fsys.SyncDir("."))
	next = Fault{Skip: true} // WriteSync without its sync
	must(t, f.WriteSync([]byte("HE"), 0))
	wantContent(t, m, "a", "HE\x00x")
	wantContent(t, crashed(t, m.Clone(), 0), "a", "he\x00x")

	var after *Mem
	next = Fault{Crash: true, After: func() error {
		after = crashed(t, m, 0)
		return ErrCrashed
	}}
	wantIs(t, f.Sync(), ErrCrashed)
	wantContent(t, after, "a", "he\x00x")
	wantIs(t, f.Sync(), ErrCrashed)

	for _, skipped := range []Op{OpOpen, OpLock, OpMap} {
		fsys := NewFaulty(NewMem(), func(c Call) Fault { return Fault{Skip: c.Op == skipped} })
		if skipped == OpOpen {
			_, err = fsys.Open("a", Create)
		} else if skipped == OpLock {
			_, err = fsys.Lock("a")
		} else {
			f, openErr := fsys.Open("a", Create)
			must(t, openErr)
			_, err = f.Map(0)
		}
		wantIs(t, err, syscall.EIO)
	}
}

func TestCorruption(t *testing.T) {
	m := NewMem()
	f := create(t, m, "a", strings.Repeat("a", BlockSize)+strings.Repeat("b", BlockSize))
	old := m.Clone()
	must(t, m.FlipBit("a", 8*5+1))
	must(t, m.CopyBlock(old, Place{"a", 0}, Place{"a", BlockSize}, BlockSize)) // misdirected
	b, err := ReadFile(m, "a", 1<<20)
	must(t, err)
	if b[5] != 'a'^2 || b[BlockSize] != 'a' {
		t.Fatal("not corrupted")
	}
	must(t, m.CopyBlock(old, Place{"a", BlockSize}, Place{"a", BlockSize}, BlockSize)) // stale
	must(t, m.Cut("a", BlockSize+1))
	size, err := f.Size()
	must(t, err)
	if size != BlockSize+1 {
		t.Fatalf("size %d", size)
	}
	if m.FlipBit("none", 0) == nil || m.CopyBlock(old, Place{"a", 1 << 30}, Place{"a", 0}, 1) == nil {
		t.Fatal("corrupted what is not there")
	}
}

func TestGuard(t *testing.T) {
	d, err := OpenDisk(t.TempDir(), DiskOptions{})
	must(t, err)
	f := create(t, d, "a", strings.Repeat("x", 3*BlockSize))
	m, err := f.Map(3 * BlockSize)
	must(t, err)
	defer m.Close()
	must(t, f.Truncate(100))
	sum := 0
	err = Guard(func() {
		for _, c := range m.Bytes() {
			sum += int(c)
		}
	})
	wantIs(t, err, ErrFault)
	must(t, Guard(func() { sum += int(m.Bytes()[0]) }))
	func() {
		defer func() {
			if r := recover(); r != "other" {
				t.Fatalf("recovered %v", r)
			}
		}()
		Guard(func() { panic("other") })
	}()
	err = nil
	func() {
		defer func() { err, _ = recover().(error) }()
		Guard(func() { _ = make([]int, 1)[sum] })
	}()
	if err == nil || errors.Is(err, ErrFault) {
		t.Fatalf("an index out of range became %v", err)
	}
}
