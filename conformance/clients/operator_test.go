package clients

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// realm is an operator with a system account and one account of customers. It is
// the same for both seats of a test.
type realm struct {
	t                 *testing.T
	op, sys, acc      nkeys.KeyPair
	sysKey, accKey    string
	opToken, sysToken string
	account           *jwt.AccountClaims
}

func key(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return kp, pub
}

func newRealm(t *testing.T) *realm {
	r := &realm{t: t}
	var opKey string
	r.op, opKey = key(t, nkeys.CreateOperator)
	r.sys, r.sysKey = key(t, nkeys.CreateAccount)
	r.acc, r.accKey = key(t, nkeys.CreateAccount)
	o := jwt.NewOperatorClaims(opKey)
	o.Name, o.SystemAccount = "O", r.sysKey
	r.opToken = encode(t, o, r.op)
	s := jwt.NewAccountClaims(r.sysKey)
	s.Name = "SYS"
	r.sysToken = encode(t, s, r.op)
	r.account = jwt.NewAccountClaims(r.accKey)
	r.account.Name = "acme"
	return r
}

func encode(t *testing.T, c jwt.Claims, kp nkeys.KeyPair) string {
	t.Helper()
	token, err := c.Encode(kp)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// accountToken signs a copy: signing writes, and seats ask side by side.
func (r *realm) accountToken() string {
	account := *r.account
	return encode(r.t, &account, r.op)
}

// memory starts a server that knows the accounts from its configuration.
func (r *realm) memory(t *testing.T, seat harness.Seat, more string) *harness.Server {
	t.Helper()
	return r.start(t, seat, fmt.Sprintf("resolver: MEMORY\nresolver_preload { %s: %q, %s: %q }\n%s",
		r.sysKey, r.sysToken, r.accKey, r.accountToken(), more))
}

func (r *realm) start(t *testing.T, seat harness.Seat, config string) *harness.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if !strings.Contains(config, "authorization") {
		config += "\nauthorization { timeout: 60 }" // the machine may be busy
	}
	if err := os.WriteFile(file, []byte(fmt.Sprintf("operator: %q\nsystem_account: %s\n%s", r.opToken, r.sysKey, config)), 0o600); err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, seat, "-c", file)
}

