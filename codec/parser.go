package codec

import "bytes"

// MaxControlLineDefault is the limit of a Parser that does not set one.
const MaxControlLineDefault = 4096

// phase is how far into a frame the parser has come.
//
//	verb ─▶ follow ─▶ blanks ─▶ args ─▶ payload ─▶ (frame)
//	  └───▶ ignore ─────────────┴─────────────────▶ (frame)
type phase uint8

const (
	phaseVerb    phase = iota // the verb is not whole
	phaseFollow               // the byte behind the verb is to come
	phaseBlanks               // blanks before the first argument
	phaseArgs                 // up to LF
	phaseIgnore               // up to LF, of no interest
	phasePayload              // the line is read, its payload is not here
)

// Parser cuts a byte stream into frames. The exported fields may be changed
// between frames. The zero value reads clients with a control line of 4096
// bytes, an empty payload at most and no headers.
//
// Owned by one goroutine; the bytes given to Next are borrowed.
type Parser struct {
	// MaxControlLine limits the argument bytes of a line; ≤ 0 is the default.
	MaxControlLine int32
	// MaxPayload limits headers and payload together; < 0 is no limit.
	MaxPayload int32
	// HeadersOK lets HPUB in.
	HeadersOK bool
	Side      Side

	// A cut frame, as far as it was seen. Offsets count from the start of the
	// bytes given to Next.
	phase   phase
	cr      bool  // a CR in arg, its first byte apart
	skipped bool  // the verb is no longer in what is offered
	verb    *verb // set from phaseFollow on
	scan    int   // bytes looked at
	line    line  // set in phasePayload; line.arg.lo from phaseArgs on
}

// line is a control line that was read, by place.
type line struct {
	arg                                   span
	subject, queue, reply, sid, hdr, size span
	header, total                         int // sizes in bytes; header is -1 without headers
	max                                   int64
	hasMax, payload                       bool // payload: bytes follow the line
	end                                   int  // bytes of the line
}

// Next parses the first frame of b into f.
//
// n > 0: f is a whole frame of n bytes; the next one starts at b[n]. With
// f.Op == OpNone the n bytes mean nothing (long runs of blanks behind a verb,
// bytes behind PING): drop them and go on.
//
// n == 0, err == nil: the frame is not whole. Offer the same bytes again with
// more behind them; what was scanned is not scanned again. If the line of a
// frame with payload is whole, f holds it (Payload and Tail nil) and Need its
// length. The caller never has to keep more than MaxControlLine + 1 KiB, or
// Need() bytes. Once the payload is here, so should be the two bytes behind it:
// offered one by one, a wrong one is seen at once.
//
// err: always an *Error. The bytes in b before n were never part of the frame;
// the parser is of no use until Reset.
func (p *Parser) Next(b []byte, f *Frame) (n int, err error) {
	if p.phase == phaseVerb {
		if n := p.fast(b, f); n > 0 {
			return n, nil
		}
	}
	n, e := p.slow(b, f)
	if e != nil {
		return 0, e
	}
	return n, nil
}

// Need returns the length in bytes of a frame whose line is whole and whose
// payload is not (line, payload and CRLF), and 0 in any other case. It is the
// peer's word: without MaxPayload, up to 1 GB.
func (p *Parser) Need() int {
	if p.phase != phasePayload {
		return 0
	}
	return p.line.need()
}

// Reset forgets a cut frame. The limits stay.
func (p *Parser) Reset() {
	p.phase, p.cr, p.skipped, p.verb, p.scan = phaseVerb, false, false, nil, 0
}

// Skipping reports that bytes of the current frame were given back as OpNone,
// so that the first byte to be offered is not the first of its verb.
func (p *Parser) Skipping() bool { return p.skipped }

// slow takes the cut frame on with the whole, tolerant grammar.
func (p *Parser) slow(b []byte, f *Frame) (int, *Error) {
	*f = Frame{HeaderLen: -1}
	if p.phase == phaseVerb {
		v, err := matchVerb(verbTables[p.Side&1], b)
		if v == nil {
			return 0, err
		}
		p.verb, p.scan, p.phase = v, len(v.name), phaseFollow
		if v.follow == followAny {
			p.phase = phaseIgnore
		}
	}
	if p.phase == phaseFollow {
		if p.scan == len(b) {
			return 0, nil
		}
		if p.verb.follow == followBlank && !isBlank(b[p.scan]) {
			return 0, unknown(p.verb.op, b, p.scan, p.verb.state(len(p.verb.name)))
		}
		p.phase = phaseBlanks
	}
	switch p.phase {
	case phaseIgnore:
		return p.ignore(b, f), nil
	case phaseBlanks:
		for p.scan < len(b) && isBlank(b[p.scan]) {
			p.scan++
		}
		if n := p.idle(p.scan); n > 0 || p.scan == len(b) {
			return n, nil
		}
		// The first byte of the arguments is one whatever it is, CR and LF too.
		p.line = line{arg: span{lo: int32(p.scan)}, header: -1}
		p.scan++
		p.phase = phaseArgs
		fallthrough
	case phaseArgs:
		if whole, err := p.args(b); err != nil || !whole {
			return 0, err
		}
	}
	return p.finish(b, f)
}

