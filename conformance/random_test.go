package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"peregrine/conformance/harness"
	"peregrine/conformance/script"
)

// TestRandomScripts plays sessions made at random, many of them damaged, on both
// servers and compares what came back. A failure shows the session as a script:
// put it into scripts/ when the cause is fixed.
func TestRandomScripts(t *testing.T) {
	t.Parallel()
	seed := harness.Seed(t)
	cases := 1500
	if os.Getenv("SOAK") != "" {
		cases = 100_000
	}
	reference, peregrine := harness.Start(t, harness.Reference), harness.Start(t, harness.Peregrine)
	inconclusive := 0
	for i := range cases {
		s := randomScript(rand.New(rand.NewPCG(seed, uint64(i))), i)
		switch want, got, v := playBoth(t, s, reference, peregrine); v {
		case different:
			t.Fatalf("case %d: %s\nreference:\n%s\nPeregrine:\n%s\nscript:\n%s", i, script.Diff(want, got), want, got, s)
		case unclear:
			inconclusive++
		}
	}
	t.Logf("%d sessions, %d of them cut short by a reset or decided by chance", cases, inconclusive)
	if inconclusive > cases/10 {
		t.Errorf("%d of %d sessions are inconclusive", inconclusive, cases)
	}
}

type verdict int

const (
	same verdict = iota
	unclear
	different
)

// tries is how often a session is repeated. A server that closes with input
// unread makes TCP drop what it said last, now and then; and the reference may
// still deliver to the connection of the session before.
const tries = 5

func playBoth(t *testing.T, s *script.Script, reference, peregrine *harness.Server) (want, got script.Transcript, v verdict) {
	t.Helper()
	for range tries {
		var err error
		if want, err = script.Play(s, reference); err != nil {
			t.Fatalf("reference: %v\n%s", err, s)
		}
		if got, err = script.Play(s, peregrine); err != nil {
			t.Fatalf("peregrine: %v\n%s", err, s)
		}
		if slices.Equal(contents(want), contents(got)) {
			return want, got, same
		}
	}
	switch {
	case script.Diff(want, got) == "": // one is the beginning of the other
		return want, got, unclear
	case slices.Equal(withoutSids(contents(want)), withoutSids(contents(got))): // a queue group chose differently
		return want, got, unclear
	}
	return want, got, different
}

var sidOf = regexp.MustCompile(`^(H?MSG \S+) \S+`)

func withoutSids(lines []string) []string {
	for i, line := range lines {
		lines[i] = sidOf.ReplaceAllString(line, "$1 <sid>")
	}
	slices.Sort(lines)
	return lines
}

