package codec

import (
	"bytes"
	"errors"
)

// A header block is the part of a payload that HeaderLen counts:
//
//	NATS/1.0[ code[ description]]\r\n
//	Key: value\r\n          any number of times
//	\r\n
//
// Keys are compared byte by byte. The reading functions take whatever a client
// sent and find nothing where nothing can be found; HeaderCheck tells whether a
// block is well formed.

const (
	headerMagic = "NATS/1.0"
	// HeaderEmpty is the smallest block.
	HeaderEmpty = "NATS/1.0\r\n\r\n"
)

var crlfBytes = []byte(crlf)

// HeaderStatus returns code and description of a status block such as
// "NATS/1.0 503\r\n\r\n", borrowed from hdr. Both are nil without a code of
// three bytes at least.
func HeaderStatus(hdr []byte) (code, description []byte) {
	end := bytes.Index(hdr, crlfBytes)
	if end < len(headerMagic) || string(hdr[:len(headerMagic)]) != headerMagic {
		return nil, nil
	}
	rest := trimBlanks(hdr[len(headerMagic):end])
	if len(rest) < 3 {
		return nil, nil
	}
	if len(rest) == 3 {
		return rest, nil
	}
	return rest[:3], trimBlanks(rest[3:])
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// HeaderGet returns the value of the first line with key, borrowed from hdr:
// blanks before it are not part of it, blanks behind it are. nil means that
// there is no such line; an empty value is not nil.
func HeaderGet(hdr []byte, key string) []byte {
	at := headerFind(hdr, key, 0)
	if at < 0 {
		return nil
	}
	return headerValue(hdr[at+len(key)+1:])
}

// headerValue takes the value that starts rest, up to CRLF or the end.
func headerValue(rest []byte) []byte {
	if end := bytes.Index(rest, crlfBytes); end >= 0 {
		rest = rest[:end]
	}
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return rest
}

// headerFind returns where the first line "key:" at or after from begins, or
// -1. A line begins behind CRLF, so the status line is none.
func headerFind(hdr []byte, key string, from int) int {
	for at := max(0, from-len(crlf)); ; {
		i := bytes.Index(hdr[at:], crlfBytes)
		if i < 0 {
			return -1
		}
		at += i + len(crlf)
		end := at + len(key)
		if end >= len(hdr) {
			return -1
		}
		if hdr[end] == ':' && string(hdr[at:end]) == key {
			return at
		}
	}
}

// HeaderIter walks the lines of a block in their order. Make one with Headers.
type HeaderIter struct{ rest []byte }

// Headers starts behind the status line of hdr, which is borrowed.
func Headers(hdr []byte) HeaderIter {
	i := bytes.Index(hdr, crlfBytes)
	if i < 0 {
		return HeaderIter{}
	}
	return HeaderIter{hdr[i+len(crlf):]}
}

// Next returns the next line with a colon, key and value borrowed, or false.
// It stops at the empty line that ends the block.
func (it *HeaderIter) Next() (key, value []byte, ok bool) {
	for {
		end := bytes.Index(it.rest, crlfBytes)
		if end <= 0 {
			it.rest = nil
			return nil, nil, false
		}
		line := it.rest[:end]
		it.rest = it.rest[end+len(crlf):]
		if colon := bytes.IndexByte(line, ':'); colon >= 0 {
			return line[:colon], headerValue(line[colon+1:]), true
		}
	}
}

// ErrHeader is what HeaderCheck says of a block that is not well formed.
var ErrHeader = errors.New("codec: malformed header block")

// HeaderCheck returns nil if hdr is a block as drawn above: status line, lines
// with a key and a colon, one empty line at the very end.
func HeaderCheck(hdr []byte) error {
	first := bytes.Index(hdr, crlfBytes)
	if first < len(headerMagic) || string(hdr[:len(headerMagic)]) != headerMagic {
		return ErrHeader
	}
	if first > len(headerMagic) && !isBlank(hdr[len(headerMagic)]) {
		return ErrHeader
	}
	rest := hdr[first+len(crlf):]
	for {
		end := bytes.Index(rest, crlfBytes)
		if end < 0 {
			return ErrHeader
		}
		line := rest[:end]
		rest = rest[end+len(crlf):]
		if end == 0 {
			if len(rest) != 0 {
				return ErrHeader
			}
			return nil
		}
		if colon := bytes.IndexByte(line, ':'); colon <= 0 || bytes.ContainsAny(line, "\r\n") {
			return ErrHeader
		}
	}
}
