package secure

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// everywhere is compare with Peregrine in several settings, each against the
// reference.
func everywhere(t *testing.T, config string, fn func(s *seat)) {
	t.Helper()
	settings := [][]string{nil, {"--engine", "epoll", "--loops", "1"}, {"--engine", "epoll", "--loops", "3"}, {"--engine", "gnet", "--loops", "1"}, {"--engine", "gnet", "--loops", "3"}}
	out := make([]string, len(settings))
	t.Run("seats", func(t *testing.T) {
		for i, flags := range settings {
			which := harness.Peregrine
			if flags == nil {
				which = harness.Reference
			}
			t.Run(strings.TrimSpace(which.String()+" "+strings.Join(flags, " ")), func(t *testing.T) {
				t.Parallel()
				s := newSeat(t, config)
				s.Server = harness.Start(t, which, append([]string{"-c", s.file, "-m", "-1", "-D"}, flags...)...)
				fn(s)
				out[i] = s.out.String()
			})
		}
	})
	if t.Failed() {
		return
	}
	for i, got := range out {
		if got != out[0] {
			t.Errorf("outcomes differ\nreference:\n%s\n\nperegrine:\n%s\n%v", out[0], got, settings[i])
		}
	}
}

const ping = "PING\r\n"

// TestRecords: what may come in records after the handshake, and what may not.
func TestRecords(t *testing.T) {
	a := newAuthority(t, "authority")
	config := block(a, a.issue(t, "server", nil), "timeout: 20")
	cases := []struct {
		name string
		send func(f *forger)
		// versions: 12, 13 or both.
		only uint16
	}{
		{"whole", func(f *forger) { f.send(f.text(ping)) }, 0},
		{"a byte in each, at once", func(f *forger) { f.send(f.single("SUB foo 1\r\nPUB foo 5\r\nhello\r\n" + ping)) }, 0},
		{"a byte in each, one by one", func(f *forger) {
			for _, b := range []byte(ping + ping) {
				f.send(f.text(string(b)))
			}
		}, 0},
		{"every byte on its own", func(f *forger) {
			for _, b := range f.text("PUB foo 3\r\nabc\r\n" + ping) {
				f.send([]byte{b})
			}
		}, 0},
		{"full ones", func(f *forger) {
			head := "PUB foo 100000\r\n"
			text := "SUB foo 1\r\n" + head + strings.Repeat("x", 100_000) + "\r\n" + ping
			for len(text) > 0 {
				n := min(len(text), 16<<10)
				f.send(f.text(text[:n]))
				text = text[n:]
			}
		}, 0},
		{"padded", func(f *forger) {
			f.send(f.seal(typeData, []byte(ping), 16<<10-len(ping)), f.seal(typeData, []byte(ping), 1))
		}, tls.VersionTLS13},
		{"padded too much", func(f *forger) { f.send(f.seal(typeData, []byte(ping), 16<<10)) }, tls.VersionTLS13},
		{"empty ones", func(f *forger) {
			for range 50 {
				for range 10 {
					f.send(f.text(""))
				}
				f.send(f.text("+OK\r\n"))
			}
			f.send(f.text(ping))
		}, 0},
		{"a row of empty ones", func(f *forger) {
			for range 40 {
				f.send(f.text(""))
			}
		}, 0},
		{"padding alone", func(f *forger) { f.send(f.seal(0, nil, 10)) }, tls.VersionTLS13},
		{"updates of keys", func(f *forger) {
			for range 100 {
				f.send(f.update(false), f.text("+OK\r\n"))
			}
			f.send(f.update(true), f.text("PI"), f.update(true), f.update(false), f.text("NG\r\n"+ping))
		}, tls.VersionTLS13},
		{"a row of updates", func(f *forger) {
			for range 40 {
				f.send(f.update(true))
			}
		}, tls.VersionTLS13},
		{"an update that is cut", func(f *forger) {
			f.send(f.seal(typeHandshake, []byte{keyUpdate, 0}, 0))
			f.send(f.seal(typeHandshake, []byte{0, 1, 0}, 0))
			f.use(f.expand("traffic upd", 32))
			f.send(f.text(ping))
		}, tls.VersionTLS13},
		{"data in an update", func(f *forger) {
			f.send(f.seal(typeHandshake, []byte{keyUpdate, 0}, 0), f.text(ping))
		}, tls.VersionTLS13},
		{"an update that is none", func(f *forger) {
			f.send(f.seal(typeHandshake, []byte{keyUpdate, 0, 0, 1, 7}, 0))
		}, tls.VersionTLS13},
		{"no new key after an update", func(f *forger) {
			f.send(f.seal(typeHandshake, []byte{keyUpdate, 0, 0, 1, 0}, 0), f.text(ping))
		}, tls.VersionTLS13},
		{"another hello", func(f *forger) {
			f.send(f.seal(typeHandshake, append([]byte{clientHello, 0, 0, 40, 3, 3}, make([]byte, 38)...), 0))
		}, 0},
		{"a large message", func(f *forger) {
			f.send(f.seal(typeHandshake, []byte{keyUpdate, 0xff, 0xff, 0xff}, 0))
		}, tls.VersionTLS13},
		{"change of ciphers", func(f *forger) { f.send([]byte{typeCipher, 3, 3, 0, 1, 1}) }, 0},
		{"data in clear", func(f *forger) { f.send([]byte{typeData, 3, 3, 0, 6}, []byte(ping)) }, 0},
		{"protocol in clear", func(f *forger) { f.send([]byte(ping)) }, 0},
		{"damaged", func(f *forger) {
			b := f.text(ping)
			b[len(b)-1] ^= 1
			f.send(b)
		}, 0},
		{"twice the same", func(f *forger) {
			b := f.text("+OK\r\n")
			f.send(b, b)
		}, 0},
		{"in the wrong order", func(f *forger) {
			one, two := f.text("PI"), f.text("NG\r\n")
			f.send(two, one)
		}, 0},
		{"oversized", func(f *forger) { f.send([]byte{typeData, 3, 3, 0xff, 0xff}, make([]byte, 100)) }, 0},
		{"another version", func(f *forger) {
			b := f.text(ping)
			b[2] = 9
			f.send(b)
		}, 0},
		{"an unknown type", func(f *forger) { f.send(f.seal(99, []byte("x"), 0)) }, 0},
		{"a canceled handshake", func(f *forger) { f.send(f.alert(userCanceled), f.text(ping)) }, tls.VersionTLS12},
		{"a fatal alert", func(f *forger) { f.send(f.seal(typeAlert, []byte{2, 80}, 0)) }, 0},
		{"half an alert", func(f *forger) { f.send(f.seal(typeAlert, []byte{2}, 0)) }, 0},
		{"the end", func(f *forger) { f.send(f.alert(closeNotify)) }, 0},
		{"more after the end", func(f *forger) { f.send(f.alert(closeNotify), f.text(ping)) }, 0},
		{"the end of half a line", func(f *forger) { f.send(f.text("PUB foo 10\r\nhalf"), f.alert(closeNotify)) }, 0},
	}
	everywhere(t, config, func(s *seat) {
		for _, c := range cases {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if c.only != 0 && c.only != version {
					continue
				}
				f := s.forge(with(a.client(), func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }))
				// The reference may lose answers when it closes: they come first.
				s.note("%s, %s: %s", c.name, tls.VersionName(version), f.session(""))
				c.send(f)
				// An end of its own tells those that go on from those that do not.
				f.send(f.text("PUB\r\n"))
				s.note("%s", shorten(f.rest()))
			}
			// The server still works.
			s.note("%s", s.forge(a.client()).session(""))
		}
	})
}

