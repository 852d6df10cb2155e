package codec

// Op names a frame's verb.
type Op uint8

// The operations of the client protocol. OpMsg and OpHMsg are what servers
// send, OpConnect, OpPub, OpHPub, OpSub and OpUnsub what clients send; the
// rest go both ways.
const (
	// OpNone marks bytes without meaning (see Parser.Next) and frames that
	// are not there yet. A receiver ignores it.
	OpNone Op = iota
	OpConnect
	OpPub
	OpHPub
	OpSub
	OpUnsub
	OpPing
	OpPong
	OpOK
	OpErr
	OpInfo
	OpMsg
	OpHMsg
	opCount
)

var opNames = [opCount]string{
	"", "CONNECT", "PUB", "HPUB", "SUB", "UNSUB", "PING", "PONG", "+OK", "-ERR", "INFO", "MSG", "HMSG",
}

// String returns the verb as written on the wire, "" for OpNone.
func (op Op) String() string {
	if op < opCount {
		return opNames[op]
	}
	return ""
}

// Side says whose words a Parser reads.
type Side uint8

const (
	// ServerSide parses what clients send.
	ServerSide Side = iota
	// ClientSide parses what servers send.
	ClientSide
)

// Frame is one protocol message. The caller owns the struct and reuses it, but
// does not write to it between calls of Next;
// every slice in it is borrowed from the bytes given to Parser.Next and dies
// with them.
//
// Next sets the fields of its Op and leaves every other one zero:
//
//	CONNECT, INFO, -ERR   Arg
//	PUB, HPUB             Arg Subject Reply HdrToken SizeToken HeaderLen Size Payload Tail
//	MSG, HMSG             Arg Subject SID Reply HdrToken SizeToken HeaderLen Size Payload
//	SUB                   Arg Subject Queue SID
//	UNSUB                 Arg SID HasMax Max
//
// Op and Line are always set; HeaderLen is -1 for everything but HPUB, HMSG.
type Frame struct {
	Op      Op
	HasMax  bool // UNSUB had a second argument
	Line    int  // bytes of the control line, terminator included, OpNone bytes not
	Size    int  // bytes of headers and payload together
	Subject []byte
	Reply   []byte // nil: none
	Payload []byte // headers and payload, no CRLF; nil while incomplete

	// Tail is what follows "SUBJECT " up to and including the CRLF behind the
	// payload, "[reply ]<sizes>\r\n<payload>\r\n", which is also what follows
	// "<subject> <sid> " in the MSG or HMSG of a receiver. It is nil unless the
	// frame is whole and those bytes are as drawn (single spaces, CRLF), and nil
	// for an HPUB with an empty header, which is delivered as a MSG.
	Tail []byte

	SizeToken []byte // the total size as written, leading zeros kept
	HdrToken  []byte // the header size as written; nil without headers
	HeaderLen int    // bytes of the header block; -1 without headers

	// Arg is everything behind the verb and the blanks after it, without the
	// line terminator: JSON of CONNECT and INFO, text of -ERR, what a trace
	// shows of the others.
	Arg []byte

	Queue []byte // nil: none
	SID   []byte
	Max   int64 // UNSUB: 0 when absent or not a number of 1 to 9 digits
}

// Header returns the header block of a whole frame, nil without one.
func (f *Frame) Header() []byte {
	if f.HeaderLen <= 0 || f.Payload == nil {
		return nil
	}
	return f.Payload[:f.HeaderLen]
}

// Body returns the payload of a whole frame without its headers.
func (f *Frame) Body() []byte {
	if f.HeaderLen <= 0 || f.Payload == nil {
		return f.Payload
	}
	return f.Payload[f.HeaderLen:]
}
