package store

import (
	"errors"
	"fmt"
	"io/fs"

	"peregrine/vfs"
)

// A Job is work with files that the owner of a stream hands to a worker: Work
// makes it, Run does it on any goroutine, Finish gives the outcome back.
type Job struct {
	run    func(j *Job) error
	finish func(j *Job)
	files  Files
	codec  *format
	err    error
}

// Run does the work. It may be called on any goroutine, once.
func (j *Job) Run() { j.err = j.run(j) }

// Err is what went wrong, after Run.
func (j *Job) Err() error { return j.err }

// Checkpoint asks for one: Work will make the jobs for it. When it is done,
// Log.Need is told.
func (s *Stream) Checkpoint() {
	if s.disk != nil {
		s.want = true
	}
}

// Pending tells whether a checkpoint was asked for and is not done.
func (s *Stream) Pending() bool {
	return s.disk != nil && s.stopped == nil && (s.want || s.next != nil || s.busy != nil)
}

// Work returns the next job, nil if there is none or one is running already. With
// a checkpoint pending, nil means that the log must commit more first.
func (s *Stream) Work() *Job {
	if s.disk == nil || s.busy != nil || s.stopped != nil {
		return nil
	}
	var j *Job
	switch {
	case s.next != nil:
		if s.options.Log == nil || s.options.Log.Committed() >= s.next.position {
			j = s.stateJob(s.next)
		}
	case s.want:
		j = s.checkpointJob()
	default:
		if blocks := s.wasteful(); blocks != nil {
			j = s.compactJob(blocks)
		} else if s.unwritten() >= s.files.FlushBytes {
			j = s.writeJob(false)
		}
	}
	if j == nil {
		return nil
	}
	codec, err := s.newFormat()
	if err != nil {
		s.stop(err)
		return nil
	}
	j.files, j.codec = s.files, codec
	s.busy = j
	return j
}

// Finish takes a job back that was run. A failure stops the stream: what was not
// synced is presumed lost.
func (s *Stream) Finish(j *Job) {
	s.busy = nil
	if j.err != nil {
		s.stop(j.err)
		s.files.Logf("store: %s: stopped: %v", s.files.Dir, j.err)
		return
	}
	j.finish(j)
}

// Close closes what is open. What no checkpoint holds is in the log, if there is
// one. No job may be running.
func (s *Stream) Close() {
	if s.disk == nil {
		return
	}
	for _, b := range s.blocks {
		s.closeFiles(b)
	}
	s.stop(fs.ErrClosed)
}

// unwritten is about how many bytes wait in chunks that take no more records.
func (s *Stream) unwritten() int { return int(s.placed - s.flushed) }

// target is one file to write to, with what.
type target struct {
	b          *block
	id         uint32
	generation uint32
	off        int64
	items      []item
	index      []byte // columns, nil if they are not due
	covers     int
	place      place // of the columns
}

// item is one chunk to write.
type item struct {
	c     *chunk
	mem   []byte
	start uint32
	place place
}

// writeJob writes the chunks that take no more records, and with sync makes them
// and everything written before durable.
func (s *Stream) writeJob(sync bool) *Job {
	var targets []*target
	for _, b := range s.blocks {
		if t := s.targetOf(b, sync); t != nil {
			targets = append(targets, t)
		}
	}
	fresh := s.fresh
	s.flushed = s.placed
	return &Job{
		run: func(j *Job) error { return j.write(targets, sync, fresh) },
		finish: func(j *Job) {
			for _, t := range targets {
				s.written(t, sync)
			}
			s.fresh = s.fresh && !sync
		},
	}
}

// targetOf is what there is to do for a block, nil for nothing.
func (s *Stream) targetOf(b *block, sync bool) *target {
	t := &target{b: b, id: b.id, generation: b.generation, off: b.size}
	all := true
	for i, c := range b.chunks {
		switch {
		case c.place.written():
		case c.done || i+1 < len(b.chunks):
			c.done = true
			t.items = append(t.items, item{c: c, mem: c.mem, start: c.start})
		default:
			all = false
		}
	}
	if all && b.ix != nil && b.end > 0 && (b.indexDue || (sync && s.indexWanted(b))) {
		t.index = appendColumns(nil, b.ix)
		t.covers = len(b.chunks)
		b.indexDue = false
	}
	if len(t.items) == 0 && t.index == nil && !(sync && b.dirty) {
		return nil
	}
	if b.size == 0 {
		s.fresh = true
	}
	if s.plain() {
		b.size += t.room() // what is put directly meanwhile goes behind it
	}
	return t
}

