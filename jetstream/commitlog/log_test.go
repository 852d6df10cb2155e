package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// TestConcurrent runs a started log with several writers, each with readers and
// owners of its own, closes it and checks order and completeness.
func TestConcurrent(t *testing.T) {
	seed := seeds.Of(t, 13)
	for _, interval := range []time.Duration{0, 2 * time.Millisecond} {
		disk, err := vfs.OpenDisk(t.TempDir(), vfs.DiskOptions{})
		must(t, err)
		options := smallOptions()
		options.LiveBytesMax = 64 << 20
		options.SyncInterval, options.SettleAfter = interval, time.Millisecond
		log, _, err := Open(disk, "log", options, Replay{})
		must(t, err)
		log.Start()
		const writers, batches = 4, 200
		last := make([]Position, writers)
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				last[i] = concurrentWriter(t, log, OwnerID(i+1), batches, rand.New(rand.NewPCG(seed, uint64(i))))
			})
		}
		all.Wait()
		must(t, log.Close())

		next := map[OwnerID]uint64{}
		log, report, err := Open(disk, "log", options, Replay{Record: func(r Record) error {
			n := binary.LittleEndian.Uint64(r.Data)
			if want, ok := next[r.Owner]; ok && n != want {
				return fmt.Errorf("owner %d: record %d, want %d", r.Owner, n, want)
			}
			next[r.Owner] = n + 1
			return nil
		}})
		must(t, err)
		if !report.Clean || len(report.Damages) > 0 {
			t.Fatalf("report %+v", report)
		}
		for i := range writers {
			if got := next[OwnerID(i+1)]; got != batches*3 {
				t.Fatalf("writer %d: %d records, want %d", i, got, batches*3)
			}
		}
		must(t, log.Close())
	}
}

// keeper is a signal that lets no segment go when asked.
type keeper struct{ *signal }

func (keeper) Checkpoint(*Owner, Position) {}

// concurrentWriter appends batches of three numbered records, reads some back and
// moves its need.
func concurrentWriter(t *testing.T, log *Log, id OwnerID, batches int, random *rand.Rand) Position {
	s := newSignal()
	w := log.NewWriter(keeper{s})
	o := w.Owner(id)
	reader := log.NewReader()
	var positions []Position
	var b Batch
	for i := range batches {
		for j := range 3 {
			payload := make([]byte, 8+random.IntN(700))
			binary.LittleEndian.PutUint64(payload, uint64(i*3+j))
			b.Add(o, 1, payload)
		}
		s.append(t, w, &b)
		for j := range 3 {
			positions = append(positions, b.Position(j))
		}
		end := b.End()
		b.Reset()
		switch random.IntN(4) {
		case 0:
			s.wait(t, end)
		case 1:
			n := len(positions) - 1 - random.IntN(min(len(positions), 20))
			rec, _, err := reader.Read(positions[n])
			if err == nil && binary.LittleEndian.Uint64(rec.Data) != uint64(n) {
				t.Errorf("owner %d: record %d is another", id, n)
			} else if err != nil && positions[n] >= o.Oldest() {
				t.Errorf("owner %d: %v", id, err)
			}
		case 2:
			if i < batches-20 {
				s.wait(t, end)
				o.Need(positions[len(positions)-1])
			}
		}
	}
	s.wait(t, positions[len(positions)-1]+1)
	return positions[len(positions)-1]
}

// TestNoAllocations: an append allocates nothing, and neither do the events and
// the write it causes.
func TestNoAllocations(t *testing.T) {
	log, _, err := Open(nowhere{vfs.NewMem()}, "log", Options{}, Replay{})
	must(t, err)
	w := log.NewWriter(silent{})
	o := w.Owner(1)
	payload := make([]byte, 128)
	var b Batch
	cycle := func() {
		for range 16 {
			b.Add(o, 1, payload)
			b.AddParts(o, 2, payload[:40], payload[40:])
		}
		if err := w.Append(&b); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		log.Step()
		o.Need(log.Committed())
		log.Prepare()
	}
	for range 3000 {
		cycle() // over some segments
	}
	// A segment now and then costs a few; an append costs none.
	if n := testing.AllocsPerRun(5000, cycle); n > 0 {
		t.Fatalf("%v allocations per cycle", n)
	}
	reader := log.NewReader()
	b.Add(o, 1, payload)
	must(t, w.Append(&b))
	if n := testing.AllocsPerRun(100, func() { reader.Read(b.Position(0)) }); n > 0 {
		t.Fatalf("%v allocations per read", n)
	}
}

