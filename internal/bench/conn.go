package bench

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// defaultPatience is how long a server may stay silent, or take nothing, before
// it is given up: at every step of a connection's start, and in a run.
const defaultPatience = 10 * time.Second

// conn is one raw client connection: a blocking descriptor, so a read or a
// write is one system call with no scheduler in between. Its write side has
// one owner at a time (the publisher goroutine, or the reader thread when the
// connection publishes nothing on its own); its read side belongs to a reader
// thread once it has been watched.
type conn struct {
	fd       int
	file     *os.File // keeps fd open
	tls      *tls.Conn
	raw      net.Conn      // under tls
	patience time.Duration // of a write, and of an awaited answer, over TLS
	info     serverInfo

	feed    feeder
	writer  bool        // a publisher owns the write side
	pongDue atomic.Bool // the writer owes the server a PONG
	closing atomic.Bool // end of stream is expected from here on
	mu      sync.Mutex  // guards closed: a descriptor's number is reused at once
	closed  bool
}

// serverInfo holds what the generator needs of INFO.
type serverInfo struct {
	Version     string `json:"version"`
	TLSRequired bool   `json:"tls_required"`
}

// login is what a connection presents in CONNECT; zero means nothing.
type login struct{ user, pass, token string }

const connectFormat = `CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,` +
	`"lang":"peregrine-bench","version":"1","protocol":1,"echo":true,"name":"bench"%s}` + "\r\nPING\r\n"

func (l login) connectLine() []byte {
	extra := ""
	add := func(key, value string) {
		if value != "" {
			quoted, _ := json.Marshal(value)
			extra += fmt.Sprintf(",%q:%s", key, quoted)
		}
	}
	add("user", l.user)
	add("pass", l.pass)
	add("auth_token", l.token)
	return fmt.Appendf(nil, connectFormat, extra)
}

// dial connects to t, logs in and waits until the server has answered the
// first PING, so that a returned connection is fully established.
func dial(t *Target) (*conn, error) {
	c, err := open(t)
	if err != nil {
		return nil, err
	}
	if err := c.greet(t.login); err != nil {
		c.close()
		return nil, fmt.Errorf("connect to %s: %w", t.Addr, err)
	}
	return c, nil
}

// open makes the connection and reads INFO, upgrading to TLS when the target
// wants it.
func open(t *Target) (*conn, error) {
	nc, err := net.DialTimeout("tcp", t.Addr, t.patience())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if t.TLS != nil {
		c := &conn{fd: -1, patience: t.patience()}
		return c, c.openTLS(nc, t.TLS)
	}
	c, err := adopt(nc)
	if err != nil {
		return nil, err
	}
	c.setTimeouts(t.patience())
	line, err := c.readLine()
	if err == nil {
		err = c.readInfo(line)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", t.Addr, err)
	}
	if c.info.TLSRequired {
		c.close()
		return nil, fmt.Errorf("%s: the server wants TLS; use a tls:// address", t.Addr)
	}
	return c, nil
}

// adopt takes nc over from Go's network poller.
func adopt(nc net.Conn) (*conn, error) {
	defer nc.Close()
	file, err := nc.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	return &conn{file: file, fd: int(file.Fd())}, nil // Fd makes the descriptor blocking
}