// shorten shows long runs as their length.
func shorten(text string) string {
	if long := strings.Repeat("x", 100); strings.Contains(text, long) {
		return fmt.Sprintf("%s… of %d bytes", strings.Split(text, long)[0], len(text))
	}
	return text
}

// TestUnreadUpdates: who asks for keys and does not read the answers is a slow
// consumer, and its answers are not collected without end.
func TestUnreadUpdates(t *testing.T) {
	a := newAuthority(t, "authority")
	s := start(t, harness.Peregrine, block(a, a.issue(t, "server", nil), "timeout: 20")+"max_pending: 64K, max_payload: 1K\n")
	other := s.try("other", a.client(), "")
	f := s.forge(with(a.client(), func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }))
	s.note("%s", f.session(""))
	check(t, f.raw.(*net.TCPConn).SetReadBuffer(4096))
	var b []byte
	for i := range 1 << 20 {
		b = append(b, f.update(true)...)
		b = append(b, f.text("+OK\r\n")...)
		if len(b) < 32<<10 {
			continue
		}
		if _, err := f.raw.Write(b); err != nil {
			t.Logf("closed after %d updates", i)
			break
		}
		b = b[:0]
	}
	s.Await(`Slow Consumer Detected: MaxPending of 64000 Exceeded`)
	if got := other.ping(); got != "PONG" {
		t.Errorf("another client: %s", got)
	}
}

// TestCut: a session cut at any byte of its records is a whole one, and the
// server sees the end of one that stops there.
func TestCut(t *testing.T) {
	a := newAuthority(t, "authority")
	everywhere(t, block(a, a.issue(t, "server", nil), "timeout: 20"), func(s *seat) {
		for cut := 0; ; cut += 7 {
			f := s.forge(a.client())
			s.note("%s", f.session(""))
			all := bytes.Join([][]byte{f.text("SUB foo 1\r\nPUB foo 2\r\nhi\r\n"), f.text(ping)}, nil)
			if cut >= len(all) {
				break
			}
			f.send(all[:cut])
			if cut%2 == 0 {
				f.send(all[cut:])
				s.note("%d: %s", cut, f.lines(3))
			} else {
				// The reference may close before it has delivered.
				check(s.t, closeWrite(f.raw))
				_ = f.rest()
			}
		}
	})
}
