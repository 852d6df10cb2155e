package commitlog

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// exhibit is a small closed or killed log with everything known about it.
type exhibit struct {
	disk    *vfs.Mem
	options Options
	model   []*modelRecord
	batches []span // of records, without the headers
	judged  int
}

// span is a range of positions.
type span struct{ from, to Position }

func (s span) has(p Position) bool { return p >= s.from && p < s.to }

// newExhibit makes a log of so many batches in small segments.
func newExhibit(t testing.TB, seed uint64, batches int, clean bool) *exhibit {
	x := &exhibit{disk: vfs.NewMem(), options: smallOptions()}
	x.options.SegmentBytesMin, x.options.SegmentBytesMax = 24<<10, 24<<10
	w := newWorld(x.disk, x.options, seed)
	must(t, w.open())
	for range batches {
		var b Batch
		var records []*modelRecord
		for range 1 + w.random.IntN(5) {
			o := w.owner()
			m := &modelRecord{owner: o.id, kind: 3, data: bytes.Repeat([]byte{byte(1 + w.serial)}, w.random.IntN(300))}
			w.serial++
			b.Add(o.handle, m.kind, m.data)
			records = append(records, m)
		}
		for {
			ok, err := w.submit(&b, records)
			must(t, err)
			if ok {
				break
			}
			w.log.Prepare()
			w.log.Step()
		}
		must(t, w.step())
		x.batches = append(x.batches, span{b.Position(0), b.End()})
	}
	must(t, w.finish(clean))
	x.model = w.model
	if !clean {
		x.disk = x.disk.Clone() // its locks are gone
	}
	return x
}

// outcome is what opening a corrupted disk gave.
type outcome struct {
	got     map[Position]*modelRecord
	order   []Position
	report  *Report
	damages []Damage
}

func openCorrupt(disk vfs.FS, options Options) (*Log, *outcome, error) {
	o := &outcome{got: map[Position]*modelRecord{}}
	log, report, err := Open(disk, testDir, options, Replay{
		Record: func(r Record) error {
			o.got[r.Position] = &modelRecord{r.Position, r.Owner, r.Kind, r.Forwarded, r.Dropped, bytes.Clone(r.Data)}
			o.order = append(o.order, r.Position)
			return nil
		},
		Damaged: func(d Damage) error {
			o.damages = append(o.damages, d)
			return nil
		},
	})
	o.report = report
	return log, o, err
}

// judge opens a corrupted copy of the exhibit: nothing may be invented, and what
// is missing must be in a fenced range, or, if the last batch may be cut, in
// that. It returns the positions that are missing. Every fourth log is used on.
func (x *exhibit) judge(disk *vfs.Mem, mayCut bool) ([]Position, error) {
	log, o, err := openCorrupt(disk, x.options)
	if err != nil {
		return nil, err
	}
	missing, err := x.compare(o, mayCut)
	if err != nil {
		return nil, err
	}
	if x.judged++; x.judged%4 > 0 {
		return missing, nil // going on takes longer than the rest
	}
	return missing, x.goOn(log, disk, o)
}

func (x *exhibit) compare(o *outcome, mayCut bool) (missing []Position, err error) {
	if !slices.IsSorted(o.order) {
		return nil, fmt.Errorf("records out of order: %v", o.order)
	}
	known := map[Position]bool{}
	last := x.batches[len(x.batches)-1]
	for _, m := range x.model {
		known[m.position] = true
		g := o.got[m.position]
		switch {
		case g != nil:
			if g.owner != m.owner || g.kind != m.kind || !bytes.Equal(g.data, m.data) {
				return nil, fmt.Errorf("record at %v is another", m.position)
			}
		case inside(o.damages, m.position):
			missing = append(missing, m.position)
		case mayCut && last.has(m.position) && o.report.Torn,
			mayCut && o.report.MetadataLost && m.position >= o.report.End: // nothing proves that there was more
			missing = append(missing, m.position)
		default:
			return nil, fmt.Errorf("record at %v is missing in silence, damages %v", m.position, o.damages)
		}
	}
	for _, p := range o.order {
		if !known[p] {
			return nil, fmt.Errorf("record at %v is invented", p)
		}
	}
	if fmt.Sprint(o.damages) != fmt.Sprint(o.report.Damages) {
		return nil, fmt.Errorf("damages replayed %v, reported %v", o.damages, o.report.Damages)
	}
	return missing, nil
}

