package clients

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// watched is a connection of which the end is known.
type watched struct {
	*nats.Conn
	ended chan string
}

// watch connects; the error is why that is not possible.
func watch(s *harness.Server, o ...nats.Option) (*watched, error) {
	w := &watched{ended: make(chan string, 1)}
	o = append(o, nats.NoReconnect(), nats.Timeout(harness.Patience), nats.ClosedHandler(func(nc *nats.Conn) { w.ended <- fmt.Sprint(nc.LastError()) }))
	var err error
	w.Conn, err = nats.Connect(s.URL(), o...)
	return w, err
}

// end waits for the end and returns why.
func (w *watched) end(t *testing.T) string {
	t.Helper()
	defer w.Close()
	return await(t, w.ended, "the end of the connection")
}

// untilExpiry connects with what lasts some seconds and returns how that ends. On a
// machine that is busy the time may be over before; it is tried with more then.
func untilExpiry(t *testing.T, s *harness.Server, option func(expires int64) nats.Option) string {
	t.Helper()
	for lasts := int64(1); lasts < 200; lasts *= 2 {
		w, err := watch(s, option(time.Now().Unix()+lasts))
		if err == nil {
			return w.end(t)
		}
	}
	return "never connected"
}

func TestUserExpires(t *testing.T) {
	r := newRealm(t)
	sign, signKey := key(t, nkeys.CreateAccount)
	r.account.SigningKeys.Add(signKey)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "")
		var out strings.Builder
		fmt.Fprintln(&out, "user:", untilExpiry(t, s, func(expires int64) nats.Option {
			return r.user(r.acc, func(u *jwt.UserClaims) { u.Expires = expires })
		}))
		fmt.Fprintln(&out, "signed bearer:", untilExpiry(t, s, func(expires int64) nats.Option {
			return r.user(sign, func(u *jwt.UserClaims) { u.Expires, u.BearerToken, u.IssuerAccount = expires, true, r.accKey })
		}))
		fmt.Fprintln(&out, "window:", untilExpiry(t, s, func(expires int64) nats.Option {
			return r.user(r.acc, func(u *jwt.UserClaims) {
				now := time.Now().UTC()
				u.Locale = "UTC"
				u.Times = []jwt.TimeRange{{Start: now.Add(-time.Hour).Format("15:04:05"), End: time.Unix(expires+1, 0).UTC().Format("15:04:05")}}
			})
		}))
		return out.String()
	})
}

// TestAccountExpires lets the time of an account be over under its client, by a
// pushed token.
func TestAccountExpires(t *testing.T) {
	r := newRealm(t)
	customer, sysUser, good := r.user(r.acc, nil), r.user(r.sys, nil), r.accountToken()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, fmt.Sprintf("resolver { type: full, dir: %q }\nresolver_preload { %s: %q, %s: %q }", t.TempDir(), r.sysKey, r.sysToken, r.accKey, good))
		a := &asking{nc: connect(t, s, sysUser)}
		w, err := watch(s, customer)
		if err != nil {
			t.Fatal(err)
		}
		short := *r.account
		short.Expires = time.Now().Unix() + 2
		a.ask("push", "$SYS.REQ.CLAIMS.UPDATE", encode(t, &short, r.op))
		a.note("ended: %s", w.end(t))
		a.note("again: %s", outcome(s, customer))
		return a.out.String()
	})
}

func TestNotBefore(t *testing.T) {
	r := newRealm(t)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "")
		user := r.user(r.acc, func(u *jwt.UserClaims) { u.NotBefore = time.Now().Unix() + 2 })
		first := outcome(s, user)
		last := ""
		harness.Poll(t, "the user is let in", func() bool { last = outcome(s, user); return !strings.HasPrefix(last, "refused") })
		if strings.HasPrefix(first, "connected") { // the machine was busy
			first = "refused: nats: Authorization Violation"
		}
		return first + last
	})
}

// TestRevocation takes users away, by key and all of before a time.
func TestRevocation(t *testing.T) {
	r := newRealm(t)
	var revoked string
	first := r.user(r.acc, func(u *jwt.UserClaims) { revoked = u.Subject })
	second, sysUser, good := r.user(r.acc, nil), r.user(r.sys, nil), r.accountToken()
	r.account.RevokeAt(revoked, time.Now().Add(time.Hour))
	one := r.accountToken()
	r.account.ClearRevocation(revoked)
	r.account.RevokeAt(revoked, time.Now().Add(-time.Hour))
	earlier := r.accountToken()
	r.account.RevokeAt(jwt.All, time.Now().Add(time.Hour))
	all := r.accountToken()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, fmt.Sprintf("resolver { type: full, dir: %q }\nresolver_preload { %s: %q, %s: %q }", t.TempDir(), r.sysKey, r.sysToken, r.accKey, good))
		a := &asking{nc: connect(t, s, sysUser)}
		w1, err1 := watch(s, first)
		w2, err2 := watch(s, second)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		a.ask("one", "$SYS.REQ.CLAIMS.UPDATE", one)
		a.note("first: %s", w1.end(t))
		a.note("second: %v", w2.Flush())
		a.note("first again: %s", outcome(s, first))
		a.ask("earlier", "$SYS.REQ.CLAIMS.UPDATE", earlier)
		a.note("first again: %s", outcome(s, first))
		a.ask("all", "$SYS.REQ.CLAIMS.UPDATE", all)
		a.note("second: %s", w2.end(t))
		a.note("both again: %s, %s", outcome(s, first), outcome(s, second))
		return a.out.String()
	})
}

