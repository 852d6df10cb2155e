package vfs

import (
	"fmt"
	"slices"
)

// Corrupt changes the durable and visible bytes of a file behind everybody's
// back. edit gets the content, which it owns, and returns the new one. Unsynced
// changes of the file become durable first.
func (m *Mem) Corrupt(name string, edit func(content []byte) []byte) error {
	err := m.enter("corrupt", name)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n := m.find(name)
	if n == nil || n.dir {
		return fmt.Errorf("vfs: corrupt %s: no such file", name)
	}
	n.pending = nil
	n.data = edit(slices.Clone(n.data))
	n.durable = slices.Clone(n.data)
	return nil
}

// FlipBit inverts one bit of a file; bit counts from the file's first.
func (m *Mem) FlipBit(name string, bit int64) error {
	return m.Corrupt(name, func(b []byte) []byte {
		b[bit/8] ^= 1 << (bit % 8)
		return b
	})
}

// Cut shortens a file.
func (m *Mem) Cut(name string, size int64) error {
	return m.Corrupt(name, func(b []byte) []byte { return b[:size] })
}

// CopyBlock puts n bytes of an older disk's file source.Name at source.Off over
// m's target: the same place is a stale block, another a misdirected write. old
// may be m itself.
func (m *Mem) CopyBlock(old *Mem, source, target Place, n int) error {
	old.mu.Lock()
	from := old.find(source.Name)
	if from == nil || source.Off+int64(n) > int64(len(from.data)) {
		old.mu.Unlock()
		return fmt.Errorf("vfs: corrupt %s: no such block", source.Name)
	}
	block := slices.Clone(from.data[source.Off : source.Off+int64(n)])
	old.mu.Unlock()
	return m.Corrupt(target.Name, func(b []byte) []byte {
		copy(b[target.Off:], block)
		return b
	})
}

// Place is a byte of a file.
type Place struct {
	Name string
	Off  int64
}
