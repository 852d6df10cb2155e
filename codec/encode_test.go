package codec

import (
	"bytes"
	"testing"

	"peregrine/internal/seeds"
)

func TestEncode(t *testing.T) {
	check := func(got []byte, want string) {
		t.Helper()
		if string(got) != "~"+want {
			t.Errorf("got %q, want %q", got[1:], want)
		}
	}
	dst := func() []byte { return []byte("~") }
	foo, sid, bar := []byte("foo"), []byte("17"), []byte("bar")
	check(AppendUint(dst(), 0), "0")
	check(AppendUint(dst(), 9), "9")
	check(AppendUint(dst(), 10), "10")
	check(AppendUint(dst(), 1<<64-1), "18446744073709551615")
	check(AppendMsgPrefix(dst(), foo, sid), "MSG foo 17 ")
	check(AppendHMsgPrefix(dst(), foo, sid), "HMSG foo 17 ")
	check(AppendMsgHead(dst(), foo, sid, nil, 5), "MSG foo 17 5\r\n")
	check(AppendMsgHead(dst(), foo, sid, bar, 1048576), "MSG foo 17 bar 1048576\r\n")
	check(AppendMsgHead(dst(), foo, sid, []byte{}, 5), "MSG foo 17  5\r\n")
	check(AppendMsgHeadToken(dst(), foo, sid, bar, []byte("005")), "MSG foo 17 bar 005\r\n")
	check(AppendHMsgHead(dst(), foo, sid, nil, 12, 14), "HMSG foo 17 12 14\r\n")
	check(AppendHMsgHead(dst(), foo, sid, bar, 12, 14), "HMSG foo 17 bar 12 14\r\n")
	check(AppendHMsgHeadToken(dst(), foo, sid, bar, []byte("012"), []byte("014")), "HMSG foo 17 bar 012 014\r\n")
	check(AppendPubHead(dst(), foo, nil, 5), "PUB foo 5\r\n")
	check(AppendPub(dst(), foo, bar, []byte("hello")), "PUB foo bar 5\r\nhello\r\n")
	check(AppendHPubHead(dst(), foo, bar, 12, 14), "HPUB foo bar 12 14\r\n")
	check(AppendHPub(dst(), foo, nil, []byte(HeaderEmpty), []byte("hi")), "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
	check(AppendSub(dst(), foo, nil, sid), "SUB foo 17\r\n")
	check(AppendSub(dst(), foo, bar, sid), "SUB foo bar 17\r\n")
	check(AppendUnsub(dst(), sid, 0), "UNSUB 17\r\n")
	check(AppendUnsub(dst(), sid, 5), "UNSUB 17 5\r\n")
	check(AppendConnect(dst(), []byte("{}")), "CONNECT {}\r\n")
	check(AppendInfo(dst(), []byte("{}")), "INFO {} \r\n")
	check(AppendErr(dst(), "Stale Connection"), "-ERR 'Stale Connection'\r\n")
	check(AppendOK(dst()), "+OK\r\n")
	check(AppendPing(dst()), "PING\r\n")
	check(AppendPong(dst()), "PONG\r\n")
	check(AppendNoRespondersMsg(dst(), foo, sid, bar),
		"HMSG foo 17 35 35\r\nNATS/1.0 503\r\nNats-Subject: bar\r\n\r\n\r\n")
}

// TestRoundTrip encodes random frames and parses them back; and sends publish
// tails on as a server does.
func TestRoundTrip(t *testing.T) {
	rnd := seeds.Rand(t, 1)
	word := func() []byte {
		b := make([]byte, 1+rnd.IntN(30))
		for i := range b {
			b[i] = byte(33 + rnd.IntN(223))
		}
		return b
	}
	opt := func() []byte {
		if rnd.IntN(2) == 0 {
			return nil
		}
		return word()
	}
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	server, client := Parser{MaxPayload: -1, HeadersOK: true}, Parser{MaxPayload: -1, Side: ClientSide}
	parse := func(p *Parser, b []byte) (f Frame) {
		t.Helper()
		n, err := p.Next(b, &f)
		if n != len(b) || err != nil {
			t.Fatalf("%q: n %d of %d, err %v", b, n, len(b), err)
		}
		return f
	}
	same := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Fatalf("%s: got %q, want %q", what, got, want)
		}
	}
	for range 5000 {
		subject, reply, sid, body := word(), opt(), word(), bytesOf(rnd.IntN(300))
		f := parse(&server, AppendPub(nil, subject, reply, body))
		same("subject", f.Subject, subject)
		same("reply", f.Reply, reply)
		same("payload", f.Payload, body)
		m := parse(&client, append(AppendMsgPrefix(nil, subject, sid), f.Tail...))
		same("subject", m.Subject, subject)
		same("sid", m.SID, sid)
		same("reply", m.Reply, reply)
		same("payload", m.Payload, body)

		hdr := AppendHeaderAdd(nil, nil, string(word()), bytesOf(rnd.IntN(20)))
		f = parse(&server, AppendHPub(nil, subject, reply, hdr, body))
		m = parse(&client, append(AppendHMsgPrefix(nil, subject, sid), f.Tail...))
		same("reply", m.Reply, reply)
		same("header", m.Header(), hdr)
		same("body", m.Body(), body)
		again := AppendHMsgHeadToken(nil, subject, sid, reply, f.HdrToken, f.SizeToken)
		again = append(append(again, f.Payload...), "\r\n"...)
		same("formatted", again, append(AppendHMsgPrefix(nil, subject, sid), f.Tail...))
		m = parse(&client, append(append(AppendMsgHeadToken(nil, subject, sid, reply, AppendUint(nil, uint64(len(body)))), f.Body()...), "\r\n"...))
		same("stripped", m.Payload, body)

		f = parse(&server, AppendSub(nil, subject, reply, sid))
		same("subject", f.Subject, subject)
		same("queue", f.Queue, reply)
		same("sid", f.SID, sid)
		f = parse(&server, AppendUnsub(nil, sid, uint64(rnd.IntN(1e9))))
		same("sid", f.SID, sid)
		f = parse(&client, AppendErr(nil, string(subject)))
		same("text", f.Arg, append(append([]byte("'"), subject...), '\''))
		f = parse(&server, AppendConnect(nil, body[:0:0]))
		same("json", f.Arg, []byte("\r"))
	}
}

