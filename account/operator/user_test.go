package operator

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account"
)

func newPair(t testing.TB, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
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

// world is an operator with one account and one user of it.
type world struct {
	t        testing.TB
	op, acc  nkeys.KeyPair
	opKey    string
	accKey   string
	user     nkeys.KeyPair
	userKey  string
	sign     nkeys.KeyPair // a signing key of the account
	signKey  string
	scoped   nkeys.KeyPair // a signing key with a scope
	scopeKey string

	now    time.Time
	strict bool

	account   *jwt.AccountClaims
	template  *jwt.UserScope
	claims    *jwt.UserClaims
	signer    nkeys.KeyPair // of the user
	client    account.Client
	proxied   bool
	sentinel  bool
	pinned    []string
	mistrust  bool // the operator is not trusted
	unknown   bool // nobody knows the account
	signature func(string) string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Now()}
	w.op, w.opKey = newPair(t, nkeys.CreateOperator)
	w.acc, w.accKey = newPair(t, nkeys.CreateAccount)
	w.user, w.userKey = newPair(t, nkeys.CreateUser)
	w.sign, w.signKey = newPair(t, nkeys.CreateAccount)
	w.scoped, w.scopeKey = newPair(t, nkeys.CreateAccount)
	w.account = jwt.NewAccountClaims(w.accKey)
	w.account.Name = "acme"
	w.account.SigningKeys.Add(w.signKey)
	w.template = jwt.NewUserScope()
	w.template.Key, w.template.Role = w.scopeKey, "role"
	w.account.SigningKeys.AddScopedSigner(w.template)
	w.claims = jwt.NewUserClaims(w.userKey)
	w.claims.Name = "bob"
	w.signer = w.acc
	w.client = account.Client{Type: account.Standard, Peer: netip.MustParseAddrPort("10.1.2.3:4000"), Nonce: "a-nonce"}
	w.signature = func(nonce string) string {
		sig, err := w.user.Sign([]byte(nonce))
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(sig)
	}
	return w
}

// asScoped makes the user one of the scope.
func (w *world) asScoped() {
	w.signer = w.scoped
	w.claims.IssuerAccount = w.accKey
	w.claims.UserPermissionLimits = jwt.UserPermissionLimits{}
}

func (w *world) trust() *Trust {
	if w.mistrust {
		_, other := newPair(w.t, nkeys.CreateOperator)
		return NewTrust([]string{other}, nil)
	}
	o := Operator{Subject: w.opKey, Strict: w.strict}
	if w.strict {
		o.SigningKeys = []string{w.opKey}
	}
	return NewTrust([]string{w.opKey}, []Operator{o})
}

