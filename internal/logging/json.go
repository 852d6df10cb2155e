package logging

import "unicode/utf8"

// jsonTime is RFC 3339 with microseconds.
const jsonTime = "2006-01-02T15:04:05.000000Z07:00"

// appendJSONLine appends the line as an object. text is where the message begins.
//
// Shape: {"time":"2026-01-02T15:04:05.000000Z","level":"info","pid":1,"message":"…"}.
// Without times there is no time; to syslog goes neither time nor pid.
func (y *layout) appendJSONLine(dst []byte, lv level, format string, args []any) (line []byte, text int) {
	dst = append(dst, '{')
	if y.time && !y.syslog {
		dst = append(dst, `"time":"`...)
		dst = append(y.now().AppendFormat(dst, jsonTime), `",`...)
	}
	dst = append(append(append(dst, `"level":"`...), labels[lv].word...), '"')
	if !y.syslog {
		dst = append(append(dst, `,"pid":`...), y.pid...)
	}
	dst = append(dst, `,"message":"`...)
	text = len(dst)
	dst = escapeJSON(appendText(dst, format, args), text)
	return append(dst, "\"}\n"...), text
}

// escapeJSON makes what is in b from start on the inside of a JSON string. Bytes
// that are not UTF-8 become U+FFFD.
func escapeJSON(b []byte, start int) []byte {
	first := start
	for first < len(b) && isPlainJSON(b[first]) {
		first++
	}
	if first == len(b) {
		return b
	}
	const hex = "0123456789abcdef"
	tail := append([]byte(nil), b[first:]...)
	b = b[:first]
	for len(tail) > 0 {
		c := tail[0]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(tail)
			b = utf8.AppendRune(b, r)
			tail = tail[n:]
			continue
		}
		switch {
		case isPlainJSON(c):
			b = append(b, c)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
		tail = tail[1:]
	}
	return b
}

// isPlainJSON reports whether c stands for itself inside a JSON string.
func isPlainJSON(c byte) bool {
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'
}
