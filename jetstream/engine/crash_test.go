package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// run plays a seed on a file system and returns the first error.
func (w *sim) run(fsys vfs.FS) error {
	if _, err := w.open(fsys); err != nil {
		return err
	}
	if err := w.play(25); err != nil {
		return err
	}
	if w.r.IntN(2) == 0 {
		return w.e.Close()
	}
	return nil
}

// crashEverywhere plays a seed once per call of the file system that changes
// something, crashing there,
// and returns the first thing that went wrong.
func crashEverywhere(seed uint64, survive float64, skip func(vfs.Call) bool) error {
	for n := int64(1); ; n++ {
		w, disk, crashed, reached := newSim(seed), vfs.NewMem(), (*vfs.Mem)(nil), false
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		err := w.run(vfs.NewFaulty(disk, func(c vfs.Call) vfs.Fault {
			if reached = reached || c.Number >= n; reached && crashed == nil && c.Op.Changes() {
				n = c.Number
				return vfs.Fault{Crash: true, After: func() error {
					crashed = disk.Crash(r, vfs.CrashOptions{Survive: survive})
					return vfs.ErrCrashed
				}}
			}
			return vfs.Fault{Skip: skip != nil && c.Op.Syncs() && skip(c)}
		}))
		if !reached {
			if err == nil && n < 60 {
				err = fmt.Errorf("seed %d made only %d calls", seed, n)
			}
			return err
		}
		if crashed == nil {
			continue
		}
		if errors.Is(w.doubt, vfs.ErrCrashed) {
			w.doubt = nil // what failed could not reach the disk any more
		}
		if err := w.verify(crashed, r); err != nil {
			return fmt.Errorf("seed %d, crash at call %d, %v survives: %w", seed, n, survive, err)
		}
	}
}

