package codec

import (
	"encoding/binary"
	"math/bits"
)

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// tokenEnd returns the index of the first byte ≤ ' ' in b at or after i, or
// len(b). Eight bytes a step: a byte below 0x21 borrows into its high bit, and
// the lowest such bit is exact (a false one can only follow a true one).
func tokenEnd(b []byte, i int) int {
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := (w - 0x21*everyByte) &^ w & highBits; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] > ' ' {
		i++
	}
	return i
}

// sizeDigitsMax bounds every number of the protocol: 999,999,999.
const sizeDigitsMax = 9

// parseSize reads 1 to 9 decimal digits, leading zeros allowed; anything else
// is -1.
func parseSize(tok []byte) int {
	if len(tok) == 0 || len(tok) > sizeDigitsMax {
		return -1
	}
	n := 0
	for _, c := range tok {
		d := c - '0'
		if d > 9 {
			return -1
		}
		n = n*10 + int(d)
	}
	return n
}

// isBlank reports the bytes that part a verb from its arguments, and the
// arguments of PUB and HPUB from one another.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// span is a piece of the bytes given to Next: [lo,hi). No span in use is
// empty, so hi == 0 stands for absent.
type span struct{ lo, hi int32 }

func (s span) of(b []byte) []byte {
	if s.hi == 0 {
		return nil
	}
	return b[s.lo:s.hi]
}

// tokensMax is one more than any verb takes, to tell "too many".
const tokensMax = 6

// split finds the tokens of b[a.lo:a.hi]. Blanks part them; so do CR and LF
// when crlf is set. It returns how many there are, of which only the first
// tokensMax are stored.
func split(b []byte, a span, crlf bool, toks *[tokensMax]span) int {
	n, start := 0, int32(-1)
	for i := a.lo; i <= a.hi; i++ {
		if i < a.hi {
			if c := b[i]; !isBlank(c) && !(crlf && (c == '\r' || c == '\n')) {
				if start < 0 {
					start = i
				}
				continue
			}
		}
		if start >= 0 {
			if n < tokensMax {
				toks[n] = span{start, i}
			}
			n, start = n+1, -1
		}
	}
	return n
}