// goOn reads everything back, appends, and opens the log once more: the damage
// must still be told, what was appended must be there.
func (x *exhibit) goOn(log *Log, disk vfs.FS, o *outcome) error {
	r := log.NewReader()
	for _, p := range o.order {
		if rec, _, err := r.Read(p); err != nil || !bytes.Equal(rec.Data, o.got[p].data) {
			return fmt.Errorf("read back at %v: %v", p, err)
		}
	}
	for _, d := range o.damages {
		if _, _, err := r.Read(d.From); err == nil {
			return fmt.Errorf("read within damage at %v", d.From)
		}
	}
	w := log.NewWriter(nil)
	var b Batch
	b.Add(w.Owner(77), 1, []byte("after"))
	for tries := 0; w.Append(&b) != nil; tries++ {
		log.Prepare()
		if tries > 10 {
			return fmt.Errorf("cannot append: %v", log.Err())
		}
	}
	if err := log.Close(); err != nil {
		return err
	}
	_, again, err := openCorrupt(disk, x.options)
	if err != nil {
		return err
	}
	if g := again.got[b.Position(0)]; g == nil || string(g.data) != "after" {
		return fmt.Errorf("what was appended behind the damage is lost")
	}
	delete(again.got, b.Position(0))
	if len(again.got) != len(o.got) {
		return fmt.Errorf("second opening: %d records, first: %d", len(again.got), len(o.got))
	}
	for _, p := range x.model {
		if o.got[p.position] == nil && inside(o.damages, p.position) && !inside(again.damages, p.position) {
			return fmt.Errorf("damages %v were told, the second time %v", o.damages, again.damages)
		}
	}
	return nil
}

func inside(damages []Damage, p Position) bool {
	return slices.ContainsFunc(damages, func(d Damage) bool { return p >= d.From && p < d.To })
}

func (x *exhibit) files(t testing.TB) []vfs.Entry {
	entries, err := x.disk.List(testDir)
	must(t, err)
	return slices.DeleteFunc(entries, func(e vfs.Entry) bool { return e.Dir || e.Size == 0 })
}

func stride(t testing.TB, long, short int64) int64 {
	if testing.Short() || raced {
		return short
	}
	return long
}

// step is how far a sweep over a file goes on from off: by a byte, and faster in
// places that hold nothing.
func (x *exhibit) step(t testing.TB, content []byte, off int64) int64 {
	const piece = 64
	start := off &^ (piece - 1)
	var empty [piece]byte
	if here := content[start:min(start+piece, int64(len(content)))]; bytes.Equal(here, empty[:len(here)]) {
		return 61
	}
	return stride(t, 1, 13)
}

// TestEveryByteFlipped flips one bit of every byte of every file of a log that
// was closed. Only the record that holds the byte may be lost; of a batch whose
// header holds it nothing.
func TestEveryByteFlipped(t *testing.T) {
	seed := seeds.Of(t, 5)
	x := newExhibit(t, seed, 8, true)
	random := rand.New(rand.NewPCG(seed, 9))
	for _, e := range x.files(t) {
		name := testDir + "/" + e.Name
		content, err := vfs.ReadFile(x.disk, name, 1<<20)
		must(t, err)
		for off := int64(0); off < e.Size; off += x.step(t, content, off) {
			disk := x.disk.Clone()
			must(t, disk.FlipBit(name, off*8+random.Int64N(8)))
			missing, err := x.judge(disk, false)
			if err != nil {
				t.Fatalf("%s, byte %d flipped: %v", e.Name, off, err)
			}
			if len(missing) > 1 {
				t.Fatalf("%s, byte %d flipped: records %v are lost", e.Name, off, missing)
			}
		}
	}
}

// TestLastBatchFlippedAfterKill is the case that cannot always be told from a
// write cut short: it must be reported as cut at least.
func TestLastBatchFlippedAfterKill(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 6), 8, false)
	last := x.batches[len(x.batches)-1]
	name := x.fileOf(t, last.from)
	for off := last.from.Offset() - batchHead; off < last.to.Offset(); off++ {
		disk := x.disk.Clone()
		must(t, disk.FlipBit(name, off*8+off%8))
		if _, err := x.judge(disk, true); err != nil {
			t.Fatalf("byte %d flipped: %v", off, err)
		}
	}
	for off := int64(0); off < last.from.Offset()-batchHead; off += stride(t, 5, 101) {
		disk := x.disk.Clone()
		must(t, disk.FlipBit(name, off*8+off%8))
		if _, err := x.judge(disk, false); err != nil {
			t.Fatalf("byte %d flipped: %v", off, err)
		}
	}
}

// TestSettled: once an idle log has settled, damage to its last batch is told
// even if the process is killed.
func TestSettled(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 7), 3, false)
	log, _, err := openCorrupt(x.disk, x.options)
	must(t, err)
	w := log.NewWriter(nil)
	var b Batch
	b.Add(w.Owner(9), 1, []byte("last"))
	must(t, w.Append(&b))
	for log.Step() {
	}
	if log.TickAfter() == 0 {
		t.Fatal("nothing to settle")
	}
	log.Tick() // not idle since the last
	for i := 0; log.TickAfter() != 0; i++ {
		log.Tick()
		for log.Step() || log.Prepare() {
		}
		if i > 3 {
			t.Fatal("not settled")
		}
	}
	disk := x.disk.Clone()
	must(t, disk.FlipBit(x.fileOf(t, b.Position(0)), b.Position(0).Offset()*8+200))
	_, o, err := openCorrupt(disk, x.options)
	must(t, err)
	if len(o.damages) != 1 || o.damages[0].From != b.Position(0) {
		t.Fatalf("damages %v, want one at %v", o.damages, b.Position(0))
	}
}

