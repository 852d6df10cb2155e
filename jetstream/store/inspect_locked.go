package store

import (
	"io"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

// lockedBlock walks the chunks of a block's file by their heads alone. Without
// the state nobody knows where it should end, so what is behind the last good
// chunk is only noted.
func (in *inspection) lockedBlock(full string, size int64) error {
	f, err := in.files.FS.Open(full, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	bad := int64(-1)
	for off := int64(0); off < size; {
		room, ok, err := lockedChunk(f, off, size)
		if err != nil {
			return err
		}
		in.read(room)
		switch {
		case ok && bad >= 0:
			in.find(Damage, full, bad, "chunk is not valid, and there are good ones behind it")
			bad = -1
		case !ok && bad < 0:
			bad = off
		}
		off += room
	}
	if bad >= 0 {
		in.find(Note, full, bad, "no valid chunk from here on: begun after the last checkpoint, or damaged")
	}
	return nil
}

// lockedChunk checks the sum of the chunk at off and returns its room, one block
// if there is none.
func lockedChunk(f io.ReaderAt, off, size int64) (room int64, ok bool, err error) {
	var head [chunkHead]byte
	if n, err := f.ReadAt(head[:], off); n < len(head) {
		return vfs.BlockSize, false, hideEOF(err)
	}
	p := place{off: off, stored: little.Uint32(head[8:])}
	if little.Uint32(head[:]) != magicChunk || head[4] != chunkVersion || off+chunkHead+int64(p.stored) > size {
		return vfs.BlockSize, false, nil
	}
	sum := xxhash.New()
	n, err := io.Copy(sum, io.NewSectionReader(f, off+chunkHead, int64(p.stored)))
	if err != nil {
		return vfs.BlockSize, false, err
	}
	if n < int64(p.stored) || sum.Sum64() != little.Uint64(head[48:]) {
		return vfs.BlockSize, false, nil
	}
	return p.room(), true, nil
}

func hideEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
