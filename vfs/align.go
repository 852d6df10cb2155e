package vfs

import (
	"fmt"
	"strings"
	"unsafe"
)

// Buffer returns n zeroed bytes at an address fit for direct I/O. n need not be
// a multiple of BlockSize.
func Buffer(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (BlockSize - 1))
	return b[skip : skip+n : skip+n]
}

// DirtyBuffer is Buffer with bytes of any value, for a caller who writes all of
// them: to clear large buffers takes a good part of the time to fill them.
func DirtyBuffer(n int) []byte {
	var s strings.Builder // whose memory is not cleared
	s.Grow(n + BlockSize)
	s.WriteByte(0)
	b := unsafe.Slice(unsafe.StringData(s.String()), n+BlockSize)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (BlockSize - 1))
	return b[skip : skip+n : skip+n]
}

// AlignUp rounds n up to a multiple of BlockSize.
func AlignUp(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

// AlignDown rounds n down to a multiple of BlockSize.
func AlignDown(n int64) int64 { return n &^ (BlockSize - 1) }

// checkAligned returns ErrUnaligned unless p and off suit direct I/O.
func checkAligned(op, name string, p []byte, off int64) error {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	if len(p) == 0 || (uint64(address)|uint64(len(p))|uint64(off))&(BlockSize-1) == 0 {
		return nil
	}
	return fmt.Errorf("vfs: %s %s at %d, %d bytes: %w", op, name, off, len(p), ErrUnaligned)
}
