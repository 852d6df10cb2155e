package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"peregrine/loop/gnet"
)

// quietLog keeps what a server logs.
type quietLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *quietLog) add(level, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+fmt.Sprintf(format, args...))
}

func (l *quietLog) Noticef(f string, a ...any) { l.add("INF", f, a...) }
func (l *quietLog) Warnf(f string, a ...any)   { l.add("WRN", f, a...) }
func (l *quietLog) Errorf(f string, a ...any)  { l.add("ERR", f, a...) }
func (l *quietLog) Fatalf(f string, a ...any)  { l.add("FTL", f, a...) }
func (l *quietLog) Debugf(f string, a ...any)  { l.add("DBG", f, a...) }
func (l *quietLog) Tracef(f string, a ...any)  { l.add("TRC", f, a...) }

func (l *quietLog) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// startServer runs a server on a free port until the test ends.
func startServer(t testing.TB, change func(o *Options)) (*Server, *quietLog) {
	t.Helper()
	o := DefaultOptions()
	o.Host, o.Port, o.Loops, o.NewEngine = "127.0.0.1", -1, 2, gnet.New
	if change != nil {
		change(&o)
	}
	log := new(quietLog)
	s, err := New(o, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s, log
}

// client is a raw connection.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

// clientTimeout bounds a wait for the server; reaching it is a failure.
const clientTimeout = 2 * time.Minute

func netDial(s *Server) (net.Conn, error) { return net.Dial("tcp", s.Addr().String()) }

func newClient(t testing.TB, nc net.Conn) *client {
	_ = nc.SetDeadline(time.Now().Add(clientTimeout))
	return &client{t: t, Conn: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

// greeted opens a connection and reads INFO.
func greeted(t testing.TB, s *Server) *client {
	t.Helper()
	nc, err := netDial(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	c := newClient(t, nc)
	if line := c.line(); !strings.HasPrefix(line, "INFO ") {
		t.Fatalf("first line is %q", line)
	}
	return c
}

// connect opens a connection and gets it past CONNECT.
func connect(t testing.TB, s *Server) *client {
	t.Helper()
	c := greeted(t, s)
	c.send(`CONNECT {"verbose":false,"headers":true,"no_responders":true}` + "\r\n")
	c.sync()
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading: %v (after %q)", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// sync returns when the server has handled all that was sent before.
func (c *client) sync() {
	c.t.Helper()
	c.send("PING\r\n")
	if line := c.line(); line != "PONG" {
		c.t.Fatalf("got %q, want PONG", line)
	}
}

func (c *client) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// eventually waits until ok holds, looking again after each call of step.
func eventually(t testing.TB, what string, step func(), ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(clientTimeout); !ok(); step() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v", what, clientTimeout)
		}
	}
}
