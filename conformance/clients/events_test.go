package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// moving are keys of events whose values are of one server or one moment; of them
// the kind counts.
var moving = []string{"id", "timestamp", "start", "stop", "time", "rtt", "host", "seq", "ver", "expires", "bytes", "num_subscriptions"}

// shape writes JSON with sorted keys and without what differs between servers.
func shape(data []byte) string {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Sprintf("%.100q", data)
	}
	b, _ := json.Marshal(shaped(v, ""))
	return string(b)
}

func shaped(v any, at string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			switch {
			case at == "server" && k == "name", k == "jwt", slices.Contains(moving, k):
				v[k] = fmt.Sprintf("%T", x)
			case k == "feature_flags":
				v[k] = "flags"
			default:
				v[k] = shaped(x, k)
			}
		}
	case []any:
		for i := range v {
			v[i] = shaped(v[i], at)
		}
		// The order of permissions and tags is of no meaning.
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v
}

// listener takes events off subscriptions.
type listener struct {
	t    *testing.T
	subs map[string]*nats.Subscription
	out  strings.Builder
	id   string // of the server
}

func listen(t *testing.T, nc *nats.Conn, subjects ...string) *listener {
	t.Helper()
	l := &listener{t: t, subs: make(map[string]*nats.Subscription), id: nc.ConnectedServerId()}
	// What was told before this answer is not listened to.
	if _, err := nc.Request("$SYS.REQ.USER.INFO", nil, harness.Patience); err != nil {
		t.Fatal(err)
	}
	for _, s := range subjects {
		l.subs[s] = subscribe(t, nc, s)
	}
	flush(t, nc)
	return l
}

// take writes down the next event on a subject.
func (l *listener) take(what, subject string) {
	m, err := l.subs[subject].NextMsg(harness.Patience)
	if err != nil {
		fmt.Fprintf(&l.out, "%s: %v\n", what, err)
		return
	}
	fmt.Fprintf(&l.out, "%s: %s %q %s\n", what, strings.ReplaceAll(m.Subject, l.id, "ID"), m.Reply, shape(m.Data))
}

// none writes down what nobody should have told on a subject. Events of one server
// come in order, so what comes after has been seen.
func (l *listener) none(what, subject string) {
	n, _, _ := l.subs[subject].Pending()
	fmt.Fprintf(&l.out, "%s: %d\n", what, n)
}

const (
	connects    = "$SYS.ACCOUNT.*.CONNECT"
	disconnects = "$SYS.ACCOUNT.*.DISCONNECT"
	authErrors  = "$SYS.SERVER.*.CLIENT.AUTH.ERR"
	conns       = "$SYS.SERVER.ACCOUNT.*.CONNS"
	connsOld    = "$SYS.ACCOUNT.*.SERVER.CONNS"
	globalConns = "$SYS.SERVER.ACCOUNT.$G.CONNS"
)

// refused tries to connect and wants to fail.
func refused(t *testing.T, s *harness.Server, options ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(s.URL(), append(options, nats.NoReconnect(), nats.Timeout(harness.Patience))...)
	if err == nil {
		nc.Close()
		t.Fatal("connected")
	}
}

// TestEvents compares what the system account is told of clients.
func TestEvents(t *testing.T) {
	const config = `
authorization { timeout: 60 }
server_tags: ["a:b", "c"]
server_metadata { k: v }
accounts {
	SYS { users: [ {user: sys, password: pw} ] }
	APP { users: [ {user: app, password: pw, permissions: { publish: "x.>" }}, {nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4} ] }
}
system_account: SYS`
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s, _ := configured(t, seat, config)
		sys := connect(t, s, nats.UserInfo("sys", "pw"))
		l := listen(t, sys, connects, disconnects, authErrors, conns, connsOld)

		nc := connect(t, s, nats.UserInfo("app", "pw"), nats.Name("n"))
		l.take("connect", connects)
		l.take("conns", conns)
		l.take("conns old", connsOld)
		publish(t, nc, "x.y", "hello")
		flush(t, nc)
		nc.Close()
		l.take("disconnect", disconnects)
		l.take("conns", conns)
		l.take("conns old", connsOld)

		refused(t, s, nats.UserInfo("app", "wrong"))
		l.take("wrong password", authErrors)
		l.take("wrong password, gone", disconnects)
		refused(t, s)
		l.take("no password", authErrors)
		l.take("no password, gone", disconnects)
		refused(t, s, nats.Token("x"))
		l.take("token", authErrors)
		l.take("token, gone", disconnects)
		l.none("connects left", connects)

		m, err := sys.Request("$SYS.REQ.USER.INFO", nil, harness.Patience)
		fmt.Fprintln(&l.out, "info:", shapeOf(m, err))
		app := connect(t, s, nats.UserInfo("app", "pw"), nats.Name("n"))
		m, err = app.Request("$SYS.REQ.USER.INFO", nil, 200*time.Millisecond)
		fmt.Fprintln(&l.out, "info without permission:", shapeOf(m, err))
		return l.out.String()
	})
}

