package account

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
)

// Contents are what a directory is made of. The zero value lets everybody into
// the global account.
type Contents struct {
	// Accounts besides the global one and, unless NoSystem, the system one; both
	// may be there to say more about them.
	Accounts []*Definition
	// System is the name of the system account; empty is "$SYS".
	System   string
	NoSystem bool

	Users []*User
	// NoAuthUser is the user of clients that give no credentials: a name or an
	// nkey in Users.
	NoAuthUser string

	// User and Password, or Token, are of everybody, without Users.
	User, Password, Token string
	ProxyRequired         bool

	// AuthorizationGiven says that the configuration has a word about who may
	// connect.
	AuthorizationGiven bool
	// CertificateMap says that users of plain connections are found by the
	// certificates of clients.
	CertificateMap bool
}

// Directory is who may connect, and to which accounts: one state of the
// configuration. It is immutable and safe for all goroutines.
type Directory struct {
	Generation uint64 // grows with every directory that is made

	contents Contents
	accounts map[string]*Definition
	users    map[string]*User
	nkeys    map[string]*User
	// certificates is how users are found where CertificateMap says so; else nil.
	certificates *CertificateIndex
	hidden       string // a no_auth_user that nobody configured
	secrets      decoys
}

var generations atomic.Uint64

// NewDirectory makes a directory of c, which must not change any more.
//
// Errors name the first thing that cannot be: an account or a user that is
// there twice, a user without its account, a no_auth_user that is none.
func NewDirectory(c Contents) (*Directory, error) {
	d := &Directory{
		Generation: generations.Add(1), contents: c,
		accounts: make(map[string]*Definition), users: make(map[string]*User), nkeys: make(map[string]*User),
	}
	for _, a := range c.Accounts {
		if d.accounts[a.Name] != nil {
			return nil, fmt.Errorf("account %q is there twice", a.Name)
		}
		d.accounts[a.Name] = a
	}
	if d.contents.System == "" && !c.NoSystem {
		d.contents.System = System
	}
	if err := d.completeAccounts(); err != nil {
		return nil, err
	}
	for _, u := range c.Users {
		if err := d.add(u); err != nil {
			return nil, err
		}
	}
	if id := c.NoAuthUser; id != "" && d.users[id] == nil && d.nkeys[id] == nil {
		return nil, fmt.Errorf("no_auth_user: %q not present as user or nkey in authorization block or account configuration", id)
	}
	d.secrets = newDecoys(&d.contents)
	if c.CertificateMap && len(d.users) > 0 {
		d.certificates = NewCertificateIndex(slices.Sorted(maps.Keys(d.users)))
	}
	return d, nil
}

// completeAccounts adds the accounts that always exist. An installation that
// configures the system account alone goes on to let everybody else into the
// global one.
func (d *Directory) completeAccounts() error {
	c := &d.contents
	if d.accounts[Global] == nil {
		d.accounts[Global] = NewDefinition(Global)
	}
	sys := c.System
	if sys == "" {
		return nil
	}
	given := d.accounts[sys] != nil
	switch {
	case given:
	case sys == System:
		d.accounts[sys] = NewDefinition(sys)
	default:
		return fmt.Errorf("error resolving system account: %v", "account missing")
	}
	if given && len(d.accounts) == 2 && c.NoAuthUser == "" && !c.AuthorizationGiven {
		d.hidden = hiddenUser()
		c.NoAuthUser = d.hidden
		return d.add(&User{Name: d.hidden, Password: d.hidden[len("nats-"):]})
	}
	return nil
}

// hiddenUser returns a name that no configuration can know.
func hiddenUser() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	b.WriteString("nats-")
	for range 8 {
		b.WriteByte(digits[rand.IntN(len(digits))])
	}
	return b.String()
}

func (d *Directory) add(u *User) error {
	if u.Account != "" && d.accounts[u.Account] == nil {
		return fmt.Errorf("user %q is in account %q, which does not exist", u.ID(), u.Account)
	}
	switch {
	case u.Nkey != "" && d.nkeys[u.Nkey] != nil, u.Nkey == "" && d.users[u.Name] != nil:
		return fmt.Errorf("user %q is there twice", u.ID())
	case u.Nkey != "":
		d.nkeys[u.Nkey] = u
	default:
		d.users[u.Name] = u
	}
	return nil
}

// ID is what a client gives as its name: that of the user or its key.
func (u *User) ID() string {
	if u.Nkey != "" {
		return u.Nkey
	}
	return u.Name
}

// AccountName returns the name of the user's account.
func (u *User) AccountName() string {
	if u.Account == "" {
		return Global
	}
	return u.Account
}

// Accounts returns the accounts by name. The caller must not change the map.
func (d *Directory) Accounts() map[string]*Definition { return d.accounts }

// Definitions returns the accounts in the order in which they were given, then
// those that nobody gave.
func (d *Directory) Definitions() []*Definition {
	all := slices.Clone(d.contents.Accounts)
	for _, name := range []string{Global, d.contents.System} {
		if a := d.accounts[name]; a != nil && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// System returns the name of the system account, empty if there is none.
func (d *Directory) System() string { return d.contents.System }

// User returns the user with that name or key, or nil.
func (d *Directory) User(id string) *User {
	if u := d.users[id]; u != nil {
		return u
	}
	return d.nkeys[id]
}

// Users calls f for every user, those with a name by that; it stops when f
// returns false.
func (d *Directory) Users(f func(u *User) bool) {
	for _, users := range []map[string]*User{d.users, d.nkeys} {
		for _, u := range users {
			if !f(u) {
				return
			}
		}
	}
}

// Contents returns what the directory was made of, with its secrets.
func (d *Directory) Contents() Contents { return d.contents }

// Required tells whether clients have to say who they are.
func (d *Directory) Required() bool {
	c := &d.contents
	return len(d.users) > 0 || len(d.nkeys) > 0 || c.User != "" || c.Token != ""
}

// Announced is Required as the first INFO tells it: clients without credentials
// need not be stopped if there is a user for them.
func (d *Directory) Announced() bool {
	c := &d.contents
	return d.Required() && (c.NoAuthUser == "" || c.NoAuthUser == d.hidden)
}

// NonceNeeded tells whether clients may have to sign something.
func (d *Directory) NonceNeeded() bool { return len(d.nkeys) > 0 }

// PlainPasswords tells whether a password is kept as it is.
func (d *Directory) PlainPasswords() bool {
	if p := d.contents.Password; p != "" && !IsBcrypt(p) {
		return true
	}
	for _, u := range d.users {
		if u.Name == d.hidden || IsBcrypt(u.Password) || u.Password == "" && d.byCertificate(u) {
			continue
		}
		return true
	}
	return false
}

// byCertificate tells whether u can be found by a certificate.
func (d *Directory) byCertificate(u *User) bool {
	return d.contents.CertificateMap && u.ConnectionTypes.Allows(Standard)
}
