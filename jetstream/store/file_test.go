package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// memoryLog is a commit log that never fails: what it has is durable.
type memoryLog struct {
	records   []logged
	needed    uint64
	committed uint64 // what Committed says, at most len(records)
	directs   []*Direct
}

type logged struct {
	kind    uint8
	payload []byte
}

func (l *memoryLog) Append(kind uint8, head, body []byte) {
	l.records = append(l.records, logged{kind, append(bytes.Clone(head), body...)})
}

func (l *memoryLog) AppendDirect(kind uint8, head []byte, d *Direct, n int) {
	l.Append(kind, head, nil)
	l.directs = append(l.directs, d)
}

// put makes durable what records refer to. It comes before the records are.
func (l *memoryLog) put() {
	for _, d := range l.directs {
		if err := d.Write(); err != nil {
			panic(err)
		}
	}
	for _, d := range l.directs {
		if err := d.Sync(); err != nil {
			panic(err)
		}
	}
	l.directs = nil
}

func (l *memoryLog) End() uint64       { return uint64(len(l.records)) }
func (l *memoryLog) Committed() uint64 { return l.committed }
func (l *memoryLog) Need(p uint64)     { l.needed = max(l.needed, p) }

// world is a stream in files on a disk that can crash.
type world struct {
	disk  *vfs.Mem
	files Files
	log   *memoryLog
	job   *Job // run, not finished
}

func newWorld(r *rand.Rand, o *Options) *world {
	w := &world{disk: vfs.NewMem(), log: &memoryLog{}}
	w.files = Files{FS: w.disk, Dir: "streams/s", Compress: r.IntN(2) == 0, Random: seeds.Bytes{R: r},
		FlushBytes: 1 + r.IntN(3000), CacheBytes: 1 + r.IntN(4000), DirectBytes: -1}
	if err := w.disk.MkdirAll("streams"); err != nil {
		panic(err)
	}
	if err := w.disk.SyncDir("."); err != nil {
		panic(err)
	}
	if c := Cipher(r.IntN(3)); c != NoCipher {
		w.files.Keys = []Key{DeriveKey(c, "secret", "account", "stream")}
	}
	o.Log = w.log
	return w
}

// open opens the stream and replays the log.
func (w *world) open(o Options) (*Stream, *Report, error) {
	w.files.FS = w.disk
	s, report, err := Open(o, w.files)
	if err != nil {
		return nil, report, err
	}
	if report.Position < w.log.needed {
		return nil, report, fmt.Errorf("replay from %d, but the log begins at %d", report.Position, w.log.needed)
	}
	for i, rec := range w.log.records[report.Position:] {
		if err := s.Replay(rec.kind, rec.payload); err != nil {
			return nil, report, fmt.Errorf("replay record %d of kind %d: %w", int(report.Position)+i, rec.kind, err)
		}
	}
	return s, report, nil
}

// work moves the jobs of a stream on by one stage.
func (w *world) work(s *Stream) {
	if w.job != nil {
		s.Finish(w.job)
		w.job = nil
		return
	}
	if w.job = s.Work(); w.job != nil {
		w.job.Run()
	}
}

// settle runs jobs until nothing is left to do.
func (w *world) settle(s *Stream) {
	w.log.put()
	w.log.committed = w.log.End()
	for i, idle := 0, 0; idle < 2 && s.Stopped() == nil; i++ {
		busy := w.job != nil
		w.work(s)
		if idle++; busy || w.job != nil {
			idle = 0
		}
		if i > 1000 {
			panic("jobs without end")
		}
	}
}

// A stream in files answers like the model, through crashes, clean stops,
// checkpoints, compactions and evictions at any time.
func TestFileModel(t *testing.T) {
	seeds.Each(t, 20, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 5))
		o := randomOptions(r)
		p := &pair{t: t, r: r, m: newModel(o), now: 1e18}
		o.Removed = p.note
		w := newWorld(r, &o)
		if seed%2 == 1 { // many messages are put directly
			w.files.Compress, w.files.Keys, w.files.DirectBytes = false, nil, recordMin+1+r.IntN(100)
		}
		var err error
		if p.s, _, err = w.open(o); err != nil {
			t.Fatal(err)
		}
		p.reopen = func(p *pair) {
			survive := float64(r.IntN(3)) / 2
			clean := r.IntN(2) == 0
			p.did = fmt.Sprintf("reopen, clean %v, %v survives", clean, survive)
			if clean {
				p.s.Checkpoint()
				w.settle(p.s)
				p.s.Close()
			}
			w.job = nil
			w.log.put()
			w.disk = w.disk.Crash(r, vfs.CrashOptions{Survive: survive})
			o.Limits = p.m.o.Limits
			s, report, err := w.open(o)
			if err != nil {
				p.fail("%v", err)
			}
			if len(report.Damage)+len(report.Quarantined) > 0 {
				p.fail("report %+v", report)
			}
			p.s = s
		}
		for p.step = range 800 {
			p.change()
			if r.IntN(4) == 0 {
				w.log.put()
				w.log.committed = w.log.End() - r.Uint64N(1+min(2, w.log.End()-w.log.committed))
			}
			switch r.IntN(12) {
			case 0, 1, 2, 3:
				w.work(p.s)
			case 4:
				p.s.Checkpoint()
			case 5:
				p.s.Trim(r.IntN(2) * 1000)
			}
			if err := p.s.Stopped(); err != nil {
				p.fail("%v", err)
			}
			p.compare()
		}
	})
}
