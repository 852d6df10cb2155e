package store

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// DescribeRecord says in words what a log record of a stream or consumer holds,
// for dumps. payload is hostile; a message's sum is not checked.
func DescribeRecord(kind uint8, payload []byte) string {
	switch kind {
	case logMessage:
		return describeMessage(payload)
	case logReference:
		return describeReference(payload)
	case logLimits:
		if l, ok := limitsOf(payload); ok {
			return fmt.Sprintf("limits %+v", l)
		}
	case logConsumer:
		var ch ConsumerChange
		if ch.decode(payload) {
			return fmt.Sprintf("consumer delivered %d/%d, floor %d/%d, %d pending, %d settled", ch.Delivered.Delivery,
				ch.Delivered.Stream, ch.AckFloor.Delivery, ch.AckFloor.Stream, len(ch.Pending), len(ch.Settled))
		}
	case logRemove, logErase, logCompact, logTruncate, logSkip, logLost:
		return describeNumbers(kind, payload)
	}
	return fmt.Sprintf("unknown kind %d, %d bytes", kind, len(payload))
}

func describeMessage(b []byte) string {
	if n := recordLen(b); n == 0 || n != len(b) {
		return fmt.Sprintf("message, not valid, %d bytes", len(b))
	}
	subject, header := int(little.Uint16(b[4:])), int(little.Uint32(b[8:]))
	rest := len(b) - recordMin - subject - header
	if rest < 0 {
		return fmt.Sprintf("message, not valid, %d bytes", len(b))
	}
	return fmt.Sprintf("message %d %q, header %d, payload %d bytes", little.Uint64(b[16:]), b[recordHead:recordHead+subject], header, rest)
}

func describeReference(b []byte) string {
	if len(b) < referenceHead+recordHead+recordSum {
		return fmt.Sprintf("reference, not valid, %d bytes", len(b))
	}
	head := b[referenceHead:]
	return fmt.Sprintf("message %d %q, %d bytes in %s at %d", little.Uint64(head[16:]), head[recordHead:len(head)-recordSum],
		little.Uint32(head), blockName(little.Uint32(b), little.Uint32(b[4:])), little.Uint64(b[8:]))
}

func describeNumbers(kind uint8, b []byte) string {
	var text strings.Builder
	text.WriteString(map[uint8]string{logRemove: "remove", logErase: "erase", logCompact: "compact to", logTruncate: "truncate to", logSkip: "skip to (and time)", logLost: "lost"}[kind])
	for n := 0; len(b) > 0; n++ {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			text.WriteString(", not valid")
			break
		}
		if b = b[k:]; n == 16 {
			text.WriteString(" …")
			break
		}
		fmt.Fprintf(&text, " %d", v)
	}
	return text.String()
}
