package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"peregrine/vfs"
)

// world is a log driven step by step, with a model of what it must hold.
type world struct {
	fs      vfs.FS
	options Options
	random  *rand.Rand // of the load
	log     *Log
	writer  *Writer
	report  *Report
	reader  *Reader

	model   []*modelRecord // in the order of their positions
	owners  map[OwnerID]*modelOwner
	pending []*modelRecord
	synced  Position // as told by the log before a crash
	serial  int
	full    bool
	asked   map[OwnerID]Position
	stopped bool
	trouble error // seen in an event
}

type modelRecord struct {
	position  Position
	owner     OwnerID
	kind      Kind
	forwarded bool
	dropped   bool
	data      []byte
}

type modelOwner struct {
	id      OwnerID
	handle  *Owner
	need    Position // 0 for all
	dropped Position // of its drop record
}

const testDir = "js/log"

// smallOptions make segments that a short test fills.
func smallOptions() Options {
	return Options{
		SegmentBytesMin: 40 << 10, SegmentBytesMax: 80 << 10, QueueBytes: 16 << 10,
		PressureBytes: 200 << 10, LiveBytesMax: 1 << 20, Identity: 7, SettleAfter: time.Second,
	}
}

func newWorld(fsys vfs.FS, options Options, seed uint64) *world {
	return &world{fs: fsys, options: options, random: rand.New(rand.NewPCG(seed, 1)),
		owners: map[OwnerID]*modelOwner{}, asked: map[OwnerID]Position{}}
}

// Committed implements Events.
func (w *world) Committed(end Position) {
	if end < w.log.Committed() {
		w.trouble = fmt.Errorf("committed %v came after %v", end, w.log.Committed())
	}
}

// Room implements Events.
func (w *world) Room() { w.full = false }

// Checkpoint implements Events.
func (w *world) Checkpoint(o *Owner, before Position) { w.asked[o.ID()] = before }

// Stopped implements Events.
func (w *world) Stopped(err error) {
	w.stopped = true
	if !errors.Is(err, ErrStopped) {
		w.trouble = fmt.Errorf("stopped with %v", err)
	}
}

// open opens the log and checks what it replays against the model.
func (w *world) open() error {
	var got []*modelRecord
	var damages []Damage
	log, report, err := Open(w.fs, testDir, w.options, Replay{
		Record: func(r Record) error {
			got = append(got, &modelRecord{r.Position, r.Owner, r.Kind, r.Forwarded, r.Dropped, bytes.Clone(r.Data)})
			return nil
		},
		Damaged: func(d Damage) error {
			damages = append(damages, d)
			return nil
		},
	})
	if err != nil {
		return err
	}
	w.log, w.report = log, report
	w.writer = log.NewWriter(w)
	w.reader = log.NewReader()
	w.full, w.stopped = false, false
	if len(damages)+len(report.Damages)+len(report.Quarantined) > 0 {
		return fmt.Errorf("undamaged log reports %v, quarantine %v", report.Damages, report.Quarantined)
	}
	if err := w.compare(got); err != nil {
		return err
	}
	w.synced = log.Committed()
	for _, o := range w.owners {
		if o.dropped == 0 {
			o.handle = w.writer.Owner(o.id)
			if o.need != 0 {
				o.handle.Need(o.need)
			}
		}
	}
	return nil
}

// compare checks a replay: what was synced and is needed is there, nothing is
// invented, and what was not synced is a beginning of it. Then the model is what
// was replayed.
func (w *world) compare(got []*modelRecord) error {
	byPosition := map[Position]*modelRecord{}
	for _, m := range w.model {
		byPosition[m.position] = m
	}
	seen := map[Position]bool{}
	var last Position
	for _, g := range got {
		m := byPosition[g.position]
		if m == nil {
			return fmt.Errorf("record at %v was never appended", g.position)
		}
		if g.position <= last {
			return fmt.Errorf("record at %v after %v", g.position, last)
		}
		last = g.position
		if m.owner != g.owner || m.kind != g.kind || m.forwarded != g.forwarded || m.dropped != g.dropped ||
			!bytes.Equal(m.data, g.data) {
			return fmt.Errorf("record at %v is another", g.position)
		}
		seen[g.position] = true
	}
	for _, m := range w.model {
		if seen[m.position] {
			continue
		}
		o := w.owners[m.owner]
		gone := m.position < o.need || o.dropped != 0 && m.position <= o.dropped && o.dropped < w.synced
		if m.position < w.synced && !gone {
			return fmt.Errorf("record at %v of owner %d is lost, synced up to %v", m.position, m.owner, w.synced)
		}
		if m.position < last && !gone {
			return fmt.Errorf("record at %v is missing before %v", m.position, last)
		}
	}
	w.model = got
	for _, o := range w.owners {
		if o.dropped != 0 && !seen[o.dropped] && o.dropped >= w.synced {
			o.dropped = 0 // that did not happen
		}
	}
	return nil
}

// act does one random thing.
func (w *world) act() error {
	switch n := w.random.IntN(100); {
	case n < 45:
		return w.append(1 + w.random.IntN(5))
	case n < 75:
		return w.step()
	case n < 85:
		w.log.Prepare()
	case n < 93:
		return w.need()
	case n < 94:
		return w.drop()
	case n < 96:
		w.log.Tick()
	case n < 98:
		return w.read()
	default:
		return w.answer()
	}
	return w.trouble
}

// step does one transfer and notes what is synced then.
func (w *world) step() error {
	w.log.Step()
	w.synced = max(w.synced, w.log.core.synced)
	return w.trouble
}

