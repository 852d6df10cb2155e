package account

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

func directory(t testing.TB, c Contents) *Directory {
	t.Helper()
	d, err := NewDirectory(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// outcome is who a client is, or how it was refused.
func outcome(d *Directory, c *Client) string {
	r := d.Decide(c)
	err := r.Err
	if r.Proof != nil {
		if proved := r.Proof(); err == nil {
			err = proved
		}
	}
	if err == nil {
		return r.Identity.Account + "/" + r.Identity.Label
	}
	var denial *Denial
	if !errors.As(err, &denial) {
		return "no denial: " + err.Error()
	}
	if denial.Detail != "" {
		return "refused: " + denial.Detail
	}
	return [...]string{BadCredentials: "refused", ProxyNotTrusted: "proxy", ProxyRequired: "proxy required"}[denial.Kind]
}

type userKey struct {
	pair nkeys.KeyPair
	id   string
}

func newUserKey(t testing.TB) userKey {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	id, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return userKey{pair, id}
}

func (k userKey) sign(t testing.TB, nonce string) []byte {
	t.Helper()
	sig, err := k.pair.Sign([]byte(nonce))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestDecide(t *testing.T) {
	hashed := hash(t, "hashed")
	users := Contents{
		Accounts: []*Definition{NewDefinition("A"), NewDefinition("B")},
		Users: []*User{
			{Name: "plain", Password: "secret", Account: "A"}, {Name: "hashed", Password: hashed, Account: "B"},
			{Name: "mqtt", Password: "x", ConnectionTypes: MQTT}, {Name: "proxied", Password: "x", ProxyRequired: true},
			{Name: "empty"},
		},
	}
	guests := users
	guests.NoAuthUser = "plain"
	hashedGuests := users
	hashedGuests.NoAuthUser = "hashed"
	check := func(name string, c Contents, cl Client, want string) {
		t.Helper()
		if cl.Type == 0 {
			cl.Type = Standard
		}
		if got := outcome(directory(t, c), &cl); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	said := func(user, pass string) Client { return Client{Credentials: Credentials{User: user, Pass: pass}} }
	token := func(token string) Client { return Client{Credentials: Credentials{Token: token}} }

	check("open", Contents{}, said("", ""), "/")
	check("open, named", Contents{}, said("me", "x"), "/user:me")
	check("open, token", Contents{}, token("x"), "/token")

	check("plain", users, said("plain", "secret"), "A/user:plain")
	check("plain, wrong", users, said("plain", "Secret"), "refused")
	check("plain, none", users, said("plain", ""), "refused")
	check("hashed", users, said("hashed", "hashed"), "B/user:hashed")
	check("hashed, wrong", users, said("hashed", "other"), "refused")
	check("hashed, the hash itself", users, said("hashed", hashed), "refused")
	check("unknown", users, said("nobody", "secret"), "refused")
	check("nothing said", users, said("", ""), "refused")
	check("password alone", users, said("", "secret"), "refused")
	check("token for users", users, token("secret"), "refused")
	check("no password", users, said("empty", ""), "/user:empty")
	check("other type", users, said("mqtt", "x"), "refused")
	check("that type", users, Client{Type: MQTT, Credentials: Credentials{User: "mqtt", Pass: "x"}}, "/user:mqtt")
	check("not through a proxy", users, said("proxied", "x"), "proxy required")
	check("through a proxy", users, Client{ProxyKey: "P", Credentials: Credentials{User: "proxied", Pass: "x"}}, "/user:proxied")

	check("guest", guests, said("", ""), "A/user:plain")
	check("guest who says something", guests, said("", "x"), "refused")
	check("guest with a token", guests, token("x"), "refused")
	check("guest of a user with a hash", hashedGuests, said("", ""), "refused")

	check("token", Contents{Token: "t"}, token("t"), "/token")
	check("token, wrong", Contents{Token: "t"}, token("T"), "refused")
	check("token, none", Contents{Token: "t"}, said("t", "t"), "refused")
	check("token, hashed", Contents{Token: hashed}, token("hashed"), "/token")
	check("token, hashed, wrong", Contents{Token: hashed}, token("h"), "refused")
	check("single", Contents{User: "u", Password: "p"}, said("u", "p"), "/user:u")
	check("single, wrong", Contents{User: "u", Password: "p"}, said("u", "q"), "refused")
	check("single, other", Contents{User: "u", Password: "p"}, said("v", "p"), "refused")
	check("single, proxy", Contents{User: "u", Password: "p", ProxyRequired: true}, said("u", "p"), "proxy required")
	check("single, hashed", Contents{User: "u", Password: hashed}, said("u", "hashed"), "/user:u")
}

func TestDecideNkeys(t *testing.T) {
	k, other := newUserKey(t), newUserKey(t)
	contents := Contents{Users: []*User{
		{Nkey: k.id}, {Name: "named", Password: "x"},
	}}
	d := directory(t, contents)
	contents.NoAuthUser = k.id
	guests := directory(t, contents)
	const nonce = "abcdefghijklmno"
	raw, padded := base64.RawURLEncoding, base64.StdEncoding
	good := raw.EncodeToString(k.sign(t, nonce))
	check := func(name string, d *Directory, c Client, want string) {
		t.Helper()
		c.Type = Standard
		if got := outcome(d, &c); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	with := func(nkey, nonce, sig string) Client {
		return Client{Nonce: nonce, Credentials: Credentials{Nkey: nkey, Sig: sig}}
	}
	check("signed", d, with(k.id, nonce, good), "/nkey:"+k.id)
	check("signed, padded", d, with(k.id, nonce, padded.EncodeToString(k.sign(t, nonce))), "/nkey:"+k.id)
	check("no signature", d, with(k.id, nonce, ""), "refused: Signature missing")
	check("no base64", d, with(k.id, nonce, "!"), "refused: Signature not valid base64")
	check("other nonce", d, with(k.id, "other", good), "refused: Signature not verified")
	check("no nonce", d, with(k.id, "", raw.EncodeToString(k.sign(t, ""))), "refused: Signature not verified")
	check("other key's signature", d, with(k.id, nonce, raw.EncodeToString(other.sign(t, nonce))), "refused: Signature not verified")
	check("unknown key", d, with(other.id, nonce, raw.EncodeToString(other.sign(t, nonce))), "refused")
	check("beside a user", d, Client{Credentials: Credentials{User: "named", Pass: "x"}}, "/user:named")
	check("key before name", d, Client{Credentials: Credentials{Nkey: other.id, User: "named", Pass: "x"}}, "refused")
	check("guest", guests, Client{}, "/nkey:"+k.id)
	// The one of the guests is let in without a signature, also by name.
	check("guest by name", guests, with(k.id, nonce, ""), "/nkey:"+k.id)

	// Every bit of a signature counts.
	sig := k.sign(t, nonce)
	for i := range 8 * len(sig) {
		sig[i/8] ^= 1 << (i % 8)
		check("changed signature", d, with(k.id, nonce, raw.EncodeToString(sig)), "refused")
		sig[i/8] ^= 1 << (i % 8)
	}
	check("longer signature", d, with(k.id, nonce, raw.EncodeToString(append(sig, 0))), "refused")
	check("shorter signature", d, with(k.id, nonce, raw.EncodeToString(sig[:len(sig)-1])), "refused")
	// The order of the group added to the scalar makes another signature that
	// sloppy verifiers take.
	check("malleated signature", d, with(k.id, nonce, raw.EncodeToString(malleate(sig))), "refused")
}

// malleate adds the order of the curve's group to the scalar of a signature.
func malleate(sig []byte) []byte {
	order := []byte{
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	}
	out := append([]byte(nil), sig...)
	carry := 0
	for i, b := range order {
		sum := int(out[32+i]) + int(b) + carry
		out[32+i], carry = byte(sum), sum>>8
	}
	return out
}

func TestDecideCertificates(t *testing.T) {
	cert := certificate(t, pkix.RDNSequence{rdn(oidCN, "ann")}, func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@acme.com"} })
	d := directory(t, Contents{CertificateMap: true, Users: []*User{
		{Name: "ann@acme.com"}, {Name: "bob", Password: "x"}, {Name: "CN=ann", Password: "with"},
	}})
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	for _, c := range []struct {
		name  string
		tls   *tls.ConnectionState
		creds Credentials
		want  string
	}{
		{"shown", shown, Credentials{}, "/user:ann@acme.com"},
		{"shown, another name said", shown, Credentials{User: "bob"}, "/user:ann@acme.com"},
		{"shown, a password said", shown, Credentials{User: "bob", Pass: "x"}, "refused"},
		{"no certificate", &tls.ConnectionState{}, Credentials{User: "bob", Pass: "x"}, "refused"},
		{"no TLS", nil, Credentials{User: "bob", Pass: "x"}, "refused"},
	} {
		if got := outcome(d, &Client{Type: Standard, TLS: c.tls, Credentials: c.creds}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	r := d.Decide(&Client{Type: Standard, TLS: shown, Credentials: Credentials{User: "bob"}})
	if want := `User "bob" found in connect proto, but user required from cert`; r.Warning != want {
		t.Errorf("warning %q, want %q", r.Warning, want)
	}
	// Kinds of connections without a certificate of their own use names.
	if got := outcome(d, &Client{Type: InProcess, Credentials: Credentials{User: "bob", Pass: "x"}}); got != "/user:bob" {
		t.Errorf("in process: %q", got)
	}
}

// As soon as a directory has a hash, every refusal has one to compute; without
// one, none has.
func TestRefusalsTakeTheirTime(t *testing.T) {
	hashed := hash(t, "x")
	for _, withHash := range []bool{false, true} {
		password := "plain"
		if withHash {
			password = hashed
		}
		users := directory(t, Contents{Users: []*User{
			{Name: "u", Password: password}, {Name: "plain", Password: "plain"}, {Name: "mqtt", Password: password, ConnectionTypes: MQTT},
		}})
		single := directory(t, Contents{User: "u", Password: password})
		token := directory(t, Contents{Token: password})
		for name, r := range map[string]Decision{
			"unknown user":       users.Decide(&Client{Type: Standard, Credentials: Credentials{User: "nobody", Pass: "p"}}),
			"wrong password":     users.Decide(&Client{Type: Standard, Credentials: Credentials{User: "u", Pass: "p"}}),
			"wrong plain one":    users.Decide(&Client{Type: Standard, Credentials: Credentials{User: "plain", Pass: "p"}}),
			"other type":         users.Decide(&Client{Type: Standard, Credentials: Credentials{User: "mqtt", Pass: "p"}}),
			"nothing said":       users.Decide(&Client{Type: Standard}),
			"single, other user": single.Decide(&Client{Type: Standard, Credentials: Credentials{User: "v", Pass: "p"}}),
			"single, wrong":      single.Decide(&Client{Type: Standard, Credentials: Credentials{User: "u", Pass: "p"}}),
			"token, wrong":       token.Decide(&Client{Type: Standard, Credentials: Credentials{Token: "p"}}),
		} {
			if (r.Proof != nil) != withHash {
				t.Errorf("%s, hash in the directory %v: something to compute %v", name, withHash, r.Proof != nil)
			}
			if r.Proof == nil && r.Err == nil || r.Proof != nil && r.Proof() == nil {
				t.Errorf("%s: let in", name)
			}
		}
	}
}
