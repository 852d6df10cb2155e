package secure

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"peregrine/conformance/harness"
)

// TestHeldSession: what a client sends behind a CONNECT whose password takes a
// while is answered in order, however it is cut into records.
func TestHeldSession(t *testing.T) {
	a := newAuthority(t, "authority")
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost+3)
	check(t, err)
	config := block(a, a.issue(t, "server", nil), "timeout: 20") + fmt.Sprintf(`
authorization { timeout: 20, users: [ {user: slow, password: %q}, {user: fast, password: fast} ] }
`, hash)
	const login = `CONNECT {"verbose":false,"user":"slow","pass":"secret"}` + "\r\n"
	large := func(n int) string { return fmt.Sprintf("PUB foo %d\r\n%s\r\n", n, strings.Repeat("x", n)) }
	everywhere(t, config, func(s *seat) {
		listener := s.upgrade("listener", a.client(), false)
		s.note("%s", listener.session(`,"user":"fast","pass":"fast"`))
		_, err := io.WriteString(listener, "SUB foo 1\r\n"+ping)
		check(s.t, err)
		s.note("%s", listener.answer())
		for _, text := range []string{
			login + ping, login + "PUB foo 2\r\nhi\r\n" + ping, login + large(10_000) + ping, login + large(60_000) + large(5) + ping,
			login + large(300_000) + large(20_000) + large(100_000) + ping, login + strings.Repeat(large(30), 500) + ping,
		} {
			for _, record := range []int{1 << 14, 700, 7} {
				if len(text)/record > 4000 {
					continue
				}
				for _, end := range []bool{false, true} {
					f := s.forge(a.client())
					var b []byte
					for rest := text; rest != ""; {
						n := min(record, len(rest))
						b = append(b, f.text(rest[:n])...)
						rest = rest[n:]
					}
					if end {
						b = append(b, f.alert(closeNotify)...)
					}
					f.send(b)
					if end {
						// Whether the answer still comes is a matter of time.
						_ = f.rest()
					} else {
						s.note("%s", f.answer())
						_ = f.raw.Close()
					}
					for range strings.Count(text, "PUB foo") {
						s.note("%s", listener.message())
					}
				}
			}
		}
		wrong := s.forge(a.client())
		wrong.send(wrong.text(strings.Replace(login, "secret", "wrong", 1) + large(100_000)[:16_000]))
		s.note("%s", wrong.rest())
		_, err = io.WriteString(listener, ping)
		check(s.t, err)
		s.note("%s", listener.answer())
	})
}

// message reads a delivery and returns its line.
func (sc *secured) message() string {
	line := sc.answer()
	size := 0
	if _, err := fmt.Sscanf(line, "MSG foo 1 %d", &size); err != nil {
		return line
	}
	b := make([]byte, size+2)
	if _, err := io.ReadFull(sc.r, b); err != nil || strings.Trim(string(b), "x") != "\r\n" && size != 2 {
		return fmt.Sprintf("%s: %.20q, %v", line, b, err)
	}
	return line
}

