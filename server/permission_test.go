package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"peregrine/account"
)

// permitted starts a server with a user me who may do p, and one who may do
// everything.
func permitted(t testing.TB, p *account.Permissions) *Server {
	t.Helper()
	s, _ := startServer(t, withUsers(t, account.Contents{Users: []*account.User{
		{Name: "me", Password: "x", Permissions: p}, {Name: "any", Password: "x"},
	}}))
	return s
}

func (c *client) as(user string) *client {
	c.t.Helper()
	c.line()
	c.send(login(user, "x"))
	c.sync()
	return c
}

func TestPublishPermissions(t *testing.T) {
	s := permitted(t, &account.Permissions{Publish: &account.SubjectPermission{Allow: []string{"a.>", "b"}, Deny: []string{"a.no.*"}}})
	me, any := dialRaw(t, s).as("me"), dialRaw(t, s).as("any")
	any.send("SUB > 1\r\n")
	any.sync()
	for range 2 { // worked out, then from the cache
		for _, subject := range []string{"a.b", "b", "a.no"} {
			me.send(fmt.Sprintf("PUB %s 0\r\n\r\n", subject))
			any.expect(fmt.Sprintf("MSG %s 1 0", subject), "")
		}
		for _, subject := range []string{"a.no.x", "a", "b.c", "a..b", strings.Repeat("c", 300), "a.no." + strings.Repeat("c", 300)} {
			me.send(fmt.Sprintf("PUB %s 0\r\n\r\n", subject))
			me.expect(fmt.Sprintf("-ERR 'Permissions Violation for Publish to %q'", subject))
		}
	}
	me.sync()
	any.sync()
}

// What overlaps something denied gets all the rest, whichever loops are
// involved.
func TestDeniedDeliveries(t *testing.T) {
	s := permitted(t, &account.Permissions{Subscribe: &account.SubjectPermission{Deny: []string{"secret.>", "q bad"}}})
	for range 4 {
		me, any := dialRaw(t, s).as("me"), dialRaw(t, s).as("any")
		me.send("SUB > 1\r\nSUB secret.a 2\r\nSUB q bad 3\r\nSUB q good 4\r\nSUB * bad 5\r\n")
		me.expect(`-ERR 'Permissions Violation for Subscription to "secret.a"'`,
			`-ERR 'Permissions Violation for Subscription to "q" using queue "bad"'`)
		me.sync()
		for range 3 {
			any.send("PUB secret.a 0\r\n\r\nPUB secret 0\r\n\r\nPUB q 0\r\n\r\n")
			any.sync()
			got := map[string]int{}
			for range 4 {
				got[me.line()]++
				me.expect("")
			}
			for _, want := range []string{"MSG secret 1 0", "MSG secret 5 0", "MSG q 1 0", "MSG q 4 0"} {
				if got[want] != 1 {
					t.Errorf("got %v, want one %q", got, want)
				}
			}
		}
		_ = me.Close()
		_ = any.Close()
		eventually(t, "both are gone", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().Connections == 0 })
	}
}

func TestAllowResponses(t *testing.T) {
	s := permitted(t, &account.Permissions{Responses: &account.ResponsePermission{MaxMsgs: 2, Expires: -1}})
	me, any := dialRaw(t, s).as("me"), dialRaw(t, s).as("any")
	me.send("SUB help 1\r\n")
	me.sync()
	any.send("SUB inbox.* 1\r\n")
	for i := range 1000 {
		reply := fmt.Sprintf("inbox.%d", i)
		any.send(fmt.Sprintf("PUB help %s 0\r\n\r\n", reply))
		me.expect(fmt.Sprintf("MSG help 1 %s 0", reply), "")
		me.send(strings.Repeat(fmt.Sprintf("PUB %s 0\r\n\r\n", reply), 3))
		any.expect(fmt.Sprintf("MSG %s 1 0", reply), "", fmt.Sprintf("MSG %s 1 0", reply), "")
		me.expect(fmt.Sprintf("-ERR 'Permissions Violation for Publish to %q'", reply))
	}
	me.send("PUB other 0\r\n\r\n")
	me.expect(`-ERR 'Permissions Violation for Publish to "other"'`)
}

func TestAnswersAreBoundedAndExpire(t *testing.T) {
	p := &account.Permissions{Responses: &account.ResponsePermission{MaxMsgs: -1, Expires: 100}}
	a := newAnswers(p.Rules(), nil)
	for i := range answersMax + 1000 {
		a.note(fmt.Appendf(nil, "r.%d", i), 0)
	}
	if n := len(a.open.index); n != answersMax {
		t.Errorf("%d replies are open", n)
	}
	if a.take([]byte("r.0"), 0) || !a.take(fmt.Appendf(nil, "r.%d", answersMax), 50) {
		t.Error("not the oldest was forgotten")
	}
	if a.take(fmt.Appendf(nil, "r.%d", answersMax+1), 101) {
		t.Error("an answer came too late")
	}
	a.note([]byte("new"), 1000)
	if n := len(a.open.index); n != 1 {
		t.Errorf("%d replies are open after all but one have expired", n)
	}
	if !a.take([]byte("new"), 1001) {
		t.Error("the new one is not open")
	}
}

// Permissions cost no allocation, neither for one subject nor for many.
func TestPermissionsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget at random")
	}
	s := permitted(t, &account.Permissions{
		Publish:   &account.SubjectPermission{Allow: []string{"a.*", "r.>"}, Deny: []string{"a.no"}},
		Subscribe: &account.SubjectPermission{Deny: []string{"a.secret"}},
		Responses: &account.ResponsePermission{MaxMsgs: 1, Expires: time.Minute},
	})
	me, sub := dialRaw(t, s).as("me"), dialRaw(t, s).as("me")
	sub.send("SUB a.* 1\r\n")
	sub.sync()
	const batch = 5000
	var in strings.Builder
	for i := range batch {
		fmt.Fprintf(&in, "PUB a.%d inbox.%d 2\r\nhi\r\n", i%1000, i)
	}
	out := 0
	for i := range batch {
		out += len(fmt.Sprintf("MSG a.%d 1 inbox.%d 2\r\nhi\r\n", i%1000, i))
	}
	buf := make([]byte, out)
	round := func() {
		go func() { _, _ = io.WriteString(me.Conn, in.String()) }()
		if _, err := io.ReadFull(sub.r, buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		round()
	}
	if n := testing.AllocsPerRun(10, round); n/batch > 0.1 {
		t.Errorf("%.1f allocations for %d messages", n, batch)
	}
}