// user makes a creds file's content for a user that change has changed.
func (r *realm) user(signer nkeys.KeyPair, change func(u *jwt.UserClaims)) nats.Option {
	r.t.Helper()
	kp, pub := key(r.t, nkeys.CreateUser)
	u := jwt.NewUserClaims(pub)
	u.Name = "bob"
	if change != nil {
		change(u)
	}
	token := encode(r.t, u, signer)
	seed, err := kp.Seed()
	if err != nil {
		r.t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.t.TempDir(), "user.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return nats.UserCredentials(file)
}

// outcome tells what became of a client: what it learnt and whether it works.
func outcome(s *harness.Server, o ...nats.Option) string {
	o = append(o, nats.MaxReconnects(0), nats.Timeout(harness.Patience))
	nc, err := nats.Connect("nats://"+s.Addr, o...)
	for err != nil && strings.Contains(err.Error(), "got 'PING'") {
		// The server took so long that it asked first, which the client does not like.
		nc, err = nats.Connect("nats://"+s.Addr, o...)
	}
	if err != nil {
		return "refused: " + err.Error()
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("x.>")
	if err != nil {
		return err.Error()
	}
	if err := nc.Publish("x.y", []byte("hello")); err != nil {
		return err.Error()
	}
	if err := nc.FlushTimeout(harness.Patience); err != nil {
		return "flush: " + err.Error()
	}
	n, _, _ := sub.Pending()
	// What the server answered before the PONG of the flush is known by now.
	if err := nc.LastError(); err != nil {
		return fmt.Sprintf("connected, %d received, %v", n, err)
	}
	return fmt.Sprintf("connected, %d received", n)
}

func TestOperatorUsers(t *testing.T) {
	r := newRealm(t)
	sign, signKey := key(t, nkeys.CreateAccount)
	scoped, scopeKey := key(t, nkeys.CreateAccount)
	stranger, _ := key(t, nkeys.CreateAccount)
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = scopeKey, "r"
	scope.Template.Pub.Allow.Add("x.{{name()}}")
	r.account.SigningKeys.Add(signKey)
	r.account.SigningKeys.AddScopedSigner(scope)
	opposite := time.Now().UTC().Add(12 * time.Hour).Truncate(time.Hour)
	window := func(from, to time.Duration) func(u *jwt.UserClaims) {
		return func(u *jwt.UserClaims) {
			u.Locale = "UTC"
			base := opposite.Add(-12 * time.Hour)
			u.Times = []jwt.TimeRange{{Start: base.Add(from).Format("15:04:05"), End: base.Add(to).Format("15:04:05")}}
		}
	}
	in := func(c func(u *jwt.UserClaims)) func(u *jwt.UserClaims) {
		return func(u *jwt.UserClaims) { u.IssuerAccount = r.accKey; c(u) }
	}
	nothing := func(*jwt.UserClaims) {}
	cases := map[string]nats.Option{
		"good":              r.user(r.acc, nil),
		"signing key":       r.user(sign, in(nothing)),
		"signing key alone": r.user(sign, nothing),
		"stranger":          r.user(stranger, nothing),
		"stranger in name":  r.user(stranger, in(nothing)),
		"scoped bob":        r.user(scoped, in(func(u *jwt.UserClaims) { u.UserPermissionLimits = jwt.UserPermissionLimits{} })),
		"scoped y": r.user(scoped, in(func(u *jwt.UserClaims) {
			u.Name, u.UserPermissionLimits = "y", jwt.UserPermissionLimits{}
		})),
		"scoped with limits": r.user(scoped, in(func(u *jwt.UserClaims) { u.Subs = 3 })),
		"expired":            r.user(r.acc, func(u *jwt.UserClaims) { u.Expires = time.Now().Unix() - 10 }),
		"not yet":            r.user(r.acc, func(u *jwt.UserClaims) { u.NotBefore = time.Now().Unix() + 1000 }),
		"bearer":             r.user(r.acc, func(u *jwt.UserClaims) { u.BearerToken = true }),
		"source":             r.user(r.acc, func(u *jwt.UserClaims) { u.Src.Add("127.0.0.0/8") }),
		"other source":       r.user(r.acc, func(u *jwt.UserClaims) { u.Src.Add("10.0.0.0/8") }),
		"window":             r.user(r.acc, window(-3*time.Hour, 3*time.Hour)),
		"other window":       r.user(r.acc, window(9*time.Hour, 15*time.Hour)),
		"type":               r.user(r.acc, func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("STANDARD") }),
		"other type":         r.user(r.acc, func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("MQTT") }),
		"no such type":       r.user(r.acc, func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("NONE") }),
		"deny publish":       r.user(r.acc, func(u *jwt.UserClaims) { u.Pub.Deny.Add("x.>") }),
		"allow other":        r.user(r.acc, func(u *jwt.UserClaims) { u.Sub.Allow.Add("z") }),
		"proxy required":     r.user(r.acc, func(u *jwt.UserClaims) { u.ProxyRequired = true }),
		"no subscriptions":   r.user(r.acc, func(u *jwt.UserClaims) { u.Subs = 1 }),
		"revoked":            r.user(r.acc, func(u *jwt.UserClaims) { r.account.RevokeAt(u.Subject, time.Now().Add(time.Hour)) }),
		"system user":        r.user(r.sys, nil),
		"password":           nats.UserInfo("a", "b"),
		"token":              nats.Token("x"),
		"nothing":            nats.Name("nobody"),
	}
	names := make([]string, 0, len(cases))
	for name := range cases {
		names = append(names, name)
	}
	sort.Strings(names)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "")
		var out strings.Builder
		for _, name := range names {
			fmt.Fprintf(&out, "%s: %s\n", name, outcome(s, cases[name]))
		}
		return out.String()
	})
}

