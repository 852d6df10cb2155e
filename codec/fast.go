package codec

import "encoding/binary"

// Verbs as the first four bytes of a frame, little-endian, lower case. OR-ing
// 0x20 folds letters and keeps the blank; no other byte becomes a letter.
const (
	word4Pub  = 'p' | 'u'<<8 | 'b'<<16 | ' '<<24
	word4Sub  = 's' | 'u'<<8 | 'b'<<16 | ' '<<24
	word4Msg  = 'm' | 's'<<8 | 'g'<<16 | ' '<<24
	word4HPub = 'h' | 'p'<<8 | 'u'<<16 | 'b'<<24
	word4HMsg = 'h' | 'm'<<8 | 's'<<16 | 'g'<<24
	word4Ping = 'p' | 'i'<<8 | 'n'<<16 | 'g'<<24
	word4Pong = 'p' | 'o'<<8 | 'n'<<16 | 'g'<<24
	word4Unsu = 'u' | 'n'<<8 | 's'<<16 | 'u'<<24
	word4Fold = 0x20202020
)

// fast parses a whole canonical frame: single spaces, CRLF, no control bytes
// among the arguments, no limit passed, payload there. It returns 0 and
// touches nothing of p in every other case, which slow then decides.
func (p *Parser) fast(b []byte, f *Frame) int {
	if len(b) < 6 {
		return 0
	}
	w := binary.LittleEndian.Uint32(b)
	blank := w>>24 == ' '
	switch w | word4Fold {
	case word4Pub:
		if blank && p.Side == ServerSide {
			return p.fastPub(b, f)
		}
	case word4Msg:
		if blank && p.Side == ClientSide {
			return p.fastMsg(b, f, 4, OpMsg)
		}
	case word4HPub:
		if b[4] == ' ' && p.Side == ServerSide && p.HeadersOK {
			return p.fastHPub(b, f)
		}
	case word4HMsg:
		if b[4] == ' ' && p.Side == ClientSide {
			return p.fastMsg(b, f, 5, OpHMsg)
		}
	case word4Sub:
		if blank && p.Side == ServerSide {
			return p.fastSub(b, f)
		}
	case word4Unsu:
		if b[4]|0x20 == 'b' && b[5] == ' ' && p.Side == ServerSide {
			return p.fastUnsub(b, f)
		}
	case word4Ping:
		return fastBare(b, f, OpPing)
	case word4Pong:
		return fastBare(b, f, OpPong)
	}
	return 0
}

// fastBare takes a verb of four letters without arguments.
func fastBare(b []byte, f *Frame, op Op) int {
	if b[4] != '\r' || b[5] != '\n' {
		return 0
	}
	*f = Frame{}
	f.Op = op
	f.Line = 6
	f.HeaderLen = -1
	return 6
}

// tokens cuts canonical arguments that start at b[at]: tokens parted by single
// spaces, then CRLF. It returns their number and the length of the line, or 0.
func (p *Parser) tokens(b []byte, at int, t *[tokensMax]span) (n, end int) {
	start := at
	for n < tokensMax {
		e := tokenEnd(b, at)
		if e == at || len(b)-e < 2 {
			return 0, 0
		}
		t[n] = span{int32(at), int32(e)}
		n++
		if b[e] == ' ' {
			at = e + 1
			continue
		}
		if b[e] != '\r' || b[e+1] != '\n' || e-start > p.controlLineMax() {
			return 0, 0
		}
		return n, e + 2
	}
	return 0, 0
}

// whole returns the length of a frame with size bytes behind a line of end
// bytes, 0 if it is cut, over the limit or not closed by CRLF.
func (p *Parser) whole(b []byte, end, size int) int {
	if size < 0 || p.MaxPayload >= 0 && size > int(p.MaxPayload) {
		return 0
	}
	n := end + size + 2
	if n > len(b) || b[n-2] != '\r' || b[n-1] != '\n' {
		return 0
	}
	return n
}

