package codec

import "bytes"

// Text is a header's key or value, of either kind.
type Text interface{ ~string | ~[]byte }

// AppendHeaderStatus appends a status line, "NATS/1.0 code[ description]\r\n".
func AppendHeaderStatus(dst []byte, code int, description string) []byte {
	dst = AppendUint(append(dst, headerMagic+" "...), uint64(code))
	if description != "" {
		dst = appendOneLine(append(dst, ' '), description)
	}
	return append(dst, crlf...)
}

// AppendHeaderStart appends the status line of an ordinary block.
func AppendHeaderStart(dst []byte) []byte { return append(dst, headerMagic+crlf...) }

// AppendHeaderLine appends "key: value\r\n". CR and LF in value become blanks,
// so that a value cannot open a line of its own.
func AppendHeaderLine[K, V Text](dst []byte, key K, value V) []byte {
	dst = append(append(dst, key...), ": "...)
	return append(appendOneLine(dst, value), crlf...)
}

// AppendHeaderEnd appends the empty line that ends a block.
func AppendHeaderEnd(dst []byte) []byte { return append(dst, crlf...) }

func appendOneLine[V Text](dst []byte, value V) []byte {
	at := len(dst)
	dst = append(dst, value...)
	for i := at; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}

// AppendNoResponders appends the block that tells a requester that nobody
// listens on subject: status 503 and the subject. Its length is
// NoRespondersLen + len(subject).
func AppendNoResponders(dst, subject []byte) []byte {
	dst = append(dst, noRespondersHead...)
	return append(append(dst, subject...), crlf+crlf...)
}

const (
	noRespondersHead = headerMagic + " 503\r\nNats-Subject: "
	// NoRespondersLen is the length in bytes of a no-responders block without
	// its subject.
	NoRespondersLen = len(noRespondersHead) + 2*len(crlf)
)

// AppendNoRespondersMsg appends the whole HMSG frame of a no-responders answer
// to the subscription sid on reply.
func AppendNoRespondersMsg(dst, reply, sid, subject []byte) []byte {
	n := NoRespondersLen + len(subject)
	dst = AppendHMsgHead(dst, reply, sid, nil, n, n)
	return append(AppendNoResponders(dst, subject), crlf...)
}

// headerOpen returns hdr without the empty line at its end, ready for more
// lines; what is no block becomes the start of one.
func headerOpen(hdr []byte) []byte {
	if len(hdr) < len(HeaderEmpty) {
		return []byte(HeaderEmpty[:len(HeaderEmpty)-len(crlf)])
	}
	return bytes.TrimSuffix(hdr, crlfBytes)
}

// AppendHeaderAdd appends hdr with one more line at its end. An empty hdr
// becomes a block of that line. hdr is borrowed and must not overlap dst.
func AppendHeaderAdd[V Text](dst, hdr []byte, key string, value V) []byte {
	dst = append(dst, headerOpen(hdr)...)
	return AppendHeaderEnd(AppendHeaderLine(dst, key, value))
}

// AppendHeaderSet appends hdr with value in the first line of key and without
// the other lines of key; a new line at the end if there is none. hdr is
// borrowed and must not overlap dst.
func AppendHeaderSet[V Text](dst, hdr []byte, key string, value V) []byte {
	at := headerFind(hdr, key, 0)
	if at < 0 {
		return AppendHeaderAdd(dst, hdr, key, value)
	}
	dst = append(dst, hdr[:at]...)
	dst = AppendHeaderLine(dst, key, value)
	return appendWithout(dst, hdr, key, headerLineEnd(hdr, at))
}

// AppendHeaderLast appends hdr without any line of key, and then one with
// value at the end. hdr is borrowed and must not overlap dst.
func AppendHeaderLast[V Text](dst, hdr []byte, key string, value V) []byte {
	dst = appendWithout(dst, headerOpen(hdr), key, 0)
	return AppendHeaderEnd(AppendHeaderLine(dst, key, value))
}

// appendWithout appends hdr[from:] without the lines of key in it; from is the
// start of a line.
func appendWithout(dst, hdr []byte, key string, from int) []byte {
	for {
		at := headerFind(hdr, key, from)
		if at < 0 {
			return append(dst, hdr[from:]...)
		}
		dst = append(dst, hdr[from:at]...)
		from = headerLineEnd(hdr, at)
	}
}

// headerLineEnd returns where the line at hdr[at] ends, its CRLF included.
func headerLineEnd(hdr []byte, at int) int {
	if i := bytes.Index(hdr[at:], crlfBytes); i >= 0 {
		return at + i + len(crlf)
	}
	return len(hdr)
}

// HeaderDelete removes every line of key from hdr, in place, and returns what
// is left, nil if that is an empty block. hdr is owned by the caller and must
// not be a frame's.
func HeaderDelete(hdr []byte, key string) []byte {
	from := headerFind(hdr, key, 0)
	if from < 0 {
		return hdr
	}
	return headerOrNil(appendWithout(hdr[:from], hdr, key, headerLineEnd(hdr, from)))
}

// HeaderDeletePrefix removes every line that begins with prefix from hdr, in
// place, and returns what is left, nil if that is an empty block.
func HeaderDeletePrefix(hdr []byte, prefix string) []byte {
	w := headerLineEnd(hdr, 0)
	if w == len(hdr) {
		return hdr
	}
	for r := w; r < len(hdr); {
		end := headerLineEnd(hdr, r)
		if line := hdr[r:end]; len(line) < len(prefix) || string(line[:len(prefix)]) != prefix || len(line) == len(crlf) {
			w += copy(hdr[w:], line)
		}
		r = end
	}
	return headerOrNil(hdr[:w])
}

// HeaderDeleteStatus turns the status line into an ordinary one, in place, and
// returns what is left, nil if that is an empty block.
func HeaderDeleteStatus(hdr []byte) []byte {
	end := bytes.Index(hdr, crlfBytes)
	if end <= len(headerMagic) || string(hdr[:len(headerMagic)]) != headerMagic {
		return hdr
	}
	return headerOrNil(append(hdr[:len(headerMagic)], hdr[end:]...))
}

func headerOrNil(hdr []byte) []byte {
	if len(hdr) <= len(HeaderEmpty) {
		return nil
	}
	return hdr
}
