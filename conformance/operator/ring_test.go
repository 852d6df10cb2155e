package operator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// linger is how long a connection of a ring may last.
const linger = 5 * time.Minute

// watchers is how many connections listen to a part of all messages each.
const watchers = 8

// ring is connections in a circle. Each subscribes to a subject of its own and
// publishes to its neighbour's, one message for each that it gets: so the number
// of messages under way stays what it was at first, and no receiver falls far
// behind. Watchers listen as well, with wildcards.
type ring struct {
	t        *testing.T
	members  []*member
	watching []*member
	stopped  atomic.Bool
	readers  sync.WaitGroup
}

// member is a connection of a ring. After run the reader owns all but what is
// atomic or locked.
type member struct {
	conn net.Conn
	in   *bufio.Reader
	info string

	next     string         // subject to publish to, empty for a watcher
	expected map[string]int // next number by subject
	random   *rand.Rand

	sent, received, pings atomic.Int64

	pongs   chan struct{}
	refusal chan string
	failure atomic.Pointer[error]

	mu  sync.Mutex // guards out
	out []byte
}

// joinRing connects and waits until the server counts the connection.
func joinRing(server *harness.Server) (*member, error) {
	conn, err := net.DialTimeout("tcp", server.Addr, harness.Patience)
	if err != nil {
		return nil, err
	}
	m := &member{
		conn: conn, in: bufio.NewReaderSize(conn, 4<<10), expected: make(map[string]int),
		pongs: make(chan struct{}, 1), refusal: make(chan string, 1),
	}
	if err := m.greet(); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *member) greet() (err error) {
	if err := m.conn.SetDeadline(time.Now().Add(linger)); err != nil {
		return err
	}
	if m.info, err = m.in.ReadString('\n'); err != nil {
		return err
	}
	return m.sync("CONNECT {\"verbose\":false}\r\n")
}

// sync sends text and waits for the answer to a PING. For before run.
func (m *member) sync(text string) error {
	if _, err := io.WriteString(m.conn, text+"PING\r\n"); err != nil {
		return err
	}
	for {
		line, err := m.in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case line == "PONG\r\n":
			return nil
		case line != "PING\r\n" && !strings.HasPrefix(line, "INFO "):
			return fmt.Errorf("waiting for PONG: %.80q", line)
		}
	}
}

func newRing(t *testing.T, server *harness.Server, size int, seed uint64) *ring {
	t.Helper()
	r := &ring{t: t}
	t.Cleanup(r.close)
	subject := func(i int) string { return fmt.Sprintf("ring.%d.%d", i%watchers, i) }
	all := make([]*member, size+watchers)
	errs := make([]error, len(all))
	var next atomic.Int64
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				pattern := fmt.Sprintf("ring.%d.*", i-size)
				if i < size {
					pattern = subject(i)
				}
				if all[i], errs[i] = joinRing(server); errs[i] == nil {
					errs[i] = all[i].sync("SUB " + pattern + " 1\r\n")
				}
			}
		})
	}
	work.Wait()
	for i, m := range all {
		switch {
		case m == nil:
		case i < size:
			m.next, m.random = subject((i+1)%size), rand.New(rand.NewPCG(seed, uint64(i)))
			r.members = append(r.members, m)
		default:
			r.watching = append(r.watching, m)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts the reading, then lets every fourth member publish a first message.
func (r *ring) run() {
	for _, m := range r.all() {
		r.readers.Go(func() {
			if err := r.read(m); err != nil {
				m.failure.CompareAndSwap(nil, &err)
			}
		})
	}
	for i := 0; i < len(r.members); i += 4 {
		m := r.members[i]
		m.mu.Lock()
		err := m.publish()
		m.mu.Unlock()
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *ring) all() []*member {
	return append(r.members[:len(r.members):len(r.members)], r.watching...)
}

// read handles what a member gets, until its connection ends.
func (r *ring) read(m *member) error {
	for {
		line, err := m.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("MSG ")):
			err = r.message(m, string(line))
		case string(line) == "PING\r\n":
			m.pings.Add(1)
			err = m.write("PONG\r\n")
		case string(line) == "PONG\r\n":
			select {
			case m.pongs <- struct{}{}:
			default:
				err = errors.New("a PONG that nobody asked for")
			}
		case bytes.HasPrefix(line, []byte("-ERR ")):
			m.refusal <- string(line)
			return fmt.Errorf("%q", line)
		case bytes.HasPrefix(line, []byte("INFO ")):
		default:
			err = fmt.Errorf("not understood: %.80q", line)
		}
		if err != nil {
			return err
		}
	}
}

// message takes a delivery, whose payload begins with its number, and publishes
// in turn.
func (r *ring) message(m *member, line string) error {
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return fmt.Errorf("%.80q", line)
	}
	size, err := strconv.Atoi(fields[3])
	if err != nil || size > payloadMax {
		return fmt.Errorf("%.80q", line)
	}
	payload := make([]byte, size+2)
	if _, err := io.ReadFull(m.in, payload); err != nil {
		return err
	}
	number, end, _ := strings.Cut(string(payload), " ")
	if want := m.expected[fields[1]]; number != strconv.Itoa(want) || !strings.HasSuffix(end, "\r\n") {
		return fmt.Errorf("%s: %.80q, want number %d", fields[1], payload, want)
	}
	m.expected[fields[1]]++
	// Sent before received: where the two are equal nothing is under way.
	if m.next != "" && !r.stopped.Load() {
		m.mu.Lock()
		err = m.publish()
		m.mu.Unlock()
	}
	m.received.Add(1)
	return err
}

