package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"peregrine/account"

	"golang.org/x/crypto/bcrypt"
)

// withUsers makes a directory of what c says.
func withUsers(t testing.TB, c account.Contents) func(o *Options) {
	t.Helper()
	d, err := account.NewDirectory(c)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Directory = d }
}

// dialed opens a connection, reads its INFO and returns both.
func dialed(t *testing.T, s *Server) (*client, string) {
	t.Helper()
	c := dialRaw(t, s)
	return c, c.line()
}

func login(user, pass string) string {
	return fmt.Sprintf(`CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":%q,"pass":%q}`+"\r\n", user, pass)
}

// refused expects -ERR text and then the end.
func (c *client) refused(text string) {
	c.t.Helper()
	c.expect("-ERR '" + text + "'")
	if _, err := c.r.ReadByte(); err != io.EOF {
		c.t.Errorf("after -ERR: %v", err)
	}
}

func lastReason(t *testing.T, s *Server) string {
	t.Helper()
	closed := s.ClosedConnections()
	if len(closed) == 0 {
		return ""
	}
	return closed[len(closed)-1].Reason
}

func bcrypted(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestPasswordsPlainAndHashed(t *testing.T) {
	s, log := startServer(t, withUsers(t, account.Contents{
		Accounts: []*account.Definition{account.NewDefinition("A")},
		Users: []*account.User{
			{Name: "plain", Password: "p1"},
			{Name: "hashed", Password: bcrypted(t, "p2"), Account: "A"},
		},
	}))
	for _, c := range []struct{ user, pass, account string }{
		{"plain", "p1", "$G"}, {"hashed", "p2", "A"},
		{"plain", "p2", ""}, {"hashed", "p1", ""}, {"nobody", "p1", ""}, {"", "", ""}, {"plain", "", ""},
		{"hashed", bcrypted(t, "p2"), ""},
	} {
		peer, info := dialed(t, s)
		if !strings.Contains(info, `"auth_required":true`) {
			t.Fatalf("INFO %s", info)
		}
		peer.send(login(c.user, c.pass) + "PING\r\n")
		if c.account == "" {
			peer.refused("Authorization Violation")
			eventually(t, "closed", func() { time.Sleep(time.Millisecond) }, func() bool { return lastReason(t, s) == "Authentication Failure" })
			continue
		}
		peer.expect("PONG")
		got := s.OpenConnections(false)
		if len(got) != 1 || got[0].Account != c.account || got[0].User != c.user {
			t.Errorf("%s is %+v", c.user, got)
		}
		_ = peer.Close()
		eventually(t, "closed", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().Connections == 0 })
	}
	for _, secret := range []string{"p1", "p2", "$2a$"} {
		if log.has(secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if !log.has(`authentication error - User "nobody"`) {
		t.Error("no refusal in the log")
	}
}

// What a client sends behind CONNECT waits for the answer of its authenticator,
// however much it is, and is carried out in order.
func TestHeldSessionLosesNothing(t *testing.T) {
	auth := newManualAuth()
	s, _ := startServer(t, func(o *Options) { o.Authenticator, o.Loops = auth, 1 })
	sub, _ := dialed(t, s)
	sub.send(login("sub", ""))
	auth.next(t)(account.NewIdentity(""), nil)
	sub.send("SUB foo 1\r\n")
	sub.sync()

	pub, _ := dialed(t, s)
	const n = 4000
	var b strings.Builder
	b.WriteString(login("pub", ""))
	for i := range n {
		fmt.Fprintf(&b, "PUB foo 64\r\n%064d\r\n", i)
	}
	go func() { _, _ = io.WriteString(pub.Conn, b.String()) }()
	done := auth.next(t)
	sub.sync() // the loop goes on meanwhile
	done(account.NewIdentity(""), nil)
	done(nil, errors.New("a second answer does not count"))
	for i := range n {
		sub.expect("MSG foo 1 64", fmt.Sprintf("%064d", i))
	}
	pub.sync()
}

func TestHeldSessionThatLeaves(t *testing.T) {
	auth := newManualAuth()
	s, _ := startServer(t, func(o *Options) { o.Authenticator = auth })
	c, _ := dialed(t, s)
	c.send(login("me", "") + "PING\r\n")
	done := auth.next(t)
	_ = c.Close()
	done(nil, errors.New("no"))
	eventually(t, "the session is gone", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().Connections == 0 })
}

// manualAuth lets a test answer when it likes.
type manualAuth struct {
	calls chan func(*account.Identity, error)
	mu    sync.Mutex
	seen  []*account.Client
}

func newManualAuth() *manualAuth {
	return &manualAuth{calls: make(chan func(*account.Identity, error), 100)}
}

func (m *manualAuth) Authenticate(c *account.Client, done func(*account.Identity, error)) {
	m.mu.Lock()
	m.seen = append(m.seen, c)
	m.mu.Unlock()
	m.calls <- done
}

func (m *manualAuth) next(t *testing.T) func(*account.Identity, error) {
	t.Helper()
	select {
	case done := <-m.calls:
		return done
	case <-time.After(clientTimeout):
		t.Fatal("nobody asks")
		return nil
	}
}

func TestAccountConnectionLimit(t *testing.T) {
	a := account.NewDefinition("A")
	a.Limits.Connections = 2
	s, _ := startServer(t, withUsers(t, account.Contents{
		Accounts: []*account.Definition{a},
		Users:    []*account.User{{Name: "a", Password: "x", Account: "A"}},
	}))
	var in []*client
	for range 2 {
		c, _ := dialed(t, s)
		c.send(login("a", "x"))
		c.sync()
		in = append(in, c)
	}
	// A second CONNECT takes no second place.
	in[0].send(login("a", "x"))
	in[0].sync()
	c, _ := dialed(t, s)
	c.send(login("a", "x"))
	c.refused("maximum account active connections exceeded")
	_ = in[1].Close()
	eventually(t, "there is room again", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().Connections == 1 })
	c, _ = dialed(t, s)
	c.send(login("a", "x"))
	c.sync()
}

func TestAuthTimeout(t *testing.T) {
	c := account.Contents{User: "me", Password: "x"}
	users := withUsers(t, c)
	s, _ := startServer(t, func(o *Options) { users(o); o.AuthTimeout = 20 * time.Millisecond })
	peer, _ := dialed(t, s)
	peer.refused("Authentication Timeout")
}

func TestIdentityExpires(t *testing.T) {
	auth := newManualAuth()
	s, _ := startServer(t, func(o *Options) { o.Authenticator = auth })
	c, _ := dialed(t, s)
	c.send(login("me", ""))
	id := account.NewIdentity("")
	id.Expires = time.Now().Add(30 * time.Millisecond)
	auth.next(t)(id, nil)
	c.refused("User Authentication Expired")
}
