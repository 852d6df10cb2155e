package operator

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"peregrine/conformance/harness"
)

const (
	ringSize   = 1_000
	reloads    = 100
	payloadMax = 300 // of messages in the ring
	linesMin   = 512 // the least max_control_line
)

// TestReloadUnderLoad changes limits a hundred times while a ring of a thousand
// connections passes messages on. Nothing is lost, doubled or reordered, every
// connection gets the last limits, and nothing stays behind.
func TestReloadUnderLoad(t *testing.T) {
	seed := harness.Seed(t)
	random := rand.New(rand.NewPCG(seed, 1))
	path := configFile(t, limitsOf(1<<20, 4096, "2m", false))
	flags := []string{"-c", path, "-m", "-1"}
	if harness.HasFlag(t, harness.Peregrine, "-loops") {
		flags = append(flags, "--loops", "4")
	}
	server := harness.Start(t, harness.Peregrine, flags...)
	before := settle(t, server)

	r := newRing(t, server, ringSize, seed)
	r.run()
	for n := 1; n <= reloads; n++ {
		// Each payload limit occurs once, so that each reload has something to do.
		payload, line := payloadMax+n*7, linesMin+random.IntN(3584)
		interval := []string{"2m", "30s", "5s"}[random.IntN(3)]
		debug := n%2 == 1
		if n == reloads { // debug is off: each ping would be a line
			payload, line, interval, debug = payloadMax, linesMin, "200ms", false
		}
		rewrite(t, path, limitsOf(payload, line, interval, debug))
		server.Signal(syscall.SIGHUP)
		awaitReload(t, server, n)
		probe(t, server, payload, line)
		r.check()
	}
	r.stop()
	r.wantAll()
	r.wantPings()
	r.wantRefusals(payloadMax + 1)
	r.close()
	wantBack(t, server, before)
}

func limitsOf(payload, line int, interval string, debug bool) string {
	return fmt.Sprintf("max_payload: %d\nmax_control_line: %d\nping_interval: %q\nping_max: 1000\ndebug: %v\n", payload, line, interval, debug)
}

// awaitReload waits until the server has reloaded n times.
func awaitReload(t *testing.T, server *harness.Server, n int) {
	t.Helper()
	harness.Poll(t, fmt.Sprint(n, " reloads in the log"), func() bool {
		if server.Log.Count(`Failed to reload`) > 0 {
			t.Fatal(server.Log.Tail(10))
		}
		return server.Log.Count(`Reloaded server configuration`) >= n
	})
}

// probe is a new connection that is told the limits and that breaks one of them.
func probe(t *testing.T, server *harness.Server, payload, line int) {
	t.Helper()
	p, err := joinRing(server)
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	if want := fmt.Sprintf(`"max_payload":%d,`, payload); !strings.Contains(p.info, want) {
		t.Errorf("after the reload %s is not in %s", want, p.info)
	}
	text, want := fmt.Sprintf("PUB nobody %d\r\n", payload+1), "-ERR 'Maximum Payload Violation'\r\n"
	if payload%2 == 0 {
		text, want = "SUB "+strings.Repeat("a", line+1)+" 1\r\n", "-ERR 'maximum control line exceeded'\r\n"
	}
	if _, err := io.WriteString(p.conn, text); err != nil {
		t.Fatal(err)
	}
	// The server may reset the connection while it still has bytes to read; then
	// what it said can be lost.
	got, err := p.in.ReadString('\n')
	if got != want && (err == nil || err == io.EOF) {
		t.Errorf("limits %d and %d: %q, %v, want %q", payload, line, got, err, want)
	}
}

// held is what a server holds for its clients.
type held struct{ connections, subscriptions, descriptors int }

var heldKeys = regexp.MustCompile(`"(connections|subscriptions)": (\d+)`)

func heldBy(t *testing.T, server *harness.Server) held {
	t.Helper()
	response, err := http.Get("http://" + server.Monitor + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(response.Body)
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for _, m := range heldKeys.FindAllStringSubmatch(string(page), -1) {
		if counts[m[1]], err = strconv.Atoi(m[2]); err != nil {
			t.Fatal(err)
		}
	}
	if len(counts) != 2 {
		t.Fatalf("figures of /varz: %v", counts)
	}
	return held{counts["connections"], counts["subscriptions"], server.FDs()}
}

// settle lets a first client come and go, which makes a server open what it keeps
// open, and returns what is held then.
func settle(t *testing.T, server *harness.Server) (h held) {
	t.Helper()
	c, err := joinRing(server)
	if err != nil {
		t.Fatal(err)
	}
	c.conn.Close()
	same := 0
	harness.Poll(t, "a server at rest", func() bool {
		now := heldBy(t, server)
		if same++; now != h || now.connections > 0 {
			h, same = now, 0
		}
		return same == 5
	})
	return h
}

// wantBack waits until the server holds no more than before.
func wantBack(t *testing.T, server *harness.Server, before held) {
	t.Helper()
	var now held
	defer func() {
		if t.Failed() {
			t.Logf("held before %+v, now %+v", before, now)
		}
	}()
	harness.Poll(t, "everything returned to the server", func() bool {
		now = heldBy(t, server)
		return now.connections == before.connections && now.subscriptions == before.subscriptions && now.descriptors <= before.descriptors
	})
}
