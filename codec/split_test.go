package codec

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"peregrine/internal/seeds"
)

// reader drives a Parser as a connection does: bytes arrive in chunks, what is
// not used is kept. It moves what it keeps on every arrival and scribbles over
// the old place, so that an alias that outlives its bytes shows.
type reader struct {
	t        testing.TB
	p        Parser
	kept     []byte
	consumed int
	events   []event
	err      *failure
}

func (r *reader) feed(chunk []byte) {
	old := r.kept
	r.kept = append(append(make([]byte, 0, len(old)+len(chunk)), old...), chunk...)
	for i := range old {
		old[i] = '#'
	}
	for r.err == nil && len(r.kept) > 0 {
		f := Frame{Op: OpSub, Reply: []byte("stale"), Tail: []byte("stale"), Queue: []byte("stale"), HasMax: true}
		n, err := r.p.Next(r.kept, &f)
		if err != nil {
			r.fail(err.(*Error))
			return
		}
		if n == 0 {
			r.checkCut(&f)
			return
		}
		if f.Op != OpNone {
			r.events = append(r.events, freeze(&f))
		}
		r.kept, r.consumed = r.kept[n:], r.consumed+n
	}
}

func (r *reader) fail(e *Error) {
	r.err = &failure{Kind: e.Kind, Text: e.text}
	if e.Kind == UnknownOperation {
		r.err.Text, r.err.At = "", r.consumed+e.Off
	}
}

// checkCut checks what Next promises about a frame that is not whole.
func (r *reader) checkCut(f *Frame) {
	need := r.p.Need()
	switch {
	case need == 0 && f.Op != OpNone:
		r.t.Fatalf("cut line gave op %v", f.Op)
	case need == 0 && len(r.kept) > r.p.controlLineMax()+1024:
		r.t.Fatalf("asked to keep %d bytes", len(r.kept))
	case need > 0 && (f.Op == OpNone || f.Payload != nil || f.Tail != nil || need != f.Line+f.Size+2):
		r.t.Fatalf("cut payload: need %d, frame %+v", need, f)
	case need > 0 && len(r.kept) >= need:
		r.t.Fatalf("need %d, have %d", need, len(r.kept))
	}
}

func freeze(f *Frame) event {
	opt := func(b []byte) maybe { return maybe{string(b), b != nil} }
	return event{
		Op: f.Op, Arg: string(f.Arg), Subject: string(f.Subject), SID: string(f.SID),
		HdrToken: string(f.HdrToken), SizeToken: string(f.SizeToken),
		Reply: opt(f.Reply), Queue: opt(f.Queue), Payload: opt(f.Payload), Tail: opt(f.Tail),
		HeaderLen: f.HeaderLen, Size: f.Size, HasMax: f.HasMax, Max: f.Max,
	}
}

// compare runs stream through the machine and, cut at the given places,
// through a parser set up as p.
func compare(t testing.TB, p Parser, stream []byte, cuts ...int) {
	t.Helper()
	m := newMachine(&p)
	for _, c := range stream {
		if m.err != nil {
			break
		}
		m.feed(c)
	}
	r := &reader{t: t, p: p}
	from := 0
	for _, cut := range append(cuts, len(stream)) {
		r.feed(stream[from:cut])
		from = cut
	}
	want := m.err
	if want != nil && want.Kind != UnknownOperation {
		want = &failure{Kind: want.Kind, Text: want.Text}
	}
	if !reflect.DeepEqual(r.events, m.events) || !reflect.DeepEqual(r.err, want) {
		t.Fatalf("stream %q cut at %v, parser %+v\n got %+v %+v\nwant %+v %+v", stream, cuts, p, r.events, r.err, m.events, m.err)
	}
}

// compareAll compares for every single cut, for bytes one by one, where it also
// checks that the error comes at its byte (I2), and for a few random cuts.
func compareAll(t testing.TB, rnd *rand.Rand, p Parser, stream []byte) {
	t.Helper()
	compare(t, p, stream)
	for cut := 1; cut < len(stream); cut++ {
		compare(t, p, stream, cut)
	}
	single := make([]int, 0, len(stream))
	for i := 1; i < len(stream); i++ {
		single = append(single, i)
	}
	compare(t, p, stream, single...)
	for range 4 {
		var cuts []int
		for i := 1 + rnd.IntN(9); i < len(stream); i += 1 + rnd.IntN(40) {
			cuts = append(cuts, i)
		}
		compare(t, p, stream, cuts...)
	}

	m, r := newMachine(&p), &reader{t: t, p: p}
	for i, c := range stream {
		m.feed(c)
		r.feed(stream[i : i+1])
		if (m.err != nil) != (r.err != nil) {
			t.Fatalf("stream %q, byte %d: machine %+v, parser %+v", stream, i, m.err, r.err)
		}
		if m.err != nil {
			return
		}
	}
}