// owner picks a live owner.
func (w *world) owner() *modelOwner {
	id := OwnerID(1 + w.random.IntN(4))
	for w.owners[id] != nil && w.owners[id].dropped != 0 {
		id += 10 // numbers are not used again
	}
	o := w.owners[id]
	if o == nil {
		o = &modelOwner{id: id, handle: w.writer.Owner(id)}
		w.owners[id] = o
	}
	return o
}

func (w *world) payload() []byte {
	w.serial++
	size := w.random.IntN(200)
	switch w.random.IntN(40) {
	case 0:
		size = w.random.IntN(20 << 10)
	case 1:
		size = 0
	}
	if w.random.IntN(400) == 0 {
		size = 100 << 10 // larger than a segment
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(w.serial + i*7)
	}
	return data
}

// append appends n random records in one batch.
func (w *world) append(n int) error {
	var b Batch
	var records []*modelRecord
	for range n {
		o := w.owner()
		m := &modelRecord{owner: o.id, kind: Kind(w.random.IntN(256)), data: w.payload()}
		if cut := w.random.IntN(len(m.data) + 1); w.random.IntN(2) == 0 {
			b.AddParts(o.handle, m.kind, m.data[:cut], m.data[cut:])
		} else {
			b.Add(o.handle, m.kind, m.data)
		}
		records = append(records, m)
	}
	_, err := w.submit(&b, records)
	return err
}

// submit appends a batch and enters it into the model; false if it was refused.
func (w *world) submit(b *Batch, records []*modelRecord) (bool, error) {
	err := w.writer.Append(b)
	if errors.Is(err, ErrFull) {
		w.full = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for i, m := range records {
		m.position = b.Position(i)
		w.model = append(w.model, m)
	}
	if b.End() <= records[len(records)-1].position {
		return false, fmt.Errorf("batch ends at %v, its last record is at %v", b.End(), records[len(records)-1].position)
	}
	return true, nil
}

// need moves the need of a random owner to one of its committed records.
func (w *world) need() error {
	o := w.owner()
	var mine []Position
	for _, m := range w.model {
		if m.owner == o.id && m.position >= o.need && m.position < w.synced {
			mine = append(mine, m.position)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	o.need = mine[w.random.IntN(len(mine))]
	if w.random.IntN(3) == 0 {
		o.need = mine[len(mine)-1] + 1 // none of them
	}
	o.handle.Need(o.need)
	return nil
}

// drop ends a random owner, waiting for the commit.
func (w *world) drop() error {
	o := w.owner()
	var b Batch
	b.AddDrop(o.handle)
	m := &modelRecord{owner: o.id, dropped: true}
	ok, err := w.submit(&b, []*modelRecord{m})
	if err != nil || !ok {
		return err
	}
	o.dropped = m.position
	for w.log.Committed() < b.End() || w.synced < b.End() {
		w.log.Tick()
		if err := w.step(); err != nil {
			return err
		}
		if err := w.log.Err(); err != nil {
			return err
		}
	}
	o.handle.Release()
	return nil
}

// read reads a random record that is needed.
func (w *world) read() error {
	if len(w.model) == 0 {
		return nil
	}
	m := w.model[w.random.IntN(len(w.model))]
	o := w.owners[m.owner]
	rec, _, err := w.reader.Read(m.position)
	if errors.Is(err, ErrGone) && (m.position < o.need || o.dropped != 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if rec.Owner != m.owner || rec.Kind != m.kind || !bytes.Equal(rec.Data, m.data) {
		return fmt.Errorf("read another record at %v", m.position)
	}
	return nil
}

// answer does what Checkpoint asked for: by a checkpoint, or by forwarding.
func (w *world) answer() error {
	for _, id := range sortedKeys(w.asked) {
		before := w.asked[id]
		o := w.owners[id]
		delete(w.asked, id)
		if o.dropped != 0 {
			continue
		}
		var positions []Position
		var old []*modelRecord
		for _, m := range w.model {
			if m.owner == id && m.position >= o.need && m.position < before {
				positions = append(positions, m.position)
				old = append(old, m)
			}
		}
		if len(positions) > 0 && len(positions) < 4 {
			var b Batch
			if err := w.reader.Forward(&b, o.handle, positions); err != nil {
				return err
			}
			var records []*modelRecord
			for _, m := range old {
				records = append(records, &modelRecord{owner: id, kind: m.kind, forwarded: true, data: m.data})
			}
			ok, err := w.submit(&b, records)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			for w.synced < b.End() {
				w.log.Tick()
				if err := w.step(); err != nil {
					return err
				}
				if err := w.log.Err(); err != nil {
					return err
				}
			}
		}
		if before <= w.synced {
			o.need = max(o.need, before)
			o.handle.Need(before)
		}
	}
	return nil
}

// finish closes the log or leaves it as it is.
func (w *world) finish(clean bool) error {
	if !clean {
		return w.log.lock.Close()
	}
	err := w.log.Close()
	if err == nil {
		w.synced = w.log.core.end
	}
	return err
}

func sortedKeys(m map[OwnerID]Position) []OwnerID {
	keys := make([]OwnerID, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// script runs a whole life: so many openings of so many acts.
func (w *world) script(openings, acts int) error {
	for range openings {
		if err := w.open(); err != nil {
			return err
		}
		for range acts {
			if err := w.act(); err != nil {
				return err
			}
			if err := w.log.Err(); err != nil {
				return err
			}
		}
		if err := w.finish(w.random.IntN(3) > 0); err != nil {
			return err
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
