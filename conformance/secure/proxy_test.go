package secure

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"
)

// proxyBlock is a header of version 2.
func proxyBlock(command, kind byte, payload string) string {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, kind)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(payload)))) + payload
}

const (
	proxyFour = "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x10\x7e" // 1.2.3.4:80
	proxySix  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x50\x10\x7e"
	proxyLine = "PROXY TCP4 1.2.3.4 5.6.7.8 80 4222\r\n"
)

// proxyHeaders are headers, good and bad.
var proxyHeaders = []string{
	"", proxyLine, "PROXY TCP6 2001:db8::1 2001:db8::2 80 4222\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN 1.2.3.4 5.6.7.8 80 4222\r\n",
	"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 80 4222\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", "PROXY  TCP4  1.2.3.4  5.6.7.8  80  4222\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 80 4222 7\r\n", "PROXY TCP4 1.2.3 5.6.7.8 80 4222\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 80 70000\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 -1 4222\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 80 4222\r\n",
	"PROXY TCP6 1.2.3.4 5.6.7.8 80 4222\r\n", "PROXY TCP4 1.2.3.4 2001:db8::2 80 4222\r\n", "PROXY UDP4 1.2.3.4 5.6.7.8 80 4222\r\n",
	"PROXY TCP4 host 5.6.7.8 80 4222\r\n", "PROXY tcp4 1.2.3.4 5.6.7.8 80 4222\r\n", "PROXY \r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 80 4222 " + strings.Repeat("x", 100) + "\r\n",
	proxyBlock(0x21, 0x11, proxyFour), proxyBlock(0x21, 0x21, proxySix), proxyBlock(0x21, 0x11, proxyFour+"\x03\x00\x01x"),
	proxyBlock(0x21, 0x11, proxyFour+strings.Repeat("tlv", 20_000)), proxyBlock(0x20, 0x00, ""), proxyBlock(0x20, 0x11, proxyFour),
	proxyBlock(0x21, 0x00, ""), proxyBlock(0x21, 0x01, "any"), proxyBlock(0x21, 0x11, proxyFour[:11]), proxyBlock(0x21, 0x21, proxySix[:35]),
	proxyBlock(0x21, 0x12, proxyFour), proxyBlock(0x21, 0x31, strings.Repeat("u", 216)), proxyBlock(0x22, 0x11, proxyFour),
	proxyBlock(0x11, 0x11, proxyFour), proxyBlock(0x31, 0x11, proxyFour),
	"\r\n\r\n\x00\r\nQUIX\n" + proxyBlock(0x21, 0x11, proxyFour)[12:],
	proxyLine + proxyLine, proxyLine + proxyBlock(0x21, 0x11, proxyFour), proxyBlock(0x21, 0x11, proxyFour) + proxyLine,
}

// behindProxy sends a header and a session, in pieces, and writes down what
// comes back and whom the server takes the client for.
func (s *seat) behindProxy(header string, step int) {
	s.t.Helper()
	nc := s.dial()
	r := bufio.NewReader(nc)
	first, err := r.ReadString('\n')
	check(s.t, err)
	text := header + "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n"
	for text != "" {
		n := min(step, len(text))
		if _, err := io.WriteString(nc, text[:n]); err != nil {
			break // refused already
		}
		text = text[n:]
	}
	var said []string
	for {
		line, err := readLine(r)
		if err != nil {
			said = append(said, plain(err))
			break
		}
		if strings.HasPrefix(line, "INFO") {
			line = info(line)
		}
		said = append(said, strings.TrimSpace(line))
		if strings.HasPrefix(line, "INFO") {
			break // it tells the address, behind PONG
		}
	}
	s.note("%.60q in %d: %s; %s", header, step, info(first), strings.Join(said, " "))
	_ = nc.Close()
}

// TestProxyHeaders: every header in one piece and cut.
func TestProxyHeaders(t *testing.T) {
	everywhere(t, "proxy_protocol: true\n", func(s *seat) {
		for _, header := range proxyHeaders {
			for _, step := range []int{1 << 20, 1, 5} {
				if step < len(header)/200 {
					continue
				}
				s.behindProxy(header, step)
			}
		}
		// The log is complete when the server has ended.
		s.Stop()
		for _, line := range s.Log.Lines() {
			if _, text, ok := strings.Cut(line, "[WRN] "); ok {
				s.note("%s", addresses.ReplaceAllString(text, "ADDRESS"))
			}
		}
	})
}

// TestProxyBeforeTLS: the header is in clear, in front of any kind of
// handshake, and cannot come again in it.
func TestProxyBeforeTLS(t *testing.T) {
	a := newAuthority(t, "authority")
	server := a.issue(t, "server", nil)
	for _, mode := range []string{"", "allow_non_tls: true", "handshake_first: true", `handshake_first: "20s"`} {
		t.Run(mode, func(t *testing.T) {
			inner, outer := mode, ""
			if strings.HasPrefix(mode, "allow") {
				inner, outer = "", mode
			}
			everywhere(t, "proxy_protocol: true\n"+block(a, server, "timeout: 20", inner)+outer+"\n", func(s *seat) {
				first := strings.HasPrefix(inner, "handshake_first")
				for _, header := range []string{"", proxyLine, proxyBlock(0x21, 0x11, proxyFour+"\x03\x00\x01x"), proxyBlock(0x20, 0, "")} {
					for _, step := range []int{1 << 20, 1} {
						nc := s.dial()
						if !first {
							line, err := readLine(nc)
							check(s.t, err)
							s.note("%s", info(line))
						}
						for rest := header; rest != ""; rest = rest[min(step, len(rest)):] {
							_, err := io.WriteString(nc, rest[:min(step, len(rest))])
							check(s.t, err)
						}
						c := tls.Client(nc, a.client())
						check(s.t, c.Handshake())
						sc := &secured{c, bufio.NewReader(c)}
						if first {
							line, err := sc.r.ReadString('\n')
							check(s.t, err)
							s.note("%s", info(line))
						}
						s.note("%.20q in %d: %s", header, step, sc.session(""))
						shown := s.connections("")
						s.fields("shown", shown[len(shown)-1], "ip", "tls_version")
						// Another header is no protocol.
						_, err := io.WriteString(sc, proxyLine)
						check(s.t, err)
						s.note("%s", sc.answer())
					}
				}
				// Bad ones end it before the handshake.
				for _, header := range []string{"PROXY TCP4 x\r\n", proxyBlock(0x21, 0x11, "short")} {
					nc := s.dial()
					_, err := io.WriteString(nc, header)
					check(s.t, err)
					b, _ := io.ReadAll(nc)
					s.note("%.20q: %d lines", header, strings.Count(string(b), "\n"))
				}
			})
		})
	}
}

// TestProxyLate: a header that does not come in time.
func TestProxyLate(t *testing.T) {
	t.Parallel()
	compare(t, "proxy_protocol: true\n", func(s *seat) {
		begun := time.Now()
		for _, text := range []string{"", "PROX", "PROXY TCP4 1.2.3.4", "\r\n\r\n\x00\r\nQUIT\n\x21"} {
			nc := s.dial()
			_, err := io.WriteString(nc, text)
			check(s.t, err)
			defer func() {
				b, _ := io.ReadAll(nc)
				s.note("%q: %d lines", text, strings.Count(string(b), "\n"))
			}()
		}
		s.Await(`Error reading PROXY protocol header`)
		if took := time.Since(begun); took < 4*time.Second {
			s.t.Errorf("after %v", took)
		}
	})
}
