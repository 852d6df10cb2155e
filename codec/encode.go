package codec

import "strconv"

// Every AppendX appends one line, or one whole frame, to dst and returns the
// extended slice. Arguments are borrowed and written as they are: that they
// hold no blanks and no line ends is the caller's promise.

// AppendUint appends n in decimal.
func AppendUint(dst []byte, n uint64) []byte {
	if n < 10 {
		return append(dst, byte('0'+n))
	}
	return strconv.AppendUint(dst, n, 10)
}

const crlf = "\r\n"

// AppendMsgPrefix appends "MSG subject sid ", which Frame.Tail completes.
func AppendMsgPrefix(dst, subject, sid []byte) []byte {
	dst = append(dst, "MSG "...)
	return appendPair(dst, subject, sid)
}

// AppendHMsgPrefix appends "HMSG subject sid ", which Frame.Tail completes.
func AppendHMsgPrefix(dst, subject, sid []byte) []byte {
	dst = append(dst, "HMSG "...)
	return appendPair(dst, subject, sid)
}

func appendPair(dst, subject, sid []byte) []byte {
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	return append(dst, ' ')
}

// appendReply appends "reply "; nil is no reply, an empty one leaves its blank
// (the reference's own events are sent so).
func appendReply(dst, reply []byte) []byte {
	if reply == nil {
		return dst
	}
	dst = append(dst, reply...)
	return append(dst, ' ')
}

// AppendMsgHead appends "MSG subject sid [reply ]size\r\n". The payload of
// size bytes and CRLF have to follow.
func AppendMsgHead(dst, subject, sid, reply []byte, size int) []byte {
	dst = appendReply(AppendMsgPrefix(dst, subject, sid), reply)
	return append(AppendUint(dst, uint64(size)), crlf...)
}

// AppendMsgHeadToken is AppendMsgHead with the size as its publisher wrote it.
func AppendMsgHeadToken(dst, subject, sid, reply, size []byte) []byte {
	dst = appendReply(AppendMsgPrefix(dst, subject, sid), reply)
	return append(append(dst, size...), crlf...)
}

// AppendHMsgHead appends "HMSG subject sid [reply ]header total\r\n", sizes in
// bytes. Header block, payload and CRLF have to follow.
func AppendHMsgHead(dst, subject, sid, reply []byte, header, total int) []byte {
	dst = appendReply(AppendHMsgPrefix(dst, subject, sid), reply)
	return appendSizes(dst, header, total)
}

// AppendHMsgHeadToken is AppendHMsgHead with the sizes as written.
func AppendHMsgHeadToken(dst, subject, sid, reply, header, total []byte) []byte {
	dst = appendReply(AppendHMsgPrefix(dst, subject, sid), reply)
	dst = append(append(dst, header...), ' ')
	return append(append(dst, total...), crlf...)
}

func appendSizes(dst []byte, header, total int) []byte {
	dst = append(AppendUint(dst, uint64(header)), ' ')
	return append(AppendUint(dst, uint64(total)), crlf...)
}

// AppendPubHead appends "PUB subject [reply ]size\r\n".
func AppendPubHead(dst, subject, reply []byte, size int) []byte {
	dst = append(append(append(dst, "PUB "...), subject...), ' ')
	dst = appendReply(dst, reply)
	return append(AppendUint(dst, uint64(size)), crlf...)
}

// AppendPub appends a whole PUB frame.
func AppendPub(dst, subject, reply, payload []byte) []byte {
	dst = AppendPubHead(dst, subject, reply, len(payload))
	return append(append(dst, payload...), crlf...)
}

// AppendHPubHead appends "HPUB subject [reply ]header total\r\n".
func AppendHPubHead(dst, subject, reply []byte, header, total int) []byte {
	dst = append(append(append(dst, "HPUB "...), subject...), ' ')
	return appendSizes(appendReply(dst, reply), header, total)
}

// AppendHPub appends a whole HPUB frame; header is a complete block.
func AppendHPub(dst, subject, reply, header, payload []byte) []byte {
	dst = AppendHPubHead(dst, subject, reply, len(header), len(header)+len(payload))
	return append(append(append(dst, header...), payload...), crlf...)
}

// AppendSub appends "SUB subject [queue ]sid\r\n"; a nil queue is none.
func AppendSub(dst, subject, queue, sid []byte) []byte {
	dst = append(append(append(dst, "SUB "...), subject...), ' ')
	dst = appendReply(dst, queue)
	return append(append(dst, sid...), crlf...)
}

// AppendUnsub appends "UNSUB sid[ max]\r\n"; max 0 is left out.
func AppendUnsub(dst, sid []byte, max uint64) []byte {
	dst = append(append(dst, "UNSUB "...), sid...)
	if max > 0 {
		dst = AppendUint(append(dst, ' '), max)
	}
	return append(dst, crlf...)
}

// AppendConnect appends "CONNECT json\r\n".
func AppendConnect(dst, json []byte) []byte {
	return append(append(append(dst, "CONNECT "...), json...), crlf...)
}

// AppendInfo appends "INFO json \r\n", with the blank the reference puts there.
func AppendInfo(dst, json []byte) []byte {
	return append(append(append(dst, "INFO "...), json...), " \r\n"...)
}

// AppendErr appends "-ERR 'text'\r\n".
func AppendErr(dst []byte, text string) []byte {
	return append(append(append(dst, "-ERR '"...), text...), "'\r\n"...)
}

// AppendOK appends "+OK\r\n".
func AppendOK(dst []byte) []byte { return append(dst, "+OK\r\n"...) }

// AppendPing appends "PING\r\n".
func AppendPing(dst []byte) []byte { return append(dst, "PING\r\n"...) }

// AppendPong appends "PONG\r\n".
func AppendPong(dst []byte) []byte { return append(dst, "PONG\r\n"...) }