// drive runs everything that is due.
func drive(log *Log) {
	for log.Step() || log.Prepare() {
	}
}

// fillSegments appends until the log holds n segments.
func fillSegments(t *testing.T, log *Log, w *Writer, o *Owner, n int) {
	t.Helper()
	var b Batch
	for log.Stats().Segments < n {
		b.Reset()
		b.Add(o, 1, make([]byte, 3000))
		if err := w.Append(&b); err != nil && err != ErrFull {
			t.Fatal(err)
		}
		drive(log)
	}
}

// asked notes what the log asks for.
type asked struct {
	silent
	before map[OwnerID]Position
	rooms  int
}

func (a *asked) Checkpoint(o *Owner, before Position) { a.before[o.ID()] = before }
func (a *asked) Room()                                { a.rooms++ }

// TestPressure: a quiet owner that pins an old segment is asked to let it go, and
// forwarding does that.
func TestPressure(t *testing.T) {
	log, _, err := Open(vfs.NewMem(), "log", smallOptions(), Replay{})
	must(t, err)
	a := &asked{before: map[OwnerID]Position{}}
	w := log.NewWriter(a)
	quiet, busy := w.Owner(1), w.Owner(2)
	var b Batch
	b.Add(quiet, 5, []byte("first"))
	b.Add(quiet, 6, []byte("second"))
	must(t, w.Append(&b))
	old := []Position{b.Position(0), b.Position(1)}
	fillSegments(t, log, w, busy, 6)
	if a.before[1] == 0 || a.before[2] == 0 {
		t.Fatalf("asked %v", a.before)
	}
	busy.Need(a.before[2])
	drive(log)
	if log.Stats().First.Segment() != old[0].Segment() {
		t.Fatal("a segment that is needed was let go")
	}
	b.Reset()
	reader := log.NewReader()
	must(t, reader.Forward(&b, quiet, old))
	must(t, w.Append(&b))
	drive(log)
	quiet.Need(b.Position(0))
	drive(log)
	if first := log.Stats().First; first.Segment() <= old[0].Segment() {
		t.Fatalf("begins at %v still", first)
	}
	_, _, err = reader.Read(old[0])
	wantErr(t, err, ErrGone)
	rec, _, err := reader.Read(b.Position(1))
	must(t, err)
	if string(rec.Data) != "second" || rec.Kind != 6 || !rec.Forwarded {
		t.Fatalf("forwarded %+v", rec)
	}
	if err := reader.Forward(&b, busy, []Position{b.Position(1)}); err == nil {
		t.Fatal("forwarded another owner's record")
	}
}

// TestLogFull: at its limit the log refuses, except what is urgent, and tells
// when there is room.
func TestLogFull(t *testing.T) {
	options := smallOptions()
	options.LiveBytesMax = 200 << 10
	var told []string
	options.Logf = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	log, _, err := Open(vfs.NewMem(), "log", options, Replay{})
	must(t, err)
	a := &asked{before: map[OwnerID]Position{}}
	w := log.NewWriter(a)
	o := w.Owner(1)
	var b Batch
	for {
		b.Reset()
		b.Add(o, 1, make([]byte, 3000))
		err := w.Append(&b)
		drive(log)
		if err == ErrFull {
			if err := w.Append(&b); err == ErrFull {
				break // not only for want of a prepared segment
			}
		}
	}
	if len(told) != 1 {
		t.Fatalf("logged %q", told)
	}
	b.Urgent = true
	for w.Append(&b) == ErrFull {
		drive(log)
	}
	a.rooms = 0
	drive(log)
	o.Need(log.Committed())
	drive(log)
	if a.rooms == 0 {
		t.Fatal("not told that there is room")
	}
	b.Urgent = false
	for w.Append(&b) == ErrFull {
		drive(log)
	}
	must(t, log.Close())
}

