package commitlog

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"peregrine/vfs"
)

// benchDisk is a directory on the disk of $PEREGRINE_BENCH_DIR, else of the
// test's temporary files.
func benchDisk(b *testing.B) vfs.FS {
	dir := b.TempDir()
	if base := os.Getenv("PEREGRINE_BENCH_DIR"); base != "" {
		var err error
		dir, err = os.MkdirTemp(base, "commitlog")
		must(b, err)
		b.Cleanup(func() { os.RemoveAll(dir) })
	}
	disk, err := vfs.OpenDisk(dir, vfs.DiskOptions{Logf: b.Logf})
	must(b, err)
	return disk
}

// signal is a writer that waits for commits.
type signal struct {
	mu        sync.Mutex
	cond      *sync.Cond
	committed Position
	err       error
	room      bool
}

func newSignal() *signal {
	s := &signal{}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *signal) Committed(end Position) {
	s.mu.Lock()
	s.committed = end
	s.cond.Broadcast()
	s.mu.Unlock()
}

func (s *signal) Room() {
	s.mu.Lock()
	s.room = true
	s.cond.Broadcast()
	s.mu.Unlock()
}

func (s *signal) Checkpoint(o *Owner, before Position) { o.Need(before) }

func (s *signal) Stopped(err error) {
	s.mu.Lock()
	s.err = err
	s.cond.Broadcast()
	s.mu.Unlock()
}

// wait waits until p is committed.
func (s *signal) wait(t testing.TB, p Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.committed < p && s.err == nil {
		s.cond.Wait()
	}
	must(t, s.err)
}

// append appends the batch, waiting for room.
func (s *signal) append(t testing.TB, w *Writer, batch *Batch) {
	for {
		err := w.Append(batch)
		if err != ErrFull {
			must(t, err)
			return
		}
		s.mu.Lock()
		for !s.room && s.err == nil {
			s.cond.Wait()
		}
		s.room = false
		s.mu.Unlock()
	}
}

func benchLog(b *testing.B, disk vfs.FS, options Options) (*Log, *Writer, *signal) {
	log, _, err := Open(disk, "log", options, Replay{})
	must(b, err)
	log.Start()
	b.Cleanup(func() { log.Close() })
	s := newSignal()
	return log, log.NewWriter(s), s
}

// BenchmarkWindow appends 128 B records with so many of them uncommitted at
// most, as a publisher with a window does, from one stream or many.
func BenchmarkWindow(b *testing.B) {
	for _, window := range []int{1, 10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) { benchWindow(b, window, 1, Options{}) })
	}
	b.Run("window=1000/owners=1000", func(b *testing.B) { benchWindow(b, 1000, 1000, Options{}) })
	b.Run("window=1000/interval", func(b *testing.B) { benchWindow(b, 1000, 1, Options{SyncInterval: time.Minute}) })
}

func benchWindow(b *testing.B, window, owners int, options Options) {
	log, w, s := benchLog(b, benchDisk(b), options)
	all := make([]*Owner, owners)
	for i := range all {
		all[i] = w.Owner(OwnerID(i + 1))
	}
	payload := make([]byte, 128)
	ends := make([]Position, window) // of the last batches, a ring
	var batch Batch
	const chunk = 16
	sent := 0
	b.ResetTimer()
	b.ReportAllocs()
	before := cpuTime(b)
	for sent < b.N {
		n := min(chunk, window, b.N-sent)
		for i := range n {
			batch.Add(all[(sent+i)%owners], 1, payload)
		}
		if p := ends[(sent+n-1)%window]; p != 0 {
			s.wait(b, p)
		}
		s.append(b, w, &batch)
		for i := range n {
			ends[(sent+i)%window] = batch.Position(i) + 1
		}
		batch.Reset()
		sent += n
	}
	s.wait(b, ends[(sent-1)%window])
	b.StopTimer()
	stats := log.Stats()
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(stats.Records)/float64(stats.Batches), "records/batch")
}

