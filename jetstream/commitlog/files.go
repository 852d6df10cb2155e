package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"peregrine/vfs"
)

// Names in the log's directory.
const (
	metaName      = "meta"
	lockName      = "LOCK"
	quarantineDir = "quarantine"
	segmentPrefix = "seg-"
	segmentSuffix = ".log"
	freshSuffix   = ".new" // being made: no owner will miss it
)

const fileFlags = vfs.Write | vfs.Direct

// prewriteBytes is written at a time when a new segment is filled.
const prewriteBytes = 1 << 20

// files is the log's directory. It belongs to whoever prepares segments; Open
// and Close use it while nobody else does.
type files struct {
	fs       vfs.FS
	dir      string
	meta     metadata // as it is on disk
	metaFile vfs.File
	block    []byte // scratch of two blocks
	zeros    []byte // scratch of prewriteBytes, made when needed
	hurry    atomic.Bool
}

func (f *files) path(name string) string { return path.Join(f.dir, name) }

func segmentName(slot uint64) string {
	return fmt.Sprintf("%s%06d%s", segmentPrefix, slot, segmentSuffix)
}

// slotOf reads a name made by segmentName.
func slotOf(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, segmentSuffix); !ok {
		return 0, false
	}
	slot, err := strconv.ParseUint(digits, 10, 48)
	return slot, err == nil && slot > 0 && segmentName(slot) == name
}

// writeMeta makes m durable in both copies, one after the other, so that at
// least one is whole at any time.
func (f *files) writeMeta(m metadata) error {
	m.generation = f.meta.generation + 1
	for i := range 2 {
		putMeta(f.block, m, i)
		if err := f.writeBlock(f.metaFile, i); err != nil {
			return fmt.Errorf("commitlog: write metadata: %w", err)
		}
	}
	f.meta = m
	return nil
}

// writeBlock writes the scratch block as copy i of a header or of the metadata
// and reads it back: one that went elsewhere would mislead every later opening.
func (f *files) writeBlock(file vfs.File, i int) error {
	off := int64(i) * vfs.BlockSize
	if err := file.WriteSync(f.block[:vfs.BlockSize], off); err != nil {
		return err
	}
	back := f.block[vfs.BlockSize:]
	if _, err := file.ReadAt(back, off); err != nil {
		return err
	}
	if !bytes.Equal(back, f.block[:vfs.BlockSize]) {
		return fmt.Errorf("%s: block at %d reads back as another: %w", file.Name(), off, ErrCorrupt)
	}
	return nil
}

// setFirst makes it durable that no segment before first holds records, before
// such a segment's file changes.
func (f *files) setFirst(first uint64) error {
	if f.meta.first == first {
		return nil
	}
	m := f.meta
	m.first = first
	return f.writeMeta(m)
}

// run does a task and returns the segment that is ready.
func (f *files) run(t task, log uint64) (*segment, error) {
	if err := f.setFirst(t.first); err != nil {
		return nil, &metaError{err}
	}
	switch t.kind {
	case taskRemove:
		return nil, f.remove(t.segment)
	case taskQuarantine:
		return nil, f.quarantine(t.segment.name, t.segment.file, t.segment.number)
	}
	s, err := f.segmentFile(t, log)
	if err != nil {
		return nil, fmt.Errorf("commitlog: prepare segment %d: %w", t.number, err)
	}
	m := f.meta
	m.last = t.number
	if err := f.writeMeta(m); err != nil {
		return nil, &metaError{err}
	}
	return s, nil
}

// metaError is a failure that even a full disk does not excuse: to write metadata,
// whose file is as large as it will ever be, or half of a change of names.
type metaError struct{ error }

func (e *metaError) Unwrap() error { return e.error }

// segmentFile makes the file of a taskMake.
func (f *files) segmentFile(t task, log uint64) (*segment, error) {
	s := &segment{number: t.number, bind: binding(log, t.number), next: segmentHead, size: t.size, made: t.made}
	h := segmentHeader{log: log, number: t.number, size: t.size, made: t.made}
	if old := t.segment; old != nil {
		s.slot, s.name, s.file = old.slot, old.name, old.file
		s.size = max(old.size, t.size)
		h.slot, h.size = s.slot, s.size
		return s, f.recycle(s, h, old.size)
	}
	s.slot, s.name = t.slot, segmentName(t.slot)
	h.slot = t.slot
	var err error
	s.file, err = f.create(s, h)
	return s, err
}