// TestLargeBatches: records larger than a segment, the queue or the largest
// segment are stored like others; beyond the limits they are refused.
func TestLargeBatches(t *testing.T) {
	fsys := vfs.NewMem()
	options := smallOptions()
	options.LiveBytesMax = 16 << 20
	log, _, err := Open(fsys, "log", options, Replay{})
	must(t, err)
	w := log.NewWriter(nil)
	o := w.Owner(1)
	var want [][]byte
	for _, size := range []int{0, 1, 30 << 10, 50 << 10, 100 << 10, 1 << 20, 3, 70 << 10} {
		payload := bytes.Repeat([]byte{byte(size + 1)}, size)
		want = append(want, payload)
		var b Batch
		b.AddParts(o, 1, payload[:size/3], payload[size/3:])
		for tries := 0; ; tries++ {
			err := w.Append(&b)
			if err == nil {
				break
			}
			wantErr(t, err, ErrFull)
			drive(log)
			if tries > 5 {
				t.Fatalf("no room for %d bytes", size)
			}
		}
		drive(log)
	}
	must(t, log.Close())
	_, _, err = Open(fsys, "log", options, Replay{Record: func(r Record) error {
		if !bytes.Equal(r.Data, want[0]) {
			return fmt.Errorf("record of %d bytes, want %d", len(r.Data), len(want[0]))
		}
		want = want[1:]
		return nil
	}})
	must(t, err)
	if len(want) > 0 {
		t.Fatalf("%d records are missing", len(want))
	}
	var b Batch
	b.Add(o, 1, make([]byte, RecordBytesMax+1))
	wantErr(t, w.Append(&b), ErrTooLarge)
}

