package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// phase is how a directory is opened.
type phase struct {
	keys     []store.Key
	compress bool
	shards   int
}

func (w *sim) enter(p phase) {
	w.options.Shards, w.options.Keys = p.shards, p.keys
	w.stream.Keys, w.stream.Compress = p.keys, p.compress
}

// all is what all shards hold, whatever their number.
func (w *sim) all() (string, error) {
	var lines []string
	for _, s := range w.e.shards {
		dump, err := s.dump()
		if err != nil {
			return "", err
		}
		if dump != "" {
			lines = append(lines, strings.Split(dump, "\n")...)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

// Another number of shards, the first key, another key, another cipher, compression
// on and off, each with crashes anywhere: nothing changes for the messages, and a
// key that was replaced is not needed any more.
func TestPhases(t *testing.T) {
	a, b := store.DeriveKey(store.ChaCha, "old", "x", ""), store.DeriveKey(store.AES, "new", "x", "")
	c := store.DeriveKey(store.ChaCha, "new", "x", "") // the same secret
	phases := []phase{{nil, false, 1}, {nil, true, 3}, {[]store.Key{a}, false, 2}, {[]store.Key{b, a}, true, 5},
		{[]store.Key{b}, true, 1}, {[]store.Key{c}, false, 4}, {[]store.Key{b}, true, 2}}
	for _, seed := range []uint64{1, 2} {
		w, disk := newSim(seed), vfs.NewMem()
		w.options.Log.SyncInterval = 0
		want := ""
		for i, p := range phases {
			w.enter(p)
			if i > 0 {
				if err := w.crashPhase(disk, want); err != nil {
					t.Fatalf("seed %d, phase %d: %v", seed, i, err)
				}
			}
			report, err := w.open(disk)
			must(t, err)
			if got, err := w.all(); err != nil || got != want || len(report.Broken) > 0 {
				t.Fatalf("seed %d, phase %d: %s, %v, %+v", seed, i, difference(want, got), err, report)
			}
			must(t, w.settle())
			for range 25 {
				must(t, w.play(1))
				if i == 0 && len(w.e.shards[0].list) > 2 {
					break // the others stay idle through all phases
				}
			}
			w.now += 5e9
			must(t, w.settle())
			want, err = w.all()
			must(t, err)
			disk = disk.Crash(w.r, vfs.CrashOptions{})
		}
		w.enter(phase{[]store.Key{a}, false, 1})
		if _, err := w.open(disk.Clone()); !errors.Is(err, ErrKey) {
			t.Errorf("seed %d: the old key: %v", seed, err)
		}
	}
}

// crashPhase opens the directory in a new way and crashes at some of the calls; what
// is left must be the same.
func (w *sim) crashPhase(disk *vfs.Mem, want string) error {
	for n := int64(1); ; n += 9 {
		below, crashed := disk.Clone(), (*vfs.Mem)(nil)
		r := rand.New(rand.NewPCG(9, uint64(n)))
		w.doubt = nil
		_, err := w.open(vfs.NewFaulty(below, func(c vfs.Call) vfs.Fault {
			if crashed == nil && c.Number >= n && c.Op.Changes() {
				n = c.Number
				return vfs.Fault{Crash: true, After: func() error {
					crashed = below.Crash(r, vfs.CrashOptions{Survive: float64(n%3) / 2})
					return vfs.ErrCrashed
				}}
			}
			return vfs.Fault{}
		}))
		if err == nil {
			w.now += 5e9
			err = w.settle()
		}
		w.doubt = nil
		if crashed == nil {
			return err
		}
		report, err := w.open(crashed)
		if err != nil {
			return fmt.Errorf("crash at call %d: %w", n, err)
		}
		if got, err := w.all(); err != nil || got != want {
			return fmt.Errorf("crash at call %d: %s, %w, %+v", n, difference(want, got), err, report)
		}
	}
}

// A wrong key is an error that says so, and touches nothing.
func TestWrongKey(t *testing.T) {
	a, b := store.DeriveKey(store.ChaCha, "old", "x", ""), store.DeriveKey(store.AES, "new", "x", "")
	w, disk := newSim(1), vfs.NewMem()
	w.enter(phase{[]store.Key{a}, true, 2})
	_, err := w.open(disk)
	must(t, err)
	must(t, w.play(30))
	must(t, w.settle())
	must(t, w.e.Close())
	before := contents(t, disk, ".")
	for _, keys := range [][]store.Key{nil, {b}} {
		w.enter(phase{keys, true, 2})
		_, err := w.open(disk)
		if !errors.Is(err, ErrKey) {
			t.Fatalf("with %d wrong keys: %v", len(keys), err)
		}
		after := contents(t, disk, ".")
		for name, content := range before {
			if after[name] != content {
				t.Errorf("%s was changed", name)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%d files became %d", len(before), len(after))
		}
	}
	// A stream of which the key is wrong, while that of the catalog is right.
	w.enter(phase{[]store.Key{a}, true, 2})
	w.stream.Keys = []store.Key{b}
	report, err := w.open(disk)
	must(t, err)
	if report.Streams != 0 || len(report.Broken) == 0 {
		t.Fatalf("%+v", report)
	}
	for _, err := range report.Broken {
		if !errors.Is(err, store.ErrKey) && !errors.Is(err, ErrCorrupt) { // a consumer's stream is not open
			t.Error(err)
		}
	}
	for name, content := range contents(t, disk, streamsDir) {
		if was, there := before[name]; there && was != content {
			t.Errorf("%s was changed", name)
		}
	}
}

// contents are all files below a folder.
func contents(t *testing.T, disk *vfs.Mem, dir string) map[string]string {
	all := map[string]string{}
	entries, err := disk.List(dir)
	must(t, err)
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		if !e.Dir {
			b, err := vfs.ReadFile(disk, name, 1<<30)
			must(t, err)
			all[name] = string(b)
			continue
		}
		for name, b := range contents(t, disk, name) {
			all[name] = b
		}
	}
	return all
}
