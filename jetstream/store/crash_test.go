package store

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
	"peregrine/vfs"
)

// play is one run of a seeded sequence of changes and jobs over a file system that
// may fail. What the stream took is what the model has.
type play struct {
	w *world
	m *model
	o Options
	// doubt is the model if a change that failed happened nevertheless: it may
	// have been logged before.
	doubt *model
}

// fork makes a copy of the model to try a change on.
func (w *model) fork() *model {
	c := *w
	c.msgs = slices.Clone(w.msgs)
	return &c
}

// run plays until something fails or the end, and returns the first error.
func (pl *play) run(seed uint64, below *vfs.Mem, hook vfs.Hook) error {
	r := rand.New(rand.NewPCG(seed, 6))
	pl.o = randomOptions(r)
	pl.o.Limits.MaxAge = 0
	pl.w = newWorld(r, &pl.o)
	pl.w.disk = below
	if err := below.MkdirAll("streams"); err != nil {
		return err
	}
	if err := below.SyncDir("."); err != nil {
		return err
	}
	pl.m = newModel(pl.o)
	pl.w.files.FS = vfs.NewFaulty(below, hook)
	s, _, err := Open(pl.o, pl.w.files)
	if err != nil {
		return err
	}
	defer s.Close()
	p := &pair{r: r, s: s, m: pl.m, now: 1e18}
	for p.step = range 70 {
		if err := pl.change(p); err != nil {
			return err
		}
		pl.w.log.committed = pl.w.log.End()
		if r.IntN(8) == 0 {
			s.Checkpoint()
		}
		for range r.IntN(4) {
			if j := s.Work(); j != nil {
				j.Run()
				s.Finish(j)
			}
		}
		if r.IntN(9) == 0 {
			s.Trim(0)
		}
		if s.Stopped() != nil {
			return s.Stopped()
		}
	}
	return nil
}

// change does one thing to the stream and, if it worked, to the model.
func (pl *play) change(p *pair) error {
	r, s, m := p.r, p.s, pl.m
	switch op := r.IntN(20); {
	case op < 14:
		msg := p.message()
		msg.TTL = 0
		if _, err := s.Append(msg); isRefusal(err) {
			return nil
		} else if err != nil {
			pl.doubt = m.fork()
			msg.Seq = m.last + 1
			pl.doubt.appendAt(msg)
			return err
		}
		return m.appendAt(msg)
	case op < 17:
		seq := p.seq()
		remove := s.Remove
		if op == 16 {
			remove = s.Erase
		}
		err := remove(seq)
		if err == nil {
			m.delete(seq)
		} else if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	case op < 18:
		pu := Purge{Filter: randomFilter(r), Keep: 1}
		if _, err := s.Purge(pu); err != nil {
			return err
		}
		m.purge(pu)
	case op < 19:
		seq := min(p.seq(), m.last)
		if _, err := s.Compact(seq); err != nil {
			return err
		}
		m.compact(seq)
	default:
		seq := m.last - min(m.last, 2)
		if err := s.Truncate(seq); errors.Is(err, ErrSequence) {
			return nil
		} else if err != nil {
			return err
		}
		m.truncate(seq)
	}
	return nil
}

func isRefusal(err error) bool {
	return errors.Is(err, ErrMaxMsgs) || errors.Is(err, ErrMaxBytes) || errors.Is(err, ErrMaxMsgsPerSubject)
}

// verify reopens what is on disk and tells where it differs from the model. Work
// that goes on, a checkpoint and another crash must not change that.
func (pl *play) verify(disk *vfs.Mem, r *rand.Rand) error {
	pl.w.disk, pl.w.job = disk, nil
	for range 2 {
		s, report, err := pl.w.open(pl.o)
		if err != nil {
			return err
		}
		if len(report.Damage)+len(report.Lost)+len(report.Quarantined) > 0 {
			return fmt.Errorf("report %+v", report)
		}
		if err := pl.same(s); err != nil {
			if pl.doubt == nil {
				return err
			}
			pl.m, pl.doubt = pl.doubt, nil
			if pl.same(s) != nil {
				return err
			}
		}
		pl.doubt = nil
		s.Checkpoint()
		pl.w.settle(s)
		if s.Stopped() != nil {
			return s.Stopped()
		}
		s.Close()
		pl.w.disk = pl.w.disk.Crash(r, vfs.CrashOptions{})
	}
	return nil
}