func (c *conn) openTLS(nc net.Conn, conf *tls.Config) error {
	c.raw = nc
	nc.SetDeadline(time.Now().Add(c.patience))
	line, err := c.readLine()
	if err == nil {
		err = c.readInfo(line)
	}
	if err == nil {
		c.tls = tls.Client(nc, conf)
		err = c.tls.Handshake()
	}
	if err != nil {
		nc.Close()
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

func (c *conn) readInfo(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return fmt.Errorf("not a NATS server: first line %.60q", line)
	}
	if err := json.Unmarshal(rest, &c.info); err != nil {
		return fmt.Errorf("INFO: %w", err)
	}
	return nil
}

func (c *conn) greet(l login) error {
	if err := c.write(l.connectLine()); err != nil {
		return err
	}
	return c.awaitPong()
}

// roundTrip sends b and a PING and waits for the PONG, so everything in b has
// been processed by the server. Only for connections that are not watched yet.
func (c *conn) roundTrip(b []byte) error {
	if err := c.write(append(b, "PING\r\n"...)); err != nil {
		return err
	}
	return c.awaitPong()
}

func (c *conn) awaitPong() error {
	if c.raw != nil { // without TLS, setTimeouts bounds each read
		c.raw.SetReadDeadline(time.Now().Add(c.patience))
		defer c.raw.SetReadDeadline(time.Time{}) // a watched connection may be silent
	}
	for {
		line, err := c.readLine()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte("PONG")):
			return nil
		case bytes.HasPrefix(line, []byte("-ERR")):
			return fmt.Errorf("server answered %s", bytes.TrimSpace(line))
		case bytes.HasPrefix(line, []byte("PING")):
			if err := c.write([]byte("PONG\r\n")); err != nil {
				return err
			}
		}
	}
}

// readLine reads one line and not a byte more: what follows belongs to the
// reader thread or to TLS. Lines are bounded at 64 KiB.
func (c *conn) readLine() ([]byte, error) {
	var line []byte
	var ahead [4096]byte
	for len(line) < 64<<10 {
		n, err := c.peek(ahead[:])
		if err != nil {
			return nil, err
		}
		end := bytes.IndexByte(ahead[:n], '\n')
		if end >= 0 {
			n = end + 1
		}
		if n, err = c.read(ahead[:n]); err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, errClosed
		}
		line = append(line, ahead[:n]...)
		if line[len(line)-1] == '\n' {
			return line, nil
		}
	}
	return nil, errors.New("line longer than 64 KiB")
}

// peek looks at what can be read, waiting for the first byte. Over TLS it
// offers one byte at a time.
func (c *conn) peek(b []byte) (int, error) {
	if c.raw != nil {
		return 1, nil
	}
	for {
		n, _, err := unix.Recvfrom(c.fd, b, unix.MSG_PEEK)
		switch err {
		case nil:
			return max(n, 1), nil // at the end of the stream, read says so
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errSilent
		default:
			return 0, os.NewSyscallError("recv", err)
		}
	}
}

var (
	errUnreachable = errors.New("no connection to the server")

	errClosed = errors.New("the server closed a connection")
	errSilent = errors.New("timed out waiting for the server")
	errFull   = errors.New("write: the server took nothing for too long")
)

// read returns 0 and no error at the end of the stream.
func (c *conn) read(b []byte) (int, error) {
	if c.raw != nil {
		return c.readTLS(b)
	}
	for {
		n, err := unix.Read(c.fd, b)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errSilent
		default:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

func (c *conn) readTLS(b []byte) (int, error) {
	var r net.Conn = c.raw
	if c.tls != nil {
		r = c.tls
	}
	n, err := r.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSilent
	}
	return n, err
}

// write sends all of b, which is borrowed.
func (c *conn) write(b []byte) error {
	if c.raw != nil {
		w := c.raw
		if c.tls != nil {
			w = c.tls
		}
		c.raw.SetWriteDeadline(time.Now().Add(c.patience))
		_, err := w.Write(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errFull
		}
		return err
	}
	for len(b) > 0 {
		n, err := unix.Write(c.fd, b)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return errFull
		default:
			return os.NewSyscallError("write", err)
		}
	}
	return nil
}

// setTimeouts bounds single system calls; 0 means for ever.
func (c *conn) setTimeouts(d time.Duration) {
	tv := unix.NsecToTimeval(int64(d))
	unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}

// hangUp ends both directions and wakes whoever is blocked on c; the
// descriptor stays valid until close.
func (c *conn) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing.Store(true)
	switch {
	case c.closed:
	case c.raw != nil:
		c.raw.Close()
	default:
		unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}

// close releases the descriptor. Nobody may be reading or writing any more.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.closing.Store(true)
	if c.raw != nil {
		c.raw.Close()
	}
	if c.file != nil {
		c.file.Close()
	}
}
