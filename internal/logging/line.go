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

// layout decides how a line looks. It is fixed when the logger is opened.
type layout struct {
	pid      string // "[123] "
	time     bool
	utc      bool
	coloured bool
}

func newLayout(o Options, coloured bool) layout {
	return layout{
		pid:      "[" + strconv.Itoa(os.Getpid()) + "] ",
		time:     !o.NoTime,
		utc:      o.UTC,
		coloured: coloured,
	}
}

// appendLine appends the whole line, newline included, and returns the
// extended slice. Invariant I1 is kept here.
func (y layout) appendLine(dst []byte, lv level, format string, args []any) []byte {
	dst = append(dst, y.pid...)
	if y.time {
		now := time.Now()
		if y.utc {
			now = now.UTC()
		}
		dst = now.AppendFormat(dst, timeLayout)
	}
	if y.coloured {
		dst = append(dst, labels[lv].coloured...)
	} else {
		dst = append(dst, labels[lv].plain...)
	}
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
	return append(escapeControls(dst, start), '\n')
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