// babble writes protocol as a careless or hostile peer would.
type babble struct {
	*rand.Rand
	out []byte
}

func (g *babble) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *babble) verb(side Side) string {
	v := "pub pub pub hpub hpub sub unsub ping pong connect info +ok msg hmsg"
	if side == ClientSide {
		v = "msg msg msg hmsg hmsg ping pong info +ok -err"
	}
	s := g.pick(strings.Fields(v)...)
	switch g.IntN(4) {
	case 0:
		return s
	case 1:
		return s[:1] + strings.ToUpper(s[1:])
	}
	return strings.ToUpper(s)
}

func (g *babble) blank() string {
	if g.IntN(3) > 0 {
		return " "
	}
	return g.pick("  ", "\t", " \t ", "", "\r", "\n", strings.Repeat(" ", g.IntN(1200)))
}

func (g *babble) token() string {
	if g.IntN(4) > 0 {
		return g.pick("foo", "a", "orders.eu.12345678", "_INBOX.abcdefghijkl", "12", "7")
	}
	return g.pick("b\rar", "\x00", "\x01\xff", "é", strings.Repeat("x", g.IntN(70)), "-1", "1234567890", "9999999999", "{}")
}

func (g *babble) number(n int) string {
	s := string(AppendUint(nil, uint64(n)))
	switch g.IntN(12) {
	case 0:
		return strings.Repeat("0", g.IntN(10)) + s
	case 1:
		return g.token()
	}
	return s
}

func (g *babble) frame(side Side) {
	v := g.verb(side)
	g.out = append(g.out, v...)
	low := strings.ToLower(v)
	if strings.Contains("ping pong +ok", low) && g.IntN(3) > 0 {
		g.out = append(g.out, "\r\n"...)
		return
	}
	for range g.IntN(4) + 1 {
		g.out = append(g.out, (g.blank() + g.token())...)
	}
	size := g.IntN(24)
	payload := strings.Contains(low, "pub") || strings.Contains(low, "msg")
	if payload {
		if low[0] == 'h' {
			g.out = append(g.out, (g.blank() + g.number(g.IntN(size+2)))...)
		}
		g.out = append(g.out, (g.blank() + g.number(size))...)
	}
	g.out = append(g.out, g.pick("\r\n", "\r\n", "\r\n", "\r\n", "\n", " \r\n", "\r\r\n")...)
	if payload {
		for range size {
			g.out = append(g.out, byte(g.IntN(256)))
		}
		g.out = append(g.out, "\r\n"...)
	}
}

func (g *babble) stream(side Side) []byte {
	g.out = g.out[:0]
	for range 1 + g.IntN(4) {
		g.frame(side)
	}
	if g.IntN(4) == 0 {
		g.out[g.IntN(len(g.out))] = byte(g.IntN(256))
	}
	return g.out
}

func (g *babble) parser() Parser {
	return Parser{
		MaxControlLine: int32([]int{0, 20, 64}[g.IntN(3)]),
		MaxPayload:     int32([]int{-1, 0, 16, 1 << 20}[g.IntN(4)]),
		HeadersOK:      g.IntN(8) > 0,
		Side:           Side(g.IntN(2)),
	}
}

// TestSplits holds I1, I2 and I3 against random protocol.
func TestSplits(t *testing.T) {
	g := &babble{Rand: seeds.Rand(t, 1)}
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	frames := 0
	for range rounds {
		p := g.parser()
		stream := g.stream(p.Side)
		if len(stream) > 400 {
			compare(t, p, stream)
			compare(t, p, stream, 1+g.IntN(len(stream)-1))
			continue
		}
		compareAll(t, g.Rand, p, stream)
		m := newMachine(&p)
		for _, c := range stream {
			m.feed(c)
		}
		frames += len(m.events)
	}
	if frames < rounds/2 {
		t.Fatalf("only %d frames in %d streams: the streams test errors alone", frames, rounds)
	}
}

// FuzzParser is TestSplits on the fuzzer's streams.
func FuzzParser(f *testing.F) {
	for _, s := range readTranscripts(f, "testdata/server.txt", serverParser()) {
		f.Add([]byte(s.in), uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if len(stream) == 0 || len(stream) > 1<<12 {
			return
		}
		g := &babble{Rand: rand.New(rand.NewPCG(seed, 1))}
		p := g.parser()
		if len(stream) > 256 {
			compare(t, p, stream)
			compare(t, p, stream, 1+g.IntN(len(stream)-1))
			return
		}
		compareAll(t, g.Rand, p, stream)
	})
}
