package main

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// requests makes n requests of 64 B one after the other.
func requests(addr string, n int, m model) (outcome, error) {
	if m.threads == oneThread {
		return plainRequests(addr, n)
	}
	return stockRequests(addr, n)
}

// stockRequests uses the stock client on both sides.
func stockRequests(addr string, n int) (outcome, error) {
	responder, err := nats.Connect("nats://" + addr)
	if err != nil {
		return outcome{}, err
	}
	defer responder.Close()
	requester, err := nats.Connect("nats://" + addr)
	if err != nil {
		return outcome{}, err
	}
	defer requester.Close()
	if _, err := responder.Subscribe("yard", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
		return outcome{}, err
	}
	if err := responder.Flush(); err != nil {
		return outcome{}, err
	}
	payload := make([]byte, 64)
	took := make([]float64, n)
	start := time.Now()
	for i := range took {
		before := time.Now()
		if _, err := requester.Request("yard", payload, time.Minute); err != nil {
			return outcome{}, err
		}
		took[i] = time.Since(before).Seconds()
	}
	return answered(took, start), nil
}

func answered(took []float64, start time.Time) outcome {
	o := outcome{messages: len(took), seconds: time.Since(start).Seconds()}
	slices.Sort(took)
	o.median = took[len(took)/2]
	return o
}

// plainRequests has one thread that blocks in reads: it asks, answers itself on
// a second connection, and takes the answer.
func plainRequests(addr string, n int) (outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conns := make([]*plain, 2)
	for i, sub := range []string{"SUB yard 1\r\n", "SUB inbox.* 1\r\n"} {
		c, err := connect(addr, sub)
		if err != nil {
			return outcome{}, err
		}
		defer c.Close()
		if conns[i], err = newPlain(c); err != nil {
			return outcome{}, err
		}
		defer conns[i].close()
	}
	responder, requester := conns[0], conns[1]
	payload := strings.Repeat("y", 64) + "\r\n"
	took := make([]float64, n)
	start := time.Now()
	for i := range took {
		before := time.Now()
		reply := fmt.Sprintf("inbox.%08d", i)
		if err := requester.send("PUB yard " + reply + " 64\r\n" + payload); err != nil {
			return outcome{}, err
		}
		if err := responder.expect("MSG yard 1 "+reply+" 64\r\n", payload); err != nil {
			return outcome{}, err
		}
		if err := responder.send("PUB " + reply + " 64\r\n" + payload); err != nil {
			return outcome{}, err
		}
		if err := requester.expect("MSG "+reply+" 1 64\r\n", payload); err != nil {
			return outcome{}, err
		}
		took[i] = time.Since(before).Seconds()
	}
	return answered(took, start), nil
}

// plain is a connection whose reads and writes are system calls that block.
type plain struct {
	fd int
	in *bufio.Reader
}

// newPlain duplicates c's descriptor, which makes it blocking.
func newPlain(c net.Conn) (*plain, error) {
	file, err := c.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	limit := unix.NsecToTimeval(int64(time.Minute))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, err
	}
	p := &plain{fd: fd}
	p.in = bufio.NewReader(p)
	return p, nil
}

func (p *plain) close() { unix.Close(p.fd) }

// Read is one read(2).
func (p *plain) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(p.fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, fmt.Errorf("the server closed the connection")
		default:
			return n, nil
		}
	}
}

// Write is write(2) until all of b is taken.
func (p *plain) Write(b []byte) (n int, err error) {
	for n < len(b) {
		switch k, err := unix.Write(p.fd, b[n:]); {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		default:
			n += k
		}
	}
	return n, nil
}

func (p *plain) send(text string) error {
	_, err := p.Write([]byte(text))
	return err
}

// expect reads the given lines, and answers pings before them.
func (p *plain) expect(lines ...string) error {
	for i := 0; i < len(lines); {
		got, err := p.in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case got == "PING\r\n":
			if err := p.send("PONG\r\n"); err != nil {
				return err
			}
		case got != lines[i]:
			return fmt.Errorf("%q instead of %q", got, lines[i])
		default:
			i++
		}
	}
	return nil
}
