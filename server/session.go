package server

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"peregrine/codec"
	"peregrine/loop"
)

// session is one client's side of the protocol.
type session struct {
	// Fixed at open.
	w      *worker
	c      *loop.Conn
	peer   netip.AddrPort
	opened time.Time

	// Read by other loops.
	headers  atomic.Bool // the client understands headers
	inMsgs   atomic.Int64
	inBytes  atomic.Int64
	numSubs  atomic.Int64
	lastSeen atomic.Int64 // loop time of the last verb but PONG
	rtt      atomic.Int64
	ident    atomic.Pointer[identity]

	// Owned by the loop.
	acc     *liveAccount
	auth    authState
	perms   permissions
	parser  codec.Parser
	subs    map[string]*subscription
	connect connectOptions
	preface preface
	stage   stage
	late    bool // the last write deadline was passed
	pinging pinging
	err     error      // the reason of a close under way
	asked   *infoCache // nil until a request crosses accounts
	prev    *session
	next    *session
}

// identity is what CONNECT tells about a client, for logs and monitors.
type identity struct {
	name, lang, version, user string
	label                     string // suffix of the log prefix
}

// stage is how far the start-up of a session has come.
type stage struct {
	connected bool // CONNECT was accepted
	ponged    bool // a PING was answered since
	closing   bool
}

// open starts a session on the worker's loop; it becomes the handler.
func (w *worker) open(c *loop.Conn, peer netip.AddrPort, full bool) loop.Handler {
	s := &session{w: w, c: c, peer: peer, opened: time.Now(), acc: w.srv.global}
	o := w.srv.options()
	s.parser = codec.Parser{MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload, Side: codec.ServerSide}
	s.connect = defaultConnect
	c.SetLimits(w.srv.clientLimits.Load())
	w.link(s)
	s.debugf("Client connection created")
	s.acc.Join(false)
	s.startAuth()
	s.greet(full)
	return s
}

// Data implements loop.Handler.
func (c *session) Data(lc *loop.Conn, b []byte, sh *loop.Shared) (consumed, need int) {
	if c.preface.phase != speaking {
		used, open := c.early(b)
		if open && used < len(b) {
			consumed, need = c.Data(lc, b[used:], sh)
		}
		return used + consumed, need
	}
	w := c.w
	f := &w.frame
	active := false
	if c.auth.awaiting && len(b) > 0 && !c.parser.Skipping() && !c.mayStart(b[0]) {
		if c.stage.closing {
			return len(b), 0
		}
		return 0, 0
	}
	for consumed < len(b) && !c.stage.closing && !c.auth.held {
		n, err := c.parser.Next(b[consumed:], f)
		if err != nil {
			c.refuse(err, b[consumed:])
			break
		}
		if n == 0 {
			need = c.parser.Need()
			break
		}
		consumed += n
		if f.Op == codec.OpPub || f.Op == codec.OpHPub {
			if r := c.publish(f, sh); r != nil {
				consumed += c.publishRun(b[consumed-n:], n, r)
			}
			active = true
			continue
		}
		c.handle(f)
		active = active || f.Op != codec.OpPong
	}
	if active {
		c.lastSeen.Store(w.lp.Now())
	}
	w.publishTally(c)
	if c.stage.closing {
		return len(b), 0
	}
	return consumed, need
}

// handle carries out one frame that is no message.
func (c *session) handle(f *codec.Frame) {
	switch f.Op {
	case codec.OpPing:
		c.onPing()
	case codec.OpPong:
		c.onPong()
	case codec.OpSub:
		c.subscribe(f)
	case codec.OpUnsub:
		c.unsubscribe(f)
	case codec.OpConnect:
		c.onConnect(f)
	case codec.OpInfo:
		c.onInfo(f)
	case codec.OpErr:
		c.errorf("Client Error %s", f.Arg)
		c.close(ParseError)
	}
}

// refuse ends the session over input outside the protocol, with which b, which
// is borrowed, begins.
func (c *session) refuse(err error, b []byte) {
	var e *codec.Error
	if !errors.As(err, &e) {
		c.errorf("%v", err)
		c.close(ProtocolViolation)
		return
	}
	if c.w.trace && len(e.Arg) > 0 {
		c.traceIn(e.Op.String(), e.Arg)
	}
	if e.Kind == codec.PayloadTooBig && e.Op == codec.OpHPub {
		c.traceOversized(e.Arg, b)
	}
	if text := e.Kind.Reply(); text != "" {
		c.sendErr(text)
	}
	if e.Kind == codec.UnknownOperation {
		c.errorf("Client %s", e.Error())
	} else {
		c.errorf("%s", e.Error())
	}
	switch e.Kind {
	case codec.ControlLine:
		c.close(MaxControlLineExceeded)
	case codec.PayloadTooBig:
		c.close(MaxPayloadExceeded)
	default:
		c.close(ProtocolViolation)
	}
}