// TestDefaultSentinel lets clients without a token in by that of the configuration.
func TestDefaultSentinel(t *testing.T) {
	r := newRealm(t)
	_, pub := key(t, nkeys.CreateUser)
	u := jwt.NewUserClaims(pub)
	u.Name, u.BearerToken = "guest", true
	u.Pub.Allow.Add("x.>")
	u.Sub.Allow.Add("x.>", "_INBOX.>")
	sentinel := encode(t, u, r.acc)
	broken := nats.UserJWT(func() (string, error) { return "x.y.z", nil }, func([]byte) ([]byte, error) { return []byte("sig"), nil })
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, fmt.Sprintf("default_sentinel: %q", sentinel))
		var out strings.Builder
		for name, o := range map[string]nats.Option{
			"nothing": nats.Name("n"), "password": nats.UserInfo("a", "b"), "token": nats.Token("t"), "broken": broken, "user": r.user(r.acc, nil),
		} {
			fmt.Fprintf(&out, "%s: %s\n", name, outcome(s, o))
		}
		return sorted(out.String())
	})
}

// sorted puts lines in order.
func sorted(text string) string {
	lines := strings.Split(text, "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func TestPinnedAccounts(t *testing.T) {
	r := newRealm(t)
	customer, sysUser := r.user(r.acc, nil), r.user(r.sys, nil)
	_, other := key(t, nkeys.CreateAccount)
	base := fmt.Sprintf("operator: %q\nsystem_account: %s\nauthorization { timeout: 60 }\nresolver: MEMORY\nresolver_preload { %s: %q, %s: %q }\n", r.opToken, r.sysKey, r.sysKey, r.sysToken, r.accKey, r.accountToken())
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		file := filepath.Join(t.TempDir(), "server.conf")
		rewrite(t, file, base+"resolver_pinned_accounts: ["+r.accKey+"]")
		s := harness.Start(t, seat, "-c", file)
		out := outcome(s, customer) + outcome(s, sysUser)
		w, err := watch(s, customer)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, file, base+"resolver_pinned_accounts: ["+other+"]")
		s.Signal(syscall.SIGHUP)
		s.Await(`Reloaded server configuration`)
		return out + w.end(t) + outcome(s, customer) + outcome(s, sysUser)
	})
}

// TestTemplates fills in every function of a scope's template.
func TestTemplates(t *testing.T) {
	r := newRealm(t)
	scoped, scopeKey := key(t, nkeys.CreateAccount)
	strict, strictKey := key(t, nkeys.CreateAccount)
	unknown, unknownKey := key(t, nkeys.CreateAccount)
	r.account.Tags.Add("region:eu", "region:us")
	add := func(key string, change func(u *jwt.UserPermissionLimits)) {
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = key, "r"
		change(&scope.Template)
		r.account.SigningKeys.AddScopedSigner(scope)
	}
	add(scopeKey, func(u *jwt.UserPermissionLimits) {
		u.Sub.Allow.Add("x.>", "name.{{name()}}", "Subject.{{ SUBJECT() }}", "an.{{account-name()}}", "as.{{account-subject()}}",
			"t.{{tag(team)}}.{{account-tag(region)}}", "none.{{tag(none)}}", "twice.{{name()}}.{{name()}}")
		u.Sub.Allow.Add("_INBOX.>")
		u.Pub.Allow.Add("x.{{tag(team)}}", "$SYS.REQ.USER.INFO")
		u.Subs, u.Payload = 20, 100
	})
	add(strictKey, func(u *jwt.UserPermissionLimits) { u.Sub.Deny.Add("d.{{tag(none)}}") })
	add(unknownKey, func(u *jwt.UserPermissionLimits) { u.Sub.Allow.Add("d.{{nothing()}}") })
	user := func(signer nkeys.KeyPair, name string, tags ...string) nats.Option {
		return r.user(signer, func(u *jwt.UserClaims) {
			u.Name, u.IssuerAccount, u.UserPermissionLimits = name, r.accKey, jwt.UserPermissionLimits{}
			u.Tags.Add(tags...)
		})
	}
	users := map[string]nats.Option{
		"plain": user(scoped, "bob", "team:Red", "team:blue"), "no tags": user(scoped, "bob"),
		"wildcard name": user(scoped, ">", "team:*"), "dotted name": user(scoped, "a.b", "team:a.b"),
		"template name": user(scoped, "{{subject()}}", "team:{{name()}}"), "empty tag": user(scoped, "bob", "team:"),
		"blank name": user(scoped, "b ob", "team:r ed"), "deny": user(strict, "bob"), "no function": user(unknown, "bob"),
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "")
		var out strings.Builder
		for name, o := range users {
			nc, err := nats.Connect(s.URL(), o, nats.NoReconnect(), nats.Timeout(harness.Patience))
			if err != nil {
				fmt.Fprintf(&out, "%s: %v\n", name, err)
				continue
			}
			info := "denied"
			if name != "deny" {
				info = shapeOf(nc.Request("$SYS.REQ.USER.INFO", nil, harness.Patience))
			}
			fmt.Fprintf(&out, "%s: %s %s\n", name, info, outcome(s, o))
			nc.Close()
		}
		return sorted(out.String())
	})
}

