package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// scaled is n, or much more for a soak run.
func scaled(n int) int {
	if os.Getenv("SOAK") != "" {
		return n * 20
	}
	return n
}

// peers are the seats of a test that only Peregrine needs to pass, but that the
// reference is asked as well in a soak run.
func peers() []harness.Seat {
	if os.Getenv("SOAK") != "" {
		return harness.Seats
	}
	return []harness.Seat{harness.Peregrine}
}

// each runs fn in the given seats, one after the other.
func each(t *testing.T, seats []harness.Seat, fn func(t *testing.T, seat harness.Seat)) {
	t.Helper()
	for _, seat := range seats {
		t.Run(seat.String(), func(t *testing.T) { fn(t, seat) })
	}
}

// start runs a server with several loops, where it has such things, so that
// messages cross between them whatever the number of processors.
func start(t *testing.T, seat harness.Seat, more ...string) *harness.Server {
	t.Helper()
	flags := []string{"-m", "-1"}
	if harness.HasFlag(t, seat, "-loops") {
		flags = append(flags, "--loops", "4")
	}
	return harness.Start(t, seat, append(flags, more...)...)
}

// client is a bare connection: no more work per message than counting needs.
type client struct {
	conn *net.TCPConn
	in   *bufio.Reader
	out  *bufio.Writer
	data []byte // reused payload
}

// message is one delivery; Data is borrowed until the next call of next.
type message struct {
	Subject, Sid []byte
	Data         []byte
}

// linger is how long anything may take, lifetime that of a connection.
const linger, lifetime = 2 * time.Minute, 20 * time.Minute

func dial(server *harness.Server) (*client, error) {
	conn, err := net.DialTimeout("tcp", server.Addr, linger)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn.(*net.TCPConn), in: bufio.NewReaderSize(conn, 4<<10), out: bufio.NewWriterSize(conn, 4<<10)}
	if err := c.greet(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) greet() error {
	if err := c.conn.SetDeadline(time.Now().Add(linger)); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if !bytes.HasPrefix(line, []byte("INFO {")) {
		return fmt.Errorf("greeting %.40q", line)
	}
	if err := c.sync("CONNECT {\"verbose\":false}\r\n"); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Now().Add(lifetime))
}

// open is dial for a connection that lasts as long as the test.
func open(t *testing.T, server *harness.Server) *client {
	t.Helper()
	c, err := dial(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// wide gives the connection large buffers, for a few connections with much
// traffic.
func (c *client) wide() *client {
	c.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(buffered(c.in)), c.conn), 256<<10)
	c.out = bufio.NewWriterSize(c.conn, 64<<10)
	return c
}

func buffered(r *bufio.Reader) []byte {
	b, err := r.Peek(r.Buffered())
	if err != nil {
		return nil
	}
	return bytes.Clone(b)
}

// sync sends text and a PING, and waits for the PONG; nothing else may come
// first but PINGs.
func (c *client) sync(text string) error {
	c.write(text)
	c.write("PING\r\n")
	if err := c.out.Flush(); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("waiting for PONG: %w", err)
		}
		switch string(line) {
		case "PONG\r\n":
			return nil
		case "PING\r\n":
		default:
			return fmt.Errorf("waiting for PONG: %.60q", line)
		}
	}
}

// write buffers text. Errors stay in the writer and come out at Flush.
func (c *client) write(text string) { _, _ = c.out.WriteString(text) }

// publish buffers one message.
func (c *client) publish(subject string, data []byte) {
	b := c.out.AvailableBuffer()
	b = append(b, "PUB "...)
	b = append(b, subject...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(data)), 10)
	b = append(b, "\r\n"...)
	_, _ = c.out.Write(b)
	_, _ = c.out.Write(data)
	_, _ = c.out.WriteString("\r\n")
}

var errProtocol = errors.New("not a delivery")

// next reads one delivery.
func (c *client) next() (message, error) {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return message{}, err
		}
		if string(line) == "PING\r\n" {
			continue
		}
		return c.delivery(line)
	}
}

func (c *client) delivery(line []byte) (message, error) {
	rest, found := bytes.CutPrefix(line, []byte("MSG "))
	if !found {
		return message{}, fmt.Errorf("%w: %.60q", errProtocol, line)
	}
	subject, rest, _ := bytes.Cut(rest, []byte(" "))
	sid, rest, _ := bytes.Cut(rest, []byte(" "))
	size, err := strconv.Atoi(string(bytes.TrimRight(rest[bytes.LastIndexByte(rest, ' ')+1:], "\r\n")))
	if err != nil || size < 0 {
		return message{}, fmt.Errorf("%w: %.60q", errProtocol, line)
	}
	head := len(subject) + 1 + len(sid)
	if cap(c.data) < head+size+2 {
		c.data = make([]byte, head+size+2)
	}
	b := append(c.data[:0], subject...)
	b = append(append(b, ' '), sid...)
	b = b[:head+size+2]
	if _, err := io.ReadFull(c.in, b[head:]); err != nil {
		return message{}, err
	}
	if string(b[head+size:]) != "\r\n" {
		return message{}, fmt.Errorf("%w: payload ends in %q", errProtocol, b[head+size:])
	}
	return message{Subject: b[:len(subject)], Sid: b[len(subject)+1 : head], Data: b[head : head+size]}, nil
}

// varz is the part of the monitoring page that these tests look at.
type varz struct {
	Connections   int   `json:"connections"`
	Subscriptions int   `json:"subscriptions"`
	SlowConsumers int64 `json:"slow_consumers"`
	Stalled       int64 `json:"stalled_clients"`
}

func getVarz(t *testing.T, server *harness.Server) varz {
	t.Helper()
	response, err := http.Get("http://" + server.Monitor + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var v varz
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return v
}

// baseline remembers what must be the same again when all clients have gone.
type baseline struct {
	server *harness.Server
	varz   varz
	fds    int
}

func takeBaseline(t *testing.T, server *harness.Server) baseline {
	t.Helper()
	// The first client makes a server open what it keeps open.
	c, err := dial(server)
	if err != nil {
		t.Fatal(err)
	}
	c.conn.Close()
	b := baseline{server: server}
	harness.Poll(t, "no connection after the first", func() bool {
		b.varz = getVarz(t, server)
		return b.varz.Connections == 0
	})
	settled := 0
	harness.Poll(t, "a steady number of descriptors", func() bool {
		if fds := server.FDs(); fds != b.fds {
			b.fds, settled = fds, 0
		}
		settled++
		return settled == 5
	})
	return b
}

// wantBack waits until connections, subscriptions and descriptors are back.
func (b baseline) wantBack(t *testing.T) {
	t.Helper()
	var v varz
	var fds int
	defer func() {
		if t.Failed() {
			t.Logf("connections %d, were %d; subscriptions %d, were %d; descriptors %d, were %d",
				v.Connections, b.varz.Connections, v.Subscriptions, b.varz.Subscriptions, fds, b.fds)
		}
	}()
	harness.PollFor(t, linger, "everything returned to the server", func() bool {
		v, fds = getVarz(t, b.server), b.server.FDs()
		return v.Connections == b.varz.Connections && v.Subscriptions == b.varz.Subscriptions && fds <= b.fds
	})
}
