package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestIsBcrypt(t *testing.T) {
	for _, text := range []string{"$2a$04$x", "$2b$11$", "$2x$10$abc", "$2y$31$abc"} {
		if !IsBcrypt(text) {
			t.Errorf("%q is a hash", text)
		}
	}
	for _, text := range []string{"", "$2a$", "$2c$10$abc", "$2a$1$abc", "2a$10$abc", " $2a$10$abc", "$2a$xx$abc", "$1$10$abc", "password"} {
		if IsBcrypt(text) {
			t.Errorf("%q is no hash", text)
		}
	}
}

func TestSamePlain(t *testing.T) {
	words := []string{"", "a", "A", "a\x00", "secret", "secret ", strings.Repeat("x", 1<<16), strings.Repeat("x", 1<<16) + "y"}
	for i, a := range words {
		for k, b := range words {
			if got := samePlain(a, b); got != (i == k) {
				t.Errorf("%.10q and %.10q are the same: %v", a, b, got)
			}
		}
	}
}

// hash returns a bcrypt hash that costs little.
func hash(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestSameHashed(t *testing.T) {
	h := hash(t, "secret")
	for password, want := range map[string]bool{
		"secret": true, "": false, "secret\x00": false, "Secret": false, h: false, strings.Repeat("secret", 20): false,
	} {
		if got := sameHashed(h, password); got != want {
			t.Errorf("%.10q matches: %v", password, got)
		}
	}
	if sameHashed("$2a$04$short", "secret") {
		t.Error("a broken hash matches")
	}
	long := strings.Repeat("x", 72)
	if h := hash(t, long); !sameHashed(h, long) || !sameHashed(h, long+"y") || sameHashed(h, long[1:]) {
		t.Error("not just the first 72 bytes count")
	}
}

// A decoy costs what a real hash of its cost does: bcrypt gets as far as
// comparing.
func TestDecoyHashesAreHashes(t *testing.T) {
	for cost := bcrypt.MinCost; cost <= bcrypt.MaxCost; cost++ {
		h := decoyHash(cost)
		if got, err := bcrypt.Cost([]byte(h)); err != nil || got != cost || !IsBcrypt(h) {
			t.Errorf("decoy of cost %d: %q has cost %d, %v", cost, h, got, err)
		}
	}
	if err := bcrypt.CompareHashAndPassword([]byte(decoyHash(bcrypt.MinCost)), []byte("x")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("a decoy was not computed: %v", err)
	}
}

func TestDecoysCostAsMuchAsTheDearestHash(t *testing.T) {
	costing := func(n int) string { return decoyHash(n) }
	for i, c := range []struct {
		Contents
		want int // 0: none
	}{
		{Contents{}, 0},
		{Contents{User: "u", Password: "plain"}, 0},
		{Contents{User: "u", Password: costing(5)}, 5},
		{Contents{Token: costing(6)}, 6},
		{Contents{Users: []*User{{Name: "a", Password: costing(4)}, {Name: "b", Password: costing(7)}, {Name: "c", Password: "p"}}}, 7},
		{Contents{Users: []*User{{Name: "a", Password: "$2a$99$broken"}}}, 0},
	} {
		got := 0
		if h := newDecoys(&c.Contents).hash; h != "" {
			got, _ = bcrypt.Cost([]byte(h))
		}
		if got != c.want {
			t.Errorf("%d: decoys cost %d, want %d", i, got, c.want)
		}
	}
}

// No form in which a client may be printed by mistake shows what it said.
func TestClientsPrintNoSecrets(t *testing.T) {
	c := &Client{ID: 7, Nonce: "nonce-secret", Credentials: Credentials{
		User: "me", Pass: "pass-secret", Token: "token-secret", JWT: "jwt-secret", Sig: "sig-secret", ProxySig: "proxy-secret",
	}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		u := User{Name: "me", Password: "pass-secret"}
		for _, v := range []any{c, *c, c.Credentials, []*Client{c}, struct{ C Client }{*c}, u, &u, []User{u}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "secret") {
				t.Errorf("%s of %T shows %s", verb, v, text)
			}
		}
	}
}
