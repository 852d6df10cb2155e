package store

import (
	"encoding/binary"
	"unsafe"
)

// appendColumns encodes a block's columns.
//
// Shape, little-endian: slots u32 | names u32 | bytes of names u32 | offsets u32
// each | subjects u32 each | back u32 each | ends of names u32 each | names.
func appendColumns(dst []byte, ix *columns) []byte {
	bytes := 0
	for _, name := range ix.names {
		bytes += len(name)
	}
	dst = little.AppendUint32(dst, uint32(len(ix.offset)))
	dst = little.AppendUint32(dst, uint32(len(ix.names)))
	dst = little.AppendUint32(dst, uint32(bytes))
	for _, column := range [][]uint32{ix.offset, ix.subject, ix.back} {
		for _, v := range column {
			dst = little.AppendUint32(dst, v)
		}
	}
	end := uint32(0)
	for _, name := range ix.names {
		end += uint32(len(name))
		dst = little.AppendUint32(dst, end)
	}
	for _, name := range ix.names {
		dst = append(dst, name...)
	}
	return dst
}

// columnsOf decodes b, which belongs to the columns from now on. Every number in
// it is checked, so that whatever follows is within bounds.
func columnsOf(b []byte) (*columns, error) {
	if len(b) < 12 {
		return nil, ErrCorrupt
	}
	slots, names, bytes := uint64(little.Uint32(b)), uint64(little.Uint32(b[4:])), uint64(little.Uint32(b[8:]))
	if uint64(len(b)) != 12+12*slots+4*names+bytes {
		return nil, ErrCorrupt
	}
	b = b[12:]
	all := numbersOf(b[:12*slots])
	ix := &columns{offset: all[:slots:slots], subject: all[slots : 2*slots : 2*slots], back: all[2*slots:]}
	b = b[12*slots:]
	text := b[4*names:]
	ix.names = make([]string, names)
	ends := numbersOf(b[:4*names])
	from := uint32(0)
	for i := range ix.names {
		end := ends[i]
		if end < from || uint64(end) > bytes {
			return nil, ErrCorrupt
		}
		ix.names[i] = unsafe.String(unsafe.SliceData(text[from:end]), int(end-from))
		from = end
	}
	if uint64(from) != bytes {
		return nil, ErrCorrupt
	}
	before := uint32(0)
	for i, offset := range ix.offset {
		word := ix.subject[i]
		if offset < before || (word&slotAbsent == 0 && uint64(word&slotName) >= names) {
			return nil, ErrCorrupt
		}
		before = offset
	}
	return ix, nil
}

// numbersOf are the u32 in b, which belongs to them from now on where the machine
// writes numbers as the format does.
func numbersOf(b []byte) []uint32 {
	n := len(b) / 4
	if p := unsafe.SliceData(b); n > 0 && nativeLittle && uintptr(unsafe.Pointer(p))%4 == 0 {
		return unsafe.Slice((*uint32)(unsafe.Pointer(p)), n)[:n:n]
	}
	all := make([]uint32, n)
	for i := range all {
		all[i] = little.Uint32(b[4*i:])
	}
	return all
}

// nativeLittle tells whether the machine writes the low byte first.
var nativeLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
