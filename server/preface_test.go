package server

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// proxyV2 makes a header of version 2.
func proxyV2(command, kind byte, payload string) string {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, kind)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(payload)))) + payload
}

const proxyAddress = "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x10\x7e" // 1.2.3.4:80

// TestProxyProtocol: with and without a header, in one piece and byte by byte.
func TestProxyProtocol(t *testing.T) {
	s, _ := startServer(t, func(o *Options) { o.ProxyProtocol = true })
	for header, want := range map[string]string{
		"":                                       "127.0.0.1",
		"PROXY TCP4 1.2.3.4 5.6.7.8 80 4222\r\n": "1.2.3.4:80",
		"PROXY TCP6 2001:db8::1 2001:db8::2 80 4222\r\n":                "[2001:db8::1]:80",
		"PROXY UNKNOWN whatever\r\n":                                    "127.0.0.1",
		proxyV2(0x21, 0x11, proxyAddress):                               "1.2.3.4:80",
		proxyV2(0x21, 0x11, proxyAddress+strings.Repeat("tlv", 20_000)): "1.2.3.4:80",
		proxyV2(0x20, 0x00, "check"):                                    "127.0.0.1",
	} {
		for _, step := range []int{1 << 20, 1} {
			if len(header) > 1000 && step == 1 {
				step = 999
			}
			nc := rawDial(t, s)
			c := newClient(t, nc)
			if info := c.line(); strings.Contains(info, "client_ip") {
				t.Errorf("%s", info)
			}
			for text := header + "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n"; text != ""; {
				n := min(step, len(text))
				c.send(text[:n])
				text = text[n:]
			}
			c.expect("PONG")
			if info := c.line(); !strings.Contains(info, `"client_ip":"`+addressOf(want)+`"`) {
				t.Errorf("%q: %s", header, info)
			}
			infos := s.OpenConnections(false)
			if len(infos) != 1 || !strings.HasPrefix(infos[0].Peer.String(), want) {
				t.Errorf("%q: %+v", header, infos)
			}
			_ = nc.Close()
			eventually(t, "no connection", func() { time.Sleep(time.Millisecond) }, func() bool { return len(s.OpenConnections(false)) == 0 })
		}
	}
}

func addressOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return hostPort
}

// TestProxySmuggling: a header counts once and at the beginning only; a bad one
// ends the connection with nothing said.
func TestProxySmuggling(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.ProxyProtocol = true })
	for text, want := range map[string]string{
		"PROXY TCP4 1.2.3.4 5.6.7.8 80 4222\r\nPROXY TCP4 9.9.9.9 5.6.7.8 80 4222\r\nPING\r\n": "-ERR 'Unknown Protocol Operation'",
		"PING\r\nPROXY TCP4 9.9.9.9 5.6.7.8 80 4222\r\n":                                       "PONG\r\n-ERR 'Unknown Protocol Operation'",
		"PROXY TCP4 1.2.3.4 5.6.7.8 80 99999\r\nPING\r\n":                                      "",
		"PROXY TCP4 1.2.3.4\nPING\n" + strings.Repeat("x", 200):                                "",
		proxyV2(0x21, 0x11, "short") + "PING\r\n":                                              "",
		proxyV2(0x31, 0x11, proxyAddress) + "PING\r\n":                                         "",
	} {
		nc := rawDial(t, s)
		c := newClient(t, nc)
		c.line()
		_, _ = io.WriteString(nc, text)
		b, _ := io.ReadAll(c.r)
		if got := strings.TrimSpace(string(b)); got != want {
			t.Errorf("%q: the server said %q, want %q", text, got, want)
		}
	}
	for _, c := range s.ClosedConnections() {
		if c.Reason != "Protocol Violation" || c.Peer.Addr().String() == "9.9.9.9" {
			t.Errorf("%+v", c)
		}
	}
	nc := rawDial(t, s)
	readInfo(t, nc)
	_, _ = io.WriteString(nc, "PRO")
	_ = nc.(*net.TCPConn).CloseWrite()
	_ = ended(nc)
	for _, line := range []string{
		"invalid dest port", "v1 line too long", "IPv4 address data too short: 5 bytes", "invalid version 0x30",
		"Error reading PROXY protocol header from 127.0.0.1:", "failed to read protocol version: unexpected EOF",
	} {
		eventually(t, line, func() { time.Sleep(time.Millisecond) }, func() bool { return log.has(line) })
	}
}

// TestProxyBeforeTLS: the header is in clear, in front of the handshake.
func TestProxyBeforeTLS(t *testing.T) {
	a := newAuthority(t)
	const header = "PROXY TCP4 1.2.3.4 5.6.7.8 80 4222\r\n"
	for name, change := range map[string]func(o *TLSOptions){
		"required": func(*TLSOptions) {},
		"mixed":    func(o *TLSOptions) { o.AllowNonTLS = true },
		"first":    func(o *TLSOptions) { o.HandshakeFirst = true },
		"fallback": func(o *TLSOptions) { o.HandshakeFirst, o.HandshakeFallback = true, time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := startTLSServer(t, a, func(o *Options) { o.ProxyProtocol = true; change(o.TLS) })
			nc := rawDial(t, s)
			first := name == "first" || name == "fallback"
			if !first {
				readInfo(t, nc)
			}
			_, _ = io.WriteString(nc, header)
			c := newClient(t, tls.Client(nc, a.client()))
			if first {
				if info := c.line(); !strings.Contains(info, `"client_ip":"1.2.3.4"`) {
					t.Errorf("%s", info)
				}
			}
			c.sync()
			if infos := s.OpenConnections(false); len(infos) != 1 || infos[0].TLS == nil || infos[0].Peer.String() != "1.2.3.4:80" {
				t.Errorf("%+v", infos)
			}
			if name == "mixed" {
				plain := newClient(t, rawDial(t, s))
				plain.line()
				plain.send(header + "PING\r\n")
				plain.expect("PONG")
			}
		})
	}
}
