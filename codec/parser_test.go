package codec

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// A transcript is a script of inputs and what the parser says of each:
//
//	# comment
//	in "PUB foo 5\r\nhello\r\n" headers=false max_payload=3
//	----
//	what comes out, one frame or error a line
//
// Inputs are Go strings; a closing xN repeats the one before it.
type transcript struct {
	head  string // the lines before ----
	in    []byte
	p     Parser
	lines []string
}

// serverParser is the parser the transcripts of clients' words start from.
func serverParser() Parser { return Parser{MaxPayload: 1 << 20, HeadersOK: true} }

func readTranscripts(t testing.TB, file string, p Parser) []transcript {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []transcript
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		head, out, ok := strings.Cut(block, "----")
		if !ok {
			t.Fatalf("%s: no ---- in %q", file, block)
		}
		tr := transcript{head: head, p: p}
		for _, line := range strings.Split(strings.TrimSpace(head), "\n") {
			if !strings.HasPrefix(line, "#") {
				tr.read(t, line)
			}
		}
		if out = strings.Trim(out, "\n"); out != "" {
			tr.lines = strings.Split(out, "\n")
		}
		all = append(all, tr)
	}
	return all
}

func (tr *transcript) read(t testing.TB, line string) {
	rest, ok := strings.CutPrefix(line, "in ")
	if !ok {
		t.Fatalf("bad line %q", line)
	}
	last := ""
	for rest != "" {
		if rest[0] == '"' {
			q, err := strconv.QuotedPrefix(rest)
			if err != nil {
				t.Fatalf("bad line %q", line)
			}
			last, _ = strconv.Unquote(q)
			tr.in = append(tr.in, last...)
			rest = strings.TrimLeft(rest[len(q):], " ")
			continue
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		tr.set(t, word, last)
	}
}

func (tr *transcript) set(t testing.TB, word, last string) {
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		key, value = "x", strings.TrimPrefix(word, "x")
	}
	n, err := strconv.Atoi(value)
	switch {
	case key == "headers":
		tr.p.HeadersOK = value == "true"
	case err != nil:
		t.Fatalf("bad word %q", word)
	case key == "x":
		tr.in = append(tr.in, strings.Repeat(last, n-1)...)
	case key == "max_payload":
		tr.p.MaxPayload = int32(n)
	case key == "max_control_line":
		tr.p.MaxControlLine = int32(n)
	default:
		t.Fatalf("bad word %q", word)
	}
}

// short quotes what is short enough to read.
func short(b []byte) string {
	if len(b) > 80 {
		return fmt.Sprintf("%q+%d", b[:16], len(b)-16)
	}
	return strconv.Quote(string(b))
}

func render(f *Frame) string {
	s := fmt.Sprintf("%v line=%d", f.Op, f.Line)
	field := func(name string, b []byte) {
		if b != nil {
			s += " " + name + "=" + short(b)
		}
	}
	field("subject", f.Subject)
	field("queue", f.Queue)
	field("sid", f.SID)
	field("reply", f.Reply)
	if f.HasMax {
		s += fmt.Sprintf(" max=%d", f.Max)
	}
	if f.SizeToken != nil {
		if f.HeaderLen >= 0 {
			s += fmt.Sprintf(" hdr=%d(%s)", f.HeaderLen, f.HdrToken)
		}
		s += fmt.Sprintf(" size=%d(%s)", f.Size, f.SizeToken)
		field("payload", f.Payload)
		field("tail", f.Tail)
	} else {
		field("arg", f.Arg)
	}
	return s
}

// play parses all of in at once and tells what came out.
func (tr *transcript) play() []string {
	var out []string
	p, b := tr.p, tr.in
	for len(b) > 0 {
		var f Frame
		n, err := p.Next(b, &f)
		if err != nil {
			e := err.(*Error)
			line := "log " + e.Error()
			if len(line) > 160 {
				line = line[:80] + "…" + line[len(line)-20:]
			}
			if reply := e.Kind.Reply(); reply != "" {
				line += " -ERR " + reply
			}
			return append(out, line)
		}
		if n == 0 {
			return append(out, fmt.Sprintf("wait have=%d need=%d", len(b), p.Need()))
		}
		if f.Op == OpNone {
			out = append(out, fmt.Sprintf("skip %d", n))
		} else {
			out = append(out, render(&f))
		}
		b = b[n:]
	}
	return out
}