func (w *world) accountToken() string {
	token, err := w.account.Encode(w.op)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// judge returns the verdict.
func (w *world) judge() (*User, error) {
	w.t.Helper()
	accountToken := w.accountToken()
	if w.client.JWT == "" {
		token, err := w.claims.Encode(w.signer)
		if err != nil {
			w.t.Fatal(err)
		}
		w.client.JWT = token
	}
	if w.signature != nil {
		w.client.Sig = w.signature(w.client.Nonce)
	}
	j := &Judge{Pinned: w.pinned, Lookup: func(name string) (*Account, error) {
		if w.unknown || name != w.accKey {
			return nil, ErrMissing
		}
		return w.trust().Account(accountToken, w.now)
	}}
	if w.sentinel {
		j.Sentinel, w.client.JWT, w.client.Sig = w.client.JWT, "", ""
	}
	return j.User(&w.client, w.proxied, w.now)
}

func at(s string) func(*world) {
	return func(w *world) {
		t, err := time.ParseInLocation("15:04:05", s, time.UTC)
		if err != nil {
			w.t.Fatal(err)
		}
		y, m, d := w.now.UTC().Date()
		w.now = time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
		w.claims.Locale = "UTC"
	}
}

func windows(w *world, list ...string) {
	for _, s := range list {
		start, end, _ := strings.Cut(s, "-")
		w.claims.Times = append(w.claims.Times, jwt.TimeRange{Start: start, End: end})
	}
}

// TestEveryCheck changes one thing each and says what is logged; "" lets the
// user in.
func TestEveryCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"as it should be":     {func(*world) {}, ""},
		"no token":            {func(w *world) { w.client.JWT = " " }, "Authentication requires a user JWT"},
		"garbage for a token": {func(w *world) { w.client.JWT = "eyJ.eyJ.x" }, "Authentication requires a user JWT"},
		"sentinel":            {func(w *world) { w.sentinel, w.claims.BearerToken = true, true }, ""},
		"sentinel that needs a signature": {func(w *world) {
			w.sentinel, w.signature = true, nil
		}, "Signature missing"},
		"account token for a user's": {func(w *world) {
			w.client.JWT = w.accountToken()
		}, "Authentication requires a user JWT"},
		"signature of the token altered": {func(w *world) {
			token, _ := w.claims.Encode(w.signer)
			last := token[len(token)-10]
			w.client.JWT = token[:len(token)-10] + string('A'+(last+1)%26) + token[len(token)-9:]
		}, "Authentication requires a user JWT"},
		"expired":               {func(w *world) { w.claims.Expires = w.now.Unix() - 1 }, "User JWT no longer valid"},
		"not yet valid":         {func(w *world) { w.claims.NotBefore = w.now.Unix() + 60 }, "User JWT no longer valid"},
		"network that is none":  {func(w *world) { w.claims.Src.Add("10.0.0.0/99") }, "User JWT no longer valid"},
		"permission that is no": {func(w *world) { w.claims.Pub.Allow.Add("a..b") }, "User JWT no longer valid"},
		"zone that is none": {func(w *world) {
			windows(w, "00:00:00-23:59:59")
			w.claims.Locale = "Nowhere/Land"
		}, "User JWT no longer valid"},
		"proxy required":              {func(w *world) { w.claims.ProxyRequired = true }, "proxy connection required"},
		"proxy required and there":    {func(w *world) { w.claims.ProxyRequired, w.proxied = true, true }, ""},
		"pinned":                      {func(w *world) { w.pinned = []string{w.accKey} }, ""},
		"not pinned":                  {func(w *world) { w.pinned = []string{w.signKey} }, "not listed as operator pinned account"},
		"nobody pinned":               {func(w *world) { w.pinned = []string{} }, "not listed as operator pinned account"},
		"account unknown":             {func(w *world) { w.unknown = true }, "Account JWT lookup error: account missing"},
		"account of another operator": {func(w *world) { w.mistrust = true }, "Account JWT lookup error: account validation failed"},
		"account expired":             {func(w *world) { w.account.Expires = w.now.Unix() - 1 }, "Account JWT lookup error: account validation failed"},
		"account not yet valid":       {func(w *world) { w.account.NotBefore = w.now.Unix() + 9 }, "Account JWT lookup error: account validation failed"},
		"account expires now":         {func(w *world) { w.account.Expires = w.now.Unix() }, "Account JWT has expired"},
		"issuer unknown": {func(w *world) {
			w.signer, _ = newPair(w.t, nkeys.CreateAccount)
			w.claims.IssuerAccount = w.accKey
		}, "User JWT issuer is not known"},
		"issuer account unknown": {func(w *world) {
			w.signer, _ = newPair(w.t, nkeys.CreateAccount)
		}, "Account JWT lookup error: account missing"},
		"signing key":                        {func(w *world) { w.signer, w.claims.IssuerAccount = w.sign, w.accKey }, ""},
		"signing key that names nobody":      {func(w *world) { w.signer = w.sign }, "Account JWT lookup error: account missing"},
		"account's own key, strict operator": {func(w *world) { w.strict = true }, "User JWT issuer is not known"},
		"signing key, strict operator":       {func(w *world) { w.strict, w.signer, w.claims.IssuerAccount = true, w.sign, w.accKey }, ""},
		"scope":                              {(*world).asScoped, ""},
		"scope, limits in the token": {func(w *world) {
			w.asScoped()
			w.claims.Subs = 5
		}, "User JWT is not valid: scoped users require no permissions or limits set"},
		"scope, function that is none": {func(w *world) {
			w.asScoped()
			w.template.Template.Pub.Allow.Add("a.{{nothing()}}")
		}, "User JWT generated invalid permissions"},
		"scope, denied tag missing": {func(w *world) {
			w.asScoped()
			w.template.Template.Pub.Deny.Add("a.{{tag(x)}}")
		}, "User JWT generated invalid permissions"},
		"scope requires a proxy": {func(w *world) {
			w.asScoped()
			w.template.Template.ProxyRequired = true
		}, "proxy connection required"},
		"scope is for others": {func(w *world) {
			w.asScoped()
			w.template.Template.AllowedConnectionTypes.Add("MQTT")
		}, "Connection type not allowed"},
		"scope with a network that is none": {func(w *world) {
			w.asScoped()
			w.template.Template.Src = jwt.CIDRList{"nonsense"}
		}, "Bad src Ip 10.1.2.3"},
		"bearer":                    {func(w *world) { w.claims.BearerToken, w.signature = true, nil }, ""},
		"bearer not allowed":        {func(w *world) { w.claims.BearerToken, w.account.Limits.DisallowBearer = true, true }, "Account does not allow bearer tokens"},
		"connection type":           {func(w *world) { w.claims.AllowedConnectionTypes.Add("standard", "NONSENSE") }, ""},
		"other connection type":     {func(w *world) { w.claims.AllowedConnectionTypes.Add("WEBSOCKET") }, "Connection type not allowed"},
		"unknown connection types":  {func(w *world) { w.claims.AllowedConnectionTypes.Add("nonsense") }, `invalid connection types ["NONSENSE"]`},
		"no signature":              {func(w *world) { w.signature = nil }, "Signature missing"},
		"signature not base64":      {func(w *world) { w.signature = func(string) string { return "%%%" } }, "Signature not valid base64"},
		"signature of another user": {func(w *world) { w.user, _ = newPair(w.t, nkeys.CreateUser) }, "Signature not verified"},
		"signature of another nonce": {func(w *world) {
			sign := w.signature
			w.signature = func(string) string { return sign("another") }
		}, "Signature not verified"},
		"no nonce":              {func(w *world) { w.client.Nonce = "" }, "Signature not verified"},
		"revoked":               {func(w *world) { w.account.RevokeAt(w.userKey, w.now.Add(time.Minute)) }, "User authentication revoked"},
		"revoked before it was": {func(w *world) { w.account.RevokeAt(w.userKey, w.now.Add(-time.Minute)) }, ""},
		"all revoked":           {func(w *world) { w.account.RevokeAt(jwt.All, w.now.Add(time.Minute)) }, "User authentication revoked"},
		"another revoked":       {func(w *world) { w.account.RevokeAt(w.signKey, w.now.Add(time.Minute)) }, ""},
		"network":               {func(w *world) { w.claims.Src.Add("192.168.0.0/16", "10.1.0.0/16") }, ""},
		"other network":         {func(w *world) { w.claims.Src.Add("10.2.0.0/16", "::/0") }, "Bad src Ip 10.1.2.3"},
		"mapped address": {func(w *world) {
			w.claims.Src.Add("10.0.0.0/8")
			w.client.Peer = netip.MustParseAddrPort("[::ffff:10.9.9.9]:1")
		}, ""},
		"in the window":            {func(w *world) { at("12:00:00")(w); windows(w, "11:00:00-13:00:00") }, ""},
		"outside of the window":    {func(w *world) { at("12:00:00")(w); windows(w, "13:00:00-14:00:00") }, "Outside connect times"},
		"at the window's start":    {func(w *world) { at("12:00:00")(w); windows(w, "12:00:00-14:00:00") }, "Outside connect times"},
		"after midnight":           {func(w *world) { at("03:00:00")(w); windows(w, "22:00:00-06:00:00") }, ""},
		"before midnight":          {func(w *world) { at("23:00:00")(w); windows(w, "22:00:00-06:00:00") }, ""},
		"noon in a nightly window": {func(w *world) { at("12:00:00")(w); windows(w, "22:00:00-06:00:00") }, "Outside connect times"},
		"an empty window":          {func(w *world) { at("12:00:00")(w); windows(w, "12:00:00-12:00:00") }, "Outside connect times"},
		"window in another zone":   {func(w *world) { at("12:00:00")(w); w.claims.Locale = "Asia/Tokyo"; windows(w, "20:30:00-21:30:00") }, ""},
		"account without exports":  {func(w *world) { w.account.Limits.Exports = 0; w.account.Exports.Add(stream("a")) }, "Account JWT lookup error: account validation failed"},
		"account without imports":  {func(w *world) { w.account.Limits.Imports = 0; w.account.Imports.Add(imported(w.signKey, "a")) }, "Account JWT lookup error: account validation failed"},
		"account without wildcards": {func(w *world) {
			w.account.Limits.Exports, w.account.Limits.WildcardExports = 9, false
			w.account.Exports.Add(stream("a.*"))
		}, "Account JWT lookup error: account validation failed"},
		"account with tiers and limits": {func(w *world) {
			w.account.Limits.JetStreamTieredLimits["R1"] = jwt.JetStreamLimits{DiskStorage: 1}
			w.account.DefaultPermissions.Pub.Allow.Add("a b c")
		}, "Account JWT lookup error: account validation failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			u, err := w.judge()
			if c.want == "" {
				if err != nil {
					t.Fatalf("denied: %v", err)
				}
				if u.Identity == nil || u.Identity.Account != w.accKey || u.Identity.User != w.userKey {
					t.Fatalf("identity %+v", u.Identity)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), w.client.JWT) && len(w.client.JWT) > 20 {
				t.Error("the error shows the token")
			}
			if u != nil && u.Identity != nil {
				t.Error("denied, with an identity")
			}
		})
	}
}