// TestActivations imports what needs a token, each in an account of its own.
func TestActivations(t *testing.T) {
	r := newRealm(t)
	exporter, exporterKey := key(t, nkeys.CreateAccount)
	stranger, _ := key(t, nkeys.CreateAccount)
	sign, signKey := key(t, nkeys.CreateAccount)
	_, otherKey := key(t, nkeys.CreateAccount)
	from := jwt.NewAccountClaims(exporterKey)
	from.SigningKeys.Add(signKey)
	names := []string{"open", "good", "signed", "expired", "foreign", "other", "wrong", "revoked", "none", "kind", "narrow", "garbage"}
	preload := map[string]string{r.sysKey: r.sysToken}
	importers := make(map[string]nats.Option)
	for _, name := range names {
		kp, pub := key(t, nkeys.CreateAccount)
		importers[name] = r.user(kp, nil)
		subject := jwt.Subject(name + ".>")
		export := &jwt.Export{Name: name, Subject: subject, Type: jwt.Stream, TokenReq: name != "open"}
		signer, a := exporter, jwt.NewActivationClaims(pub)
		a.ImportSubject, a.ImportType = subject, jwt.Stream
		switch name {
		case "signed":
			signer, a.IssuerAccount = sign, exporterKey
		case "expired":
			a.Expires = time.Now().Unix() - 10
		case "foreign":
			signer = stranger
		case "other":
			a.Subject = otherKey
		case "wrong":
			a.ImportSubject = "elsewhere.>"
		case "revoked":
			export.RevokeAt(pub, time.Now().Add(time.Hour))
		case "kind":
			a.ImportType = jwt.Service
		case "narrow":
			a.ImportSubject = "narrow.only.>"
		}
		from.Exports.Add(export)
		im := &jwt.Import{Name: name, Subject: subject, Account: exporterKey, Type: jwt.Stream, Token: encode(t, a, signer)}
		switch name {
		case "open", "none":
			im.Token = ""
		case "garbage":
			im.Token = "x.y.z"
		}
		c := jwt.NewAccountClaims(pub)
		c.Imports.Add(im)
		preload[pub] = encode(t, c, r.op)
	}
	preload[exporterKey] = encode(t, from, r.op)
	var config strings.Builder
	config.WriteString("resolver: MEMORY\nresolver_preload {\n")
	for pub, token := range preload {
		fmt.Fprintf(&config, "%s: %q\n", pub, token)
	}
	config.WriteString("}")
	publisher := r.user(exporter, nil)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, config.String())
		nc := connect(t, s, publisher)
		var out strings.Builder
		for _, name := range names {
			in, err := nats.Connect(s.URL(), importers[name], nats.NoReconnect(), nats.Timeout(harness.Patience))
			if err != nil {
				fmt.Fprintf(&out, "%s: %v\n", name, err)
				continue
			}
			all := subscribe(t, in, name+".>")
			flush(t, in)
			publish(t, nc, name+".only.x", name)
			flush(t, nc)
			flush(t, in)
			n, _, _ := all.Pending()
			fmt.Fprintf(&out, "%s: %d received\n", name, n)
			in.Close()
		}
		return out.String()
	})
}

// TestOperatorCallout has an account's service judge its users, in the clear and
// sealed.
func TestOperatorCallout(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) { operatorCallout(t, sealed) })
	}
}

