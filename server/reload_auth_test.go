package server

import (
	"io"
	"testing"
	"time"

	"peregrine/account"
)

// reloaded gives a running server another directory.
func reloaded(t *testing.T, s *Server, c account.Contents) {
	t.Helper()
	o := s.Options()
	withUsers(t, c)(&o)
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
}

func (c *client) ended() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err != io.EOF {
		c.t.Errorf("got %q, %v, want the end", b, err)
	}
}

func users(list ...*account.User) account.Contents { return account.Contents{Users: list} }

func TestReloadOfUsers(t *testing.T) {
	hash := bcrypted(t, "x")
	a, b := account.NewDefinition("A"), account.NewDefinition("B")
	before := account.Contents{Accounts: []*account.Definition{a, b}, Users: []*account.User{
		{Name: "same", Password: "x"}, {Name: "gone", Password: "x"}, {Name: "changed", Password: "x"},
		{Name: "hashed", Password: "x"}, {Name: "moved", Password: "x", Account: "A"}, {Name: "a", Password: "x", Account: "A"},
	}}
	s, _ := startServer(t, withUsers(t, before))
	peers := map[string]*client{}
	for _, u := range before.Users {
		peers[u.Name] = dialRaw(t, s).as(u.Name)
	}
	peers["a"].send("SUB foo 1\r\n")
	peers["a"].sync()
	newA := account.NewDefinition("A")
	newA.Limits.Payload = 10
	reloaded(t, s, account.Contents{Accounts: []*account.Definition{newA, b}, Users: []*account.User{
		{Name: "same", Password: "x"}, {Name: "changed", Password: "y"},
		{Name: "hashed", Password: hash}, {Name: "moved", Password: "x", Account: "B"}, {Name: "a", Password: "x", Account: "A"},
	}})
	peers["gone"].ended()
	peers["moved"].ended()
	peers["changed"].refused("Authorization Violation")
	for _, name := range []string{"same", "hashed", "a"} {
		peers[name].sync()
	}
	// The account's interest is still there.
	peers["a"].send("PUB foo 2\r\nhi\r\n")
	peers["a"].expect("MSG foo 1 2", "hi")
	peers["a"].send("PUB foo 11\r\n")
	peers["a"].refused("Maximum Payload Violation")
	dialRaw(t, s).as("moved")
}

func TestReloadOfPermissions(t *testing.T) {
	me := func(p *account.Permissions) *account.User {
		return &account.User{Name: "me", Password: "x", Permissions: p}
	}
	s, log := startServer(t, withUsers(t, users(me(nil))))
	c := dialRaw(t, s).as("me")
	c.send("SUB a.b 1\r\nSUB a.c q 2\r\nSUB c.> 3\r\n")
	c.sync()
	reloaded(t, s, users(me(&account.Permissions{
		Publish:   &account.SubjectPermission{Allow: []string{"c.>"}},
		Subscribe: &account.SubjectPermission{Allow: []string{"c.>"}, Deny: []string{"c.no"}},
	})))
	lost := map[string]bool{}
	for range 2 {
		lost[c.line()] = true
	}
	if !lost[`-ERR 'Permissions Violation for Subscription to "a.b" (sid "1")'`] ||
		!lost[`-ERR 'Permissions Violation for Subscription to "a.c" using queue "q" (sid "2")'`] {
		t.Fatalf("got %v", lost)
	}
	if !log.has(`Removed sub "a.c" using queue "q" (sid "2") for User "me" - not authorized`) {
		t.Error("not in the log")
	}
	c.send("PUB a.b 0\r\n\r\nPUB c.no 0\r\n\r\nPUB c.d 0\r\n\r\n")
	c.expect(`-ERR 'Permissions Violation for Publish to "a.b"'`, "MSG c.d 3 0", "")
	reloaded(t, s, users(me(nil)))
	c.sync()
	c.send("PUB a.b 0\r\n\r\nPUB c.no 0\r\n\r\n")
	c.expect("MSG c.no 3 0", "")
	c.sync()
}

func TestReloadOfTheOneSecret(t *testing.T) {
	s, _ := startServer(t, nil)
	quiet, silent := dialRaw(t, s), connect(t, s)
	quiet.line()
	named := dialRaw(t, s).as("me")
	one := account.Contents{User: "me", Password: "x"}
	reloaded(t, s, one)
	silent.refused("Authorization Violation")
	named.ended() // as in the reference, though it could have stayed
	quiet.send(login("me", "x"))
	quiet.sync()
	reloaded(t, s, one) // nothing is new
	quiet.sync()
	reloaded(t, s, account.Contents{User: "me", Password: "y"})
	quiet.ended()
	reloaded(t, s, account.Contents{Token: "t"})
	c := dialRaw(t, s)
	c.line()
	c.send(`CONNECT {"verbose":false,"auth_token":"t"}` + "\r\n")
	c.sync()
	reloaded(t, s, account.Contents{Token: "u"})
	c.refused("Authorization Violation")
}

func TestReloadOfAccountLimits(t *testing.T) {
	contents := func(conns, subs int64) account.Contents {
		a := account.NewDefinition("A")
		a.Limits.Connections, a.Limits.Subscriptions = conns, subs
		return account.Contents{Accounts: []*account.Definition{a}, Users: []*account.User{{Name: "a", Password: "x", Account: "A"}}}
	}
	s, _ := startServer(t, withUsers(t, contents(-1, -1)))
	var in []*client
	for range 4 {
		c := dialRaw(t, s).as("a")
		in = append(in, c)
	}
	reloaded(t, s, contents(2, -1))
	for _, c := range in[2:] {
		c.refused("maximum account active connections exceeded")
	}
	in[0].send("SUB a 1\r\n")
	in[0].sync()
	in[1].send("SUB a 1\r\nSUB b 2\r\n")
	in[1].sync()
	reloaded(t, s, contents(2, 1))
	in[1].refused("maximum subscriptions exceeded")
	in[0].send("SUB b 2\r\n")
	in[0].expect("-ERR 'maximum subscriptions exceeded'")
}

func TestReloadForgetsAccounts(t *testing.T) {
	s, _ := startServer(t, withUsers(t, account.Contents{
		Accounts: []*account.Definition{account.NewDefinition("A")},
		Users:    []*account.User{{Name: "a", Password: "x", Account: "A"}, {Name: "g", Password: "x"}},
	}))
	a, g := dialRaw(t, s).as("a"), dialRaw(t, s).as("g")
	a.send("SUB foo 1\r\n")
	a.sync()
	reloaded(t, s, users(&account.User{Name: "g", Password: "x"}))
	a.ended()
	g.sync()
	eventually(t, "nothing is left", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().Subscriptions == 0 })
}

// An answer of before a reload does not let anybody in.
func TestReloadWhileAnAuthenticatorThinks(t *testing.T) {
	auth := newManualAuth()
	s, _ := startServer(t, func(o *Options) { o.Authenticator = auth })
	c := dialRaw(t, s)
	c.line()
	c.send(login("me", "x"))
	first := auth.next(t)
	reloaded(t, s, account.Contents{})
	first(account.NewIdentity(""), nil)
	auth.next(t)(nil, account.Denied("not any more"))
	c.refused("Authorization Violation")
}
