package clients

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"peregrine/conformance/harness"
)

// configured starts a server with a configuration file.
func configured(t *testing.T, seat harness.Seat, config string) (server *harness.Server, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "server.conf")
	rewrite(t, path, config)
	return harness.Start(t, seat, "-c", path), path
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// TestLogins compares who is let in, with every kind of credentials, right and
// wrong.
func TestLogins(t *testing.T) {
	t.Parallel()
	mine, mineID := key(t, nkeys.CreateUser)
	other, otherID := key(t, nkeys.CreateUser)
	hash := hashed(t, "hashed")
	signedBy := func(id string, kp nkeys.KeyPair) nats.Option {
		return nats.Nkey(id, func(nonce []byte) ([]byte, error) { return kp.Sign(nonce) })
	}
	logins := []struct {
		name   string
		option nats.Option
	}{
		{"nothing", func(*nats.Options) error { return nil }},
		{"plain", nats.UserInfo("plain", "secret")},
		{"plain, wrong", nats.UserInfo("plain", "Secret")},
		{"plain, none", nats.UserInfo("plain", "")},
		{"hashed", nats.UserInfo("hashed", "hashed")},
		{"hashed, wrong", nats.UserInfo("hashed", "plain")},
		{"hashed, by its hash", nats.UserInfo("hashed", hash)},
		{"unknown", nats.UserInfo("nobody", "secret")},
		{"token", nats.Token("token")},
		{"token, wrong", nats.Token("Token")},
		{"single", nats.UserInfo("single", "word")},
		{"single, wrong", nats.UserInfo("single", "")},
		{"key", signedBy(mineID, mine)},
		{"key, signed by another", signedBy(mineID, other)},
		{"unknown key", signedBy(otherID, other)},
		{"key, not signed", nats.Nkey(mineID, func([]byte) ([]byte, error) { return nil, nil })},
		{"web only", nats.UserInfo("web", "x")},
		{"guest by name", nats.UserInfo("guest", "x")},
	}
	users := fmt.Sprintf(`{user: plain, password: secret}, {user: hashed, password: %q}, {nkey: %s}
		{user: web, password: x, allowed_connection_types: [WEBSOCKET]}, {user: guest, password: x}`, hash, mineID)
	for _, c := range []struct{ name, config string }{
		{"open", ""},
		{"users", fmt.Sprintf("authorization { users: [%s] }", users)},
		{"accounts", fmt.Sprintf("accounts { A { users: [%s] }, B {} }", users)},
		{"guests", fmt.Sprintf("accounts { A { users: [%s] } }\nno_auth_user: guest", users)},
		{"guests of a key", fmt.Sprintf("accounts { A { users: [%s] } }\nno_auth_user: %s", users, mineID)},
		{"token", "authorization { token: token }"},
		{"token, hashed", fmt.Sprintf("authorization { token: %q }", hashed(t, "token"))},
		{"single", "authorization { user: single, password: word }"},
		{"single, hashed", fmt.Sprintf("authorization { user: single, password: %q }", hashed(t, "word"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server, _ := configured(t, seat, c.config)
				var text strings.Builder
				for _, login := range logins {
					fmt.Fprintf(&text, "%s: %s\n", login.name, outcome(server, login.option))
				}
				return text.String()
			})
		})
	}
}

// reporting connects and gives what the client reports: errors, and the end.
func reporting(t *testing.T, server *harness.Server, user string) (nc *nats.Conn, failures chan error, closed chan struct{}) {
	t.Helper()
	failures, closed = make(chan error, 100), make(chan struct{}, 1)
	nc = connect(t, server, nats.UserInfo(user, "x"), nats.MaxReconnects(0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failures <- err }),
		nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
	return nc, failures, closed
}

// told returns what the client has reported so far. A subscription that nobody may
// have is the last of it: reports come in order.
func told(t *testing.T, nc *nats.Conn, failures chan error) (all []error) {
	t.Helper()
	sub, err := nc.QueueSubscribeSync("last", "_sys_")
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := await(t, failures, "the report of the last subscription")
		if strings.Contains(err.Error(), "_sys_") {
			_ = sub.Unsubscribe()
			return all
		}
		all = append(all, err)
	}
}

