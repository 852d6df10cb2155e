package server

import (
	"bytes"
	"encoding/hex"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"peregrine/account"
	"peregrine/codec"
)

// sampling says whether a request is measured; the zero value is no. Its header
// is immutable.
type sampling struct {
	on      bool
	header  map[string][]string // the lines that asked for it
	asker   *session            // nil: the server itself
	asks    *clientInfo         // the asker as it was when it asked
	started time.Time
}

// begin notes who asks, and when.
func (s *sampling) begin(asker *session, share bool) {
	s.started = time.Now()
	if asker != nil {
		s.asker, s.asks = asker, asker.clientInfo(share)
	}
}

// requestor describes the asker with its round trip time as it is. Any
// goroutine.
func (s *sampling) requestor() *clientInfo {
	if s.asker == nil {
		return nil
	}
	v := *s.asks
	v.RTT = time.Duration(s.asker.rtt.Load())
	return &v
}

// sampleRequest decides by chance, or by what m's headers say.
func sampleRequest(w *worker, l *account.Latency, m *message) sampling {
	// One in a hundred more than asked for, as in the reference.
	if l.Sampling >= 100 || l.Sampling > 0 && int(w.random()%100) <= l.Sampling {
		return sampling{on: true}
	}
	header := m.Header()
	if header == nil {
		return sampling{}
	}
	return sampleHeader(header)
}

// Lines that tell whether a request is traced, in order of precedence, and the
// lines that go with them.
const (
	uberTrace     = "Uber-Trace-Id"
	uberContext   = "Uberctx-" // a prefix
	b3Sampled     = "X-B3-Sampled"
	b3TraceID     = "X-B3-Traceid"
	b3ParentSpan  = "X-B3-Parentspanid"
	b3Span        = "X-B3-Spanid"
	b3Single      = "B3"
	traceParent   = "Traceparent"
	traceState    = "Tracestate"
	b3Denied      = "0"
	uberSampled   = 1
	traceSampled  = 1
	uberFields    = 4
	traceFields   = 4
	b3FieldsState = 2
)

// sampleHeader decides by the first kind of trace that a header block speaks of.
func sampleHeader(block []byte) sampling {
	if v, ok := headerLine(block, uberTrace); ok {
		return sampling{on: uberAsks(v)}.with(block, func(key string) bool {
			return key == uberTrace || strings.HasPrefix(key, uberContext)
		})
	}
	sampled, stated := headerLine(block, b3Sampled)
	_, traced := headerLine(block, b3TraceID)
	switch {
	case stated && sampled == "0":
		return sampling{}
	case stated && sampled == "1" || traced:
		return sampling{on: true}.with(block, func(key string) bool {
			return key == b3Sampled || key == b3TraceID || key == b3ParentSpan || key == b3Span
		})
	}
	if v, ok := headerLine(block, b3Single); ok {
		f := strings.Split(v, "-")
		denied := len(f) > b3FieldsState && f[b3FieldsState] == b3Denied || len(f) == 1 && f[0] == b3Denied
		return sampling{on: !denied}.with(block, func(key string) bool { return key == b3Single })
	}
	if v, ok := headerLine(block, traceParent); ok {
		return sampling{on: traceAsks(v)}.with(block, func(key string) bool {
			return key == traceParent || key == traceState
		})
	}
	return sampling{}
}

// uberAsks reads the flags at the end of "trace:span:parent:flags".
func uberAsks(v string) bool {
	f := strings.Split(v, ":")
	if len(f) != uberFields || len(f[3]) == 0 || len(f[3]) > 2 {
		return false
	}
	flags, err := hex.DecodeString("0"[:2-len(f[3])] + f[3])
	return err == nil && flags[0]&uberSampled != 0
}

// traceAsks reads the flags at the end of "version-trace-parent-flags".
func traceAsks(v string) bool {
	f := strings.Split(v, "-")
	if len(f) != traceFields || len(f[3]) != 2 {
		return false
	}
	flags, err := strconv.ParseInt(f[3], 16, 8)
	return err == nil && flags&traceSampled != 0
}

// with keeps the lines of block that belong to the trace.
func (s sampling) with(block []byte, belongs func(key string) bool) sampling {
	if !s.on {
		return sampling{}
	}
	s.header = make(map[string][]string)
	for it := codec.Headers(block); ; {
		key, value, ok := it.Next()
		if !ok {
			return s
		}
		if name := textproto.CanonicalMIMEHeaderKey(string(key)); belongs(name) {
			s.header[name] = append(s.header[name], string(bytes.TrimSpace(value)))
		}
	}
}

// headerLine returns the value of the first line with a key, in whichever case
// it is written. An empty value is none.
func headerLine(block []byte, key string) (value string, ok bool) {
	for it := codec.Headers(block); ; {
		k, v, ok := it.Next()
		if !ok {
			return "", false
		}
		if len(k) == len(key) && strings.EqualFold(string(k), key) {
			return string(bytes.TrimSpace(v)), true
		}
	}
}
