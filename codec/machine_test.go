package codec

import (
	"regexp"
	"strconv"
	"strings"
)

// machine is the grammar once more, written to be believed and not to be fast:
// one byte a step, strings, and nothing shared with the parser but the types of
// the answers. The parser is compared with it.
type machine struct {
	side       Side
	lineMax    int
	payloadMax int
	headersOK  bool

	pos    int    // bytes fed
	mode   string // verb, follow, blanks, args, ignore, payload, cr, lf, dead
	word   string // the verb so far, lower case
	raw    string // the frame so far
	arg    string
	behind string // what a canonical line has behind "subject "
	ev     event
	events []event
	err    *failure
}

// event is a frame, out of its buffer.
type event struct {
	Op                                     Op
	Arg, Subject, SID, HdrToken, SizeToken string
	Reply, Queue, Payload, Tail            maybe
	HeaderLen, Size                        int
	HasMax                                 bool
	Max                                    int64
}

// maybe tells nil from empty.
type maybe struct {
	text string
	ok   bool
}

func some(s string) maybe { return maybe{s, true} }

// failure is an error by its kind and the byte of the stream that caused it.
type failure struct {
	Kind Kind
	Text string // but for UnknownOperation, which shows how the input was cut
	At   int
}

var machineVerbs = map[Side]string{
	ServerSide: "connect pub hpub sub unsub ping pong +ok -err info hmsg",
	ClientSide: "msg hmsg ping pong +ok -err info",
}

func newMachine(p *Parser) *machine {
	return &machine{
		side: p.Side, lineMax: p.controlLineMax(), payloadMax: int(p.MaxPayload), headersOK: p.HeadersOK,
		mode: "verb",
	}
}

func (m *machine) fail(k Kind, text string) {
	m.err = &failure{Kind: k, Text: text, At: m.pos}
	m.mode = "dead"
}

func (m *machine) feed(c byte) {
	blank := c == ' ' || c == '\t'
	m.raw += string([]byte{c})
	switch m.mode {
	case "verb":
		m.verb(c)
	case "follow":
		if !blank {
			m.fail(UnknownOperation, "")
			break
		}
		m.mode = "blanks"
	case "blanks":
		if !blank {
			m.arg, m.mode = string([]byte{c}), "args"
			m.checkLine()
		}
	case "args":
		if c == '\n' {
			m.endOfLine()
			break
		}
		m.arg += string([]byte{c})
		m.checkLine()
	case "ignore":
		if c == '\n' {
			m.ev = event{HeaderLen: -1}
			m.emit()
		}
	case "payload":
		m.ev.Payload.text += string([]byte{c})
		if len(m.ev.Payload.text) == m.ev.Size {
			m.mode = "cr"
		}
	case "cr":
		m.mode = "lf"
		if c != '\r' {
			m.fail(UnknownOperation, "")
		}
	case "lf":
		if c != '\n' {
			m.fail(UnknownOperation, "")
			break
		}
		m.emit()
	}
	m.pos++
}

func (m *machine) verb(c byte) {
	m.word += strings.ToLower(string([]byte{c}))
	for _, v := range strings.Fields(machineVerbs[m.side]) {
		switch {
		case v == m.word:
			switch v {
			case "ping", "pong", "+ok":
				m.mode = "ignore"
			case "connect", "info":
				m.mode = "blanks"
			default:
				m.mode = "follow"
			}
			return
		case strings.HasPrefix(v, m.word):
			return
		}
	}
	m.fail(UnknownOperation, "")
}

// dropped returns the arguments as the line stands: one byte less for a CR.
func (m *machine) dropped() string {
	if strings.Contains(m.arg[1:], "\r") {
		return m.arg[:len(m.arg)-1]
	}
	return m.arg
}

func (m *machine) checkLine() {
	if len(m.dropped()) > m.lineMax {
		m.fail(ControlLine, "maximum control line exceeded")
	}
}

func (m *machine) emit() {
	for op := range opCount {
		if strings.EqualFold(op.String(), m.word) {
			m.ev.Op = op
		}
	}
	if m.ev.Op == OpPub || m.ev.Op == OpHPub && m.ev.HeaderLen > 0 {
		tail := m.behind + m.ev.Payload.text + "\r\n"
		if strings.HasSuffix(m.raw, m.ev.Subject+" "+tail) {
			m.ev.Tail = some(tail)
		}
	}
	m.events = append(m.events, m.ev)
	m.mode, m.word, m.raw, m.arg, m.ev = "verb", "", "", "", event{}
}

