package bench

import (
	"bytes"
	"flag"
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

// relayConn is one connection. Its feed runs on a reader thread; several
// publishers may send to it.
type relayConn struct {
	*conn
	relay *relay
	route *relayRoute // of what it publishes; nil before the first PUB
	line  []byte      // cut by the end of a read
	mu    sync.Mutex  // held while sending
}

func (c *relayConn) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(b)
}

// serveRelay accepts until l is closed. Readers are the generator's own: few
// threads that wake for all connections at once are what costs least.
func serveRelay(l net.Listener, threads int) error {
	r := &relay{subs: map[string][]relaySub{}}
	var readers []*reader
	for range threads {
		rd, err := newReader(func(error) {}) // a closed connection is no failure
		if err != nil {
			return err
		}
		defer rd.close()
		readers = append(readers, rd)
	}
	for i := 0; ; i++ {
		nc, err := l.Accept()
		if err != nil {
			return nil
		}
		raw, err := adopt(nc)
		if err != nil {
			continue
		}
		defer raw.close() // when the relay ends: routes may hold it until then
		c := &relayConn{conn: raw, relay: r}
		if c.send([]byte(relayInfo)) == nil {
			readers[i%threads].watch(raw, c)
		}
	}
}

const relayInfo = `INFO {"server_name":"relay","version":"0","headers":true,"max_payload":67108864} ` + "\r\n"

func (c *relayConn) feed(b []byte, _ int64) error {
	var err error
	for len(b) > 0 && err == nil {
		if rt := c.route; rt != nil && len(c.line) == 0 && (rt.pos > 0 || len(b) > 1 && b[0] == 'P' && b[1] == 'U') {
			b, err = rt.forward(b)
			continue
		}
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		c.line = append(c.line, b[:end]...)
		b = b[end:]
		switch {
		case c.line[len(c.line)-1] == '\n':
			err = c.relay.take(c, c.line)
			c.line = c.line[:0]
		case len(c.line) > 64<<10:
			err = errStray
		}
	}
	if err != nil {
		c.hangUp() // the generator sees it and ends the run
	}
	return err
}

// take handles one protocol line; the first PUB yields the route of all that
// follow, and a line that was cut starts a frame on it.
func (r *relay) take(c *relayConn, line []byte) error {
	words := bytes.Fields(line)
	if len(words) == 0 {
		return errStray
	}
	switch string(words[0]) {
	case "PING":
		return c.send([]byte("PONG\r\n"))
	case "SUB":
		if len(words) < 3 {
			return errStray
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		subject := string(words[1])
		r.subs[subject] = append(r.subs[subject], relaySub{c, string(words[len(words)-1]), len(words) == 4})
	case "PUB":
		if c.route != nil {
			c.route.pos = len(line)
			return nil
		}
		var err error
		c.route, err = r.route(line, words)
		return err
	}
	return nil
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
	blocks := map[string][]byte{} // one per sid, so that the cache holds it
	subs := r.subs[string(words[1])]
	if len(subs) == 0 { // the generator's inboxes have a wildcard at the end
		subs = r.subs[string(words[1][:bytes.LastIndexByte(words[1], '.')+1])+"*"]
	}
	for _, sub := range subs {
		head := fmt.Sprintf("MSG %s %s %s%d\r\n", words[1], sub.sid, reply, size)
		frame := len(head) + size + 2
		if blocks[head] == nil {
			one := append(append([]byte(head), bytes.Repeat([]byte{'x'}, size)...), "\r\n"...)
			blocks[head] = bytes.Repeat(one, max(1, relayBlock/frame))
		}
		rt.targets = append(rt.targets, sub.to)
		rt.blocks = append(rt.blocks, blocks[head])
		rt.frame = append(rt.frame, frame)
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
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	f.SetOutput(stderr)
	host := f.String("a", "127.0.0.1", "address")
	port := f.String("p", "0", "port")
	threads := f.Int("threads", 1, "reader threads")
	if err := f.Parse(args); err != nil || *threads < 1 {
		return exitUsage
	}
	l, err := net.Listen("tcp", net.JoinHostPort(*host, *port))
	if err == nil {
		runtimeForLoad()
		err = serveRelay(l, *threads)
	}
	if err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitFailed
	}
	return exitOK
}