// answerOf strips what differs between servers from an answer.
func answerOf(m *nats.Msg, err error) string {
	if err != nil {
		return err.Error()
	}
	var v map[string]any
	if json.Unmarshal(m.Data, &v) != nil {
		return string(m.Data)
	}
	delete(v, "server")
	b, _ := json.Marshal(v)
	return string(b)
}

func TestOperatorFullResolver(t *testing.T) {
	r := newRealm(t)
	_, otherKey := key(t, nkeys.CreateAccount)
	stranger, _ := key(t, nkeys.CreateOperator)
	sysUser, customer := r.user(r.sys, nil), r.user(r.acc, nil)
	good, foreign := r.accountToken(), encode(t, r.account, stranger)
	other := encode(t, jwt.NewAccountClaims(otherKey), r.op)
	broken := jwt.NewAccountClaims(r.accKey)
	broken.Exports.Add(&jwt.Export{Subject: "a..b", Type: jwt.Stream})
	brokenToken := encode(t, broken, r.op)
	deletion := func(signer nkeys.KeyPair, names ...string) string {
		pub, _ := signer.PublicKey()
		g := jwt.NewGenericClaims(pub)
		g.Data["accounts"] = names
		return encode(t, g, signer)
	}
	badDelete, sysDelete, goodDelete := deletion(stranger, r.accKey), deletion(r.op, r.sysKey), deletion(r.op, r.accKey)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, fmt.Sprintf("resolver { type: full, dir: %q, allow_delete: true, timeout: 200ms }\nresolver_preload { %s: %q }", t.TempDir(), r.sysKey, r.sysToken))
		nc := connect(t, s, sysUser)
		var out strings.Builder
		ask := func(what, subject, body string) {
			m, err := nc.Request(subject, []byte(body), harness.Patience)
			fmt.Fprintf(&out, "%s: %s\n", what, answerOf(m, err))
		}
		of := func(name, what string) string { return "$SYS.REQ.ACCOUNT." + name + ".CLAIMS." + what }
		fmt.Fprintln(&out, "before:", outcome(s, customer))
		ask("lookup nobody", of(r.accKey, "LOOKUP"), "")
		ask("garbage", "$SYS.REQ.CLAIMS.UPDATE", "garbage")
		ask("empty", "$SYS.REQ.CLAIMS.UPDATE", "")
		ask("invalid", "$SYS.REQ.CLAIMS.UPDATE", brokenToken)
		ask("invalid of", of(r.accKey, "UPDATE"), brokenToken)
		ask("wrong subject", of(otherKey, "UPDATE"), good)
		ask("update", "$SYS.REQ.CLAIMS.UPDATE", good)
		ask("update again", of(r.accKey, "UPDATE"), good)
		ask("update old", "$SYS.ACCOUNT."+otherKey+".CLAIMS.UPDATE", other)
		fmt.Fprintln(&out, "after:", outcome(s, customer))
		ask("lookup", of(r.accKey, "LOOKUP"), "")
		ask("list", "$SYS.REQ.CLAIMS.LIST", "")
		ask("foreign", "$SYS.REQ.CLAIMS.UPDATE", foreign)
		ask("delete by a stranger", "$SYS.REQ.CLAIMS.DELETE", badDelete)
		ask("delete garbage", "$SYS.REQ.CLAIMS.DELETE", "x")
		ask("delete system", "$SYS.REQ.CLAIMS.DELETE", sysDelete)
		ask("update back", "$SYS.REQ.CLAIMS.UPDATE", good)
		ask("delete", "$SYS.REQ.CLAIMS.DELETE", goodDelete)
		fmt.Fprintln(&out, "deleted:", outcome(s, customer))
		ask("lookup deleted", of(r.accKey, "LOOKUP"), "")
		return sortList(out.String())
	})
}

// sortList makes the order of accounts in a listing the same.
func sortList(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "list: ")
		if !ok {
			continue
		}
		var v struct{ Data []string }
		if json.Unmarshal([]byte(rest), &v) == nil {
			sort.Strings(v.Data)
			lines[i] = "list: " + strings.Join(v.Data, " ")
		}
	}
	return strings.Join(lines, "\n")
}