func (pl *play) same(s *Stream) error {
	got, err := s.State()
	if want := pl.m.state(); err != nil || got != want {
		return fmt.Errorf("state\n got %+v, %v\nwant %+v", got, err, want)
	}
	var msg Message
	for _, want := range pl.m.msgs {
		if err := s.Load(want.Seq, &msg); err != nil {
			return err
		}
		if a, b := fmt.Sprint(msg), fmt.Sprint(want); a != b {
			return fmt.Errorf("message\n got %s\nwant %s", a, b)
		}
	}
	return nil
}

// crashEverywhere plays a seed once per call of the file system, crashing there,
// and returns the first thing that went wrong.
func crashEverywhere(seed uint64, survive float64, skip func(vfs.Call) bool) error {
	for n := int64(1); ; n++ {
		pl, disk, crashed, reached := &play{}, vfs.NewMem(), (*vfs.Mem)(nil), false
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		err := pl.run(seed, disk, func(c vfs.Call) vfs.Fault {
			if c.Number == n {
				reached = true
				return vfs.Fault{Crash: true, After: func() error {
					crashed = disk.Crash(r, vfs.CrashOptions{Survive: survive})
					return vfs.ErrCrashed
				}}
			}
			return vfs.Fault{Skip: skip != nil && c.Op.Syncs() && skip(c)}
		})
		if !reached {
			if err == nil && n < 60 {
				err = fmt.Errorf("seed %d made only %d calls", seed, n)
			}
			return err
		}
		if crashed == nil {
			continue // a call that fails anyway
		}
		if err := pl.verify(crashed, r); err != nil {
			return fmt.Errorf("seed %d, crash at call %d, %v survives: %w", seed, n, survive, err)
		}
	}
}

// After a crash at any call everything that was logged is there, whatever survives
// of what was not synced.
func TestCrashAtEveryCall(t *testing.T) {
	seeds.Each(t, 2, func(t *testing.T, seed uint64) {
		for _, survive := range []float64{0, 0.5, 1} {
			if err := crashEverywhere(seed, survive, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// A fault at any call is an error, never a lie: what was taken is there afterwards.
func TestFaultAtEveryCall(t *testing.T) {
	seeds.Each(t, 2, func(t *testing.T, seed uint64) {
		for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
			for n := int64(1); ; n++ {
				pl, disk, hit := &play{}, vfs.NewMem(), false
				r := rand.New(rand.NewPCG(seed, uint64(n)))
				pl.run(seed, disk, func(c vfs.Call) vfs.Fault {
					if c.Number == n {
						hit = true
						return vfs.Fault{Err: fault, Short: c.Len / 2}
					}
					return vfs.Fault{}
				})
				if !hit {
					break
				}
				if err := pl.verify(disk.Crash(r, vfs.CrashOptions{Survive: 0.5}), r); err != nil {
					t.Fatalf("seed %d, %v at call %d: %v", seed, fault, n, err)
				}
			}
		}
	})
}

// Each sync that the engine makes is needed: without it a crash loses something.
func TestMutants(t *testing.T) {
	sites := map[string]bool{}
	for seed := uint64(1); seed <= 3; seed++ {
		err := (&play{}).run(seed, vfs.NewMem(), func(c vfs.Call) vfs.Fault {
			if c.Op.Syncs() {
				sites[c.Site()+" "+c.Op.String()] = true
			}
			return vfs.Fault{}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Overwriting erased bytes is for who reads the bare disk, which no file tells.
	disk := vfs.NewMem()
	if f, err := disk.Open("x", vfs.Create); err == nil {
		f.Close()
	}
	err := wipe(vfs.NewFaulty(disk, func(c vfs.Call) vfs.Fault {
		if c.Op.Syncs() {
			delete(sites, c.Site()+" "+c.Op.String())
		}
		return vfs.Fault{}
	}), "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		found := error(nil)
		for seed := uint64(1); seed <= 3 && found == nil; seed++ {
			found = crashEverywhere(seed, 0, func(c vfs.Call) bool {
				return c.Site()+" "+c.Op.String() == site
			})
		}
		if found == nil {
			t.Errorf("nothing fails without the sync at %s", site)
			continue
		}
		text, _, _ := strings.Cut(found.Error(), "\n")
		t.Logf("without %s: %s", site, text)
	}
}
