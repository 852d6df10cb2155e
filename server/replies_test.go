package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"peregrine/account"
)

// serving starts a server where A serves "work" as x says and B imports it.
func serving(t *testing.T, x account.Export) (*Server, *exchange, *exchange) {
	t.Helper()
	x.Service, x.Subject = true, "work"
	a, b := account.NewDefinition("A"), account.NewDefinition("B")
	a.Exports = []account.Export{x}
	b.Imports = []account.Import{{Service: true, Account: "A", Subject: "work"}}
	s, _ := startServer(t, withUsers(t, account.Contents{Accounts: []*account.Definition{a, b}, Users: modelUsers()[:2]}))
	return s, exchangeOf(s.accounts.find("A")), exchangeOf(s.accounts.find("B"))
}

// request reads one request and returns the subject to answer on.
func (c *client) request() string {
	c.t.Helper()
	f := strings.Fields(c.line())
	if len(f) != 6 || f[0] != "HMSG" || !strings.HasPrefix(f[3], "_R_.") {
		c.t.Fatalf("got %q, want a request", f)
	}
	size := 0
	_, _ = fmt.Sscan(f[5], &size)
	if _, err := io.CopyN(io.Discard, c.r, int64(size)+2); err != nil {
		c.t.Fatal(err)
	}
	return f[3]
}

func idle(a, b *exchange) bool { return a.replies.count.Load() == 0 && b.waiting.count.Load() == 0 }

// Many askers on all loops get the answers to their own requests, and nothing is
// left of them.
func TestAnswersFindTheirAskers(t *testing.T) {
	s, a, b := serving(t, account.Export{})
	server := connectAs(t, s, "A")
	server.send("SUB work 1\r\n")
	server.sync()
	const askers, each = 8, 200
	var clients []*client
	for i := range askers {
		c := connectAs(t, s, "B")
		c.send(fmt.Sprintf("SUB in.%d.* 1\r\n", i))
		c.sync()
		clients = append(clients, c)
	}
	for i, c := range clients {
		var out strings.Builder
		for n := range each {
			fmt.Fprintf(&out, "PUB work in.%d.%d 0\r\n\r\n", i, n)
		}
		c.send(out.String())
	}
	for range askers * each {
		reply := server.request()
		server.send("PUB " + reply + " 2\r\nok\r\nPUB " + reply + " 3\r\nbad\r\n")
	}
	server.sync()
	for i, c := range clients {
		for n := range each { // a publisher's requests are served in order
			c.expect(fmt.Sprintf("MSG in.%d.%d 1 2", i, n), "ok")
		}
		c.sync()
	}
	if !idle(a, b) {
		t.Errorf("%d answers owed, %d waited for", a.replies.count.Load(), b.waiting.count.Load())
	}
}

// A request is forgotten when its time is over, when nobody listens for the
// answer, and when nobody took it.
func TestRequestsAreForgotten(t *testing.T) {
	s, a, b := serving(t, account.Export{Response: account.Streamed, Threshold: 50 * time.Millisecond})
	server, asker := connectAs(t, s, "A"), connectAs(t, s, "B")
	server.send("SUB work 1\r\n")
	server.sync()
	asker.send("SUB in 1\r\nPUB work in 0\r\n\r\n")
	reply := server.request()
	eventually(t, "the request that timed out", server.sync, func() bool { return idle(a, b) })
	server.send("PUB " + reply + " 4\r\nlate\r\n")
	server.sync()
	asker.sync()

	server.send("UNSUB 1\r\n")
	server.sync()
	asker.send("PUB work in 0\r\n\r\n")
	asker.expect("HMSG in 1 36 36", "NATS/1.0 503", "Nats-Subject: work", "", "")
	if !idle(a, b) {
		t.Error("a request that nobody took is kept")
	}
}

func TestRequestsEndWithTheirInbox(t *testing.T) {
	s, a, b := serving(t, account.Export{Response: account.Streamed})
	server := connectAs(t, s, "A")
	server.send("SUB work 1\r\n")
	server.sync()
	ask := func(sub string, end func(c *client)) {
		t.Helper()
		asker := connectAs(t, s, "B")
		asker.send(sub + "\r\nPUB work in.1 0\r\n\r\nPUB work in.2 0\r\n\r\n")
		server.request()
		server.request()
		if n := a.replies.count.Load(); n != 2 {
			t.Fatalf("%d answers owed, want 2", n)
		}
		end(asker)
		eventually(t, sub, server.sync, func() bool { return idle(a, b) })
	}
	ask("SUB in.1 1\r\nSUB in.2 2", func(c *client) { c.send("UNSUB 1\r\nUNSUB 2\r\n"); c.sync() })
	ask("SUB in.* 1", func(c *client) { c.send("UNSUB 1\r\n"); c.sync() })
	ask("SUB in.* 1", func(c *client) { _ = c.Close() })
	ask("SUB in.1 1\r\nSUB > 2", func(c *client) { _ = c.Close() })
}

