package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"syscall"
)

// memFile is an open file of a Mem.
type memFile struct {
	fs     *Mem
	node   *node
	name   string
	flag   Flag
	closed bool // guarded by fs.mu
}

// enter locks the file system; the caller unlocks it in any case.
func (f *memFile) enter(op string) error {
	f.fs.mu.Lock()
	if f.fs.crashed {
		return fmt.Errorf("vfs: %s %s: %w", op, f.name, ErrCrashed)
	}
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

// enterWrite is enter for calls that change the file.
func (f *memFile) enterWrite(op string) error {
	err := f.enter(op)
	if err == nil && !f.flag.writes() {
		err = pathError(op, f.name, syscall.EBADF)
	}
	return err
}

func (f *memFile) Name() string { return f.name }
func (f *memFile) Direct() bool { return f.flag&Direct != 0 }

func (f *memFile) Close() error {
	err := f.enter("close")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	f.closed = true
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.enter("read")
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if f.Direct() {
		if err := checkAligned("read", f.name, p, off); err != nil {
			return 0, err
		}
	}
	if off < 0 {
		return 0, pathError("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.node.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.enterWrite("write")
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.write(p, off)
}

// write records and applies a write; fs.mu is held.
func (f *memFile) write(p []byte, off int64) (int, error) {
	if f.Direct() {
		if err := checkAligned("write", f.name, p, off); err != nil {
			return 0, err
		}
	}
	if off < 0 {
		return 0, pathError("write", f.name, syscall.EINVAL)
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.node.record(fileChange{data: slices.Clone(p), off: off})
	return len(p), nil
}

func (f *memFile) WriteSync(p []byte, off int64) error {
	err := f.enterWrite("write")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := f.write(p, off); err != nil {
		return err
	}
	f.node.sync()
	return nil
}

func (f *memFile) SyncData() error { return f.Sync() }

func (f *memFile) Sync() error {
	err := f.enter("sync")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	f.node.sync()
	return nil
}

func (f *memFile) Allocate(off, n int64) error {
	err := f.enterWrite("allocate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return pathError("allocate", f.name, syscall.EINVAL)
	}
	if end := off + n; end > int64(len(f.node.data)) {
		f.node.record(fileChange{size: end})
	}
	return nil
}

func (f *memFile) Truncate(size int64) error {
	err := f.enterWrite("truncate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, syscall.EINVAL)
	}
	f.node.record(fileChange{size: size})
	return nil
}

func (f *memFile) Size() (int64, error) {
	err := f.enter("size")
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), err
}

// Map copies: what it returns does not change if the file does.
func (f *memFile) Map(size int64) (Mapping, error) {
	err := f.enter("map")
	defer f.fs.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if size < 0 || size > int64(len(f.node.data)) {
		return nil, fmt.Errorf("vfs: map %s: %d of %d bytes: %w", f.name, size, len(f.node.data), ErrFault)
	}
	return bytesMapping{b: slices.Clone(f.node.data[:size])}, nil
}

// record applies a change and remembers it until the next sync.
func (n *node) record(c fileChange) {
	n.data = c.apply(n.data)
	n.pending = append(n.pending, c)
}

// apply returns b after the change.
func (c fileChange) apply(b []byte) []byte {
	if c.data == nil {
		return resize(b, c.size)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, size int64) []byte {
	have := int64(len(b))
	if size <= have {
		return b[:size]
	}
	if size > int64(cap(b)) {
		b = slices.Grow(b, int(size-have))
	}
	b = b[:size]
	clear(b[have:])
	return b
}

// sync makes pending changes durable, except those a failed sync lost: what a
// later change does not overwrite of them stays pending.
func (n *node) sync() {
	var kept []fileChange
	for _, c := range n.pending {
		if c.lost {
			kept = append(kept, c)
			continue
		}
		n.durable = c.apply(n.durable)
		if len(kept) > 0 {
			kept = c.overwrite(kept)
		}
	}
	n.pending = kept
}

// overwrite returns what is left of older changes after c.
func (c fileChange) overwrite(older []fileChange) (left []fileChange) {
	from, to := c.off, c.off+int64(len(c.data))
	if c.data == nil {
		from, to = c.size, math.MaxInt64 // what was beyond the new length is gone
	}
	for _, o := range older {
		end := o.off + int64(len(o.data))
		switch {
		case o.data == nil:
			if c.data != nil {
				left = append(left, o)
			}
		case end <= from || o.off >= to:
			left = append(left, o)
		default:
			if o.off < from {
				left = append(left, fileChange{data: o.data[:from-o.off], off: o.off, lost: true})
			}
			if end > to {
				left = append(left, fileChange{data: o.data[to-o.off:], off: to, lost: true})
			}
		}
	}
	return left
}
