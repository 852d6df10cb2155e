package vfs

import (
	"testing"
	"unsafe"
)

// Buffers are aligned and of the length asked for, and can be written whole.
func TestBuffers(t *testing.T) {
	for _, n := range []int{0, 1, BlockSize, 100_000, 1<<20 + 1} {
		for name, make := range map[string]func(int) []byte{"clear": Buffer, "dirty": DirtyBuffer} {
			b := make(n)
			if len(b) != n || cap(b) != n || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockSize != 0 {
				t.Fatalf("%s: %d bytes of %d at %p", name, len(b), n, unsafe.SliceData(b))
			}
			for i := range b {
				b[i] = 0xff
			}
		}
	}
}