func TestAllocations(t *testing.T) {
	hdr := AppendHeaderAdd(nil, nil, "Key", "value")
	stream := AppendPub(nil, []byte("foo"), []byte("bar"), make([]byte, 100))
	stream = AppendHPub(stream, []byte("foo"), nil, hdr, make([]byte, 100))
	stream = append(stream, "pub  foo 1\nx\r\nSUB a 1\r\nsub a q\t2\nUNSUB 1\r\nunsub  1 5\nPING\r\npong\n+OK\r\nCONNECT {}\r\n"...)
	out := make([]byte, 0, 4096)
	p, cutter := Parser{MaxPayload: -1, HeadersOK: true}, Parser{MaxPayload: -1, HeadersOK: true}
	var f Frame
	allocs := testing.AllocsPerRun(100, func() {
		for b := stream; len(b) > 0; {
			if _, err := cutter.Next(b[:len(b)/2], &f); err != nil {
				t.Fatal(err)
			}
			cutter.Reset()
			n, err := p.Next(b, &f)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
			b = b[n:]
			sid := f.SID
			if f.Op == OpHPub {
				if HeaderGet(f.Header(), "Key") == nil || HeaderGet(f.Header(), "Ke") != nil || HeaderCheck(f.Header()) != nil {
					t.Fatal("header")
				}
				for it := Headers(f.Header()); ; {
					if _, _, ok := it.Next(); !ok {
						break
					}
				}
				HeaderStatus(f.Header())
				out = AppendHeaderSet(out[:0], f.Header(), "Key", f.Subject)
				out = AppendHeaderLast(out[:0], f.Header(), "Key", "other value")
				out = AppendHeaderAdd(out[:0], f.Header(), "Key", "other value")
				HeaderDelete(out, "Key")
			}
			out = append(AppendMsgPrefix(out[:0], f.Subject, sid), f.Tail...)
			out = AppendHMsgHead(out, f.Subject, sid, f.Reply, 12, f.Size)
			out = AppendHPub(AppendPub(out, f.Subject, f.Reply, f.Payload), f.Subject, nil, nil, f.Payload)
			out = AppendNoRespondersMsg(AppendPong(AppendErr(out, "text")), f.Subject, sid, f.Subject)
			out = AppendUnsub(AppendSub(out, f.Subject, f.Queue, sid), sid, 3)
		}
	})
	if allocs > 0 {
		t.Fatalf("%v allocations", allocs)
	}
}