// Beyond the bound the request that waited longest goes, not the new one.
func TestTooManyRequests(t *testing.T) {
	s, a, b := serving(t, account.Export{})
	server, asker := connectAs(t, s, "A"), connectAs(t, s, "B")
	server.send("SUB work 1\r\n")
	server.sync()
	asker.send("SUB in 1\r\n" + strings.Repeat("PUB work in 0\r\n\r\n", 200))
	for range 200 {
		server.request()
	}
	a.replies.count.Add(repliesMax - 200) // as if there were so many
	asker.send(strings.Repeat("PUB work in 0\r\n\r\n", 200))
	var last string
	for range 200 {
		last = server.request()
	}
	a.replies.count.Add(200 - repliesMax)
	if owed, waiting := a.replies.count.Load(), b.waiting.count.Load(); owed >= 400 || owed < 200 || waiting != owed {
		t.Errorf("%d answers owed, %d waited for, want 200 and those in parts of the table without an older one", owed, waiting)
	}
	server.send("PUB " + last + " 2\r\nok\r\n")
	asker.expect("MSG in 1 2", "ok")
}

// While imports come and go under traffic, what stays is not missed and what is
// gone is not heard.
func TestImportsChangeUnderTraffic(t *testing.T) {
	definitions := func(more bool) []*account.Definition {
		a, b := account.NewDefinition("A"), account.NewDefinition("B")
		a.Exports = []account.Export{{Subject: ">"}, {Service: true, Subject: ">"}}
		b.Imports = []account.Import{{Account: "A", Subject: "s"}, {Service: true, Account: "A", Subject: "work"}}
		if more {
			b.Imports = append(b.Imports, account.Import{Account: "A", Subject: "t"}, account.Import{Service: true, Account: "A", Subject: "job"})
		}
		return []*account.Definition{a, b}
	}
	contents := func(more bool) account.Contents {
		return account.Contents{Accounts: definitions(more), Users: modelUsers()[:2]}
	}
	s, _ := startServer(t, withUsers(t, contents(false)))
	a, b := connectAs(t, s, "A"), connectAs(t, s, "B")
	b.send("SUB s 1\r\nSUB t 2\r\n")
	b.sync()
	a.send("SUB work 1\r\nSUB job 2\r\n")
	a.sync()
	const rounds, each = 20, 50
	for round := range rounds {
		more := round%2 == 0
		changed := make(chan error, 1)
		go func() {
			o := s.Options()
			withUsers(t, contents(more))(&o)
			changed <- s.Reload(o)
		}()
		for i := range each {
			a.send(fmt.Sprintf("PUB s 8\r\n%08d\r\n", i))
			b.send(fmt.Sprintf("PUB work 8\r\n%08d\r\n", i))
		}
		if err := <-changed; err != nil {
			t.Fatal(err)
		}
		if s.accounts.find("A").Interest.HasInterest([]byte("t")) != more {
			t.Fatalf("round %d: the reload returned before B's session had its imports", round)
		}
		a.send("PUB s 3\r\nend\r\n")
		b.send("PUB work 3\r\nend\r\n")
		for i := range each {
			b.expect("MSG s 1 8", fmt.Sprintf("%08d", i))
			if body := a.body(); body != fmt.Sprintf("%08d", i) {
				t.Fatalf("request %q, want %d", body, i)
			}
		}
		b.expect("MSG s 1 3", "end")
		if body := a.body(); body != "end" {
			t.Fatalf("request %q", body)
		}
		a.sync()
		b.sync()
		a.send("PUB t 1\r\nt\r\n")
		a.sync()
		b.send("PUB job 1\r\nj\r\n")
		if more {
			b.expect("MSG t 2 1", "t")
			if body := a.body(); body != "j" {
				t.Fatalf("request %q, want j", body)
			}
		}
		b.sync()
		a.sync()
	}
}

