package account

import (
	"slices"
	"strings"
	"testing"
)

func TestDirectoryRefuses(t *testing.T) {
	for _, c := range []struct {
		Contents
		want string
	}{
		{Contents{Accounts: []*Definition{NewDefinition("A"), NewDefinition("A")}}, `account "A" is there twice`},
		{Contents{System: "S"}, "error resolving system account: account missing"},
		{Contents{Users: []*User{{Name: "u", Account: "A"}}}, `user "u" is in account "A", which does not exist`},
		{Contents{Users: []*User{{Name: "u"}, {Name: "u"}}}, `user "u" is there twice`},
		{Contents{Users: []*User{{Nkey: "U"}, {Nkey: "U"}}}, `user "U" is there twice`},
		{Contents{NoAuthUser: "u"}, `no_auth_user: "u" not present as user or nkey in authorization block or account configuration`},
	} {
		if d, err := NewDirectory(c.Contents); err == nil || err.Error() != c.want {
			t.Errorf("%v, %v; want %s", d, err, c.want)
		}
	}
	// A name may look like somebody's key.
	if _, err := NewDirectory(Contents{Users: []*User{{Name: "U"}, {Nkey: "U"}}}); err != nil {
		t.Error(err)
	}
}

func TestDirectoryAccounts(t *testing.T) {
	check := func(c Contents, system string, want ...string) {
		t.Helper()
		d := directory(t, c)
		var names []string
		for _, a := range d.Definitions() {
			names = append(names, a.Name)
			if d.Accounts()[a.Name] != a {
				t.Errorf("account %q is another one", a.Name)
			}
		}
		if !slices.Equal(names, want) || len(d.Accounts()) != len(want) || d.System() != system {
			t.Errorf("accounts %q of system %q, want %q of %q", names, d.System(), want, system)
		}
	}
	a := func(name string) *Definition { return NewDefinition(name) }
	check(Contents{}, System, Global, System)
	check(Contents{NoSystem: true}, "", Global)
	check(Contents{Accounts: []*Definition{a("B"), a("A")}}, System, "B", "A", Global, System)
	check(Contents{Accounts: []*Definition{a("S"), a(Global)}, System: "S"}, "S", "S", Global)
	check(Contents{Accounts: []*Definition{a(System)}}, System, System, Global)
}

// What clients are told before they say anything.
func TestDirectoryAnnounces(t *testing.T) {
	own := []*Definition{NewDefinition("S")}
	user, nkey := &User{Name: "u", Password: "p"}, &User{Nkey: "U"}
	for i, c := range []struct {
		Contents
		required, announced, nonce, plain bool
	}{
		{Contents{}, false, false, false, false},
		{Contents{AuthorizationGiven: true}, false, false, false, false},
		{Contents{User: "u", Password: "p"}, true, true, false, true},
		{Contents{User: "u", Password: decoyHash(5)}, true, true, false, false},
		{Contents{Token: "t"}, true, true, false, false},
		{Contents{Users: []*User{user}}, true, true, false, true},
		{Contents{Users: []*User{{Name: "u", Password: decoyHash(5)}}}, true, true, false, false},
		{Contents{Users: []*User{{Name: "u"}}}, true, true, false, true},
		{Contents{Users: []*User{{Name: "u"}}, CertificateMap: true}, true, true, false, false},
		{Contents{Users: []*User{{Name: "u", ConnectionTypes: MQTT}}, CertificateMap: true}, true, true, false, true},
		{Contents{Users: []*User{nkey}}, true, true, true, false},
		{Contents{Users: []*User{user}, NoAuthUser: "u"}, true, false, false, true},
		{Contents{Users: []*User{nkey}, NoAuthUser: "U"}, true, false, true, false},
		{Contents{Accounts: own, System: "S"}, true, true, false, false},
		{Contents{Accounts: own, System: "S", AuthorizationGiven: true}, false, false, false, false},
		{Contents{Accounts: own, System: "S", Users: []*User{user}, NoAuthUser: "u"}, true, false, false, true},
		{Contents{Accounts: append(own, NewDefinition("A")), System: "S"}, false, false, false, false},
	} {
		d := directory(t, c.Contents)
		if got := d.Required(); got != c.required {
			t.Errorf("%d: required %v", i, got)
		}
		if got := d.Announced(); got != c.announced {
			t.Errorf("%d: announced %v", i, got)
		}
		if got := d.NonceNeeded(); got != c.nonce {
			t.Errorf("%d: nonce %v", i, got)
		}
		if got := d.PlainPasswords(); got != c.plain {
			t.Errorf("%d: plain passwords %v", i, got)
		}
	}
}

// Where only the system account is configured, those who say nothing are in the
// global one, as somebody whom no configuration and no other server knows.
func TestHiddenUser(t *testing.T) {
	c := Contents{Accounts: []*Definition{NewDefinition("S")}, System: "S"}
	seen := make(map[string]bool)
	for range 100 {
		d := directory(t, c)
		if !strings.HasPrefix(d.hidden, "nats-") || len(d.hidden) != len("nats-")+8 || seen[d.hidden] {
			t.Fatalf("hidden user %q", d.hidden)
		}
		seen[d.hidden] = true
		if got := outcome(d, &Client{Type: Standard}); got != "/user:"+d.hidden {
			t.Fatalf("who says nothing is %q", got)
		}
		if got := outcome(d, &Client{Type: Standard, Credentials: Credentials{User: d.hidden, Pass: "x"}}); got != "refused" {
			t.Fatalf("who knows the name alone is %q", got)
		}
	}
}

func TestUsersAreFound(t *testing.T) {
	d := directory(t, Contents{Users: []*User{{Name: "u"}, {Nkey: "U"}, {Name: "v"}}})
	for id, want := range map[string]bool{"u": true, "v": true, "U": true, "": false, "w": false} {
		if got := d.User(id) != nil; got != want {
			t.Errorf("user %q is there: %v", id, got)
		}
	}
	n := 0
	d.Users(func(*User) bool { n++; return true })
	if n != 3 {
		t.Errorf("%d users", n)
	}
	d.Users(func(*User) bool { n++; return false })
	if n != 4 {
		t.Error("the walk goes on")
	}
}
