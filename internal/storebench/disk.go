package storebench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"peregrine/jetstream/commitlog"
	"peregrine/vfs"
)

// bare is a pre-written file for what the disk does by itself.
type bare struct {
	f    vfs.File
	size int64
	buf  []byte
}

func newBare(disk vfs.FS, name string, size int64) (*bare, error) {
	f, err := disk.Open(name, vfs.Create|vfs.Direct)
	if err != nil {
		return nil, err
	}
	b := &bare{f: f, size: size, buf: vfs.Buffer(largeBytes)}
	copy(b.buf, noise(largeBytes))
	if _, err := b.writeAll(); err != nil {
		f.Close()
		return nil, err
	}
	return b, f.Sync()
}

// writeAll overwrites the file in pieces of 1 MiB and syncs it.
func (b *bare) writeAll() (time.Duration, error) {
	start := time.Now()
	for off := int64(0); off < b.size; off += largeBytes {
		if _, err := b.f.WriteAt(b.buf, off); err != nil {
			return 0, err
		}
	}
	err := b.f.SyncData()
	return time.Since(start), err
}

// writeNew writes as much to a new file, which it removes: what a disk does for a
// stream that grows.
func (b *bare) writeNew(disk vfs.FS) (took time.Duration, err error) {
	const name = "bare.new"
	f, err := disk.Open(name, vfs.Create|vfs.Direct)
	if err != nil {
		return 0, err
	}
	n := &bare{f: f, size: b.size, buf: b.buf}
	took, err = n.writeAll()
	return took, errors.Join(err, f.Close(), disk.Remove(name))
}

// readAll reads the file in pieces of 1 MiB.
func (b *bare) readAll() (time.Duration, error) {
	start := time.Now()
	for off := int64(0); off < b.size; off += largeBytes {
		if _, err := b.f.ReadAt(b.buf, off); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func (b *bare) close() { b.f.Close() }

// logWriter appends to a commit log of its own and waits for commits.
type logWriter struct {
	log   *commitlog.Log
	w     *commitlog.Writer
	owner *commitlog.Owner
	batch commitlog.Batch
	ends  []commitlog.Position // of the last appends, a ring
	n     int
	last  commitlog.Position

	mu        sync.Mutex
	cond      *sync.Cond
	committed commitlog.Position
	room      bool
	err       error
}

func newLogWriter(disk vfs.FS, o commitlog.Options) (*logWriter, error) {
	log, _, err := commitlog.Open(disk, "alone", o, commitlog.Replay{})
	if err != nil {
		return nil, err
	}
	log.Start()
	l := &logWriter{log: log}
	l.cond = sync.NewCond(&l.mu)
	l.w = log.NewWriter(l)
	l.owner = l.w.Owner(1)
	return l, nil
}

// append appends one record, of which window may be uncommitted.
func (l *logWriter) append(payload []byte, window int) error {
	if len(l.ends) != window {
		l.ends = make([]commitlog.Position, window)
	}
	if p := l.ends[l.n%window]; p != 0 {
		if err := l.wait(p); err != nil {
			return err
		}
	}
	l.batch.Add(l.owner, 1, payload)
	for {
		err := l.w.Append(&l.batch)
		if err == nil {
			break
		}
		if err != commitlog.ErrFull {
			return err
		}
		l.mu.Lock()
		for !l.room && l.err == nil {
			l.cond.Wait()
		}
		l.room = false
		l.mu.Unlock()
	}
	l.last = l.batch.End()
	l.ends[l.n%window] = l.last
	l.n++
	l.batch.Reset()
	return nil
}

func (l *logWriter) wait(p commitlog.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.committed < p && l.err == nil {
		l.cond.Wait()
	}
	return l.err
}

func (l *logWriter) tell(f func()) {
	l.mu.Lock()
	f()
	l.cond.Broadcast()
	l.mu.Unlock()
}

// Committed implements commitlog.Events.
func (l *logWriter) Committed(p commitlog.Position) { l.tell(func() { l.committed = p }) }

// Room implements commitlog.Events.
func (l *logWriter) Room() { l.tell(func() { l.room = true }) }

// Stopped implements commitlog.Events.
func (l *logWriter) Stopped(err error) { l.tell(func() { l.err = err }) }

// Checkpoint implements commitlog.Events.
func (l *logWriter) Checkpoint(o *commitlog.Owner, before commitlog.Position) { o.Need(before) }

// environment says on what the figures were measured.
func environment(dir string) []string {
	e := []string{fmt.Sprintf("%s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	for file, label := range map[string]string{"/proc/sys/kernel/osrelease": "kernel", "/proc/cpuinfo": "cpu"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // not Linux
		}
		text := strings.TrimSpace(string(b))
		if label == "cpu" {
			_, after, _ := strings.Cut(text, "model name")
			text, _, _ = strings.Cut(strings.TrimLeft(after, "\t :"), "\n")
		}
		e = append(e, label+" "+text)
	}
	return append(e, "file system "+fileSystem(dir))
}