// close ends the session after what is queued has been written.
func (c *session) close(r Reason) {
	if c.stage.closing {
		return
	}
	c.stage.closing = true
	c.c.Close(r)
}

// Closed implements loop.Handler.
func (c *session) Closed(_ *loop.Conn, err error) {
	c.stage.closing = true
	w := c.w
	r := c.closedEarly(reasonOf(err, false), err)
	w.lp.Cancel(&c.pinging.timer)
	w.lp.Cancel(&c.auth.timer)
	if r == SlowConsumerPendingBytes || r == SlowConsumerWriteDeadline {
		c.slowConsumer(r)
	}
	c.debugf("Client connection closed: %s", r)
	if r == StaleConnection {
		w.srv.staleConns.Add(1)
	}
	num, left := len(c.subs), c.subInfos(closedSubsMax)
	c.tellDisconnect(r)
	c.dropAllSubs()
	c.acc.Leave(false)
	w.srv.connsChanged(c.acc)
	w.unlink(c)
	w.srv.remember(c, r, num, left)
}

// slowConsumer counts and logs that the client does not read fast enough. Each
// write deadline counts, as in the reference.
func (c *session) slowConsumer(r Reason) {
	s := c.w.srv
	exchangeOf(c.acc).slow.Add(1)
	if r == SlowConsumerPendingBytes {
		c.noticef("Slow Consumer Detected: MaxPending of %d Exceeded", s.options().MaxPending)
	} else {
		what := "Detected"
		if c.late {
			what = "State"
		}
		chunks, bytes := c.c.Backlog()
		c.noticef("Slow Consumer %s: WriteDeadline of %v exceeded with %d chunks of %d total bytes.",
			what, s.options().WriteDeadline, chunks, bytes)
	}
	s.slowConsumers.Add(1)
}

// Late implements loop.Lagging.
func (c *session) Late(*loop.Conn) {
	c.slowConsumer(SlowConsumerWriteDeadline)
	c.late = true
}

// Recovered implements loop.Lagging.
func (c *session) Recovered(_ *loop.Conn, l loop.Lag) {
	c.late = false
	c.noticef("Slow Consumer Recovered: Flush took %.3fs with %d chunks of %d total bytes.", l.Took.Seconds(), l.Pieces, l.Bytes)
}

// subInfos describes at most max subscriptions.
func (c *session) subInfos(max int) []SubInfo {
	out := make([]SubInfo, 0, min(len(c.subs), max))
	for _, sub := range c.subs {
		if len(out) == max {
			break
		}
		out = append(out, SubInfo{
			Subject: sub.subject, Queue: sub.queue, SID: sub.sid,
			Delivered: sub.delivered.Load(), Max: sub.max.Load(),
		})
	}
	return out
}

// send queues protocol bytes for the client.
func (c *session) send(b []byte) {
	if q := c.w.lp.Queue(c.c, len(b)); q != nil {
		c.w.lp.Append(q, b)
	}
}

func (c *session) sendErr(text string) {
	if c.w.trace {
		c.tracef("->> [-ERR %s]", text)
	}
	c.send(codec.AppendErr(nil, text))
}

var okLine = []byte("+OK\r\n")

// ok answers a verb if the client wants that.
func (c *session) ok() {
	if c.connect.Verbose {
		if c.w.trace {
			c.tracef("->> [OK]")
		}
		c.send(okLine)
	}
}

// quoted appends b to text as Go quotes it.
func quoted(text string, b []byte) string { return text + strconv.Quote(string(b)) }

// prefix begins each log line about this client. Any goroutine.
func (c *session) prefix() string {
	var b strings.Builder
	b.WriteString(c.peer.String())
	b.WriteString(" - cid:")
	b.WriteString(strconv.FormatUint(c.c.ID(), 10))
	if id := c.ident.Load(); id != nil {
		b.WriteString(id.label)
	}
	return b.String()
}

func (c *session) errorf(format string, args ...any) {
	c.w.srv.log.Errorf("%s - "+format, prepend(c.prefix(), args)...)
}

func (c *session) noticef(format string, args ...any) {
	c.w.srv.log.Noticef("%s - "+format, prepend(c.prefix(), args)...)
}

func (c *session) debugf(format string, args ...any) {
	if c.w.debug {
		c.w.srv.log.Debugf("%s - "+format, prepend(c.prefix(), args)...)
	}
}

// tracef is called only when w.trace is set.
func (c *session) tracef(format string, args ...any) {
	c.w.srv.log.Tracef("%s - "+format, prepend(c.prefix(), args)...)
}

func (c *session) traceIn(verb string, arg []byte) { c.tracef("<<- [%s %s]", verb, arg) }

func prepend(first any, rest []any) []any {
	return append(append(make([]any, 0, len(rest)+1), first), rest...)
}