var (
	onBlanks = func(r rune) bool { return r == ' ' || r == '\t' }
	onSpace  = func(r rune) bool { return onBlanks(r) || r == '\r' || r == '\n' }
	number   = regexp.MustCompile(`^[0-9]{1,9}$`)
)

func (m *machine) size(s string) int {
	if !number.MatchString(s) || strings.HasSuffix(s, "\n") {
		return -1
	}
	n, _ := strconv.Atoi(s)
	return n
}

func (m *machine) endOfLine() {
	m.arg = m.dropped()
	m.ev = event{Arg: m.arg, HeaderLen: -1}
	switch m.word {
	case "connect", "info", "-err":
		m.emit()
	case "pub":
		m.publish("processPub ", strings.FieldsFunc(m.arg, onBlanks), false)
	case "hpub":
		if !m.headersOK {
			m.fail(NoHeaders, "message headers not supported")
			return
		}
		m.publish("processHeaderPub ", strings.FieldsFunc(m.arg, onBlanks), true)
	case "msg", "hmsg":
		if m.side == ServerSide {
			m.fail(UnknownOperation, "")
			return
		}
		who := map[string]string{"msg": "processMsg ", "hmsg": "processHeaderMsg "}[m.word]
		t := strings.FieldsFunc(m.arg, onSpace)
		if len(t) > 1 {
			m.ev.SID = t[1]
			t = append(t[:1:1], t[2:]...)
			m.publish(who, t, m.word == "hmsg")
			return
		}
		m.fail(BadArguments, who+"Parse Error: "+strconv.Quote(m.arg))
	case "sub":
		m.sub(strings.FieldsFunc(m.arg, onSpace))
	case "unsub":
		m.unsub(strings.FieldsFunc(m.arg, onSpace))
	}
}

func (m *machine) sub(t []string) {
	switch len(t) {
	case 2:
		m.ev.Subject, m.ev.SID = t[0], t[1]
	case 3:
		m.ev.Subject, m.ev.Queue, m.ev.SID = t[0], some(t[1]), t[2]
	default:
		m.fail(BadArguments, "processSub Parse Error: "+strconv.Quote(m.arg))
		return
	}
	m.emit()
}

func (m *machine) unsub(t []string) {
	switch len(t) {
	case 1:
		m.ev.SID = t[0]
	case 2:
		m.ev.SID, m.ev.HasMax, m.ev.Max = t[0], true, int64(max(0, m.size(t[1])))
	default:
		m.fail(BadArguments, "processUnsub Parse Error: "+strconv.Quote(m.arg))
		return
	}
	m.emit()
}

// publish reads "subject [reply] [header] size" from t.
func (m *machine) publish(who string, t []string, headers bool) {
	bad := func(what string) { m.fail(BadArguments, who+what+": "+strconv.Quote(m.arg)) }
	sizes := 1
	if headers {
		sizes = 2
	}
	if len(t) != sizes+1 && len(t) != sizes+2 {
		bad("Parse Error")
		return
	}
	m.ev.Subject = t[0]
	if len(t) == sizes+2 {
		m.ev.Reply = some(t[1])
	}
	last := len(t) - 1
	m.ev.SizeToken, m.ev.Size = t[last], m.size(t[last])
	rest := t[last]
	if headers {
		m.ev.HdrToken, m.ev.HeaderLen = t[last-1], m.size(t[last-1])
		rest = t[last-1] + " " + rest
		if m.ev.HeaderLen < 0 {
			bad("Bad or Missing Header Size")
			return
		}
	}
	if m.ev.Size < 0 {
		bad(map[bool]string{false: "Bad or Missing Size", true: "Bad or Missing Total Size"}[headers])
		return
	}
	if m.ev.HeaderLen > m.ev.Size {
		bad("Header Size larger then TotalSize")
		return
	}
	if m.payloadMax >= 0 && m.ev.Size > m.payloadMax {
		m.fail(PayloadTooBig, "maximum payload exceeded: "+strconv.Itoa(m.ev.Size)+" vs "+strconv.Itoa(m.payloadMax))
		return
	}
	m.ev.Payload = some("")
	if m.ev.Reply.ok {
		rest = m.ev.Reply.text + " " + rest
	}
	m.behind = rest + "\r\n"
	if m.mode = "payload"; m.ev.Size == 0 {
		m.mode = "cr"
	}
}
