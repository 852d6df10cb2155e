package commitlog

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// life is one generated script with crashes.
type life struct {
	seed     uint64
	options  Options
	openings int
	acts     int
	sector   int
	skip     func(vfs.Call) bool // syncs that a mutant leaves out
}

func lives(t testing.TB) []life {
	seed := seeds.Of(t, 3)
	always, interval := smallOptions(), smallOptions()
	interval.SyncInterval = time.Second
	all := []life{
		{seed: seed, options: always, openings: 3, acts: 90},
		{seed: seed + 1, options: interval, openings: 3, acts: 90, sector: 4096},
		{seed: seed + 2, options: interval, openings: 4, acts: 40},
	}
	if testing.Short() || raced {
		all = all[:2]
		for i := range all {
			all[i].openings, all[i].acts = 2, 60
		}
	}
	return all
}

// calls runs the script to its end and returns how many calls it makes.
func (l life) calls() (int64, error) {
	fsys := vfs.NewFaulty(vfs.NewMem(), nil)
	err := newWorld(fsys, l.options, l.seed).script(l.openings, l.acts)
	return fsys.Calls(), err
}

// killed is a survive that cuts no power: the process ends, all it wrote stays
// visible, and what was not synced is lost only by a later power cut.
const killed = -1

// crash runs the script up to call n, cuts the power inside it, and checks what
// the log is then and that it still works.
func (l life) crash(n int64, survive float64) error {
	mem := vfs.NewMem()
	var after *vfs.Mem
	random := rand.New(rand.NewPCG(l.seed, uint64(n)))
	fsys := vfs.NewFaulty(mem, func(c vfs.Call) vfs.Fault {
		skip := l.skip != nil && c.Op.Syncs() && l.skip(c)
		switch {
		case survive == killed && c.Number == n:
			return vfs.Fault{Crash: true, After: func() error { return vfs.ErrCrashed }}
		case survive == killed && c.Number > n:
			return vfs.Fault{Err: vfs.ErrCrashed}
		case c.Number == n:
			return vfs.Fault{Crash: true, After: func() error {
				after = mem.Crash(random, vfs.CrashOptions{Survive: survive, Sector: l.sector})
				return vfs.ErrCrashed
			}}
		}
		return vfs.Fault{Skip: skip}
	})
	w := newWorld(fsys, l.options, l.seed)
	err := w.script(l.openings, l.acts)
	if err != nil && !errors.Is(err, vfs.ErrCrashed) {
		return fmt.Errorf("before the crash: %w", err)
	}
	switch {
	case survive == killed:
		after = mem.Clone() // its locks are gone
	case after == nil:
		after = mem.Crash(random, vfs.CrashOptions{Survive: survive})
	}
	return w.goOn(after, n%2 == 0, l.skip)
}

// goOn opens the log on what a crash left, uses it, and after a power cut that
// leaves only what was synced opens it once more. skip is as in life.
func (w *world) goOn(disk *vfs.Mem, clean bool, skip func(vfs.Call) bool) error {
	w.fs = vfs.NewFaulty(disk, func(c vfs.Call) vfs.Fault {
		return vfs.Fault{Skip: skip != nil && c.Op.Syncs() && skip(c)}
	})
	if err := w.open(); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	for range 20 {
		if err := w.act(); err != nil {
			return fmt.Errorf("going on: %w", err)
		}
	}
	if clean {
		if err := w.finish(true); err != nil {
			return err
		}
	}
	w.fs = disk.Crash(w.random, vfs.CrashOptions{})
	if err := w.open(); err != nil {
		return fmt.Errorf("after the second crash: %w", err)
	}
	return w.finish(true)
}

// TestCrashAtEveryCall cuts the power inside every call of the file system.
func TestCrashAtEveryCall(t *testing.T) {
	for _, l := range lives(t) {
		total, err := l.calls()
		must(t, err)
		t.Logf("%d calls", total)
		for _, survive := range []float64{0, 0.5, 1, killed} {
			for n := int64(1); n <= total; n++ {
				if err := l.crash(n, survive); err != nil {
					t.Fatalf("crash at call %d of seed %d, %.0f %% survive: %v", n, l.seed, survive*100, err)
				}
			}
		}
	}
}

// TestFaultAtEveryCall fails every call once: the log may go on or stop, but what
// it said is committed must be there after a crash.
func TestFaultAtEveryCall(t *testing.T) {
	for _, l := range lives(t) {
		total, err := l.calls()
		must(t, err)
		for _, fault := range []vfs.Fault{
			{Err: syscall.EIO}, {Err: syscall.ENOSPC}, {Err: syscall.EIO, Short: vfs.BlockSize},
		} {
			for n := int64(1); n <= total; n++ {
				if err := l.fault(n, fault); err != nil {
					t.Fatalf("fault %+v at call %d of seed %d: %v", fault, n, l.seed, err)
				}
			}
		}
	}
}

func (l life) fault(n int64, fault vfs.Fault) error {
	mem := vfs.NewMem()
	fsys := vfs.NewFaulty(mem, func(c vfs.Call) vfs.Fault {
		if c.Number == n {
			return fault
		}
		return vfs.Fault{}
	})
	w := newWorld(fsys, l.options, l.seed)
	err := w.script(l.openings, l.acts)
	if err != nil && !errors.Is(err, fault.Err) {
		return fmt.Errorf("another error came out: %w", err)
	}
	random := rand.New(rand.NewPCG(l.seed, uint64(n)))
	survive := []float64{0, 0.5}[n%2]
	return w.goOn(mem.Crash(random, vfs.CrashOptions{Survive: survive, Sector: l.sector}), true, nil)
}

// TestEverySyncIsNeeded takes each sync of the code away in turn: the crash test
// must notice.
func TestEverySyncIsNeeded(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("runs the crash test once per sync")
	}
	sites := map[string]bool{}
	for _, l := range lives(t) {
		w := newWorld(vfs.NewFaulty(vfs.NewMem(), func(c vfs.Call) vfs.Fault {
			if c.Op.Syncs() {
				sites[siteOf(c)] = true
			}
			return vfs.Fault{}
		}), l.options, l.seed)
		must(t, w.script(l.openings, l.acts))
	}
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		if found := findMutant(t, site); found == nil {
			t.Errorf("without the sync at %s nothing fails", site)
		} else {
			t.Logf("%s: %v", site, found)
		}
	}
}

// siteOf tells syncs apart by line and by what is synced: one function writes
// both headers and metadata.
func siteOf(c vfs.Call) string {
	what := "directory"
	if c.Op != vfs.OpSyncDir {
		what = strings.TrimRight(path.Base(c.Name), "0123456789-.lognew")
	}
	return fmt.Sprintf("%s:%s of %s", c.Site(), c.Op, what)
}

// findMutant runs crash tests without the sync at site until one fails.
func findMutant(t *testing.T, site string) error {
	for _, l := range lives(t) {
		l.skip = func(c vfs.Call) bool { return siteOf(c) == site }
		total, err := l.calls()
		must(t, err)
		for _, survive := range []float64{killed, 0, 0.5} {
			for n := int64(1); n <= total+1; n++ {
				if err := l.crash(n, survive); err != nil {
					return fmt.Errorf("crash at call %d of seed %d, %.0f %% survive: %w", n, l.seed, survive*100, err)
				}
			}
		}
	}
	return nil
}
