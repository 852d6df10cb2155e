package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// The relay is the wire that servers are measured against: a process that
// moves the same bytes in the same direction and does nothing else. It reads
// the first frame of a publisher to learn its size and where it goes, and from
// then on answers every frame with a prepared one, without looking at it. What
// the generator reaches against it is the ceiling of generator and kernel on
// this machine.
type relay struct {
	mu   sync.Mutex
	subs map[string][]relaySub
}

type relaySub struct {
	to    *relayConn
	sid   string
	queue bool
}

// relayConn is one connection; several publishers may write to it.
type relayConn struct {
	net.Conn
	mu sync.Mutex
}

func (c *relayConn) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Write(b)
	return err
}

// serveRelay accepts until l is closed.
func serveRelay(l net.Listener) {
	r := &relay{subs: map[string][]relaySub{}}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go r.serve(&relayConn{Conn: c})
	}
}

func (r *relay) serve(c *relayConn) {
	defer c.Close()
	if err := c.send([]byte(`INFO {"server_name":"relay","version":"0","headers":true,"max_payload":67108864} ` + "\r\n")); err != nil {
		return
	}
	var out *relayRoute
	buf := make([]byte, readBytes+4096)
	kept := 0 // bytes of an unfinished line at the front
	for {
		n, err := c.Read(buf[kept:])
		if err != nil {
			return
		}
		b := buf[:kept+n]
		for len(b) > 0 && err == nil {
			if out != nil && (out.pos > 0 || len(b) > 1 && b[0] == 'P' && b[1] == 'U') {
				b, err = out.forward(b)
				continue
			}
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				break
			}
			var route *relayRoute
			if route, err = r.line(c, b[:end+1]); route != nil {
				out = route
			}
			b = b[end+1:]
		}
		if err != nil || len(b) > readBytes {
			return
		}
		kept = copy(buf, b)
	}
}

// line handles one protocol line; a PUB yields the route of all that follow.
func (r *relay) line(c *relayConn, line []byte) (*relayRoute, error) {
	words := bytes.Fields(line)
	if len(words) == 0 {
		return nil, errStray
	}
	switch string(words[0]) {
	case "PING":
		return nil, c.send([]byte("PONG\r\n"))
	case "SUB":
		if len(words) < 3 {
			return nil, errStray
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		subject := string(words[1])
		r.subs[subject] = append(r.subs[subject], relaySub{c, string(words[len(words)-1]), len(words) == 4})
	case "PUB":
		return r.route(line, words)
	}
	return nil, nil
}

// relayRoute answers one publisher's frames.
type relayRoute struct {
	size    int // of a PUB frame
	pos     int // bytes seen of a cut frame
	targets []*relayConn
	blocks  [][]byte // prepared MSG frames, by target
	frame   []int    // size of one of them
	turn    int      // queue: whose turn it is
	queue   bool
}

// relayBlock is how many bytes of prepared frames a route holds per target.
const relayBlock = 64 << 10

func (r *relay) route(line []byte, words [][]byte) (*relayRoute, error) {
	size, err := strconv.Atoi(string(words[len(words)-1]))
	if err != nil || len(words) < 3 || size < 0 || size > 64<<20 {
		return nil, errStray
	}
	rt := &relayRoute{size: len(line) + size + 2, pos: len(line)}
	reply := ""
	if len(words) == 4 {
		reply = string(words[2]) + " "
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs[string(words[1])] {
		one := fmt.Appendf(nil, "MSG %s %s %s%d\r\n", words[1], sub.sid, reply, size)
		one = append(append(one, bytes.Repeat([]byte{'x'}, size)...), "\r\n"...)
		rt.targets = append(rt.targets, sub.to)
		rt.blocks = append(rt.blocks, bytes.Repeat(one, max(1, relayBlock/len(one))))
		rt.frame = append(rt.frame, len(one))
		rt.queue = sub.queue
	}
	return rt, nil
}

// forward takes the PUB frames at the front of b and sends as many deliveries.
func (rt *relayRoute) forward(b []byte) ([]byte, error) {
	n := 0
	for len(b) > 0 {
		if rt.pos == 0 && (len(b) < 2 || b[1] != 'U') {
			break
		}
		step := min(rt.size-rt.pos, len(b))
		rt.pos += step
		b = b[step:]
		if rt.pos == rt.size {
			rt.pos = 0
			n++
		}
	}
	return b, rt.deliver(n)
}

func (rt *relayRoute) deliver(n int) error {
	if n == 0 || len(rt.targets) == 0 {
		return nil
	}
	if rt.queue {
		rt.turn = (rt.turn + 1) % len(rt.targets)
		return rt.deliverTo(rt.turn, n)
	}
	for i := range rt.targets {
		if err := rt.deliverTo(i, n); err != nil {
			return err
		}
	}
	return nil
}

func (rt *relayRoute) deliverTo(i, n int) error {
	for n > 0 {
		k := min(n, len(rt.blocks[i])/rt.frame[i])
		if err := rt.targets[i].send(rt.blocks[i][:k*rt.frame[i]]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// relayMain is the hidden sub-command that the generator starts itself as.
func relayMain(args []string, stderr io.Writer) int {
	addr := ""
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "-a":
			addr = args[i+1] + addr
		case "-p":
			addr += ":" + args[i+1]
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return 1
	}
	serveRelay(l)
	return 0
}