// body reads one message with headers and returns what follows them.
func (c *client) body() string {
	c.t.Helper()
	f := strings.Fields(c.line())
	header, total := 0, 0
	if len(f) < 5 || f[0] != "HMSG" {
		c.t.Fatalf("got %q, want an HMSG", f)
	}
	_, _ = fmt.Sscan(f[len(f)-2], &header)
	_, _ = fmt.Sscan(f[len(f)-1], &total)
	all := make([]byte, total+2)
	if _, err := io.ReadFull(c.r, all); err != nil {
		c.t.Fatal(err)
	}
	return string(all[header:total])
}

// A configuration with an import that is not allowed changes nothing.
func TestReloadRefusesBadImports(t *testing.T) {
	s, _, b := serving(t, account.Export{})
	before := b.links.Load()
	bad := account.NewDefinition("B")
	bad.Imports = []account.Import{{Account: "A", Subject: "nothing"}}
	o := s.Options()
	withUsers(t, account.Contents{Accounts: []*account.Definition{account.NewDefinition("A"), bad}, Users: modelUsers()[:2]})(&o)
	err := s.Reload(o)
	if err == nil || !strings.Contains(err.Error(), "stream import not authorized") {
		t.Errorf("reload: %v", err)
	}
	if b.links.Load() != before {
		t.Error("the links changed")
	}
}

// A message through imports allocates nothing once the way is known; a request
// with its answer a little: places in two maps now and then.
func TestImportsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget at random")
	}
	a, b, c := account.NewDefinition("A"), account.NewDefinition("B"), account.NewDefinition("C")
	a.Exports = []account.Export{{Subject: "s.*.*"}, {Service: true, Subject: "work.*"}}
	b.Imports = []account.Import{{Service: true, Account: "A", Subject: "work.*", Local: "job.*"}}
	b.Exports = []account.Export{{Service: true, Subject: "job.*"}}
	c.Imports = []account.Import{{Service: true, Account: "B", Subject: "job.*", Local: "task.*"}, {Account: "A", Subject: "s.*.*", Local: "t.$2.$1"}}
	s, _ := startServer(t, withUsers(t, account.Contents{Accounts: []*account.Definition{a, b, c}, Users: modelUsers()[:3]}))
	const batch = 2000
	allocs := func(name, from, publish, to, subscribe, deliver string) {
		t.Helper()
		pub, sub := connectAs(t, s, from), connectAs(t, s, to)
		sub.send(subscribe + "\r\n")
		sub.sync()
		in, out := []byte(strings.Repeat(publish, batch)), make([]byte, 0)
		round := func() {
			done := make(chan error, 1)
			go func() {
				_, err := pub.Write(in)
				done <- err
			}()
			if len(out) == 0 { // how much a message of this connection is, its header included
				first := sub.line() + "\r\n"
				f := strings.Fields(first)
				size := 0
				_, _ = fmt.Sscan(f[len(f)-1], &size)
				each := len(first) + size + 2
				if _, err := io.CopyN(io.Discard, sub.r, int64(each*2*batch-len(first))); err != nil {
					t.Fatal(err)
				}
				out = make([]byte, each*2*batch)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				return
			}
			if _, err := io.ReadFull(sub.r, out); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			round()
		}
		n := testing.AllocsPerRun(10, round)
		if !strings.HasPrefix(string(out), deliver) {
			t.Fatalf("%s: delivered %.80q, want %q", name, out, deliver)
		}
		if per := n / (2 * batch); per > 0.1 {
			t.Errorf("%s: %.3f allocations for each message", name, per)
		}
		sub.send("UNSUB 1\r\n")
		sub.sync()
	}
	// Two subjects in turn, so that no message repeats the line of the one before.
	allocs("stream", "A", "PUB s.1.2 2\r\nhi\r\nPUB s.3.4 2\r\nhi\r\n", "C", "SUB t.> 1", "MSG t.2.1 1 2\r\nhi\r\n")
	allocs("two services", "C", "PUB task.1 2\r\nhi\r\nPUB task.2 2\r\nhi\r\n", "A", "SUB work.> 1", "HMSG work.1 1 ")
	allocs("with headers", "C", "HPUB task.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB task.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "A", "SUB work.> 1", "HMSG work.1 1 ")
	allocs("a run", "C", "PUB task.1 2\r\nhi\r\nPUB task.1 2\r\nhi\r\n", "A", "SUB work.> 1", "HMSG work.1 1 ")
}