func (p *Parser) fastPub(b []byte, f *Frame) int {
	subject := tokenEnd(b, 4)
	if subject == 4 || subject == len(b) || b[subject] != ' ' {
		return 0
	}
	lo := subject + 1
	var reply []byte
	size, hi := sizeAt(b, lo)
	if hi == lo || hi < len(b) && b[hi] != '\r' {
		// No number up to the end of the line: a reply comes first.
		end := tokenEnd(b, lo)
		if end == lo || end == len(b) || b[end] != ' ' {
			return 0
		}
		reply = b[lo:end]
		lo = end + 1
		size, hi = sizeAt(b, lo)
	}
	if hi == lo || len(b)-hi < 2 || b[hi] != '\r' || b[hi+1] != '\n' || hi-4 > p.controlLineMax() {
		return 0
	}
	n := p.whole(b, hi+2, size)
	if n == 0 {
		return 0
	}
	if f.Op != OpPub {
		// Behind another PUB, what this one does not set is zero already.
		*f = Frame{}
	}
	f.Op = OpPub
	f.Line = hi + 2
	f.HeaderLen = -1
	f.Size = size
	f.Subject = b[4:subject]
	f.Reply = reply
	f.Payload = b[hi+2 : n-2]
	f.Tail = b[subject+1 : n]
	f.SizeToken = b[lo:hi]
	f.Arg = b[4:hi]
	return n
}

// sizeAt reads the digits at b[lo], at most as many as a size has. hi is where
// they end, lo if there is none.
func sizeAt(b []byte, lo int) (size, hi int) {
	hi = lo
	for hi < len(b) && hi-lo < sizeDigitsMax {
		d := b[hi] - '0'
		if d > 9 {
			break
		}
		size = size*10 + int(d)
		hi++
	}
	return size, hi
}

func (p *Parser) fastHPub(b []byte, f *Frame) int {
	var t [tokensMax]span
	k, end := p.tokens(b, 5, &t)
	if k != 3 && k != 4 {
		return 0
	}
	hdr, tok := t[k-2].of(b), t[k-1].of(b)
	header, size := parseSize(hdr), parseSize(tok)
	n := p.whole(b, end, size)
	if n == 0 || header < 0 || header > size {
		return 0
	}
	*f = Frame{}
	f.Op = OpHPub
	f.Line = end
	f.Arg = b[5 : end-2]
	f.Subject = t[0].of(b)
	f.HdrToken = hdr
	f.SizeToken = tok
	f.HeaderLen = header
	f.Size = size
	f.Payload = b[end : n-2]
	if k == 4 {
		f.Reply = t[1].of(b)
	}
	if header > 0 {
		f.Tail = b[t[0].hi+1 : n]
	}
	return n
}

// fastMsg takes MSG and HMSG, whose arguments start at b[at].
func (p *Parser) fastMsg(b []byte, f *Frame, at int, op Op) int {
	var t [tokensMax]span
	k, end := p.tokens(b, at, &t)
	sizes, header := 1, -1
	if op == OpHMsg {
		sizes = 2
	}
	if k != sizes+2 && k != sizes+3 {
		return 0
	}
	tok := t[k-1].of(b)
	size := parseSize(tok)
	n := p.whole(b, end, size)
	if n == 0 {
		return 0
	}
	var hdr []byte
	if op == OpHMsg {
		hdr = t[k-2].of(b)
		if header = parseSize(hdr); header < 0 || header > size {
			return 0
		}
	}
	*f = Frame{}
	f.Op = op
	f.Line = end
	f.Arg = b[at : end-2]
	f.Subject = t[0].of(b)
	f.SID = t[1].of(b)
	f.HdrToken = hdr
	f.SizeToken = tok
	f.HeaderLen = header
	f.Size = size
	f.Payload = b[end : n-2]
	if k == sizes+3 {
		f.Reply = t[2].of(b)
	}
	return n
}

func (p *Parser) fastSub(b []byte, f *Frame) int {
	var t [tokensMax]span
	k, end := p.tokens(b, 4, &t)
	if k != 2 && k != 3 {
		return 0
	}
	*f = Frame{}
	f.Op = OpSub
	f.Line = end
	f.Arg = b[4 : end-2]
	f.Subject = t[0].of(b)
	f.SID = t[k-1].of(b)
	f.HeaderLen = -1
	if k == 3 {
		f.Queue = t[1].of(b)
	}
	return end
}

func (p *Parser) fastUnsub(b []byte, f *Frame) int {
	var t [tokensMax]span
	k, end := p.tokens(b, 6, &t)
	if k != 1 && k != 2 {
		return 0
	}
	*f = Frame{}
	f.Op = OpUnsub
	f.Line = end
	f.Arg = b[6 : end-2]
	f.SID = t[0].of(b)
	f.HeaderLen = -1
	if k == 2 {
		f.HasMax, f.Max = true, int64(max(0, parseSize(t[1].of(b))))
	}
	return end
}