// After a crash at any call, what was told to be durable is there (I1), and
// nothing but what had been changed, in order.
func TestCrashAtEveryCall(t *testing.T) {
	seeds.Each(t, 3, func(t *testing.T, seed uint64) {
		for _, survive := range []float64{0, 0.5, 1} {
			if err := crashEverywhere(seed, survive, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// A fault at any call is an error, never a lie: what was told to be durable is
// there afterwards.
func TestFaultAtEveryCall(t *testing.T) {
	seeds.Each(t, 2, func(t *testing.T, seed uint64) {
		doubts := 0
		for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
			for n := int64(1); ; n++ {
				w, disk, hit := newSim(seed), vfs.NewMem(), false
				r := rand.New(rand.NewPCG(seed, uint64(n)))
				w.run(vfs.NewFaulty(disk, func(c vfs.Call) vfs.Fault {
					// A full disk refuses only what changes something.
					if !hit && c.Number >= n && (fault != syscall.ENOSPC || c.Op.Changes()) {
						hit, n = true, c.Number
						return vfs.Fault{Err: fault, Short: c.Len / 2}
					}
					return vfs.Fault{}
				}))
				if !hit {
					break
				}
				if w.doubt != nil {
					doubts++
				}
				if err := w.verify(disk.Crash(r, vfs.CrashOptions{Survive: 0.5}), r); err != nil {
					t.Fatalf("seed %d, %v at call %d: %v", seed, fault, n, err)
				}
			}
		}
		t.Logf("%d faults stopped a store or the log", doubts)
	})
}

// Crashes at random times, clean stops and another number of shards, again and
// again on one disk.
func TestManyRestarts(t *testing.T) {
	seeds.Each(t, 10, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 13))
		w, disk := newSim(seed), vfs.NewMem()
		for round := range 15 {
			if _, err := w.open(disk); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if err := w.play(1 + r.IntN(150)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if w.unread != nil {
				t.Fatalf("round %d: %v", round, w.unread)
			}
			clean := r.IntN(3) == 0
			if clean {
				if err := w.e.Close(); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			disk = disk.Crash(r, vfs.CrashOptions{Survive: float64(r.IntN(3)) / 2})
			want := w.want()
			report, err := w.open(disk)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if len(report.Stores)+len(report.Broken)+len(report.Log.Damages) > 0 || clean && report.Replayed > 0 {
				t.Fatalf("round %d, clean %v: report %+v", round, clean, report)
			}
			if err := w.same(want); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			disk = disk.Crash(r, vfs.CrashOptions{Survive: float64(r.IntN(3)) / 2})
		}
	})
}

// A log that is full most of the time refuses, lets checkpoints make room and goes
// on (I5): everything gets durable in the end.
func TestFullLog(t *testing.T) {
	full := 0
	seeds.Each(t, 10, func(t *testing.T, seed uint64) {
		w := newSim(seed)
		w.options.Log.QueueBytes = 8 << 10
		w.options.Log.SegmentBytesMin, w.options.Log.SegmentBytesMax = 32<<10, 32<<10
		w.options.Log.PressureBytes, w.options.Log.LiveBytesMax = 40<<10, 96<<10
		if _, err := w.open(vfs.NewMem()); err != nil {
			t.Fatal(err)
		}
		for range 600 {
			if err := w.play(1); err != nil {
				t.Fatal(err)
			}
			for _, s := range w.e.shards {
				if s.Full() {
					full++
				}
			}
		}
		if err := w.settle(); err != nil {
			t.Fatalf("%v: full %d times", err, full)
		}
		if err := w.e.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if full == 0 {
		t.Error("the log was never full")
	}
}

// catalogScenario repairs a catalog of which one file is lost, writes it again and
// crashes anywhere: it must be readable.
func catalogScenario(skip func(vfs.Call) bool) error {
	for seed := uint64(1); seed <= 8; seed++ {
		for n := int64(1); ; n++ {
			disk, r := vfs.NewMem(), rand.New(rand.NewPCG(seed, uint64(n)))
			c := newCatalog()
			for id := firstID; id < firstID+40; id++ {
				c.put(&entry{id: id, meta: make([]byte, 100)})
			}
			content, err := c.encode(1, 0, &keyring{})
			if err != nil {
				return err
			}
			if err := vfs.WriteFile(disk, catalogNames[0], content); err != nil {
				return err
			}
			var crashed *vfs.Mem
			fsys := vfs.NewFaulty(disk, func(call vfs.Call) vfs.Fault {
				if crashed == nil && call.Number >= n && call.Op.Changes() {
					n = call.Number
					return vfs.Fault{Crash: true, After: func() error {
						crashed = disk.Crash(r, vfs.CrashOptions{Survive: 0.5})
						return vfs.ErrCrashed
					}}
				}
				return vfs.Fault{Skip: call.Op.Syncs() && skip(call)}
			})
			logf := func(string, ...any) {}
			if c, _, err = readCatalog(fsys, &keyring{}, logf); err == nil {
				content, _ = c.encode(2, 0, &keyring{})
				writeCatalog(fsys, content)
			}
			if crashed == nil {
				break
			}
			if _, found, err := readCatalog(crashed, &keyring{}, logf); err != nil || !found {
				return fmt.Errorf("seed %d, call %d: found %v, %w", seed, n, found, err)
			}
		}
	}
	return nil
}

// consumerScenario deletes a consumer whose files are there and crashes after that:
// they must not come back.
func consumerScenario(skip func(vfs.Call) bool) error {
	disk, w := vfs.NewMem(), newSim(1)
	w.options.Shards = 1
	fsys := vfs.NewFaulty(disk, func(c vfs.Call) vfs.Fault { return vfs.Fault{Skip: c.Op.Syncs() && skip(c)} })
	if _, err := w.open(fsys); err != nil {
		return err
	}
	s := w.e.shards[0]
	var c *Consumer
	s.CreateStream(nil, w.stream, func(st *Stream, err error) {
		if err == nil {
			c, err = s.CreateConsumer(st, nil)
		}
		w.apps[0].check(err)
	})
	if err := w.settle(); err != nil {
		return err
	}
	w.apps[0].check(c.State.Apply(&store.ConsumerChange{}))
	c.want = true
	s.enqueue(&c.asset)
	if err := w.settle(); err != nil {
		return err
	}
	files, err := disk.List(streamDir(c.stream.id) + "/" + consumersDir)
	if len(files) != 2 || err != nil {
		return fmt.Errorf("files %v, %w", files, err)
	}
	s.DeleteConsumer(c)
	if err := w.settle(); err != nil {
		return err
	}
	report, err := w.open(disk.Crash(w.r, vfs.CrashOptions{}))
	if err == nil && len(report.Quarantined) > 0 {
		err = fmt.Errorf("quarantined %v", report.Quarantined)
	}
	return err
}

// Each sync that this package makes is needed: without it a crash loses something.
func TestMutants(t *testing.T) {
	play := func(skip func(vfs.Call) bool) error {
		for seed := uint64(1); seed <= 3; seed++ {
			if err := crashEverywhere(seed, 0, skip); err != nil {
				return err
			}
		}
		return nil
	}
	sites := map[string]bool{}
	note := func(c vfs.Call) bool {
		if site := c.Site(); own(site) {
			sites[site+" "+c.Op.String()] = true
		}
		return false
	}
	scenarios := []func(func(vfs.Call) bool) error{catalogScenario, consumerScenario, func(skip func(vfs.Call) bool) error {
		return tailScenario(t, skip)
	}, play}
	for _, scenario := range scenarios[:3] {
		if err := scenario(note); err != nil {
			t.Fatal(err)
		}
	}
	for seed := uint64(1); seed <= 3; seed++ {
		err := newSim(seed).run(vfs.NewFaulty(vfs.NewMem(), func(c vfs.Call) vfs.Fault {
			return vfs.Fault{Skip: c.Op.Syncs() && note(c)}
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(sites) < 6 {
		t.Errorf("only %d syncs: %v", len(sites), sites)
	}
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		found := error(nil)
		for _, scenario := range scenarios {
			if found == nil {
				found = scenario(func(c vfs.Call) bool { return c.Site()+" "+c.Op.String() == site })
			}
		}
		if found == nil {
			t.Errorf("nothing fails without the sync at %s", site)
			continue
		}
		text, _, _ := strings.Cut(found.Error(), "\n")
		t.Logf("without %s: %s", site, text)
	}
}

// own tells whether a call is made by this package, or for the log by a store.
func own(site string) bool {
	for _, file := range []string{"engine.go", "opening.go", "catalog.go", "tail.go", "spill.go", "direct.go"} {
		if strings.HasPrefix(site, file) {
			return true
		}
	}
	return false
}
