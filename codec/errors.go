package codec

import (
	"strconv"
)

// Kind sorts what a Parser refuses by what the server does about it. Each of
// them ends the connection.
type Kind uint8

const (
	// UnknownOperation: bytes that are no verb, or no CRLF behind a payload.
	UnknownOperation Kind = iota + 1
	// ControlLine: the argument bytes of a line passed MaxControlLine.
	ControlLine
	// PayloadTooBig: the announced size passed MaxPayload.
	PayloadTooBig
	// BadArguments: wrong number of arguments, or a size that is none.
	BadArguments
	// NoHeaders: HPUB from a client that did not announce headers.
	NoHeaders
)

// Reply returns the text of the -ERR line that goes with k, "" when the
// connection is closed without a word.
func (k Kind) Reply() string {
	switch k {
	case UnknownOperation:
		return "Unknown Protocol Operation"
	case ControlLine:
		return "maximum control line exceeded"
	case PayloadTooBig:
		return "Maximum Payload Violation"
	}
	return ""
}

// Error is what Parser.Next returns for input outside the protocol. It owns
// its memory.
type Error struct {
	Kind Kind
	// Op is the verb whose line was refused, OpNone when there was no verb.
	Op Op
	// Off is the place of the first wrong byte, counted from the start of the
	// bytes given to Next. It is set for UnknownOperation.
	Off int
	// State is the number the reference server prints for the place in the
	// grammar (`parser ERROR, state=31`). It is set for UnknownOperation.
	State int
	// Arg is a copy of the line's arguments, for the trace line that goes
	// before the error. It is set for BadArguments, PayloadTooBig, NoHeaders.
	Arg []byte

	text string
}

// Error returns the line the reference server logs. For UnknownOperation that
// line begins with the kind of connection ("Client "), which the caller adds.
func (e *Error) Error() string { return e.text }

// snippetBytes is how much of the input an UnknownOperation error shows.
const snippetBytes = 32

// unknown reports b[off] as the first byte outside the grammar.
func unknown(op Op, b []byte, off, state int) *Error {
	snip := ""
	if off < len(b) {
		stop := off + snippetBytes
		if stop > len(b) {
			stop = len(b) - 1 // the last byte is left out, as in the reference
		}
		snip = string(b[off:stop])
	}
	return &Error{
		Kind: UnknownOperation, Op: op, Off: off, State: state,
		text: "parser ERROR, state=" + strconv.Itoa(state) + ", i=" + strconv.Itoa(off) +
			": proto='" + strconv.Quote(snip) + "...'",
	}
}

// badArgs reports a line by the reference's name for it: `<what>: "<arg>"`.
func badArgs(op Op, what string, arg []byte) *Error {
	return &Error{
		Kind: BadArguments, Op: op, Arg: append([]byte(nil), arg...),
		text: what + ": " + strconv.Quote(string(arg)),
	}
}

func tooBig(op Op, arg []byte, size int, limit int32) *Error {
	return &Error{
		Kind: PayloadTooBig, Op: op, Arg: append([]byte(nil), arg...),
		text: "maximum payload exceeded: " + strconv.Itoa(size) + " vs " + strconv.Itoa(int(limit)),
	}
}

func noHeaders(arg []byte) *Error {
	return &Error{
		Kind: NoHeaders, Op: OpHPub, Arg: append([]byte(nil), arg...),
		text: "message headers not supported",
	}
}