func runTranscripts(t *testing.T, file string, p Parser) {
	var again []string
	for _, tr := range readTranscripts(t, file, p) {
		got := tr.play()
		again = append(again, tr.head+"----\n"+strings.Join(got, "\n"))
		if !*update && strings.Join(got, "\n") != strings.Join(tr.lines, "\n") {
			t.Errorf("%s:\n%s\n got %s\nwant %s", file, tr.head, strings.Join(got, "\n     "), strings.Join(tr.lines, "\n     "))
		}
		if len(tr.in) < 300 {
			compareAll(t, rand.New(rand.NewPCG(1, 1)), tr.p, tr.in)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(again, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerTranscripts(t *testing.T) {
	runTranscripts(t, "testdata/server.txt", serverParser())
}

func TestClientTranscripts(t *testing.T) {
	runTranscripts(t, "testdata/client.txt", Parser{MaxPayload: -1, Side: ClientSide, MaxControlLine: 1 << 16})
}

// TestOneByteAtATime ends in good time only if no byte is scanned over and over
// (I4).
func TestOneByteAtATime(t *testing.T) {
	size := 1 << 20
	stream := AppendPub(nil, []byte("foo"), nil, bytes.Repeat([]byte("\r"), size))
	stream = append(stream, "CONNECT {"...)
	stream = append(stream, bytes.Repeat([]byte(" "), size)...)
	stream = append(stream, "}\r\nSUB "...)
	stream = append(stream, bytes.Repeat([]byte(" "), size)...)
	stream = append(stream, "foo 1\r\nPING"...)
	stream = append(stream, bytes.Repeat([]byte("x"), size)...)
	stream = append(stream, "\r\n"...)

	p := Parser{MaxPayload: -1, MaxControlLine: 1 << 30}
	var f Frame
	var ops []Op
	for from, to := 0, 1; to <= len(stream); to++ {
		n, err := p.Next(stream[from:to], &f)
		if err != nil {
			t.Fatal(err)
		}
		if from += n; n > 0 && f.Op != OpNone {
			ops = append(ops, f.Op)
		}
	}
	if got := fmt.Sprint(ops); got != "[PUB CONNECT SUB PING]" {
		t.Fatal(got)
	}
}

// TestNeed takes the way of a caller that reads a large payload into a buffer
// of its own.
func TestNeed(t *testing.T) {
	stream := AppendHPub(nil, []byte("foo"), []byte("bar"), []byte(HeaderEmpty), make([]byte, 5000))
	p := serverParser()
	var f Frame
	if n, err := p.Next(stream[:100], &f); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if p.Need() != len(stream) || string(f.Subject) != "foo" || f.Size != 5012 || f.HeaderLen != 12 || f.Payload != nil {
		t.Fatalf("need %d, frame %+v", p.Need(), f)
	}
	own := append(make([]byte, 0, p.Need()), stream[:100]...)
	own = append(own, stream[100:]...)
	n, err := p.Next(own, &f)
	if n != len(stream) || err != nil || len(f.Payload) != 5012 || f.Tail == nil || p.Need() != 0 {
		t.Fatalf("n %d, err %v, frame %+v", n, err, f)
	}
	if string(f.Header()) != HeaderEmpty || len(f.Body()) != 5000 {
		t.Fatalf("header %q, body %d bytes", f.Header(), len(f.Body()))
	}

	if n, err := p.Next(stream[:100], &f); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	p.Reset()
	if n, err := p.Next([]byte("PING\r\n"), &f); n != 6 || err != nil || f.Op != OpPing {
		t.Fatal(n, err, f.Op)
	}
}

func TestSkipping(t *testing.T) {
	p := serverParser()
	var f Frame
	blanks := bytes.Repeat([]byte(" "), 2000)
	if n, err := p.Next(append([]byte("PUB"), blanks...), &f); n != 2003 || err != nil || f.Op != OpNone || !p.Skipping() {
		t.Fatal(n, err, f.Op, p.Skipping())
	}
	if n, err := p.Next([]byte(" a 1"), &f); n != 0 || err != nil || !p.Skipping() {
		t.Fatal(n, err, p.Skipping())
	}
	n, err := p.Next([]byte(" a 1\r\nx\r\n"), &f)
	if n != 9 || err != nil || p.Skipping() || string(f.Subject) != "a" || string(f.Tail) != "1\r\nx\r\n" {
		t.Fatalf("%d %v %v %+v", n, err, p.Skipping(), f)
	}

	// What comes first after a skip counts like anything else.
	if n, err := p.Next(append([]byte("PING"), blanks...), &f); n != 2004 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := p.Next([]byte("\nPONG\r\n"), &f); n != 1 || err != nil || f.Op != OpPing {
		t.Fatal(n, err, f.Op)
	}
}