func stream(subject jwt.Subject) *jwt.Export { return &jwt.Export{Subject: subject, Type: jwt.Stream} }

func imported(from string, subject jwt.Subject) *jwt.Import {
	return &jwt.Import{Account: from, Subject: subject, Type: jwt.Stream}
}

func TestDenialKinds(t *testing.T) {
	check := func(change func(*world), kind account.DenialKind, loud bool) {
		t.Helper()
		w := newWorld(t)
		change(w)
		_, err := w.judge()
		d, ok := errors.AsType[*account.Denial](err)
		if !ok || d.Kind != kind || d.Loud != loud {
			t.Errorf("got %+v, want kind %v, loud %v", err, kind, loud)
		}
	}
	check(func(w *world) { w.claims.ProxyRequired = true }, account.ProxyRequired, false)
	check(func(w *world) { w.claims.Src.Add("1.2.3.4/32") }, account.BadCredentials, true)
	check(func(w *world) { at("12:00:00")(w); windows(w, "13:00:00-14:00:00") }, account.BadCredentials, true)
	check(func(w *world) { w.claims.Expires = 1 }, account.BadCredentials, false)
}

func TestIdentityOfUser(t *testing.T) {
	w := newWorld(t)
	at("12:00:00")(w)
	windows(w, "11:00:00-13:00:00", "11:30:00-14:00:00")
	w.claims.Expires = w.now.Add(time.Hour).Unix()
	w.claims.Subs, w.claims.Limits.Payload = 7, 1000
	w.claims.Pub.Allow.Add("a", "b.*")
	w.claims.Sub.Deny.Add("c q")
	w.claims.Resp = &jwt.ResponsePermission{MaxMsgs: 3}
	w.claims.Tags.Add("x:1")
	w.signer, w.claims.IssuerAccount = w.sign, w.accKey
	u, err := w.judge()
	if err != nil {
		t.Fatal(err)
	}
	id := u.Identity
	if id.MaxSubscriptions != 7 || id.MaxPayload != 1000 || id.NameTag != "bob" || id.IssuedBy != w.signKey || id.JWT != w.client.JWT {
		t.Errorf("identity %+v", id)
	}
	if want := w.now.Add(time.Hour); id.Expires.Unix() != want.Unix() {
		t.Errorf("expires %v, want %v", id.Expires, want)
	}
	p := id.Permissions
	if fmt.Sprint(p.Publish.Allow, p.Subscribe.Deny, *p.Responses) != "[a b.*] [c q] {3 2m0s}" || p.Subscribe.Allow != nil || id.DefaultPermissions {
		t.Errorf("permissions %+v %+v %+v", p.Publish, p.Subscribe, p.Responses)
	}

	w = newWorld(t)
	w.account.DefaultPermissions.Sub.Allow.Add("only.this")
	if u, err = w.judge(); err != nil {
		t.Fatal(err)
	}
	if id = u.Identity; !id.DefaultPermissions || fmt.Sprint(id.Permissions.Subscribe.Allow) != "[only.this]" || !id.Expires.IsZero() {
		t.Errorf("identity %+v", id)
	}

	w = newWorld(t)
	w.claims.Resp = &jwt.ResponsePermission{MaxMsgs: -1, Expires: -1}
	if u, err = w.judge(); err != nil {
		t.Fatal(err)
	}
	if p = u.Identity.Permissions; p.Publish == nil || p.Publish.Allow == nil || len(p.Publish.Allow) != 0 || p.Responses.MaxMsgs != -1 {
		t.Errorf("answers only: %+v %+v", p.Publish, p.Responses)
	}
}

