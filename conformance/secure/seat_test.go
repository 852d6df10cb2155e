package secure

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// seat is a server with a diary of what clients saw.
type seat struct {
	*harness.Server
	t            *testing.T
	file, folder string
	out          strings.Builder
	seen         map[string]int // how often a line of the log was awaited
	live         int            // connections that clients were let in by and have not closed
}

// compare runs fn with a server of each kind and this configuration, then
// compares the diaries.
func compare(t *testing.T, config string, fn func(s *seat)) {
	t.Helper()
	harness.Compare(t, func(t *testing.T, which harness.Seat) string {
		s := start(t, which, config)
		fn(s)
		return s.out.String()
	})
}

// inTurn is compare with one server after the other, for tests that change what
// both use.
func inTurn(t *testing.T, config string, fn func(s *seat)) {
	t.Helper()
	out := map[harness.Seat]string{}
	for _, which := range harness.Seats {
		s := start(t, which, config)
		fn(s)
		out[which] = s.out.String()
		s.Kill()
	}
	if want, got := out[harness.Reference], out[harness.Peregrine]; got != want {
		t.Errorf("outcomes differ\nreference:\n%s\n\nperegrine:\n%s", want, got)
	}
}

func start(t *testing.T, which harness.Seat, config string) *seat {
	t.Helper()
	s := newSeat(t, config)
	s.Server = harness.Start(t, which, "-c", s.file, "-m", "-1", "-D")
	return s
}

// newSeat writes the configuration of a server. In it <folder> is one that is
// the server's own.
func newSeat(t *testing.T, config string) *seat {
	t.Helper()
	s := &seat{t: t, file: filepath.Join(t.TempDir(), "server.conf"), seen: map[string]int{}, folder: t.TempDir()}
	s.configure(config)
	return s
}

func (s *seat) configure(config string) {
	s.t.Helper()
	check(s.t, os.WriteFile(s.file, []byte(strings.ReplaceAll(config, "<folder>", s.folder)), 0o600))
}

// reload gives the server another configuration.
func (s *seat) reload(config string) {
	s.t.Helper()
	s.configure(config)
	s.Signal(syscall.SIGHUP)
	s.awaitAgain(`Reloaded server configuration|Failed to reload server configuration`)
}

// note writes in the diary.
func (s *seat) note(format string, args ...any) {
	fmt.Fprintf(&s.out, format+"\n", args...)
}

// logged waits for a line of the log and writes down what of it matches.
func (s *seat) logged(pattern string) {
	s.t.Helper()
	s.note("log: %s", s.Await(pattern)[0])
}

// awaitAgain waits for one more line than it has waited for so far.
func (s *seat) awaitAgain(pattern string) {
	s.t.Helper()
	s.seen[pattern]++
	s.AwaitCount(pattern, s.seen[pattern])
}

// dial opens a connection that does not outlive the test's patience.
func (s *seat) dial() net.Conn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addr)
	check(s.t, err)
	s.t.Cleanup(func() { _ = nc.Close() })
	check(s.t, nc.SetDeadline(time.Now().Add(harness.Patience)))
	return nc
}

// serverPing is what a server says by itself to a client that is quiet for a
// while: a slow run sees it.
const serverPing = "PING\r\n"

// readLine reads a line, no PING, and not one byte more.
func readLine(r io.Reader) (line string, err error) {
	for line = serverPing; line == serverPing && err == nil; {
		line, err = anyLine(r)
	}
	return line, err
}

func anyLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return string(line), err
		}
		if line = append(line, b[0]); b[0] == '\n' {
			return string(line), nil
		}
	}
}

// info is the INFO of a server as far as it is about TLS.
func info(line string) string {
	text, ok := strings.CutPrefix(line, "INFO ")
	var all map[string]any
	if !ok || json.Unmarshal([]byte(text), &all) != nil {
		return fmt.Sprintf("%q", line)
	}
	var about []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(key, "tls_") || key == "client_ip" || key == "auth_required" {
			about = append(about, fmt.Sprintf("%s=%v", key, all[key]))
		}
	}
	return strings.Join(append([]string{"INFO"}, about...), " ")
}

// secured is a connection after its handshake.
type secured struct {
	*tls.Conn
	r *bufio.Reader
}

// upgrade reads INFO, unless TLS comes first, and does the handshake. It writes
// down how it went and returns nil if it did not.
func (s *seat) upgrade(who string, config *tls.Config, first bool) *secured {
	s.t.Helper()
	nc := s.dial()
	if !first {
		line, err := readLine(nc)
		check(s.t, err)
		s.note("%s: %s", who, info(line))
	}
	c := tls.Client(nc, config)
	if err := c.Handshake(); err != nil {
		s.note("%s: handshake: %s", who, plain(err))
		return nil
	}
	sc := &secured{Conn: c, r: bufio.NewReader(c)}
	if first {
		line, err := sc.r.ReadString('\n')
		if err != nil {
			s.note("%s: %s", who, plain(err))
			return nil
		}
		s.note("%s: %s", who, info(line))
	}
	return sc
}

