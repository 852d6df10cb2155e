package server

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"peregrine/codec"
	"peregrine/loop"
	"peregrine/sublist"
)

// A message whose headers ask for it is traced: what becomes of it is written
// down and published on a subject that the headers, or the account, name.
//
//	publish ─▶ beginTrace ─▶ accept ─▶ deliverTraced … ─▶ sendTrace ─▶ traceQueue
//
// Messages without such headers never get here.

// Header lines that ask for a trace.
const (
	traceDestHeader   = "Nats-Trace-Dest"
	traceOnlyHeader   = "Nats-Trace-Only"
	traceOriginHeader = "Nats-Trace-Origin-Account"
	traceOff          = "trace disabled" // a destination that is none
	acceptEncoding    = "Accept-Encoding"
)

// msgTrace is what is written down of one message. It belongs to the loop of the
// publisher, then to the queue.
type msgTrace struct {
	acc     *liveAccount // of the publisher
	dest    string
	only    bool // nobody is to get the message
	coding  coding
	headers map[string][]string
	size    int
	ingress *traceIngress
	events  []any
	here    string // account that the message is in
}

// What happens to a message. Field order is part of what users see.
type (
	traceEvent struct {
		Type string    `json:"type"`
		Time time.Time `json:"ts"`
	}
	traceIngress struct {
		traceEvent
		Kind    int    `json:"kind"`
		CID     uint64 `json:"cid"`
		Name    string `json:"name,omitempty"`
		Account string `json:"acc"`
		Subject string `json:"subj"`
		Error   string `json:"error,omitempty"`
	}
	traceMapping struct {
		traceEvent
		To string `json:"to"`
	}
	traceStream struct {
		traceEvent
		Account string `json:"acc"`
		To      string `json:"to"`
	}
	traceService struct {
		traceEvent
		Account string `json:"acc"`
		From    string `json:"from"`
		To      string `json:"to"`
	}
	traceEgress struct {
		traceEvent
		Kind         int    `json:"kind"`
		CID          uint64 `json:"cid"`
		Name         string `json:"name,omitempty"`
		Account      string `json:"acc,omitempty"` // if it is not the publisher's
		Subscription string `json:"sub,omitempty"`
		Queue        string `json:"queue,omitempty"`
		Error        string `json:"error,omitempty"`
	}
)

// Why a receiver did not get a message.
const (
	traceNoEcho      = "Not delivered because of no echo"
	traceDenied      = "Not delivered because subscription denies this subject"
	traceSubClosed   = "Not delivered because subscription is closed"
	traceMaxExceeded = "Not delivered because auto-unsubscribe exceeded"
	traceGone        = "Not delivered because client is closed"
)

// kindClient is the kind of a connection in traces.
const kindClient = 0

func happens(typ string) traceEvent { return traceEvent{typ, time.Now()} }

// asksForTrace tells whether a header block may ask for a trace: whether a line
// begins with one of the two names that do.
func asksForTrace(block []byte) bool {
	for {
		at := bytes.IndexByte(block, '\n')
		if at < 0 {
			return false
		}
		block = block[at+1:]
		if len(block) <= len(traceParent) {
			return false
		}
		switch block[0] {
		case 'N':
			if bytes.HasPrefix(block, []byte(traceDestHeader)) {
				return true
			}
		case 't', 'T':
			if strings.EqualFold(string(block[:len(traceParent)]), traceParent) {
				return true
			}
		}
	}
}

// traceHeaders returns the lines of a block that asks for a trace, nil of others.
// Keys are as written. external says that another tracer asks: the account
// decides where to.
func traceHeaders(block []byte) (lines map[string][]string, external bool) {
	rest, ok := bytes.CutPrefix(block, []byte("NATS/1.0\r\n"))
	if !ok {
		return nil, false
	}
	lines = make(map[string][]string)
	asked, sampled := false, false
	for {
		key, after, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			break
		}
		value, next, ok := bytes.Cut(bytes.TrimLeft(after, " \t"), crlf)
		if !ok {
			break
		}
		rest = next
		value = bytes.TrimRight(value, " \t")
		if len(key) == 0 || len(value) == 0 {
			continue
		}
		k, v := string(key), string(value)
		switch {
		case !sampled && strings.EqualFold(k, traceParent):
			sampled = traceAsks(v)
		case !asked && k == traceDestHeader:
			if v == traceOff {
				return nil, false
			}
			asked = true
		}
		lines[k] = append(lines[k], v)
	}
	if !asked && !sampled {
		return nil, false
	}
	return lines, !asked
}

