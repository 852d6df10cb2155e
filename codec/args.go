package codec

// pubArgs reads "subject [reply] size".
func (p *Parser) pubArgs(b []byte) *Error {
	l := &p.line
	var t [tokensMax]span
	switch split(b, l.arg, false, &t) {
	case 2:
		l.subject, l.size = t[0], t[1]
	case 3:
		l.subject, l.reply, l.size = t[0], t[1], t[2]
	default:
		return badArgs(OpPub, "processPub Parse Error", l.arg.of(b))
	}
	if l.total = parseSize(l.size.of(b)); l.total < 0 {
		return badArgs(OpPub, "processPub Bad or Missing Size", l.arg.of(b))
	}
	return p.payload(b, OpPub)
}

// hpubArgs reads "subject [reply] header-size total-size".
func (p *Parser) hpubArgs(b []byte) *Error {
	l := &p.line
	if !p.HeadersOK {
		return noHeaders(l.arg.of(b))
	}
	var t [tokensMax]span
	switch split(b, l.arg, false, &t) {
	case 3:
		l.subject, l.hdr, l.size = t[0], t[1], t[2]
	case 4:
		l.subject, l.reply, l.hdr, l.size = t[0], t[1], t[2], t[3]
	default:
		return badArgs(OpHPub, "processHeaderPub Parse Error", l.arg.of(b))
	}
	return p.sizes(b, OpHPub, "processHeaderPub ")
}

// msgArgs reads "subject sid [reply] size".
func (p *Parser) msgArgs(b []byte) *Error {
	l := &p.line
	var t [tokensMax]span
	switch split(b, l.arg, true, &t) {
	case 3:
		l.subject, l.sid, l.size = t[0], t[1], t[2]
	case 4:
		l.subject, l.sid, l.reply, l.size = t[0], t[1], t[2], t[3]
	default:
		return badArgs(OpMsg, "processMsg Parse Error", l.arg.of(b))
	}
	if l.total = parseSize(l.size.of(b)); l.total < 0 {
		return badArgs(OpMsg, "processMsg Bad or Missing Size", l.arg.of(b))
	}
	return p.payload(b, OpMsg)
}

// hmsgArgs reads "subject sid [reply] header-size total-size".
func (p *Parser) hmsgArgs(b []byte) *Error {
	l := &p.line
	var t [tokensMax]span
	switch split(b, l.arg, true, &t) {
	case 4:
		l.subject, l.sid, l.hdr, l.size = t[0], t[1], t[2], t[3]
	case 5:
		l.subject, l.sid, l.reply, l.hdr, l.size = t[0], t[1], t[2], t[3], t[4]
	default:
		return badArgs(OpHMsg, "processHeaderMsg Parse Error", l.arg.of(b))
	}
	return p.sizes(b, OpHMsg, "processHeaderMsg ")
}

// sizes reads the two numbers of a line with headers.
func (p *Parser) sizes(b []byte, op Op, who string) *Error {
	l := &p.line
	l.header = parseSize(l.hdr.of(b))
	l.total = parseSize(l.size.of(b))
	switch {
	case l.header < 0:
		return badArgs(op, who+"Bad or Missing Header Size", l.arg.of(b))
	case l.total < 0:
		return badArgs(op, who+"Bad or Missing Total Size", l.arg.of(b))
	case l.header > l.total:
		return badArgs(op, who+"Header Size larger then TotalSize", l.arg.of(b))
	}
	return p.payload(b, op)
}

// payload admits the size, before any of its bytes are looked at.
func (p *Parser) payload(b []byte, op Op) *Error {
	if p.MaxPayload >= 0 && p.line.total > int(p.MaxPayload) {
		return tooBig(op, p.line.arg.of(b), p.line.total, p.MaxPayload)
	}
	p.line.payload = true
	return nil
}

// subArgs reads "subject [queue] sid".
func (p *Parser) subArgs(b []byte) *Error {
	l := &p.line
	var t [tokensMax]span
	switch split(b, l.arg, true, &t) {
	case 2:
		l.subject, l.sid = t[0], t[1]
	case 3:
		l.subject, l.queue, l.sid = t[0], t[1], t[2]
	default:
		return badArgs(OpSub, "processSub Parse Error", l.arg.of(b))
	}
	return nil
}

// unsubArgs reads "sid [max]". A max that is no number counts as 0, which
// means at once.
func (p *Parser) unsubArgs(b []byte) *Error {
	l := &p.line
	var t [tokensMax]span
	switch split(b, l.arg, true, &t) {
	case 1:
		l.sid = t[0]
	case 2:
		l.sid, l.hasMax = t[0], true
		l.max = int64(max(0, parseSize(t[1].of(b))))
	default:
		return badArgs(OpUnsub, "processUnsub Parse Error", l.arg.of(b))
	}
	return nil
}

// textArg leaves the arguments to the caller.
func (p *Parser) textArg([]byte) *Error { return nil }

// strayMsg refuses a verb that only servers may send.
func (p *Parser) strayMsg(b []byte) *Error {
	return unknown(p.verb.op, b, p.line.end-1, stateEndCR)
}