// TestStopped: after a failed sync nothing is tried again, everybody is told, and
// what was committed before is there.
func TestStopped(t *testing.T) {
	mem := vfs.NewMem()
	fail, after := false, 0
	fsys := vfs.NewFaulty(mem, func(c vfs.Call) vfs.Fault {
		if fail && c.Op.Changes() {
			after++
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	})
	log, _, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	s := newSignal()
	w := log.NewWriter(s)
	o := w.Owner(1)
	var b Batch
	b.Add(o, 1, []byte("good"))
	must(t, w.Append(&b))
	drive(log)
	s.wait(t, b.End())
	b.Reset()
	b.Add(o, 1, []byte("bad"))
	must(t, w.Append(&b))
	end := b.End()
	fail = true
	drive(log)
	wantErr(t, s.err, ErrStopped)
	wantErr(t, s.err, syscall.EIO)
	wantErr(t, w.Append(&b), ErrStopped)
	drive(log)
	if after != 1 {
		t.Fatalf("%d calls after the failed one", after-1)
	}
	if log.Committed() >= end {
		t.Fatal("committed what could not be synced")
	}
	if log.Close() == nil {
		t.Fatal("closed without an error")
	}
	wantErr(t, w.Append(&b), ErrClosed)
	wantErr(t, log.Close(), ErrClosed)
	got := ""
	_, _, err = Open(mem.Crash(rand.New(rand.NewPCG(1, 1)), vfs.CrashOptions{}), "log", smallOptions(),
		Replay{Record: func(r Record) error { got += string(r.Data); return nil }})
	must(t, err)
	if got != "good" {
		t.Fatalf("replayed %q", got)
	}
}

// TestLocked: a log is open once.
func TestLocked(t *testing.T) {
	fsys := vfs.NewMem()
	log, _, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	_, _, err = Open(fsys, "log", smallOptions(), Replay{})
	wantErr(t, err, vfs.ErrLocked)
	must(t, log.Close())
	log, _, err = Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	must(t, log.Close())
}

// TestUnclaimed: owners found at Open pin what they have until they are claimed,
// and dropped ones do not come back.
func TestUnclaimed(t *testing.T) {
	fsys := vfs.NewMem()
	log, _, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	w := log.NewWriter(nil)
	var b Batch
	for id := range OwnerID(3) {
		b.Add(w.Owner(id+1), 1, []byte("x"))
	}
	gone := w.Owner(2)
	b.AddDrop(gone)
	must(t, w.Append(&b))
	drive(log)
	gone.Release()
	w.Close()
	if got := fmt.Sprint(log.Unclaimed()); got != "[1 3]" {
		t.Fatalf("unclaimed %v", got)
	}
	must(t, log.Close())
	log, report, err := Open(fsys, "log", smallOptions(), Replay{})
	must(t, err)
	if got := fmt.Sprint(log.Unclaimed()); got != "[1 3]" || len(report.Owners) != 2 {
		t.Fatalf("unclaimed %v, reported %v", got, report.Owners)
	}
	w = log.NewWriter(nil)
	o := w.Owner(3)
	if o.Oldest() != report.Owners[1].First {
		t.Fatalf("needs %v, has %v", o.Oldest(), report.Owners[1].First)
	}
	must(t, log.Close())
}

// TestReplayPart: what an owner needs is replayed while the log is in use and older
// segments, which it does not need, are used again.
func TestReplayPart(t *testing.T) {
	log, _, err := Open(vfs.NewMem(), "log", smallOptions(), Replay{})
	must(t, err)
	w := log.NewWriter(nil)
	older, owner := w.Owner(1), w.Owner(2)
	put := func(o *Owner, n int) (last Position) {
		for range n {
			var b Batch
			b.Add(o, 1, make([]byte, 1000))
			for w.Append(&b) == ErrFull {
				drive(log)
			}
			drive(log)
			last = b.Position(0)
		}
		return last
	}
	put(older, 40)
	put(owner, 40)
	before := at(put(older, 20).Segment(), segmentHead)
	recycled, records, begun := log.Stats().Recycled, 0, false
	must(t, log.Replay(owner.Oldest(), before, Replay{Record: func(r Record) error {
		if !begun {
			begun = true
			older.Need(before)
			for range 60 {
				older.Need(put(older, 1))
			}
		}
		if r.Owner == owner.ID() {
			records++
		}
		return nil
	}, Damaged: func(d Damage) error { return errors.New(d.Reason) }}))
	if log.Stats().Recycled == recycled || records != 40 {
		t.Errorf("%d records, %d segments were recycled meanwhile", records, log.Stats().Recycled-recycled)
	}
	must(t, log.Close())
}

// TestNothingWaitsForTheTimer runs writers that wait for every few commits and for
// room, with no timer that could hide a wake-up that is missing: it would hang.
func TestNothingWaitsForTheTimer(t *testing.T) {
	seed := seeds.Of(t, 15)
	for i := range uint64(10) {
		options := smallOptions()
		options.SegmentBytesMax, options.LiveBytesMax = options.SegmentBytesMin, 256<<10
		options.SettleAfter = -1
		options.SyncInterval = []time.Duration{0, time.Hour}[i%2]
		log, _, err := Open(vfs.NewMem(), "log", options, Replay{})
		must(t, err)
		log.Start()
		var all sync.WaitGroup
		for id := range OwnerID(3) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed+i, uint64(id)))
				s := newSignal()
				w := log.NewWriter(s)
				o := w.Owner(id + 1)
				var b Batch
				for range 300 {
					for range 1 + random.IntN(4) {
						b.Add(o, 1, make([]byte, random.IntN(1500)))
					}
					s.append(t, w, &b)
					end := b.End()
					b.Reset()
					if random.IntN(3) == 0 {
						s.wait(t, end)
						o.Need(end)
					}
				}
			})
		}
		all.Wait()
		must(t, log.Close())
	}
}
