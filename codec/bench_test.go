package codec

import (
	"bytes"
	"fmt"
	"testing"
)

func benchParse(b *testing.B, p Parser, unit []byte) {
	const per = 64
	buf := bytes.Repeat(unit, per)
	var f Frame
	b.SetBytes(int64(len(unit)))
	b.ReportAllocs()
	for i := 0; i < b.N; {
		for rest := buf; len(rest) > 0 && i < b.N; i++ {
			n, err := p.Next(rest, &f)
			if n == 0 || err != nil {
				b.Fatal(n, err)
			}
			rest = rest[n:]
		}
	}
}

func BenchmarkParse(b *testing.B) {
	server := Parser{MaxPayload: 1 << 20, HeadersOK: true}
	client := Parser{MaxPayload: -1, Side: ClientSide}
	hdr := []byte("NATS/1.0\r\nTrace: 12345\r\n\r\n")
	for _, size := range []int{16, 128, 1024, 16384} {
		body := bytes.Repeat([]byte{'x'}, size)
		b.Run(fmt.Sprintf("op=PUB/size=%d", size), func(b *testing.B) {
			benchParse(b, server, AppendPub(nil, []byte("foo"), nil, body))
		})
		b.Run(fmt.Sprintf("op=MSG/size=%d", size), func(b *testing.B) {
			benchParse(b, client, append(AppendMsgHead(nil, []byte("foo"), []byte("1"), nil, size), append(body, crlf...)...))
		})
	}
	b.Run("op=PUB/reply", func(b *testing.B) {
		benchParse(b, server, []byte("PUB orders.eu.created _INBOX.Kz2FcRwNyzUuJ5vaJ5vaJ5.1 16\r\n0123456789abcdef\r\n"))
	})
	b.Run("op=PUB/slow", func(b *testing.B) {
		benchParse(b, server, []byte("pub  foo 16\n0123456789abcdef\r\n"))
	})
	b.Run("op=HPUB", func(b *testing.B) {
		benchParse(b, server, AppendHPub(nil, []byte("foo"), nil, hdr, []byte("0123456789abcdef")))
	})
	b.Run("op=SUB", func(b *testing.B) { benchParse(b, server, []byte("SUB orders.eu.* 12\r\n")) })
	b.Run("op=UNSUB", func(b *testing.B) { benchParse(b, server, []byte("UNSUB 12 5\r\n")) })
	b.Run("op=PING", func(b *testing.B) { benchParse(b, server, []byte("PING\r\n")) })
}

func BenchmarkAppend(b *testing.B) {
	subject, sid, tail := []byte("foo"), []byte("12"), []byte("16\r\n0123456789abcdef\r\n")
	dst := make([]byte, 0, 256)
	b.Run("op=MSG/tail", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = append(AppendMsgPrefix(dst[:0], subject, sid), tail...)
		}
	})
	b.Run("op=MSG/head", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendMsgHead(dst[:0], subject, sid, subject, 1048576)
		}
	})
}

func BenchmarkHeaderGet(b *testing.B) {
	hdr := []byte(sampleHeader)
	b.ReportAllocs()
	for b.Loop() {
		HeaderGet(hdr, "A-B")
	}
}