// skipBytesMax is how many bytes without meaning are kept for the sake of a
// whole frame before they are given back as OpNone.
const skipBytesMax = 512

// idle gives back the first n bytes, of which none will matter, if they are
// too many to be kept.
func (p *Parser) idle(n int) int {
	if n <= skipBytesMax {
		return 0
	}
	p.scan, p.skipped = 0, true
	return n
}

// ignore drops what follows PING, PONG and +OK.
func (p *Parser) ignore(b []byte, f *Frame) int {
	i := bytes.IndexByte(b[p.scan:], '\n')
	if i < 0 {
		p.scan = len(b)
		return p.idle(len(b))
	}
	n := p.scan + i + 1
	f.Op, f.Line = p.verb.op, n
	p.Reset()
	return n
}

// args looks for the end of the line and reads its arguments into p.line.
//
// A CR among the arguments, wherever it is, takes one byte off their end; it
// does so once. Their length only grows with more bytes, so the limit can be
// applied to what is there, and the answer does not depend on the cuts.
func (p *Parser) args(b []byte) (whole bool, err *Error) {
	seg := b[p.scan:]
	i := bytes.IndexByte(seg, '\n')
	if i >= 0 {
		seg = seg[:i]
	}
	if !p.cr {
		p.cr = bytes.IndexByte(seg, '\r') >= 0
	}
	p.scan += len(seg)
	end := p.scan
	if p.cr {
		end--
	}
	if end-int(p.line.arg.lo) > p.controlLineMax() {
		return false, &Error{Kind: ControlLine, Op: p.verb.op, text: ControlLine.Reply()}
	}
	if i < 0 {
		return false, nil
	}
	p.line.arg.hi = int32(end)
	p.line.end = p.scan + 1
	if err := p.verb.args(p, b); err != nil {
		return false, err
	}
	p.phase = phasePayload
	return true, nil
}

func (p *Parser) controlLineMax() int {
	if p.MaxControlLine <= 0 {
		return MaxControlLineDefault
	}
	return int(p.MaxControlLine)
}

// finish fills f from p.line and, once the payload is there, ends the frame.
func (p *Parser) finish(b []byte, f *Frame) (int, *Error) {
	l, op := &p.line, p.verb.op
	*f = Frame{
		Op: op, Line: l.end, Arg: l.arg.of(b),
		Subject: l.subject.of(b), Queue: l.queue.of(b), Reply: l.reply.of(b), SID: l.sid.of(b),
		HdrToken: l.hdr.of(b), SizeToken: l.size.of(b),
		HeaderLen: l.header, Size: l.total, HasMax: l.hasMax, Max: l.max,
	}
	if !l.payload {
		p.Reset()
		return l.end, nil
	}
	body := l.end + l.total
	if len(b) > body && b[body] != '\r' {
		return 0, unknown(op, b, body, stateEndCR)
	}
	if len(b) > body+1 && b[body+1] != '\n' {
		return 0, unknown(op, b, body+1, stateEndLF)
	}
	need := l.need()
	if len(b) < need {
		return 0, nil
	}
	f.Payload = b[l.end:body]
	if l.canonical(b, op) {
		f.Tail = b[l.subject.hi+1 : need]
	}
	p.Reset()
	return need, nil
}

// The reference's numbers for the two bytes behind a payload.
const (
	stateEndCR = 41
	stateEndLF = 42
)

func (l *line) need() int { return l.end + l.total + 2 }

// canonical reports a publish line whose part behind the subject is written
// " [reply ]sizes\r\n" and can be sent on as it stands.
func (l *line) canonical(b []byte, op Op) bool {
	if op != OpPub && (op != OpHPub || l.header == 0) {
		return false
	}
	at := l.subject.hi // where the blank before the next token is expected
	for _, s := range [...]span{l.reply, l.hdr, l.size} {
		if s.hi == 0 {
			continue
		}
		if s.lo != at+1 || b[at] != ' ' {
			return false
		}
		at = s.hi
	}
	return l.end == int(at)+2 && b[at] == '\r'
}
