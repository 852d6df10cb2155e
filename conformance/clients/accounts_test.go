package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

const accountsConfig = `
accounts {
  A {
    users: [{user: a, password: x}, {user: a2, password: x}]
    exports: [
      {service: "s.*", accounts: [B], latency: {subject: lat, sampling: 100}}
      {service: "own.*.q", account_token_position: 2}
      {stream: "t.>"}, {stream: "mine.*", account_token_position: 2}
    ]
    mappings: {"w.*": [{destination: "light.$1", weight: 10}, {destination: "heavy.$1", weight: 90}], "gone": [{destination: "half", weight: 50}]}
  }
  B {
    users: [{user: b, password: x}]
    imports: [
      {service: {account: A, subject: "s.*"}, to: "via.*", share: true}, {service: {account: A, subject: own.B.q}, to: own}
      {stream: {account: A, subject: "t.*.>"}, to: "u.$1.>"}, {stream: {account: A, subject: "mine.B"}}
    ]
    exports: [{service: "via.*"}]
  }
  C {
    users: [{user: c, password: x}]
    imports: [{service: {account: B, subject: "via.x"}, to: "far"}]
  }
  LIMITED { users: [{user: l, password: x}], limits: {max_connections: 2, max_subscriptions: 3, max_payload: 100} }
}
`

// TestAccountsOfClients compares what accounts keep from each other, and what
// they give.
func TestAccountsOfClients(t *testing.T) {
	t.Parallel()
	rtt := regexp.MustCompile(`"(rtt|id)":[0-9]+|"start":"[^"]+"|"server":"[^"]+"`)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server, _ := configured(t, seat, accountsConfig)
		by := make(map[string]*nats.Conn)
		for _, user := range []string{"a", "a2", "b", "c"} {
			by[user] = connect(t, server, nats.UserInfo(user, "x"), nats.Name("by "+user))
		}
		var text strings.Builder
		// Apart.
		seen := make(map[string]*nats.Subscription)
		for user, nc := range by {
			seen[user] = subscribe(t, nc, ">")
			flush(t, nc)
		}
		for _, user := range []string{"a", "b", "c"} {
			publish(t, by[user], "same.subject", user)
			flush(t, by[user])
		}
		publish(t, by["a"], "t.x.y", "stream")
		publish(t, by["a"], "mine.B", "mine")
		publish(t, by["a"], "mine.C", "other's")
		flush(t, by["a"])
		for _, user := range []string{"a", "a2", "b", "c"} {
			flush(t, by[user])
			fmt.Fprintf(&text, "%s saw", user)
			for n, _, _ := seen[user].Pending(); n > 0; n-- {
				m := next(t, seen[user])
				fmt.Fprintf(&text, " %s=%s", m.Subject, m.Data)
			}
			text.WriteByte('\n')
			if err := seen[user].Unsubscribe(); err != nil {
				t.Fatal(err)
			}
			flush(t, by[user])
		}
		// Services: through one account and through two.
		for _, subject := range []string{"s.*", "own.*.q"} {
			if _, err := by["a"].Subscribe(subject, func(m *nats.Msg) {
				_ = m.Respond([]byte(m.Subject + " " + rtt.ReplaceAllString(m.Header.Get("Nats-Request-Info"), "$1")))
			}); err != nil {
				t.Fatal(err)
			}
		}
		latency := subscribe(t, by["a2"], "lat")
		flush(t, by["a"])
		flush(t, by["a2"])
		for _, r := range []struct{ user, subject string }{{"b", "via.x"}, {"b", "via.y"}, {"c", "far"}, {"b", "own"}, {"c", "via.x"}, {"c", "s.x"}, {"a2", "s.x"}} {
			m, err := by[r.user].Request(r.subject, []byte("?"), harness.Patience)
			switch {
			case errors.Is(err, nats.ErrNoResponders):
				fmt.Fprintf(&text, "%s asks %s: nobody\n", r.user, r.subject)
			case err != nil:
				t.Fatal(err)
			default:
				fmt.Fprintf(&text, "%s asks %s: %s\n", r.user, r.subject, m.Data)
			}
		}
		for range 3 {
			var v map[string]any
			if err := json.Unmarshal(next(t, latency).Data, &v); err != nil {
				t.Fatal(err)
			}
			requestor, _ := v["requestor"].(map[string]any)
			responder, _ := v["responder"].(map[string]any)
			fmt.Fprintln(&text, "latency", v["type"], v["status"], requestor["acc"], requestor["user"], requestor["name"], responder["acc"], responder["user"])
		}
		return text.String()
	})
}

