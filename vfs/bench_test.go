package vfs

import (
	"fmt"
	"testing"
)

// BenchmarkWriteSync is one aligned write with its sync on a pre-written file: the
// floor of everything that must be on disk.
func BenchmarkWriteSync(b *testing.B) {
	for _, size := range []int{BlockSize, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			d, err := OpenDisk(b.TempDir(), DiskOptions{})
			must(b, err)
			f, err := d.Open("a", Create|Direct)
			must(b, err)
			defer f.Close()
			p := Buffer(size)
			const room = 16 << 20
			for off := 0; off < room; off += size {
				_, err := f.WriteAt(p, int64(off))
				must(b, err)
			}
			must(b, f.Sync())
			b.SetBytes(int64(size))
			for off := 0; b.Loop(); off = (off + size) % room {
				must(b, f.WriteSync(p, int64(off)))
			}
		})
	}
}
