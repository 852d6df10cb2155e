package seqset

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrInvalid is an encoding that Append does not write.
var ErrInvalid = errors.New("seqset: invalid encoding")

const version = 1

// Append appends the set's encoding to dst and returns the extended slice.
func (s *Set) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(s.parts))
	end := uint64(0)
	for _, ranges := range s.pages {
		for _, r := range ranges {
			dst = binary.AppendUvarint(dst, r.First-end)
			dst = binary.AppendUvarint(dst, r.Last-r.First)
			end = r.Last
		}
	}
	return dst
}

// Decode reads an encoding at the beginning of b, which is borrowed, and returns
// what follows it. Errors: ErrInvalid.
func Decode(b []byte) (s Set, rest []byte, err error) {
	if len(b) == 0 || b[0] != version {
		return Set{}, nil, ErrInvalid
	}
	b = b[1:]
	parts, b, ok := uvarint(b)
	if !ok || parts > uint64(len(b)/2) {
		return Set{}, nil, ErrInvalid
	}
	end := uint64(0)
	for n := range parts {
		var gap, more uint64
		if gap, b, ok = uvarint(b); !ok {
			return Set{}, nil, ErrInvalid
		}
		if more, b, ok = uvarint(b); !ok {
			return Set{}, nil, ErrInvalid
		}
		if (n > 0 && gap < 2) || gap >= math.MaxUint64-end || more >= math.MaxUint64-end-gap {
			return Set{}, nil, ErrInvalid
		}
		r := Range{First: end + gap, Last: end + gap + more}
		s.put(len(s.pages), 0, r)
		end = r.Last
	}
	return s, b, nil
}

// uvarint reads a number in its shortest form.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || (n > 1 && b[n-1] == 0) {
		return 0, nil, false
	}
	return v, b[n:], true
}