// cpuTime is what the process has used, the kernel's part included.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkSingle is one synchronous append after the other, and beside it a
// bare aligned write with fdatasync on an equal file, in turns.
func BenchmarkSingle(b *testing.B) {
	disk := benchDisk(b)
	_, w, s := benchLog(b, disk, Options{})
	o := w.Owner(1)
	f := bareFile(b, disk, 16<<20)
	block := vfs.Buffer(vfs.BlockSize)
	payload := make([]byte, 128)
	var batch Batch
	var bare, logged []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		must(b, f.WriteSync(block, int64(i)*vfs.BlockSize%(16<<20)))
		middle := time.Now()
		batch.Add(o, 1, payload)
		s.append(b, w, &batch)
		s.wait(b, batch.End())
		logged = append(logged, time.Since(middle))
		bare = append(bare, middle.Sub(start))
		batch.Reset()
	}
	report(b, bare, logged)
}

// report compares medians.
func report(b *testing.B, bare, logged []time.Duration) {
	slices.Sort(bare)
	slices.Sort(logged)
	m, n := bare[len(bare)/2], logged[len(logged)/2]
	b.ReportMetric(float64(m.Nanoseconds()), "bare-ns")
	b.ReportMetric(float64(n.Nanoseconds()), "log-ns")
	b.ReportMetric(float64(n)/float64(m), "log/bare")
}

// bareFile is a pre-written file.
func bareFile(b *testing.B, disk vfs.FS, size int64) vfs.File {
	f, err := disk.Open("bare", vfs.Create|vfs.Direct)
	must(b, err)
	b.Cleanup(func() { f.Close() })
	zeros := vfs.Buffer(1 << 20)
	for off := int64(0); off < size; off += 1 << 20 {
		_, err := f.WriteAt(zeros, off)
		must(b, err)
	}
	must(b, f.Sync())
	return f
}

// BenchmarkLarge appends 1 MiB records with several under way, and beside them
// writes as much with bare sequential direct writes of 1 MiB, in turns.
func BenchmarkLarge(b *testing.B) {
	disk := benchDisk(b)
	_, w, s := benchLog(b, disk, Options{PressureBytes: 64 << 20})
	o := w.Owner(1)
	const size, round, window = 1 << 20, 64, 16
	f := bareFile(b, disk, round*size)
	block := vfs.Buffer(size)
	payload := make([]byte, size)
	run := func() {
		var ends [window]Position
		var batch Batch
		for i := range round {
			if p := ends[i%window]; p != 0 {
				s.wait(b, p)
			}
			batch.Add(o, 1, payload)
			s.append(b, w, &batch)
			ends[i%window] = batch.End()
			batch.Reset()
		}
		s.wait(b, ends[(round-1)%window])
		o.Need(ends[(round-1)%window])
	}
	for range 8 {
		run() // until segments are recycled
	}
	var bare, logged []time.Duration
	b.SetBytes(round * size)
	for b.Loop() {
		start := time.Now()
		for i := range round {
			_, err := f.WriteAt(block, int64(i)*size)
			must(b, err)
		}
		must(b, f.SyncData())
		middle := time.Now()
		run()
		logged = append(logged, time.Since(middle))
		bare = append(bare, middle.Sub(start))
	}
	report(b, bare, logged)
}

// BenchmarkAppend is the cost of Append alone: batches go nowhere.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 16384} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			log, _, err := Open(nowhere{vfs.NewMem()}, "log", Options{}, Replay{})
			must(b, err)
			w := log.NewWriter(nil)
			o := w.Owner(1)
			payload := make([]byte, size)
			var batch Batch
			b.SetBytes(int64(size))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				batch.Add(o, 1, payload)
				if i++; i%16 > 0 {
					continue
				}
				for w.Append(&batch) == ErrFull {
					log.Step()
					log.Prepare()
					o.Need(log.Committed())
				}
				batch.Reset()
			}
		})
	}
}

// nowhere is a file system whose files lose what is written behind the headers.
type nowhere struct{ vfs.FS }

func (n nowhere) Open(name string, flag vfs.Flag) (vfs.File, error) {
	f, err := n.FS.Open(name, flag)
	return nowhereFile{f}, err
}

type nowhereFile struct{ vfs.File }

func (f nowhereFile) WriteSync(p []byte, off int64) error {
	if off >= segmentHead {
		return nil
	}
	return f.File.WriteSync(p, off)
}