// recycle gives an existing file a new identity. Its copies of the header change
// one after the other; the first sync also covers a larger size.
func (f *files) recycle(s *segment, h segmentHeader, size int64) error {
	if s.size > size {
		if err := s.file.Allocate(0, s.size); err != nil {
			return err
		}
		if err := f.prewrite(s.file, size, s.size); err != nil {
			return err
		}
	}
	for i := range 2 {
		putSegmentHead(f.block, h, i)
		if err := f.writeBlock(s.file, i); err != nil {
			return err
		}
	}
	return nil
}

// create makes a file under another name, so that a file with the right name is
// always complete.
func (f *files) create(s *segment, h segmentHeader) (vfs.File, error) {
	fresh := f.path(s.name + freshSuffix)
	if err := f.fs.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := f.fs.Open(fresh, fileFlags|vfs.Create|vfs.Exclusive)
	if err != nil {
		return nil, err
	}
	if err := f.fill(file, h); err != nil {
		file.Close()
		f.fs.Remove(fresh) // gives the room back; if it fails the next attempt does it
		return nil, err
	}
	err = f.fs.Rename(fresh, f.path(s.name))
	if err == nil {
		err = f.fs.SyncDir(f.dir)
	}
	if err != nil {
		file.Close()
		f.fs.Remove(f.path(s.name)) // its name may never be durable: nobody must find it
		return nil, err
	}
	return file, nil
}

// fill allocates, pre-writes and heads a new file.
func (f *files) fill(file vfs.File, h segmentHeader) error {
	if err := file.Allocate(0, h.size); err != nil {
		return err
	}
	putSegmentHead(f.block, h, 0)
	putSegmentHead(f.block[vfs.BlockSize:], h, 1)
	if _, err := file.WriteAt(f.block, 0); err != nil {
		return err
	}
	if err := f.prewrite(file, segmentHead, h.size); err != nil {
		return err
	}
	return file.Sync()
}

// prewrite fills a range with zeros, so that later writes change no metadata of
// the file system. It stops early when somebody waits for the segment.
func (f *files) prewrite(file vfs.File, from, to int64) error {
	if size := min(to-from, prewriteBytes); int64(len(f.zeros)) < size {
		f.zeros = vfs.Buffer(int(size))
	}
	for from < to && !f.hurry.Load() {
		n := min(to-from, int64(len(f.zeros)))
		if _, err := file.WriteAt(f.zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// remove deletes a free segment. One that a crash brings back is free again.
func (f *files) remove(s *segment) error {
	if err := f.fs.Remove(f.path(s.name)); err != nil {
		return err
	}
	s.file.Close() // nothing of it is needed, and it must not be used again
	return nil
}

// quarantine moves a file out of the way, for somebody to look at, and closes it
// then.
func (f *files) quarantine(name string, file vfs.File, number uint64) error {
	dir := f.path(quarantineDir)
	if err := f.fs.MkdirAll(dir); err != nil {
		return err
	}
	if err := f.fs.SyncDir(f.dir); err != nil {
		return err
	}
	for i := 0; ; i++ {
		target := path.Join(dir, fmt.Sprintf("%s.%d.%d", name, number, i))
		if _, err := f.fs.Stat(target); err == nil {
			continue // never replace evidence
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := f.fs.Rename(f.path(name), target); err != nil {
			return err
		}
		file.Close()
		if err := f.fs.SyncDir(dir); err != nil {
			return &metaError{err} // the file has moved: it must not be used again
		}
		return nil
	}
}

// readBlocks reads two blocks from the start of a file; what is beyond its end
// reads as zero.
func (f *files) readBlocks(file vfs.File) error {
	clear(f.block)
	n, err := file.ReadAt(f.block, 0)
	if err == io.EOF {
		clear(f.block[n:])
		return nil
	}
	return err
}