func shapeOf(m *nats.Msg, err error) string {
	if err != nil {
		return err.Error()
	}
	return shape(m.Data)
}

// TestEventsOfOpenServer looks at clients that nobody asks who they are.
func TestEventsOfOpenServer(t *testing.T) {
	const config = `accounts { $SYS { users: [ {user: sys, password: pw} ] } }`
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s, _ := configured(t, seat, config)
		sys := connect(t, s, nats.UserInfo("sys", "pw"))
		l := listen(t, sys, connects, disconnects, globalConns)
		nc := connect(t, s)
		l.take("connect", connects)
		m, err := nc.Request("$SYS.REQ.USER.INFO", nil, harness.Patience)
		fmt.Fprintln(&l.out, "info:", shapeOf(m, err))
		nc.Close()
		l.take("disconnect", disconnects)
		l.none("conns", globalConns)
		return hideUser(l.out.String())
	})
}

// hideUser takes out the name that a server makes up for those without one.
func hideUser(text string) string {
	const start = `"user":"nats-`
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, start)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, text, _ = strings.Cut(after, `"`)
		b.WriteString(`"user":"nobody"`)
	}
}

// shownUsers returns what /connz says of who the clients are.
func shownUsers(t *testing.T, s *harness.Server) string {
	t.Helper()
	resp, err := http.Get("http://" + s.Monitor + "/connz?auth=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Connections []map[string]any `json:"connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, c := range page.Connections {
		for _, k := range []string{"authorized_user", "account", "jwt", "issuer_key", "name_tag", "tags", "proxy"} {
			if v, ok := c[k]; ok {
				fmt.Fprintf(&out, "%s=%.80v ", k, v)
			}
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

// TestEventsOfOperators compares what is told of users with JWTs.
func TestEventsOfOperators(t *testing.T) {
	r := newRealm(t)
	sign, signKey := key(t, nkeys.CreateAccount)
	r.account.SigningKeys.Add(signKey)
	tags := func(u *jwt.UserClaims) { u.Tags.Add("team:red", "x") }
	user := r.user(r.acc, tags)
	signed := r.user(sign, func(u *jwt.UserClaims) { u.IssuerAccount = r.accKey; u.Sub.Deny.Add("z") })
	expired := r.user(r.acc, func(u *jwt.UserClaims) { u.Expires = time.Now().Unix() - 10 })
	sysUser := r.user(r.sys, nil)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "http: 127.0.0.1:-1")
		sys := connect(t, s, sysUser)
		l := listen(t, sys, connects, disconnects, authErrors, conns)
		for _, o := range []nats.Option{user, signed} {
			nc := connect(t, s, o)
			l.take("connect", connects)
			l.take("conns", conns)
			m, err := nc.Request("$SYS.REQ.USER.INFO", nil, harness.Patience)
			fmt.Fprintln(&l.out, "info:", shapeOf(m, err))
			fmt.Fprintln(&l.out, "connz:", shownUsers(t, s))
			nc.Close()
			l.take("disconnect", disconnects)
			l.take("conns", conns)
		}
		refused(t, s, expired)
		m, err := l.subs[authErrors].NextMsg(harness.Patience)
		if err != nil {
			t.Fatal(err)
		}
		// The reference shows a token that was not good. It may be anybody's.
		text := strings.Replace(shape(m.Data), `"jwt":"string",`, "", 1)
		fmt.Fprintln(&l.out, "expired:", text)
		return l.out.String()
	})
}