// session says CONNECT and PING and returns the answers.
func (sc *secured) session(connect string) string {
	// A server that has refused may have closed: what it said is still there.
	_, _ = fmt.Fprintf(sc, "CONNECT {\"verbose\":false%s}\r\nPING\r\n", connect)
	return sc.answer()
}

// answer returns the next line that is neither INFO nor PING.
func (sc *secured) answer() string {
	for {
		line, err := sc.r.ReadString('\n')
		if err != nil {
			return plain(err)
		}
		if !strings.HasPrefix(line, "INFO ") && line != serverPing {
			return strings.TrimSpace(line)
		}
	}
}

// ping tells that the connection still works.
func (sc *secured) ping() string {
	if _, err := io.WriteString(sc, "PING\r\n"); err != nil {
		return plain(err)
	}
	return sc.answer()
}

// try is a whole session: it writes down how it went.
func (s *seat) try(who string, config *tls.Config, connect string) *secured {
	s.t.Helper()
	sc := s.upgrade(who, config, false)
	if sc != nil {
		s.note("%s: %s", who, s.counted(sc.session(connect)))
	}
	return sc
}

var (
	// addresses and times are what differs from run to run.
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+|current time \S+`)
	// endings are all how a server's close looks: a close with bytes unread is
	// a reset.
	endings = regexp.MustCompile(`^(EOF|unexpected EOF|.*connection reset by peer|.*broken pipe)$`)
)

// plain is an error without what differs from run to run.
func plain(err error) string {
	if err == nil {
		return "none"
	}
	text := addresses.ReplaceAllString(err.Error(), "ADDRESS")
	if endings.MatchString(text) || errors.Is(err, io.EOF) {
		return "closed"
	}
	return text
}

// get reads a monitoring page.
func (s *seat) get(path string) map[string]any {
	s.t.Helper()
	c := http.Client{Timeout: harness.Patience}
	r, err := c.Get("http://" + s.Monitor + path)
	check(s.t, err)
	defer r.Body.Close()
	var page map[string]any
	check(s.t, json.NewDecoder(r.Body).Decode(&page))
	return page
}

// fields writes down fields of an object; what is not there is nil.
func (s *seat) fields(who string, object map[string]any, names ...string) {
	s.t.Helper()
	for _, name := range names {
		b, err := json.Marshal(object[name])
		check(s.t, err)
		s.note("%s.%s: %s", who, name, b)
	}
}

// connections returns connz's list, in the order of their ids.
func (s *seat) connections(query string) []map[string]any {
	s.t.Helper()
	var all []map[string]any
	for _, c := range s.get("/connz?sort=cid&auth=1&" + query)["connections"].([]any) {
		all = append(all, c.(map[string]any))
	}
	return all
}

// counted counts a client by the last thing that its server has said.
func (s *seat) counted(said string) string {
	if strings.HasSuffix(said, "PONG") {
		s.live++
	}
	return said
}

// open returns the connections of clients that were let in, once those that
// were not are gone.
func (s *seat) open() (all []map[string]any) {
	s.t.Helper()
	harness.Poll(s.t, "connections", func() bool {
		all = s.connections("")
		return len(all) == s.live
	})
	return all
}

// closedFor waits until n connections were closed and writes down why.
func (s *seat) closedFor(n int) {
	s.t.Helper()
	var all []map[string]any
	harness.Poll(s.t, "closed connections", func() bool {
		all = s.connections("state=closed")
		return len(all) >= n
	})
	var reasons []string
	for _, c := range all {
		reasons = append(reasons, fmt.Sprint(c["reason"]))
	}
	s.note("closed: %s", strings.Join(reasons, ", "))
}

// closeWrite ends what this side sends.
func closeWrite(nc net.Conn) error { return nc.(*net.TCPConn).CloseWrite() }

var (
	stamp = regexp.MustCompile(`^\[\d+\] \S+ \S+ `)
	urls  = regexp.MustCompile(`(https?://\S+?)(:? |"|$)`)
	paths = regexp.MustCompile(`/tmp/\S+?/([^/\s:'"]+)`)
)

// refused runs a server that does not start and returns what it says of it.
func refused(t *testing.T, which harness.Seat, config string) string {
	t.Helper()
	s := harness.Launch(t, which, "-a", "127.0.0.1", "-p", "-1", "-c", newSeat(t, config).file)
	return fmt.Sprintf("%d: %s", s.Exit(), lastLine(s))
}

// lastLine is the last thing that a server has said.
func lastLine(s *harness.Server) string {
	last := ""
	for _, line := range append(s.Log.Lines(), s.Output.Lines()...) {
		if line != "" && level(line) != "[DBG]" {
			last = line
		}
	}
	last = stamp.ReplaceAllString(last, "")
	return paths.ReplaceAllString(addresses.ReplaceAllString(last, "ADDRESS"), "$1")
}
