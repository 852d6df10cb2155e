package logging

import (
	"fmt"
	"strconv"
)

// cutPayloads replaces payloads in args, which is borrowed, that are longer than
// limit. It returns args itself when there is none.
func cutPayloads(args []any, limit int) []any {
	cut := args
	for i, arg := range args {
		b, ok := arg.([]byte)
		if !ok || len(b) <= limit {
			continue
		}
		if &cut[0] == &args[0] {
			cut = append([]any(nil), args...)
		}
		cut[i] = cutPayload{b, limit}
	}
	return cut
}

// cutPayload is bytes whose quoted form ends after limit bytes.
type cutPayload struct {
	bytes []byte
	limit int
}

// Format implements fmt.Formatter.
func (p cutPayload) Format(f fmt.State, verb rune) {
	if verb != 'q' {
		_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), p.bytes)
		return
	}
	quoted := strconv.AppendQuote(nil, string(p.bytes[:p.limit]))
	_, _ = f.Write(append(quoted[:len(quoted)-1], `..."`...))
}