func operatorCallout(t *testing.T, sealed bool) {
	r := newRealm(t)
	var curve nkeys.KeyPair
	var service string
	serviceUser := r.user(r.acc, func(u *jwt.UserClaims) { service = u.Subject })
	placed, placedKey := key(t, nkeys.CreateAccount)
	placedToken := encode(t, jwt.NewAccountClaims(placedKey), r.op)
	forbidden, forbiddenKey := key(t, nkeys.CreateAccount)
	forbiddenToken := encode(t, jwt.NewAccountClaims(forbiddenKey), r.op)
	stranger, _ := key(t, nkeys.CreateAccount)
	r.account.Authorization.AuthUsers.Add(service)
	r.account.Authorization.AllowedAccounts.Add(placedKey)
	if sealed {
		var pub string
		curve, pub = key(t, nkeys.CreateCurveKeys)
		r.account.Authorization.XKey = pub
	}
	user := r.user(r.acc, func(u *jwt.UserClaims) { u.BearerToken = true; u.Pub.Deny.Add(">"); u.Sub.Deny.Add(">") })
	signers := map[string]nkeys.KeyPair{"own": r.acc, "placed": placed, "forbidden": forbidden, "stranger": stranger}
	answer := func(m *nats.Msg) {
		body, xkey := m.Data, m.Header.Get("Nats-Server-Xkey")
		if curve != nil {
			var err error
			if body, err = curve.Open(body, xkey); err != nil {
				t.Errorf("opening the question: %v", err)
				return
			}
		}
		q, err := jwt.DecodeAuthorizationRequestClaims(string(body))
		if err != nil {
			t.Errorf("question: %v", err)
			return
		}
		what := q.ConnectOptions.Name
		res := jwt.NewAuthorizationResponseClaims(q.UserNkey)
		res.Audience = q.Server.ID
		if what == "denied" {
			res.Error = "not you"
		} else {
			u := jwt.NewUserClaims(q.UserNkey)
			u.Name = what
			if what == "expires" {
				u.Expires = time.Now().Unix() - 10
			}
			signer := signers[what]
			if signer == nil {
				signer = r.acc
			}
			if res.Jwt, err = u.Encode(signer); err != nil {
				t.Error(err)
				return
			}
		}
		respondSigned(t, m, res, r.acc, curve, xkey)
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, fmt.Sprintf("authorization { timeout: 60 }\nresolver: MEMORY\nresolver_preload { %s: %q, %s: %q, %s: %q, %s: %q }",
			r.sysKey, r.sysToken, r.accKey, r.accountToken(), placedKey, placedToken, forbiddenKey, forbiddenToken))
		nc := connect(t, s, serviceUser)
		var asked atomic.Int64
		if _, err := nc.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) { asked.Add(1); answer(m) }); err != nil {
			t.Fatal(err)
		}
		failures := subscribe(t, nc, "$SYS.ACCOUNT.CLIENT.AUTH.ERR")
		flush(t, nc)
		var out strings.Builder
		for _, name := range []string{"own", "placed", "forbidden", "stranger", "denied", "expires"} {
			got := outcome(s, user, nats.Name(name))
			fmt.Fprintf(&out, "%s: %s\n", name, got)
			if strings.HasPrefix(got, "refused") {
				var v struct{ Reason string }
				if err := json.Unmarshal(next(t, failures).Data, &v); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "  %s\n", hideKeys(v.Reason))
			}
		}
		fmt.Fprintf(&out, "asked %d times\n", asked.Load())
		fmt.Fprintln(&out, "service publishes:", nc.Publish("$SYS.REQ.USER.AUTH", nil), nc.FlushTimeout(harness.Patience), nc.LastError())
		return out.String()
	})
}

// hideKeys replaces public user keys, which servers make up.
func hideKeys(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if k := strings.Trim(w, `"`); nkeys.IsValidPublicUserKey(k) {
			words[i] = "USER"
		}
	}
	return strings.Join(words, " ")
}

// TestWrongKey shows a token that somebody else's key goes with.
func TestWrongKey(t *testing.T) {
	r := newRealm(t)
	kp, pub := key(t, nkeys.CreateUser)
	other, _ := key(t, nkeys.CreateUser)
	token := encode(t, jwt.NewUserClaims(pub), r.acc)
	as := func(sign func([]byte) ([]byte, error)) nats.Option {
		return nats.UserJWT(func() (string, error) { return token, nil }, sign)
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.memory(t, seat, "")
		none := func([]byte) ([]byte, error) { return nil, nil }
		twice := func(nonce []byte) ([]byte, error) { return kp.Sign(append(nonce, nonce...)) }
		var out strings.Builder
		for _, sign := range []func([]byte) ([]byte, error){kp.Sign, other.Sign, none, twice} {
			fmt.Fprintln(&out, outcome(s, as(sign)))
		}
		return out.String()
	})
}
