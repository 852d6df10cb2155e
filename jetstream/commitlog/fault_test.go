package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// TestMisdirectedWrites sends every write of a life elsewhere, one per run: its
// own place keeps what was there. What is lost must be told.
func TestMisdirectedWrites(t *testing.T) {
	for _, l := range lives(t) {
		total, err := l.calls()
		must(t, err)
		for _, shift := range []int64{vfs.BlockSize, -vfs.BlockSize, 256 << 10} {
			for n := int64(1); n <= total; n += stride(t, 2, 7) {
				if err := l.misdirect(n, shift); err != nil {
					t.Fatalf("write %d of seed %d shifted by %d: %v", n, l.seed, shift, err)
				}
			}
		}
	}
}

func (l life) misdirect(n, shift int64) error {
	mem := vfs.NewMem()
	synced, later, reopened := false, false, false // after it: a sync, then a batch; an opening
	fsys := vfs.NewFaulty(mem, func(c vfs.Call) vfs.Fault {
		if c.Number >= n && !later && !reopened && strings.HasPrefix(c.Site(), "log.go:") { // Step's transfers
			later = synced && c.Number > n && c.Op != vfs.OpSyncData
			synced = synced || c.Op.Syncs()
		}
		reopened = reopened || c.Number > n && c.Op == vfs.OpLock
		if c.Number == n && (c.Op == vfs.OpWrite || c.Op == vfs.OpWriteSync) && c.Off+shift >= 0 {
			return vfs.Fault{Shift: shift}
		}
		return vfs.Fault{}
	})
	w := newWorld(fsys, l.options, l.seed)
	// The life itself may find the damage: at an opening, or reading.
	if err := w.script(l.openings, l.acts); err != nil && w.log != nil {
		w.log.lock.Close()
	}
	log, o, err := openCorrupt(mem.Clone(), l.options)
	if err != nil {
		if errors.Is(err, ErrCorrupt) {
			return nil // a header landed on another: refused, nothing touched
		}
		return err
	}
	known := map[Position]*modelRecord{}
	for _, m := range w.model {
		known[m.position] = m
	}
	for p, g := range o.got {
		if m := known[p]; m != nil && !bytes.Equal(m.data, g.data) {
			return fmt.Errorf("record at %v is another", p)
		}
	}
	for _, m := range w.model {
		owner := w.owners[m.owner]
		switch {
		case o.got[m.position] != nil || m.position < owner.need || owner.dropped != 0:
		case m.position >= w.synced:
		case inside(o.damages, m.position) || inside(w.report.Damages, m.position):
		case !later: // the last write before a kill went elsewhere: nothing can tell
		default:
			return fmt.Errorf("record at %v is missing in silence, end %v, damages %v", m.position, o.report.End, o.damages)
		}
	}
	return log.Close()
}

// TestFullDisk: while there is no room for another segment the log works in the
// one it has, goes on when there is room again, and stops when it must.
func TestFullDisk(t *testing.T) {
	full := false
	fsys := vfs.NewFaulty(vfs.NewMem(), func(c vfs.Call) vfs.Fault {
		if full && c.Op == vfs.OpAllocate {
			return vfs.Fault{Err: syscall.ENOSPC}
		}
		return vfs.Fault{}
	})
	log, _, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	w := log.NewWriter(nil)
	o := w.Owner(1)
	full = true
	fill := func() error {
		for range 100 {
			var b Batch
			b.Add(o, 1, make([]byte, 3000))
			if err := w.Append(&b); err != nil {
				return err
			}
			for log.Step() || log.Prepare() {
			}
		}
		return nil
	}
	wantErr(t, fill(), ErrFull)
	for log.Prepare() || log.Step() {
	}
	wantErr(t, log.Err(), syscall.ENOSPC)
	wantErr(t, fill(), ErrStopped)
	end := log.Committed()
	if log.Close() == nil {
		t.Fatal("a stopped log closed without an error")
	}

	full = false
	log, report, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	if report.End != end || report.Clean {
		t.Fatalf("ends at %v, committed %v, clean %v", report.End, end, report.Clean)
	}
	w = log.NewWriter(nil)
	o = w.Owner(1)
	full = true
	var b Batch
	b.Add(o, 1, make([]byte, 10))
	for w.Append(&b) == nil {
		for log.Step() {
		}
		if b.End().Offset() > 30<<10 {
			break
		}
	}
	full = false
	for range 3 {
		log.Prepare()
	}
	must(t, fill())
	must(t, log.Close())
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// TestUnreadable: blocks the disk cannot read keep the log from opening, or are
// damage if so wished.
func TestUnreadable(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 11), 8, true)
	victim := x.batches[2]
	name := x.fileOf(t, victim.from)
	bad := func(below vfs.FS) vfs.FS {
		return vfs.NewFaulty(below, func(c vfs.Call) vfs.Fault {
			off := victim.from.block().Offset() - vfs.BlockSize
			if c.Op == vfs.OpRead && c.Name == name && c.Off <= off && c.Off+c.Len > off {
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		})
	}
	_, _, err := openCorrupt(bad(x.disk), x.options)
	wantErr(t, err, syscall.EIO)
	options := x.options
	options.FenceUnreadable = true
	log, o, err := openCorrupt(bad(x.disk), options)
	must(t, err)
	missing, err := x.compare(o, false)
	must(t, err)
	if len(missing) == 0 || !victim.has(missing[0]) || !victim.has(missing[len(missing)-1]) {
		t.Fatalf("missing %v, want records of %v", missing, victim)
	}
	must(t, log.Close())
}

// TestQuarantine: a damaged segment is kept until its damage is noted, then moved
// out of the way, where a crash does not lose it.
func TestQuarantine(t *testing.T) {
	for _, skip := range []string{"", "first sync", "second sync"} {
		x := newExhibit(t, seeds.Of(t, 12), 12, true)
		must(t, x.disk.FlipBit(x.fileOf(t, x.batches[0].from), x.batches[0].from.Offset()*8+300))
		kept := false
		syncs := 0
		fsys := vfs.NewFaulty(x.disk, func(c vfs.Call) vfs.Fault {
			if c.Op == vfs.OpSyncDir && kept {
				syncs++
				return vfs.Fault{Skip: skip == [...]string{"", "first sync", "second sync"}[syncs]}
			}
			return vfs.Fault{}
		})
		log, o, err := openCorrupt(fsys, x.options)
		must(t, err)
		if len(o.damages) != 1 {
			t.Fatalf("damages %v", o.damages)
		}
		w := log.NewWriter(nil)
		for _, id := range log.Unclaimed() {
			w.Owner(id).Need(log.Committed())
		}
		for log.Step() || log.Prepare() {
		}
		if log.core.live[0].number != o.damages[0].From.Segment() {
			t.Fatal("a damaged segment was let go before its damage was noted")
		}
		kept = true
		log.DamageNoted()
		for log.Step() || log.Prepare() {
		}
		if log.Stats().First.Segment() == o.damages[0].From.Segment() {
			t.Fatal("the damaged segment is still in use")
		}
		after := x.disk.Crash(rand.New(rand.NewPCG(1, 1)), vfs.CrashOptions{})
		entries, err := after.List(testDir + "/" + quarantineDir)
		found := err == nil && len(entries) == 1
		if found != (skip == "") {
			t.Fatalf("without the %s: quarantine holds %v, %v", skip, entries, err)
		}
		if _, o, err := openCorrupt(after, x.options); skip == "" && (err != nil || len(o.damages) > 0) {
			t.Fatalf("after the crash: %v, damages %v", err, o.damages)
		}
	}
}