// contents are the lines of a transcript without their order: several
// subscriptions may match, and the order among them is nobody's promise. The
// complaint about a subject is left out: the reference makes it before the
// payload has come, and again when the payload comes in a later read.
func contents(t script.Transcript) []string {
	var lines []string
	for _, e := range t {
		for line := range bytes.Lines(e.Data) {
			if string(line) != "-ERR 'Invalid Publish Subject'\r\n" {
				lines = append(lines, string(line))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// randomScript is one connection that says something and ends its side.
func randomScript(r *rand.Rand, number int) *script.Script {
	text := []byte(randomSession(r, fmt.Sprintf("c%d", number)))
	for range r.IntN(4) {
		text = damage(r, text)
	}
	if len(text) == 0 {
		text = []byte("\n")
	}
	s := &script.Script{Name: fmt.Sprint("random ", number)}
	add := func(step script.Step) {
		step.Line, step.Conn = len(s.Steps)+1, "a"
		s.Steps = append(s.Steps, step)
	}
	add(script.Step{Verb: "open"})
	if len(text) > 2 && r.IntN(4) == 0 {
		add(script.Step{Verb: "cut", Bytes: text, Cuts: []int{1 + r.IntN(len(text)-1)}})
	} else {
		add(script.Step{Verb: "send", Bytes: text})
	}
	add(script.Step{Verb: "shut"})
	add(script.Step{Verb: "eof", Maybe: true})
	return s
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomSession is a session as a client might hold it. Subjects begin with a
// prefix of their own, so that sessions do not touch each other.
func randomSession(r *rand.Rand, prefix string) string {
	var out strings.Builder
	if r.IntN(10) > 0 {
		fmt.Fprintf(&out, `CONNECT {"verbose":%v,"pedantic":%v,"echo":%v,"headers":%v,"no_responders":%v,"protocol":%d}`+"\r\n",
			r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(8) > 0, r.IntN(6) > 0, r.IntN(6) == 0, pick(r, 0, 0, 0, 1))
	}
	for range 1 + r.IntN(12) {
		out.WriteString(randomLine(r, prefix))
	}
	if r.IntN(3) > 0 {
		out.WriteString("PING\r\n")
	}
	return out.String()
}

func randomLine(r *rand.Rand, prefix string) string {
	blank := func() string { return pick(r, " ", " ", " ", "\t", "  ") }
	subject := func() string {
		return prefix + pick(r, ".a", ".b", ".c.d", ".c.e", ".a..b", ".*", ".>", "", ".", ".c.*", ".b*")
	}
	end := pick(r, "\r\n", "\r\n", "\r\n", "\n", " \r\n")
	sid := fmt.Sprint(1 + r.IntN(4))
	payload := pick(r, "", "x", "hello", "\r\n", "PING\r\n", strings.Repeat("y", r.IntN(300)))
	reply := ""
	if r.IntN(3) == 0 {
		reply = subject() + blank()
	}
	switch r.IntN(9) {
	case 0, 1:
		return pick(r, "SUB", "sub", "Sub") + blank() + subject() + blank() + sid + end
	case 2:
		return "SUB" + blank() + subject() + blank() + pick(r, "q", "r") + blank() + sid + end
	case 3:
		return pick(r, "UNSUB", "unsub") + blank() + sid + pick(r, "", " 1", " 2", " 0", " 10") + end
	case 4, 5:
		return pick(r, "PUB", "pub") + blank() + subject() + blank() + reply + fmt.Sprint(len(payload)) + end + payload + "\r\n"
	case 6:
		header := pick(r, "NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n", "junk", "")
		return "HPUB" + blank() + subject() + blank() + reply + fmt.Sprint(len(header)) + blank() + fmt.Sprint(len(header)+len(payload)) + end + header + payload + "\r\n"
	case 7:
		return pick(r, "PING", "ping", "PONG", "+OK", "PINGx") + end
	default:
		return pick(r, "PING\r\n", "INFO {}\r\n", "-ERR 'x'\r\n", "CONNECT {\"verbose\":true}\r\n", "FOO\r\n", "\r\n", "MSG a 1 0\r\n\r\n", "PUB\r\n", "SUB a\r\n")
	}
}

// damage changes a few bytes as a broken client or line might.
func damage(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	i := r.IntN(len(b))
	switch r.IntN(6) {
	case 0:
		b[i] = byte(r.IntN(256))
	case 1:
		b = slices.Delete(b, i, i+1)
	case 2:
		b = slices.Insert(b, i, pick[byte](r, 0, ' ', '\t', '\r', '\n', '.', '*', '>', '0', '9', '-', 0xff))
	case 3:
		b = b[:i]
	case 4: // a line twice
		if j := bytes.IndexByte(b[i:], '\n'); j >= 0 {
			b = slices.Insert(b, i, slices.Clone(b[i:i+j+1])...)
		}
	case 5: // a digit becomes another number
		for j := i; j < len(b); j++ {
			if b[j] >= '0' && b[j] <= '9' {
				return slices.Replace(b, j, j+1, []byte(pick(r, "00", "-1", "12345", "99999999999", "7"))...)
			}
		}
	}
	return b
}
