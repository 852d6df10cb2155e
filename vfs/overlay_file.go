package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// overlayFile is an open file of an Overlay.
type overlayFile struct {
	fs     *Overlay
	node   *layered
	name   string
	flag   Flag
	closed bool // guarded by fs.mu
}

// enter locks the file system; the caller unlocks it in any case.
func (f *overlayFile) enter(op string) error {
	f.fs.mu.Lock()
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

// enterWrite is enter for calls that change the file.
func (f *overlayFile) enterWrite(op string) error {
	err := f.enter(op)
	if err == nil && !f.flag.writes() {
		err = pathError(op, f.name, syscall.EBADF)
	}
	return err
}

func (f *overlayFile) Name() string { return f.name }
func (f *overlayFile) Direct() bool { return f.flag&Direct != 0 }

func (f *overlayFile) Close() error {
	err := f.enter("close")
	defer f.fs.mu.Unlock()
	f.closed = true
	return err
}

func (f *overlayFile) ReadAt(p []byte, off int64) (int, error) {
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
	n := int(min(int64(len(p)), max(f.node.size-off, 0)))
	if err := f.fs.read(f.node, p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read fills p, which is within the file; o.mu is held.
func (o *Overlay) read(n *layered, p []byte, off int64) error {
	if shown := min(int64(len(p)), max(n.through-off, 0)); shown > 0 {
		if err := o.readBelow(n, p[:shown], off); err != nil {
			return err
		}
		clear(p[shown:])
	} else {
		clear(p)
	}
	if len(n.blocks) == 0 {
		return nil
	}
	for at := off; at < off+int64(len(p)); at = AlignDown(at) + BlockSize {
		if b := n.blocks[at/BlockSize]; b != nil {
			copy(p[at-off:], b[at%BlockSize:])
		}
	}
	return nil
}

func (f *overlayFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.enterWrite("write")
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if f.Direct() {
		if err := checkAligned("write", f.name, p, off); err != nil {
			return 0, err
		}
	}
	if off < 0 {
		return 0, pathError("write", f.name, syscall.EINVAL)
	}
	return f.fs.write(f.node, p, off)
}

// write puts p into blocks of its own; o.mu is held.
func (o *Overlay) write(n *layered, p []byte, off int64) (done int, err error) {
	for done < len(p) {
		at := off + int64(done)
		b, err := o.block(n, at/BlockSize)
		if err != nil {
			return done, err
		}
		done += copy(b[at%BlockSize:], p[done:])
		n.size = max(n.size, off+int64(done))
	}
	return done, nil
}

// block is a block of the file to be changed.
func (o *Overlay) block(n *layered, number int64) ([]byte, error) {
	if b := n.blocks[number]; b != nil {
		return b, nil
	}
	b := make([]byte, BlockSize)
	from := number * BlockSize
	if shown := min(BlockSize, n.through-from); shown > 0 {
		if err := o.readBelow(n, b[:shown], from); err != nil {
			return nil, err
		}
	}
	if n.blocks == nil {
		n.blocks = map[int64][]byte{}
	}
	n.blocks[number] = b
	return b, nil
}

func (f *overlayFile) WriteSync(p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	return err
}

func (f *overlayFile) SyncData() error { return f.Sync() }

func (f *overlayFile) Sync() error {
	err := f.enter("sync")
	defer f.fs.mu.Unlock()
	return err
}

func (f *overlayFile) Allocate(off, n int64) error {
	err := f.enterWrite("allocate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return pathError("allocate", f.name, syscall.EINVAL)
	}
	f.node.size = max(f.node.size, off+n)
	return nil
}

func (f *overlayFile) Truncate(size int64) error {
	err := f.enterWrite("truncate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, syscall.EINVAL)
	}
	n := f.node
	n.size = size
	n.through = min(n.through, size)
	for i, b := range n.blocks {
		switch from := i * BlockSize; {
		case from >= size:
			delete(n.blocks, i)
		case from+BlockSize > size:
			clear(b[size-from:])
		}
	}
	return nil
}

func (f *overlayFile) Size() (int64, error) {
	err := f.enter("size")
	defer f.fs.mu.Unlock()
	return f.node.size, err
}

// Map copies: what it returns does not change if the file does.
func (f *overlayFile) Map(size int64) (Mapping, error) {
	err := f.enter("map")
	defer f.fs.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if size < 0 || size > f.node.size {
		return nil, fmt.Errorf("vfs: map %s: %d of %d bytes: %w", f.name, size, f.node.size, ErrFault)
	}
	b := make([]byte, size)
	if err := f.fs.read(f.node, b, 0); err != nil {
		return nil, err
	}
	return bytesMapping{b: b}, nil
}