// TestPermissionsOfClients compares what a client may do and what it is told.
func TestPermissionsOfClients(t *testing.T) {
	t.Parallel()
	const config = `
authorization { users: [
  {user: any, password: x}
  {user: me, password: x, permissions: {
    publish: {allow: ["a.>", "_INBOX.>"], deny: [a.no]}
    subscribe: {allow: ["s.>", "_INBOX.>", "q good", "q.* *.in", all], deny: ["s.no", "s.q bad", "s.deep.>"]}
  }}
]}`
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server, _ := configured(t, seat, config)
		nc, failures, _ := reporting(t, server, "me")
		anybody := connect(t, server, nats.UserInfo("any", "x"))
		heard := subscribe(t, anybody, ">")
		flush(t, anybody)
		var text strings.Builder
		tried := func(what string) {
			fmt.Fprintf(&text, "%s:", what)
			for _, err := range told(t, nc, failures) {
				fmt.Fprintf(&text, " %v, a violation %v", err, errors.Is(err, nats.ErrPermissionViolation))
			}
			text.WriteByte('\n')
		}
		for _, subject := range []string{"a.b", "a.no", "a", "b", "a.no.more", "s.x"} {
			publish(t, nc, subject, "")
			tried("publish " + subject)
		}
		subs := make(map[string]*nats.Subscription)
		for _, s := range []struct{ subject, queue string }{
			{"s.a", ""}, {"s.no", ""}, {"s.*", ""}, {"s.>", ""}, {">", ""}, {"*", ""}, {"q", ""}, {"q", "good"}, {"q", "bad"},
			{"q.x", "a.in"}, {"q.x", "in"}, {"q.x", ""}, {"s.q", "bad"}, {"s.q", "good"}, {"all", "any"}, {"s.deep.a", ""}, {"s.deep.>", ""},
		} {
			sub, err := nc.QueueSubscribeSync(s.subject, s.queue)
			if err != nil {
				t.Fatal(err)
			}
			tried(strings.TrimSpace("subscribe " + s.subject + " " + s.queue))
			subs[s.subject+" "+s.queue] = sub
		}
		for _, subject := range []string{"s.a", "s.no", "s.q", "q", "q.x", "all", "s.deep.a", "s.deeper.a"} {
			publish(t, anybody, subject, "")
		}
		flush(t, anybody)
		flush(t, nc)
		for _, name := range []string{"s.a ", "s.* ", "s.> ", "q good", "q.x a.in", "s.q good", "all any", "s.no ", "> ", "s.deep.> "} {
			n, _, _ := subs[name].Pending()
			fmt.Fprintf(&text, "%q got %d, valid %v\n", name, n, subs[name].IsValid())
		}
		flush(t, anybody)
		n, _, _ := heard.Pending()
		fmt.Fprintf(&text, "others heard %d\n", n)
		return text.String()
	})
}

// TestAnswersAllowed compares how many answers a service may give that may
// publish nothing else.
func TestAnswersAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, allow string }{
		{"default", "true"}, {"three", "{max: 3, expires: \"1m\"}"}, {"any number", "{max: -1, expires: \"-1s\"}"}, {"too late", "{max: 10, expires: \"1ns\"}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server, _ := configured(t, seat, fmt.Sprintf(`
authorization { users: [
  {user: any, password: x}, {user: me, password: x, permissions: {subscribe: help, allow_responses: %s}}
]}`, c.allow))
				nc, failures, _ := reporting(t, server, "me")
				asker := connect(t, server, nats.UserInfo("any", "x"))
				asked := subscribe(t, nc, "help")
				flush(t, nc)
				answers := subscribe(t, asker, "inbox.*")
				text := ""
				for i := range 2 {
					if err := asker.PublishRequest("help", fmt.Sprintf("inbox.%d", i), nil); err != nil {
						t.Fatal(err)
					}
					m := next(t, asked)
					for range 5 {
						if err := m.Respond([]byte("answer")); err != nil {
							t.Fatal(err)
						}
					}
					publish(t, nc, "other", "")
					flush(t, nc)
					flush(t, asker)
					n, _, _ := answers.Pending()
					text += fmt.Sprintf("%d answers so far\n", n)
					for _, err := range told(t, nc, failures) {
						text += fmt.Sprintln(err)
					}
				}
				return text
			})
		})
	}
}

// TestRightsChange compares what a reload does to clients that are connected:
// one each, so that none waits for another.
func TestRightsChange(t *testing.T) {
	t.Parallel()
	const before = `
accounts {
  A { users: [
    {user: stays, password: x}, {user: goes, password: x}, {user: moves, password: x}, {user: word, password: x}
    {user: loses, password: x, permissions: {publish: ">", subscribe: ">"}}, {user: gains, password: x, permissions: {publish: a, subscribe: [a, "_INBOX.>"]}}
    {user: default, password: x}
  ], default_permissions: {publish: ">", subscribe: ">"} }
  B {}
}`
	const after = `
accounts {
  A { users: [
    {user: stays, password: x}, {user: word, password: y}
    {user: loses, password: x, permissions: {publish: a, subscribe: [a, "c.>"]}}, {user: gains, password: x, permissions: {publish: ">", subscribe: ">"}}
    {user: default, password: x}
  ], default_permissions: {publish: {deny: b}, subscribe: {deny: b}} }
  B { users: [{user: moves, password: x}] }
}`
	for _, user := range []string{"stays", "goes", "moves", "word", "loses", "gains", "default"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server, path := configured(t, seat, before)
				nc, failures, closed := reporting(t, server, user)
				for _, subject := range []string{"a", "b", "c.>"} {
					subscribe(t, nc, subject)
				}
				told(t, nc, failures)
				rewrite(t, path, after)
				server.Signal(syscall.SIGHUP)
				server.Await(`Reloaded server configuration`)
				if user == "goes" || user == "moves" || user == "word" {
					await(t, closed, "the end of the connection")
					return fmt.Sprint("closed, ", nc.LastError())
				}
				for _, subject := range []string{"a", "b", "c.d"} {
					publish(t, nc, subject, "")
				}
				var lines []string
				for _, err := range told(t, nc, failures) {
					lines = append(lines, err.Error())
				}
				slices.Sort(lines) // subscriptions are looked at in no order
				return strings.Join(lines, "\n")
			})
		})
	}
}