// fileOf returns the file that holds a position.
func (x *exhibit) fileOf(t testing.TB, p Position) string {
	for _, e := range x.files(t) {
		head := vfs.Buffer(vfs.BlockSize)
		f, err := x.disk.Open(testDir+"/"+e.Name, 0)
		must(t, err)
		_, err = f.ReadAt(head, 0)
		if err != io.EOF {
			must(t, err)
		}
		if h, ok := segmentHeadOf(head, 0); ok && h.number == p.Segment() {
			return testDir + "/" + e.Name
		}
	}
	t.Fatalf("no file holds %v", p)
	return ""
}

// TestEveryTruncation cuts every file at every length.
func TestEveryTruncation(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 8), 8, true)
	for _, e := range x.files(t) {
		content, err := vfs.ReadFile(x.disk, testDir+"/"+e.Name, 1<<20)
		must(t, err)
		for size := int64(0); size < e.Size; size += x.step(t, content, size) {
			disk := x.disk.Clone()
			must(t, disk.Cut(testDir+"/"+e.Name, size))
			if _, err := x.judge(disk, false); err != nil {
				t.Fatalf("%s cut to %d: %v", e.Name, size, err)
			}
		}
		disk := x.disk.Clone()
		must(t, disk.Remove(testDir+"/"+e.Name))
		if _, err := x.judge(disk, false); err != nil {
			t.Fatalf("%s removed: %v", e.Name, err)
		}
	}
}

// TestMisplacedBlocks puts every block of the log, as it is and as it was, over
// every other.
func TestMisplacedBlocks(t *testing.T) {
	seed := seeds.Of(t, 9)
	old := newExhibit(t, seed, 3, true)
	x := newExhibit(t, seed, 9, true) // begins with the same batches
	files := x.files(t)
	for _, source := range files {
		for _, target := range files {
			for from := int64(0); from < source.Size; from += vfs.BlockSize {
				for to := int64(0); to < target.Size; to += vfs.BlockSize * stride(t, 1, 2) {
					for _, then := range []*vfs.Mem{x.disk, old.disk} {
						disk := x.disk.Clone()
						err := disk.CopyBlock(then, vfs.Place{Name: testDir + "/" + source.Name, Off: from},
							vfs.Place{Name: testDir + "/" + target.Name, Off: to}, vfs.BlockSize)
						if err != nil {
							continue // the old log had no such block
						}
						if _, err := x.judge(disk, false); err != nil {
							t.Fatalf("block %s+%d over %s+%d: %v", source.Name, from, target.Name, to, err)
						}
					}
				}
			}
		}
	}
}

// TestRandomDamage damages several places at once.
func TestRandomDamage(t *testing.T) {
	seed := seeds.Of(t, 10)
	x := newExhibit(t, seed, 20, true)
	files := x.files(t)
	for i := range uint64(stride(t, 1, 0)*2000 + 200) {
		random := rand.New(rand.NewPCG(seed, i))
		disk := x.disk.Clone()
		for range 1 + random.IntN(6) {
			e := files[random.IntN(len(files))]
			must(t, disk.Corrupt(testDir+"/"+e.Name, func(b []byte) []byte {
				if len(b) == 0 {
					return b
				}
				at, n := random.IntN(len(b)), 1+random.IntN(200)
				for j := at; j < min(at+n, len(b)); j++ {
					b[j] = byte(random.Uint32())
				}
				return b
			}))
		}
		if _, err := x.judge(disk, true); err != nil {
			t.Fatalf("damage %d of seed %d: %v", i, seed, err)
		}
	}
}

// TestHeadersLost: a file without any valid header is known by what it holds.
func TestHeadersLost(t *testing.T) {
	x := newExhibit(t, seeds.Of(t, 14), 12, true)
	for _, e := range x.files(t) {
		if _, ok := slotOf(e.Name); !ok {
			continue
		}
		disk := x.disk.Clone()
		must(t, disk.Corrupt(testDir+"/"+e.Name, func(b []byte) []byte {
			clear(b[:segmentHead])
			return b
		}))
		log, o, err := openCorrupt(disk, x.options)
		must(t, err)
		missing, err := x.compare(o, false)
		must(t, err)
		if len(missing) > 0 || len(o.report.Repaired) != 2 && len(o.report.Quarantined) == 0 {
			t.Fatalf("%s: missing %v, repaired %v", e.Name, missing, o.report.Repaired)
		}
		must(t, log.Close())
	}
}
