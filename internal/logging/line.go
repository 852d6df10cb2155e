package logging

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// timeLayout is the reference's: local or UTC, microseconds, no zone.
const timeLayout = "2006/01/02 15:04:05.000000 "

// scratchMax bounds the line buffers that are kept for reuse.
const scratchMax = 64 << 10

var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// layout decides how a line looks. It is fixed for the life of a sink.
type layout struct {
	pid      string // decimal
	time     bool
	utc      bool
	coloured bool
	json     bool
	// syslog lines carry their level as a first byte, and neither process nor time.
	syslog bool
}

func newLayout(o Options, coloured bool) *layout {
	return &layout{
		pid:      strconv.Itoa(os.Getpid()),
		time:     !o.NoTime,
		utc:      o.UTC,
		coloured: coloured,
		json:     o.JSON,
	}
}

// appendLine appends the whole line, newline included, and returns the
// extended slice and where its text begins. Invariant I1 is kept here.
func (y *layout) appendLine(dst []byte, lv level, format string, args []any) (line []byte, text int) {
	if y.syslog {
		dst = append(dst, byte(lv))
	}
	if y.json {
		return y.appendJSONLine(dst, lv, format, args)
	}
	dst = y.appendPrefix(dst, lv)
	text = len(dst)
	dst = appendText(dst, format, args)
	return append(escapeControls(dst, text), '\n'), text
}

func (y *layout) appendPrefix(dst []byte, lv level) []byte {
	if y.syslog {
		return dst
	}
	dst = append(append(append(dst, '['), y.pid...), "] "...)
	if y.time {
		dst = y.now().AppendFormat(dst, timeLayout)
	}
	if y.coloured {
		return append(dst, labels[lv].coloured...)
	}
	return append(dst, labels[lv].plain...)
}

func (y *layout) now() time.Time {
	now := time.Now()
	if y.utc {
		now = now.UTC()
	}
	return now
}

// appendText appends the formatted text without a newline at its end.
func appendText(dst []byte, format string, args []any) []byte {
	start := len(dst)
	if len(args) == 0 {
		// A text without arguments is a text, whatever percent signs it has.
		dst = append(dst, format...)
	} else {
		dst = fmt.Appendf(dst, format, args...)
	}
	if n := len(dst); n > start && dst[n-1] == '\n' {
		dst = dst[:n-1]
	}
	return dst
}

// escapeControls replaces control bytes from start on, tabs excepted, by \xNN.
func escapeControls(b []byte, start int) []byte {
	first := -1
	for i := start; i < len(b); i++ {
		if isControl(b[i]) {
			first = i
			break
		}
	}
	if first < 0 {
		return b
	}
	const hex = "0123456789abcdef"
	tail := append([]byte(nil), b[first:]...)
	b = b[:first]
	for _, c := range tail {
		switch {
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case isControl(c):
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

func isControl(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f }