// publish sends the member's next message, which begins with its number. The
// caller holds mu.
func (m *member) publish() error {
	text := strconv.FormatInt(m.sent.Add(1)-1, 10)
	filler := strings.Repeat("x", m.random.IntN(payloadMax-len(text)))
	m.out = fmt.Appendf(m.out[:0], "PUB %s %d\r\n%s %s\r\n", m.next, len(text)+1+len(filler), text, filler)
	_, err := m.conn.Write(m.out)
	return err
}

func (m *member) write(text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := io.WriteString(m.conn, text)
	return err
}

// check fails the test when a member has found something wrong.
func (r *ring) check() {
	r.t.Helper()
	for i, m := range r.all() {
		if failure := m.failure.Load(); failure != nil {
			r.t.Fatalf("connection %d: %v", i, *failure)
		}
	}
}

// stop ends the publishing.
func (r *ring) stop() { r.stopped.Store(true) }

// wantAll waits until all that was published has arrived, and looks that no more
// comes.
func (r *ring) wantAll() {
	r.t.Helper()
	total := func(members []*member) (sent, received int64) {
		for _, m := range members {
			received += m.received.Load()
		}
		for _, m := range members {
			sent += m.sent.Load()
		}
		return sent, received
	}
	var sent int64
	harness.Poll(r.t, "all messages", func() bool {
		r.check()
		var received int64
		sent, received = total(r.members)
		_, watched := total(r.watching)
		return received == sent && watched == sent
	})
	for i, m := range r.all() {
		if err := m.write("PING\r\n"); err != nil {
			r.t.Fatalf("connection %d: %v", i, err)
		}
		await(r, i, m.pongs)
	}
	r.check()
	for i, m := range r.members {
		before := r.members[(i+len(r.members)-1)%len(r.members)]
		if sent, received := before.sent.Load(), m.received.Load(); received != sent {
			r.t.Errorf("connection %d got %d messages, sent were %d", i, received, sent)
		}
	}
	if _, watched := total(r.watching); watched != sent {
		r.t.Errorf("the watchers got %d messages, sent were %d", watched, sent)
	}
	r.t.Logf("%d messages", sent)
}

// wantPings waits until each connection was asked whether it is alive.
func (r *ring) wantPings() {
	r.t.Helper()
	for i, m := range r.all() {
		harness.Poll(r.t, fmt.Sprintf("a PING on connection %d", i), func() bool { return m.pings.Load() > 0 })
	}
	r.check()
}

// wantRefusals publishes payloads of that size until each connection was closed
// for it: the loops get new limits one after the other.
func (r *ring) wantRefusals(size int) {
	r.t.Helper()
	const want = "-ERR 'Maximum Payload Violation'\r\n"
	text := fmt.Sprintf("PUB nobody %d\r\n%s\r\nPING\r\n", size, strings.Repeat("x", size))
	for i, m := range r.all() {
		patience := time.After(harness.Patience)
		for accepted := true; accepted; {
			if err := m.write(text); err != nil {
				r.t.Fatalf("connection %d: %v", i, err)
			}
			select {
			case <-m.pongs:
			case got := <-m.refusal:
				accepted = false
				if got != want {
					r.t.Errorf("connection %d: %q, want %q", i, got, want)
				}
			case <-patience:
				r.t.Fatalf("connection %d is not refused", i)
			}
		}
	}
}

func await(r *ring, i int, answer <-chan struct{}) {
	r.t.Helper()
	select {
	case <-answer:
	case <-time.After(harness.Patience):
		r.t.Fatalf("connection %d is not answered", i)
	}
}

// close ends all connections and waits for their readers.
func (r *ring) close() {
	for _, m := range r.all() {
		m.conn.Close()
	}
	r.readers.Wait()
}
