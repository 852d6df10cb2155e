package codec

// follow says what may come right behind a verb.
type follow uint8

const (
	// followAny: everything up to LF is ignored (PINGxyz is a PING).
	followAny follow = iota
	// followBlank: a space or tab has to come, then arguments.
	followBlank
	// followArg: arguments, blanks before them or not (CONNECT{}).
	followArg
)

// verb is one row of a Side's table; a new verb is a new row.
type verb struct {
	name   string // lower case
	op     Op
	follow follow
	// args reads the arguments at p.arg into p.line, once the line is whole.
	args func(p *Parser, b []byte) *Error
	// first and second number the reference's grammar states behind one and
	// two matched bytes; from there they count up. For log lines only.
	first, second uint8
}

// state returns the reference's number for n matched bytes of the verb.
func (v *verb) state(n int) int {
	switch n {
	case 0:
		return 0
	case 1:
		return int(v.first)
	}
	return int(v.second) + n - 2
}

// The tables, most frequent verb first. A client's HMSG is known to the
// reference's grammar but to nothing behind it, so it fails at the end of its
// line and not at its first byte, as MSG does.
var verbTables = [2][]verb{
	ServerSide: {
		{"pub", OpPub, followBlank, (*Parser).pubArgs, 29, 30},
		{"hpub", OpHPub, followBlank, (*Parser).hpubArgs, 18, 19},
		{"sub", OpSub, followBlank, (*Parser).subArgs, 43, 44},
		{"unsub", OpUnsub, followBlank, (*Parser).unsubArgs, 59, 60},
		{"ping", OpPing, followAny, nil, 29, 34},
		{"pong", OpPong, followAny, nil, 29, 37},
		{"connect", OpConnect, followArg, (*Parser).textArg, 10, 11},
		{"info", OpInfo, followArg, (*Parser).textArg, 71, 72},
		{"+ok", OpOK, followAny, nil, 1, 2},
		{"-err", OpErr, followBlank, (*Parser).textArg, 4, 5},
		{"hmsg", OpHMsg, followBlank, (*Parser).strayMsg, 18, 24},
	},
	ClientSide: {
		{"msg", OpMsg, followBlank, (*Parser).msgArgs, 66, 67},
		{"hmsg", OpHMsg, followBlank, (*Parser).hmsgArgs, 18, 24},
		{"ping", OpPing, followAny, nil, 29, 34},
		{"pong", OpPong, followAny, nil, 29, 37},
		{"+ok", OpOK, followAny, nil, 1, 2},
		{"-err", OpErr, followBlank, (*Parser).textArg, 4, 5},
		{"info", OpInfo, followArg, (*Parser).textArg, 71, 72},
	},
}

// matchVerb looks for the verb at the start of b. A nil verb without an error
// means that b is a proper prefix of one.
func matchVerb(table []verb, b []byte) (*verb, *Error) {
	var best *verb
	most := -1
	for i := range table {
		v := &table[i]
		n := commonPrefix(v.name, b)
		if n == len(v.name) {
			return v, nil
		}
		if n > most {
			best, most = v, n
		}
	}
	if most == len(b) {
		return nil, nil
	}
	return nil, unknown(OpNone, b, most, best.state(most))
}

// commonPrefix counts the leading bytes of b that spell name in any case.
func commonPrefix(name string, b []byte) int {
	n := min(len(name), len(b))
	for i := range n {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return i
		}
	}
	return n
}