// TestOrder: messages of several publishers reach subscribers in each one's
// order, all of them, with plain and secure connections mixed.
func TestOrder(t *testing.T) {
	a := newAuthority(t, "authority")
	config := block(a, a.issue(t, "server", nil), "timeout: 20") + "allow_non_tls: true\n"
	const publishers, messages = 3, 1500
	sizes := []int{0, 1, 100, 1000, 5000, 9000, 17_000, 70_000}
	everywhere(t, config, func(s *seat) {
		dial := func(i int) (io.Writer, *bufio.Reader) {
			nc := s.dial()
			if i%3 == 2 {
				return nc, bufio.NewReader(nc)
			}
			_, err := readLine(nc)
			check(s.t, err)
			c := tls.Client(nc, a.client())
			check(s.t, c.Handshake())
			return c, bufio.NewReader(c)
		}
		sync := func(w io.Writer, r *bufio.Reader) {
			_, err := io.WriteString(w, "CONNECT {\"verbose\":false}\r\nSUB none 9\r\nPING\r\n")
			check(s.t, err)
			for line := ""; line != "PONG\r\n"; {
				line, err = readLine(r)
				check(s.t, err)
			}
		}
		done := make(chan error, 2*publishers)
		for i := range publishers {
			w, r := dial(i)
			sync(w, r)
			_, err := io.WriteString(w, "SUB foo 1\r\nPING\r\n")
			check(s.t, err)
			line, err := readLine(r)
			if line != "PONG\r\n" || err != nil {
				s.t.Fatal(line, err)
			}
			go func() { done <- countMessages(r, publishers, messages, sizes) }()
		}
		for i := range publishers {
			w, r := dial(i)
			sync(w, r)
			go func() {
				out := bufio.NewWriterSize(w, 50_000)
				for n := range messages {
					payload := fmt.Sprintf("%d %d ", i, n)
					payload += strings.Repeat("x", sizes[(i+n)%len(sizes)])
					fmt.Fprintf(out, "PUB foo %d\r\n%s\r\n", len(payload), payload)
				}
				done <- out.Flush()
			}()
		}
		for range 2 * publishers {
			check(s.t, <-done)
		}
	})
}

// countMessages reads what publishers send and tells what is missing or out of
// order.
func countMessages(r *bufio.Reader, publishers, messages int, sizes []int) error {
	next := make([]int, publishers)
	for range publishers * messages {
		line, err := readLine(r)
		size := 0
		if err == nil {
			_, err = fmt.Sscanf(line, "MSG foo 1 %d", &size)
		}
		if err != nil {
			return fmt.Errorf("after %v: %q, %w", next, line, err)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		var from, n int
		if _, err := fmt.Sscanf(string(b[:min(len(b), 20)]), "%d %d", &from, &n); err != nil || from >= publishers || n != next[from] {
			return fmt.Errorf("%.20q when %v came next, %v", b, next, err)
		}
		next[from]++
		want := fmt.Sprintf("%d %d ", from, n) + strings.Repeat("x", sizes[(from+n)%len(sizes)]) + "\r\n"
		if !bytes.Equal(b, []byte(want)) {
			return fmt.Errorf("message %d of %d is damaged", n, from)
		}
	}
	return nil
}

// TestSlowConsumer: who does not read is closed for it, others get everything.
func TestSlowConsumer(t *testing.T) {
	a := newAuthority(t, "authority")
	config := block(a, a.issue(t, "server", nil), "timeout: 20") + "max_pending: 4M, write_deadline: 20s\n"
	everywhere(t, config, func(s *seat) {
		slow := s.upgrade("slow", a.client(), false)
		s.note("%s", slow.session(""))
		check(s.t, slow.NetConn().(*net.TCPConn).SetReadBuffer(4096))
		_, err := io.WriteString(slow, "SUB foo 1\r\nPING\r\n")
		check(s.t, err)
		s.note("%s", slow.answer())
		quick, pub := s.upgrade("quick", a.client(), false), s.upgrade("pub", a.client(), false)
		s.note("%s %s", quick.session(""), pub.session(""))
		_, err = io.WriteString(quick, "SUB foo 1\r\nPING\r\n")
		check(s.t, err)
		s.note("%s", quick.answer())
		const sum = 400
		sent := make(chan error, 1)
		go func() {
			for range sum {
				if _, err := fmt.Fprintf(pub, "PUB foo 50000\r\n%s\r\n", strings.Repeat("x", 50_000)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for range sum {
			if line := quick.message(); line != "MSG foo 1 50000" {
				s.t.Fatal(line)
			}
		}
		check(s.t, <-sent)
		s.note("%s", pub.ping())
		harness.Poll(s.t, "the slow one is closed", func() bool { return len(s.connections("state=closed")) == 1 })
		s.note("%v", s.connections("state=closed")[0]["reason"])
		s.fields("varz", s.get("/varz"), "slow_consumers")
	})
}
