package vfs

import (
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// diskFile is an open file of a Disk.
type diskFile struct {
	*os.File
	disk    *Disk
	name    string
	fd      int         // of File, for calls that os.File lacks
	aligned bool        // opened with Direct: transfers must be aligned
	direct  atomic.Bool // the page cache is bypassed
	closed  atomic.Bool // fd may be another file by now
}

func newDiskFile(d *Disk, name string, f *os.File, aligned, direct bool) *diskFile {
	file := &diskFile{File: f, disk: d, name: name, fd: int(f.Fd()), aligned: aligned}
	file.direct.Store(direct)
	return file
}

// Name implements File.
func (f *diskFile) Name() string { return f.name }

// Close implements File.
func (f *diskFile) Close() error {
	f.closed.Store(true)
	return wrap(f.File.Close())
}

// Direct implements File.
func (f *diskFile) Direct() bool { return f.direct.Load() }

// ReadAt implements File.
func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if f.aligned {
		if err := checkAligned("read", f.name, p, off); err != nil {
			return 0, err
		}
	}
	n, err := f.File.ReadAt(p, off)
	if f.refused(err) {
		n, err = f.File.ReadAt(p, off)
	}
	return n, err // io.EOF must stay itself
}

// WriteAt implements File.
func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if f.aligned {
		if err := checkAligned("write", f.name, p, off); err != nil {
			return 0, err
		}
	}
	n, err := f.File.WriteAt(p, off)
	if f.refused(err) {
		n, err = f.File.WriteAt(p, off)
	}
	return n, wrap(err)
}

// refused handles file systems that grant direct I/O at open and refuse the
// transfer: the file becomes buffered and the caller tries once more. An
// aligned transfer has no other reason for EINVAL.
func (f *diskFile) refused(err error) bool {
	if err == nil || !refusesDirect(err) || !f.direct.Load() {
		return false
	}
	if clearDirect(f.fd) != nil {
		return false
	}
	f.direct.Store(false)
	f.disk.logRefusal(f.File.Name())
	return true
}

// WriteSync implements File.
func (f *diskFile) WriteSync(p []byte, off int64) error {
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	return f.SyncData()
}

// SyncData implements File.
func (f *diskFile) SyncData() error { return f.callSync("fdatasync", fdatasync) }

// Sync implements File.
func (f *diskFile) Sync() error { return wrap(f.File.Sync()) }

func (f *diskFile) callSync(op string, call func(fd int) error) error {
	if f.closed.Load() {
		return fmt.Errorf("vfs: %s %s: %w", op, f.name, fs.ErrClosed)
	}
	for {
		err := call(f.fd)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("vfs: %s %s: %w", op, f.name, err)
		}
		return nil
	}
}

// Truncate implements File.
func (f *diskFile) Truncate(size int64) error { return wrap(f.File.Truncate(size)) }

// Allocate implements File.
func (f *diskFile) Allocate(off, n int64) error {
	if f.closed.Load() {
		return fmt.Errorf("vfs: allocate %s: %w", f.name, fs.ErrClosed)
	}
	err := allocate(f.fd, off, n)
	if err == nil {
		return nil
	}
	if !cannotAllocate(err) {
		return fmt.Errorf("vfs: allocate %s: %w", f.name, err)
	}
	size, err := f.Size()
	if err != nil || size >= off+n {
		return err
	}
	return f.Truncate(off + n)
}

// Size implements File.
func (f *diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, wrap(err)
	}
	return info.Size(), nil
}

// Map implements File.
func (f *diskFile) Map(size int64) (Mapping, error) {
	if size == 0 {
		return bytesMapping{}, nil
	}
	have, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < 0 || size > have {
		return nil, fmt.Errorf("vfs: map %s: %d of %d bytes: %w", f.name, size, have, ErrFault)
	}
	b, err := mapFile(f.fd, size)
	if err != nil {
		return nil, fmt.Errorf("vfs: map %s: %w", f.name, err)
	}
	return &diskMapping{b: b}, nil
}

// diskMapping is memory mapped from a file.
type diskMapping struct{ b []byte }

func (m *diskMapping) Bytes() []byte { return m.b }

func (m *diskMapping) Close() error {
	b := m.b
	m.b = nil
	if b == nil {
		return nil
	}
	return wrap(unmap(b))
}

// bytesMapping is a mapping that needs no unmapping.
type bytesMapping struct{ b []byte }

func (m bytesMapping) Bytes() []byte { return m.b }
func (m bytesMapping) Close() error  { return nil }