// publishTraced is publish for a message that may ask for a trace.
func (c *session) publishTraced(f *codec.Frame, sh *loop.Shared) {
	lines, external := traceHeaders(f.Header())
	if lines == nil {
		c.accept(f, sh, nil)
		return
	}
	t, what := c.beginTrace(f, lines, external)
	switch what {
	case traceDrops:
		if c.w.trace {
			c.traceIn(f.Op.String(), f.Arg)
		}
		return
	case traceEnds:
		f, sh = withHeader(f, traceDestHeader, traceOff), nil
	case traceGoes:
	}
	c.accept(f, sh, t)
	if t != nil {
		c.w.srv.traces.send(t)
	}
}

// traceVerdict says what becomes of a message that asks for a trace.
type traceVerdict uint8

const (
	traceGoes  traceVerdict = iota // it goes on, traced or not
	traceEnds                      // it goes on, but nobody is to trace it
	traceDrops                     // it does not
)

// beginTrace starts the trace of a message with these headers; nil if it is not
// to be traced.
func (c *session) beginTrace(f *codec.Frame, lines map[string][]string, external bool) (*msgTrace, traceVerdict) {
	first := func(key string) string {
		if all := lines[key]; all != nil {
			return all[0]
		}
		return ""
	}
	dest, otherwise := first(traceDestHeader), traceGoes
	only := false
	if !external {
		switch strings.ToLower(first(traceOnlyHeader)) {
		case "1", "true", "on":
			only, otherwise = true, traceDrops
		}
	}
	if v := first(traceOriginHeader); v != "" {
		c.errorf("Message tracing disabled because of header %q with value=%q", traceOriginHeader, v)
		return nil, max(otherwise, traceEnds)
	}
	if external {
		asked := c.acc.Definition.Load().Trace
		if asked.Dest == "" {
			return nil, traceGoes
		}
		if dest = asked.Dest; !sampledTrace(c.w, asked.Sampling) {
			return nil, traceEnds
		}
	}
	if !sublist.IsValidPublishSubject(dest) {
		c.errorf("Destination %q is not valid, won't be able to trace events", dest)
		return nil, otherwise
	}
	if !c.mayTraceTo([]byte(dest)) {
		c.refusePublish([]byte(dest), nil)
		return nil, traceDrops
	}
	t := &msgTrace{
		acc: c.acc, here: c.acc.Name, dest: dest, only: only, coding: codingOf(first(acceptEncoding)), headers: lines, size: f.Size,
		ingress: &traceIngress{
			traceEvent: happens("in"), Kind: kindClient, CID: c.c.ID(), Name: c.connect.Name,
			Account: c.acc.Name, Subject: string(f.Subject),
		},
	}
	t.events = append(t.events, t.ingress)
	return t, traceGoes
}

// traceOversized sends the trace of a message that is too large, if as much of its
// headers has come with its line, which has the arguments args.
func (c *session) traceOversized(args, line []byte) {
	_, block, _ := bytes.Cut(line, []byte{'\n'})
	fields := bytes.Fields(args)
	if len(fields) < 3 {
		return
	}
	header, err := strconv.Atoi(string(fields[len(fields)-2]))
	size, err2 := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || err2 != nil || header <= 0 {
		return
	}
	lines, external := traceHeaders(block[:min(header, len(block))])
	if lines == nil {
		return
	}
	if t, _ := c.beginTrace(&codec.Frame{Subject: fields[0], Size: size}, lines, external); t != nil {
		t.refuse("maximum payload exceeded")
		c.w.srv.traces.send(t)
	}
}

// sampledTrace decides by chance. One in a hundred more than asked for, as in
// the reference.
func sampledTrace(w *worker, percent int) bool {
	return percent <= 0 || percent >= 100 || int(w.random()%100) <= percent
}

// mayTraceTo tells whether the session may have traces sent to dest. Answers
// that it may give do not count.
func (c *session) mayTraceTo(dest []byte) bool {
	return (!reservedSubject(dest) || c.mayUseReserved(dest)) &&
		(c.perms.rules == nil || !c.perms.rules.LimitsPublish() || c.w.verdicts.mayPublish(c.perms.rules, dest))
}

// withHeader returns f with one line in its headers that has this key.
func withHeader(f *codec.Frame, key, value string) *codec.Frame {
	g := *f
	head := codec.AppendHeaderLast(nil, f.Header(), key, value)
	g.Payload = append(head, f.Body()...)
	g.HeaderLen, g.Size, g.Tail = len(head), len(g.Payload), nil
	g.HdrToken, g.SizeToken = strconv.AppendInt(nil, int64(g.HeaderLen), 10), strconv.AppendInt(nil, int64(g.Size), 10)
	return &g
}

// refuse notes that the message goes nowhere. t may be nil.
func (t *msgTrace) refuse(text string) {
	if t != nil {
		t.ingress.Error = text
	}
}

// note adds what happened.
func (t *msgTrace) note(event any) { t.events = append(t.events, event) }
