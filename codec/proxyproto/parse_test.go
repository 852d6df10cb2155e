package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// block makes a header of version 2.
func block(command, kind byte, payload []byte) []byte {
	b := append([]byte(signature), command, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(payload))), payload...)
}

var (
	four = []byte{192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0x10, 0x7e}
	six  = append(append(bytes.Repeat([]byte{0x20, 1}, 8), bytes.Repeat([]byte{0xfe}, 16)...), 0x30, 0x39, 0x10, 0x7e)
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		addr string // "": the proxy's own
		skip int
		err  string
	}{
		{"PROXY TCP4 192.0.2.1 198.51.100.1 12345 4222\r\n", "192.0.2.1:12345", 0, ""},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1", 0, ""},
		{"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "192.0.2.1:1", 0, ""},
		{"PROXY   TCP4  192.0.2.1\t198.51.100.1 0 0\r\n", "192.0.2.1:0", 0, ""},
		{"PROXY UNKNOWN\r\n", "", 0, ""},
		{"PROXY UNKNOWN ff 33 really anything\r\n", "", 0, ""},
		{"PROXY \r\n", "", 0, "invalid PROXY protocol header: invalid v1 format"},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 12345\r\n", "", 0, "invalid PROXY protocol header: invalid v1 format"},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n", "", 0, "invalid PROXY protocol header: invalid v1 format"},
		{"PROXY TCP4 300.0.2.1 198.51.100.1 1 2\r\n", "", 0, "invalid PROXY protocol header: invalid address"},
		{"PROXY TCP4 192.0.2.1 localhost 1 2\r\n", "", 0, "invalid PROXY protocol header: invalid address"},
		{"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "", 0, "invalid PROXY protocol header: invalid address"},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n", "", 0, `invalid source port: strconv.ParseUint: parsing "65536": value out of range`},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 1 -2\r\n", "", 0, `invalid dest port: strconv.ParseUint: parsing "-2": invalid syntax`},
		{"PROXY TCP4 ::1 198.51.100.1 1 2\r\n", "", 0, "invalid PROXY protocol header: TCP4 with IPv6 address"},
		{"PROXY TCP6 ::1 198.51.100.1 1 2\r\n", "", 0, "invalid PROXY protocol header: TCP6 with IPv4 address"},
		{"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n", "", 0, "invalid PROXY protocol header: invalid protocol UDP4"},
		{"PROXY " + strings.Repeat("x", lineMax), "", 0, "invalid PROXY protocol header: v1 line too long"},
		{string(block(0x21, 0x11, four)), "192.0.2.1:12345", 0, ""},
		{string(block(0x21, 0x21, six)), "[2001:2001:2001:2001:2001:2001:2001:2001]:12345", 0, ""},
		{string(block(0x21, 0x11, append(four[:12:12], 1, 2, 3))), "192.0.2.1:12345", 3, ""},
		{string(block(0x20, 0x00, nil)), "", 0, ""},
		{string(block(0x20, 0xff, []byte("anything"))), "", 8, ""},
		{string(block(0x21, 0x01, []byte("anything"))), "", 8, ""},
		{string(block(0x11, 0x11, four)), "", 0, "invalid PROXY protocol header: invalid version 0x10"},
		{string(block(0x22, 0x11, four)), "", 0, "unknown PROXY protocol command: 0x02"},
		{string(block(0x21, 0x12, four)), "", 0, "unsupported PROXY protocol feature: only STREAM protocol supported"},
		{string(block(0x21, 0x31, four)), "", 0, "unsupported PROXY protocol feature: unsupported address family 0x30"},
		{string(block(0x21, 0x11, four[:11])), "", 0, "IPv4 address data too short: 11 bytes"},
		{string(block(0x21, 0x21, four)), "", 0, "IPv6 address data too short: 12 bytes"},
		{signature[:11] + "x", "", 0, "invalid PROXY protocol header: invalid signature"},
		{"CONNECT {}\r\n", "", 0, ErrNone.Error()},
		{"\x16\x03\x01\x02\x00\x01", "", 0, ErrNone.Error()},
		{"proxy TCP4 ", "", 0, ErrNone.Error()},
		{"C", "", 0, ErrNone.Error()},
		{"", "", 0, ErrShort.Error()},
	} {
		const behind = "CONNECT {}\r\n"
		in := []byte(c.in)
		if c.err == "" {
			in = append(in, behind...)
		}
		h, n, err := Parse(in)
		got, text := "", ""
		if h.Source.IsValid() {
			got = h.Source.String()
		}
		if err != nil {
			text = err.Error()
		}
		if got != c.addr || text != c.err || h.Skip != c.skip {
			t.Errorf("%q: %s, skip %d, %q; want %s, skip %d, %q", c.in, got, h.Skip, text, c.addr, c.skip, c.err)
		}
		if err == nil && string(in[n+h.Skip:]) != behind {
			t.Errorf("%q: %q is left", c.in, in[n+h.Skip:])
		}
		splits(t, in)
	}
}

// splits parses b as it grows by a byte at a time: until the answer comes it is
// ErrShort, and then it stays.
func splits(t *testing.T, b []byte) {
	t.Helper()
	h, n, err := Parse(b)
	decided := false
	for i := range len(b) + 1 {
		h1, n1, err1 := Parse(b[:i:i])
		if errors.Is(err1, ErrShort) {
			if decided {
				t.Errorf("%q: undecided again after %d bytes", b, i)
			}
			continue
		}
		decided = true
		if h1 != h || n1 != n || (err == nil) != (err1 == nil) || err != nil && err.Error() != err1.Error() {
			t.Errorf("%q: after %d bytes %v, %d, %v; whole: %v, %d, %v", b, i, h1, n1, err1, h, n, err)
		}
	}
}

// FuzzParse: every split gives the same answer, nothing is taken that is not
// there, and an address is an address.
func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.1 12345 4222\r\nPROXY UNKNOWN\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(block(0x21, 0x11, four))
	f.Add(block(0x21, 0x21, six))
	f.Add(block(0x20, 0, []byte("xx")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 400 {
			return
		}
		h, n, err := Parse(b)
		if n > len(b) || n < 0 || h.Skip < 0 || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, skip %d, %v", n, len(b), h.Skip, err)
		}
		if a := h.Source; a.IsValid() && (a.Addr().Zone() != "" || a.Addr().Is4In6() || a == (netip.AddrPort{})) {
			t.Fatalf("address %v", a)
		}
		splits(t, b)
	})
}