// Of weighted mappings each gets about its share, and what no share has is
// dropped.
func TestWeightedMappings(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server, _ := configured(t, seat, accountsConfig)
		a, a2, b := connect(t, server, nats.UserInfo("a", "x")), connect(t, server, nats.UserInfo("a2", "x")), connect(t, server, nats.UserInfo("b", "x"))
		subs := make(map[string]*nats.Subscription)
		for _, subject := range []string{"w.*", "light.*", "heavy.*", "gone", "half"} {
			subs[subject] = subscribe(t, a2, subject)
		}
		apart := subscribe(t, b, "*.>")
		flush(t, a2)
		flush(t, b)
		const count = 10000
		for range count {
			publish(t, a, "w.x", "")
			publish(t, a, "gone", "")
		}
		flush(t, a)
		flush(t, a2)
		flush(t, b)
		got := make(map[string]int)
		for subject, sub := range subs {
			got[subject], _, _ = sub.Pending()
		}
		// Ten standard deviations around a tenth, and around a half.
		if n := got["light.*"]; n < 700 || n > 1300 || got["heavy.*"] != count-n || got["w.*"] != 0 {
			t.Errorf("by weight: %v", got)
		}
		if n := got["half"]; n < 4500 || n > 5500 {
			t.Errorf("by weight: %v", got)
		}
		if n, _, _ := apart.Pending(); n != 0 {
			t.Errorf("%d messages in another account", n)
		}
	})
}

// TestAccountLimits compares what an account's limits do to its clients.
func TestAccountLimits(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server, _ := configured(t, seat, accountsConfig)
		var text strings.Builder
		nc, failures, _ := reporting(t, server, "l")
		connect(t, server, nats.UserInfo("l", "x"))
		fmt.Fprintln(&text, "third:", outcome(server, nats.UserInfo("l", "x")))
		fmt.Fprintln(&text, "of another account:", outcome(server, nats.UserInfo("a", "x")))
		fmt.Fprintln(&text, "payload:", nc.MaxPayload())
		for i := range 4 {
			subscribe(t, nc, fmt.Sprintf("x.%d", i))
		}
		flush(t, nc)
		fmt.Fprintln(&text, await(t, failures, "the report of one subscription too many"))
		return text.String()
	})
}

// TestExchangeRefused compares how a server refuses to start.
func TestExchangeRefused(t *testing.T) {
	t.Parallel()
	for name, accounts := range map[string]string{
		"service cycle": `A { exports: [{service: s}], imports: [{service: {account: B, subject: s}}] }
			B { exports: [{service: s}], imports: [{service: {account: A, subject: s}}] }`,
		"stream cycle": `A { exports: [{stream: s}], imports: [{stream: {account: C, subject: s}}] }
			B { exports: [{stream: s}], imports: [{stream: {account: A, subject: s}}] }
			C { exports: [{stream: s}], imports: [{stream: {account: B, subject: s}}] }`,
		"private":        `A { exports: [{service: s, accounts: [C]}] }, B { imports: [{service: {account: A, subject: s}}] }, C {}`,
		"not exported":   `A {}, B { imports: [{stream: {account: A, subject: s}}] }`,
		"other's token":  `A { exports: [{service: "s.*", account_token_position: 2}] }, B { imports: [{service: {account: A, subject: s.C}}] }`,
		"wider":          `A { exports: [{stream: "s.*"}] }, B { imports: [{stream: {account: A, subject: "s.>"}}] }`,
		"twice":          `A { exports: [{stream: s}] }, B { imports: [{stream: {account: A, subject: s}}, {stream: {account: A, subject: s}, prefix: p}] }`,
		"nobody's":       `B { imports: [{stream: {account: A, subject: s}}] }`,
		"token position": `A { exports: [{service: "s.x", account_token_position: 2}] }`,
		"latency":        `A { exports: [{service: s, response_type: stream, latency: {subject: l}}] }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				path := filepath.Join(t.TempDir(), "server.conf")
				rewrite(t, path, "accounts {\n"+accounts+"\n}")
				server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-c", path)
				code := server.Exit()
				return fmt.Sprint(code, " ", strings.ReplaceAll(strings.Join(server.Log.Lines(), "\n"), path, "FILE"))
			})
		})
	}
}
