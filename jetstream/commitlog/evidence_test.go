package commitlog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// TestEverySegmentRemoved takes each segment file away in turn, at many moments of
// a life: what was synced and is needed may be missing only in a fenced range,
// wherever the file was in the log.
func TestEverySegmentRemoved(t *testing.T) {
	seed := seeds.Of(t, 21)
	removed, told := 0, 0
	for i := range uint64(stride(t, 3, 1)) {
		for _, interval := range []time.Duration{0, time.Second} {
			disk, options := vfs.NewMem(), smallOptions()
			options.SyncInterval = interval
			w := newWorld(disk, options, seed+i)
			must(t, w.open())
			for step := range 400 {
				must(t, w.act())
				if step%90 == 89 {
					must(t, w.finish(step%2 == 0))
					must(t, w.open())
				}
				if step%5 > 0 {
					continue
				}
				n, err := w.withoutEachSegment(disk, func(damages []Damage) { told += len(damages) })
				if err != nil {
					t.Fatalf("seed %d, step %d: %v", seed+i, step, err)
				}
				removed += n
			}
			must(t, w.finish(true))
		}
	}
	t.Logf("%d files removed, %d damages told", removed, told)
	if told < removed/2 {
		t.Error("most removals were not noticed")
	}
}

// withoutEachSegment opens copies of the disk that lack one segment file each.
func (w *world) withoutEachSegment(disk *vfs.Mem, tell func([]Damage)) (removed int, err error) {
	entries, err := disk.List(testDir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, ok := slotOf(e.Name); !ok {
			continue
		}
		broken := disk.Clone()
		if err := broken.Remove(testDir + "/" + e.Name); err != nil {
			return removed, err
		}
		log, o, err := openCorrupt(broken, w.options)
		if err != nil {
			return removed, fmt.Errorf("without %s: %w", e.Name, err)
		}
		for _, m := range w.model {
			owner := w.owners[m.owner]
			if m.position >= w.synced || m.position < owner.need || owner.dropped != 0 ||
				o.got[m.position] != nil || inside(o.damages, m.position) {
				continue
			}
			return removed, fmt.Errorf("without %s: record at %v is missing in silence, synced up to %v, end %v, damages %v",
				e.Name, m.position, w.synced, o.report.End, o.damages)
		}
		removed++
		tell(o.damages)
		if err := log.Close(); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// TestProof: what a checkpoint says was on disk is damage if it is not there, also
// where the log itself cannot tell: the last batch, after a kill, destroyed whole.
func TestProof(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 22), 8, false)
	last := x.batches[len(x.batches)-1]
	disk := x.disk.Clone()
	must(t, disk.Corrupt(x.fileOf(t, last.from), func(b []byte) []byte {
		clear(b[last.from.Offset()-batchHead:])
		return b
	}))
	log, o, err := openCorrupt(disk.Clone(), x.options)
	must(t, err)
	if len(o.damages) != 0 || o.report.End >= last.from {
		t.Fatalf("without proof: damages %v, end %v", o.damages, o.report.End)
	}
	must(t, log.Close())

	x.options.Proof = last.to
	log, o, err = openCorrupt(disk, x.options)
	must(t, err)
	if missing, err := x.compare(o, false); err != nil || len(missing) == 0 {
		t.Fatalf("missing %v, %v", missing, err)
	}
	must(t, x.goOn(log, disk, o))

	log, o, err = openCorrupt(x.disk, x.options)
	must(t, err)
	if len(o.damages) > 0 {
		t.Fatalf("a whole log is damaged: %v", o.damages)
	}
	must(t, log.Close())
	x.options.Proof = at(proofMax, 8)
	_, _, err = openCorrupt(x.disk, x.options)
	wantErr(t, err, ErrCorrupt)
}

// TestExpect: another log than the one that is meant is refused and stays as it is.
func TestExpect(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 23), 6, true)
	x.options.Expect = x.options.Identity
	log, _, err := openCorrupt(x.disk.Clone(), x.options)
	must(t, err)
	must(t, log.Close())
	x.options.Expect++
	lost := x.disk.Clone()
	must(t, lost.Remove(testDir+"/"+metaName))
	for what, disk := range map[string]*vfs.Mem{"another": x.disk.Clone(), "without metadata": lost} {
		before := x.files(t)
		_, _, err := openCorrupt(disk, x.options)
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
		for _, e := range before {
			if _, ok := slotOf(e.Name); !ok {
				continue
			}
			was, err := vfs.ReadFile(x.disk, testDir+"/"+e.Name, 1<<20)
			must(t, err)
			is, err := vfs.ReadFile(disk, testDir+"/"+e.Name, 1<<20)
			must(t, err)
			if string(was) != string(is) {
				t.Errorf("%s: %s was changed", what, e.Name)
			}
		}
	}
	_, _, err = openCorrupt(vfs.NewMem(), x.options)
	wantErr(t, err, ErrForeign)
}
