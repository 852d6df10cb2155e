package commitlog

import (
	"path"

	"peregrine/vfs"
)

// SegmentNumber is the number of the segment that a file is, as a valid copy of
// its header says, for tools; false if it is none.
func SegmentNumber(fsys vfs.FS, name string) (number uint64, ok bool) {
	slot, ok := slotOf(path.Base(name))
	if !ok {
		return 0, false
	}
	f, err := fsys.Open(name, 0)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	block := make([]byte, vfs.BlockSize)
	for i := range 2 {
		if n, _ := f.ReadAt(block, int64(i)*vfs.BlockSize); n < len(block) {
			break
		}
		if h, ok := segmentHeadOf(block, i); ok && h.slot == slot {
			number = max(number, h.number)
		}
	}
	return number, number > 0
}
