package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// answerCallouts is a service that lets in who has the right password and does
// something wrong for some others.
func answerCallouts(t *testing.T, nc *nats.Conn, issuer nkeys.KeyPair, curve nkeys.KeyPair) {
	t.Helper()
	stranger, _ := key(t, nkeys.CreateAccount)
	_, err := nc.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) {
		body := m.Data
		xkey := m.Header.Get("Nats-Server-Xkey")
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
		o := q.ConnectOptions
		u := jwt.NewUserClaims(q.UserNkey)
		u.Audience, u.Name = "APP", o.Username
		r := jwt.NewAuthorizationResponseClaims(q.UserNkey)
		r.Audience = q.Server.ID
		userSigner, signer := issuer, issuer
		switch o.Username {
		case "denied":
			r.Error = "no"
		case "placed wrong":
			u.Audience = "NOWHERE"
		case "other user":
			_, u.Subject = key(t, nkeys.CreateUser)
		case "other server":
			_, r.Audience = key(t, nkeys.CreateServer)
		case "wrong signer":
			signer = stranger
		case "wrong user signer":
			userSigner = stranger
		case "restricted":
			u.Pub.Deny.Add("x.>")
		case "expired":
			u.Expires = time.Now().Unix() - 10
		case "outside":
			u.AllowedConnectionTypes.Add("MQTT")
		case "empty":
			_ = m.Respond(nil)
			return
		case "garbage":
			_ = m.Respond([]byte("eyJ garbage"))
			return
		}
		if r.Error == "" {
			token, err := u.Encode(userSigner)
			if err != nil {
				t.Error(err)
				return
			}
			r.Jwt = token
		}
		respondSigned(t, m, r, signer, curve, xkey)
	})
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
}

// respondSigned answers a request of the server, sealed for xkey if there is a curve.
func respondSigned(t *testing.T, m *nats.Msg, r *jwt.AuthorizationResponseClaims, signer, curve nkeys.KeyPair, xkey string) {
	text, err := r.Encode(signer)
	if err != nil {
		t.Error(err)
		return
	}
	out := []byte(text)
	if curve != nil {
		if out, err = curve.Seal(out, xkey); err != nil {
			t.Error(err)
			return
		}
	}
	_ = m.Respond(out)
}

func testCallout(t *testing.T, sealed bool) {
	issuer, issuerKey := key(t, nkeys.CreateAccount)
	var curve nkeys.KeyPair
	xkey := ""
	if sealed {
		var pub string
		curve, pub = key(t, nkeys.CreateCurveKeys)
		xkey = "xkey: " + pub
	}
	config := fmt.Sprintf(`
accounts { AUTH { users: [ {user: auth, password: pw} ] }, APP {} }
authorization { timeout: 5, auth_callout { issuer: %s, account: AUTH, auth_users: [ auth ], %s } }`, issuerKey, xkey)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, seat, "-c", file)
		nc := connect(t, s, nats.UserInfo("auth", "pw"))
		answerCallouts(t, nc, issuer, curve)
		var out strings.Builder
		for _, name := range []string{
			"good", "denied", "placed wrong", "other user", "other server", "wrong signer", "wrong user signer",
			"restricted", "expired", "outside", "empty", "garbage",
		} {
			fmt.Fprintf(&out, "%s: %s\n", name, outcome(s, nats.UserInfo(name, "x")))
		}
		fmt.Fprintf(&out, "service with a wrong password: %s\n", outcome(s, nats.UserInfo("auth", "no")))
		fmt.Fprintf(&out, "nobody: %s\n", outcome(s))
		return out.String()
	})
}

func TestCallout(t *testing.T)       { testCallout(t, false) }
func TestCalloutSealed(t *testing.T) { testCallout(t, true) }

// TestOperatorLiveUpdate changes an account under a connected client.
func TestOperatorLiveUpdate(t *testing.T) {
	for name, change := range map[string]func(c *jwt.AccountClaims){
		"revoked":      func(c *jwt.AccountClaims) { c.RevokeAt(jwt.All, time.Now().Add(time.Hour)) },
		"no room":      func(c *jwt.AccountClaims) { c.Limits.Conn = 0 },
		"fewer subs":   func(c *jwt.AccountClaims) { c.Limits.Subs = 1 },
		"no signer":    func(c *jwt.AccountClaims) { c.SigningKeys = jwt.SigningKeys{} },
		"other limits": func(c *jwt.AccountClaims) { c.Limits.Payload = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealm(t)
			sign, signKey := key(t, nkeys.CreateAccount)
			r.account.SigningKeys.Add(signKey)
			user := r.user(sign, func(u *jwt.UserClaims) { u.IssuerAccount = r.accKey })
			sysUser := r.user(r.sys, nil)
			first := r.accountToken()
			change(r.account)
			second := r.accountToken()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				s := r.start(t, seat, fmt.Sprintf("resolver: MEMORY\nresolver_preload { %s: %q, %s: %q }", r.sysKey, r.sysToken, r.accKey, first))
				ended := make(chan string, 1)
				nc := connect(t, s, user, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) {
					ended <- fmt.Sprint(nc.LastError())
				}))
				subscribe(t, nc, "a")
				flush(t, nc)
				sys := connect(t, s, sysUser)
				m, err := sys.Request("$SYS.REQ.ACCOUNT."+r.accKey+".CLAIMS.UPDATE", []byte(second), harness.Patience)
				out := answerOf(m, err)
				if name == "other limits" {
					return out + fmt.Sprint(nc.FlushTimeout(harness.Patience))
				}
				select {
				case e := <-ended:
					return out + " " + e
				case <-time.After(harness.Patience):
					return out + " still there"
				}
			})
		})
	}
}