func TestTokenHasOneSpelling(t *testing.T) {
	w := newWorld(t)
	token, err := w.claims.Encode(w.acc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeUser(token); err != nil {
		t.Fatal(err)
	}
	// 64 bytes of a signature leave four bits of the last character unused.
	last := strings.IndexByte(alphabet, token[len(token)-1])
	for bits := 1; bits < 16; bits++ {
		other := token[:len(token)-1] + string(alphabet[last|bits])
		if other == token {
			continue
		}
		if _, err := jwt.DecodeUserClaims(other); err != nil {
			t.Fatalf("the library refuses %q itself: %v", other[len(other)-4:], err)
		}
		if _, err := DecodeUser(other); err == nil {
			t.Errorf("another spelling was taken: …%q", other[len(other)-4:])
		}
	}
	for _, other := range []string{token + "\n", "\n" + token, token + "=", strings.Replace(token, ".", ".\r\n", 1), token + ".", "." + token} {
		if _, err := DecodeUser(other); err == nil {
			t.Errorf("another spelling was taken: %q", other)
		}
	}
	// The other form of the same ed25519 signature: S + L.
	parts := strings.Split(token, ".")
	sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
	addOrder(sig[32:])
	other := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(sig)
	if _, err := DecodeUser(other); err == nil {
		t.Error("a signature with S + L was taken")
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// addOrder adds the order of the group to a little-endian scalar.
func addOrder(s []byte) {
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}
	carry := 0
	for i := range s {
		n := int(s[i]) + int(order[i]) + carry
		s[i], carry = byte(n), n>>8
	}
}

func TestBombs(t *testing.T) {
	for name, token := range map[string]string{
		"long":      strings.Repeat("a", TokenMax) + ".b.c",
		"dots":      strings.Repeat(".", TokenMax-1),
		"deep":      segment(`{"typ":"JWT","alg":"ed25519-nkey"}`) + "." + segment(strings.Repeat("[", 300000)) + ".AA",
		"empty":     "..",
		"no object": segment(`{"typ":"JWT","alg":"ed25519-nkey"}`) + "." + segment(`[]`) + ".AA",
		"no issuer": segment(`{"typ":"JWT","alg":"ed25519-nkey"}`) + "." + segment(`{"nats":{"type":"user","version":2}}`) + "." + segment(strings.Repeat("x", 64)),
		"alg none":  segment(`{"typ":"JWT","alg":"none"}`) + "." + segment(`{"nats":{"type":"user","version":2}}`) + ".",
	} {
		if _, err := DecodeUser(token); err == nil {
			t.Errorf("%s was taken", name)
		}
		if _, err := DecodeAccount(token); err == nil {
			t.Errorf("%s was taken for an account", name)
		}
		if _, err := DecodeGeneric(token); err == nil {
			t.Errorf("%s was taken for anything", name)
		}
	}
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// FuzzUser throws tokens at a judge. Whatever they are, nobody is let in by one
// that the account's keys did not sign.
func FuzzUser(f *testing.F) {
	w := newWorld(f)
	token, err := w.claims.Encode(w.acc)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token, "sig")
	f.Add(w.accountToken(), "")
	parts := strings.Split(token, ".")
	f.Add(parts[0]+"."+segment(`{"iss":"`+w.accKey+`","sub":"x","nats":{"type":"user","version":2,"bearer_token":true}}`)+"."+parts[2], "")
	f.Add("..", "x")
	accountToken := w.accountToken()
	j := &Judge{Lookup: func(string) (*Account, error) { return w.trust().Account(accountToken, w.now) }}
	f.Fuzz(func(t *testing.T, text, sig string) {
		c := w.client
		c.JWT, c.Sig = text, sig
		u, err := j.User(&c, false, w.now)
		if err == nil || u != nil && u.Identity != nil {
			t.Errorf("%q, %q let somebody in", text, sig)
		}
	})
}