// room is what the target takes in the file if chunks are written as they are.
func (t *target) room() (n int64) {
	for i := range t.items {
		n += place{stored: uint32(len(t.items[i].mem))}.room()
	}
	if t.index != nil {
		n += place{stored: uint32(len(t.index))}.room()
	}
	return n
}

// indexWanted tells whether enough came since a block's last columns: a restart
// reads what they do not cover.
func (s *Stream) indexWanted(b *block) bool {
	covered := 0
	if b.index.written() && b.indexed > 0 {
		c := b.chunks[b.indexed-1]
		covered = int(c.start + c.size)
	}
	since := int(b.end) - covered
	return since > 1<<20 || since > 64<<10 && since > covered/2
}

// write does a writeJob's work.
func (j *Job) write(targets []*target, sync, fresh bool) error {
	for _, t := range targets {
		if err := j.writeTarget(t, sync); err != nil {
			return err
		}
		fresh = fresh || t.off == 0
	}
	if sync && fresh {
		return j.files.FS.SyncDir(j.files.Dir)
	}
	return nil
}

func (j *Job) path(name string) string { return (&disk{files: j.files}).path(name) }

func (j *Job) writeTarget(t *target, sync bool) (err error) {
	name := j.path(blockName(t.id, t.generation))
	f, err := j.files.FS.Open(name, vfs.Write|vfs.Create|vfs.Direct)
	if err != nil {
		return fmt.Errorf("store: open %s: %w", name, err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := chunkWriter{f: f, codec: j.codec, at: address{t.id, t.generation, t.off}}
	for i := range t.items {
		it := &t.items[i]
		if it.place, err = w.add(kindRecords, it.mem, it.start); err != nil {
			return err
		}
	}
	if t.index != nil {
		if t.place, err = w.add(kindIndex, t.index, uint32(t.covers)); err != nil {
			return err
		}
	}
	if err = w.flush(); err == nil && sync {
		err = f.SyncData()
	}
	if err != nil {
		return fmt.Errorf("store: write %s: %w", name, err)
	}
	t.off = w.at.off
	return nil
}

// chunkWriter collects chunks and writes them in large aligned pieces.
type chunkWriter struct {
	f     vfs.File
	codec *format
	at    address // of the next chunk
	buf   []byte  // aligned; used part is what waits
	used  int
}

const writeBytes = 1 << 20

// add encodes a chunk behind what was added before and returns its place.
func (w *chunkWriter) add(kind uint8, raw []byte, start uint32) (place, error) {
	need := int(vfs.AlignUp(chunkHead + int64(len(raw)) + 64))
	if w.used+need > len(w.buf) {
		if err := w.flush(); err != nil {
			return place{}, err
		}
		if need > len(w.buf) {
			w.buf = vfs.Buffer(max(need, min(writeBytes, 4*need)))
		}
	}
	out, p, err := w.codec.appendChunk(w.buf[:w.used], kind, raw, start, w.at)
	if err != nil {
		return p, err
	}
	w.used = len(out)
	w.at.off += p.room()
	return p, nil
}

func (w *chunkWriter) flush() error {
	if w.used == 0 {
		return nil
	}
	_, err := w.f.WriteAt(w.buf[:w.used], w.at.off-int64(w.used))
	w.used = 0
	return err
}

// written takes note of what a writeJob did.
func (s *Stream) written(t *target, sync bool) {
	b := t.b
	for i := range t.items {
		it := &t.items[i]
		it.c.place = it.place
		if !b.gone {
			s.cached += len(it.c.mem)
		}
	}
	b.size = max(b.size, t.off)
	b.dirty = !sync
	s.hot(b)
	if t.index != nil {
		b.index, b.indexed = t.place, t.covers
	}
	if b.mapping != nil {
		b.mapping.Close()
		b.mapping = nil
	}
	if s.cached > s.files.CacheBytes {
		s.evict(nil)
	}
}

// remove deletes files that nothing refers to any more, or sets them aside.
func (j *Job) remove(list []garbage) error {
	for _, g := range list {
		name := j.path(g.name)
		if g.keep && !g.wipe {
			if _, err := j.files.setAside(g.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("store: quarantine %s: %w", name, err)
			}
			continue
		}
		if g.wipe {
			if err := wipe(j.files.FS, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("store: erase %s: %w", name, err)
			}
		}
		if err := j.files.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: remove %s: %w", name, err)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return j.files.FS.SyncDir(j.files.Dir)
}

// wipe overwrites a file.
func wipe(fsys vfs.FS, name string) (err error) {
	f, err := fsys.Open(name, vfs.Write)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(size, writeBytes))
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return f.Sync()
}
