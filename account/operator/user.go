package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"peregrine/account"
)

// Judge decides who users are.
type Judge struct {
	// Lookup returns an account; it may take its time. An account whose time is
	// over is an error.
	Lookup func(name string) (*Account, error)
	// Pinned are the accounts that users may be of; nil is all.
	Pinned []string
	// Sentinel is the token of clients that show none.
	Sentinel string
	// NotPinned is told of a user that is of another account. It may be nil.
	NotPinned func()
}

// User is a user whose token was judged.
type User struct {
	Claims *jwt.UserClaims // with what its scope gives it
	// Account is the user's; nil when it was not looked at.
	Account *Account
	// Token is what was judged: the client's, or the sentinel.
	Token string
	// Verdict is nil if the user may connect; then Identity is set.
	Verdict  error
	Identity *account.Identity
}

// User judges what c shows. proxied tells that c came through a proxy that is
// trusted. The user is nil if there is no token to judge, with the error being
// the verdict; it is not nil, with what is known of it, as soon as the token is
// one and its account is known: an account may want to have a user judged
// elsewhere.
func (j *Judge) User(c *account.Client, proxied bool, now time.Time) (*User, error) {
	token := c.JWT
	claims, err := DecodeUser(token)
	if err != nil && j.Sentinel != "" {
		token = j.Sentinel
		claims, err = DecodeUser(token)
	} else if err != nil {
		return nil, account.Denied("Authentication requires a user JWT")
	}
	switch {
	case err != nil:
		return nil, account.Denied(fmt.Sprintf("User JWT not valid: %v", err))
	case claims.ProxyRequired && !proxied:
		return nil, &account.Denial{Kind: account.ProxyRequired}
	}
	if list := issues(claims, now); len(list) > 0 {
		return nil, account.Denied("User JWT no longer valid: " + strings.Join(list, ", "))
	}
	a, err := j.accountOf(claims)
	if err != nil {
		return nil, err
	}
	u := &User{Claims: claims, Account: a, Token: token}
	u.Verdict = u.judge(c, proxied, now)
	return u, u.Verdict
}

// accountOf finds the account that answers for a user.
func (j *Judge) accountOf(c *jwt.UserClaims) (*Account, error) {
	name := issuerAccount(c)
	if j.Pinned != nil && !slices.Contains(j.Pinned, name) {
		if j.NotPinned != nil {
			j.NotPinned()
		}
		return nil, account.Denied(fmt.Sprintf("Account %s not listed as operator pinned account", name))
	}
	a, err := j.Lookup(name)
	if err != nil {
		return nil, account.Denied(fmt.Sprintf("Account JWT lookup error: %v", err))
	}
	return a, nil
}

// issuerAccount returns the account in whose name a user was signed.
func issuerAccount(c *jwt.UserClaims) string {
	if c.IssuerAccount != "" {
		return c.IssuerAccount
	}
	return c.Issuer
}

// judge goes through what is left to check when the account is known.
func (u *User) judge(c *account.Client, proxied bool, now time.Time) error {
	if err := u.scope(); err != nil {
		return account.Denied(err.Error())
	}
	claims := u.Claims
	types, unknown := account.ParseConnectionTypes(claims.AllowedConnectionTypes)
	switch {
	case claims.ProxyRequired && !proxied:
		return &account.Denial{Kind: account.ProxyRequired}
	case expired(u.Account.Claims, now):
		return account.Denied("Account JWT has expired")
	case claims.BearerToken && u.Account.Claims.Limits.DisallowBearer:
		return account.Denied("Account does not allow bearer tokens")
	case len(unknown) > 0 && types == 0:
		return account.Denied(unknownTypes(unknown))
	case !types.Allows(c.Type):
		return account.Denied("Connection type not allowed")
	}
	if !claims.BearerToken {
		if err := account.VerifyNonce(claims.Subject, c.Nonce, c.Sig); err != nil {
			return err
		}
	}
	if u.Account.Revoked(claims.Subject, claims.IssuedAt) {
		return account.Denied("User authentication revoked")
	}
	if !fromSource(claims.Src, c.Peer.Addr()) {
		return &account.Denial{Detail: "Bad src Ip " + c.Peer.Addr().Unmap().String(), Loud: true}
	}
	until, open := openFor(claims.Times, claims.Locale, now)
	if !open {
		return &account.Denial{Detail: "Outside connect times", Loud: true}
	}
	u.Identity = u.identity(until)
	return nil
}

func unknownTypes(names []string) string {
	upper := make([]string, len(names))
	for i, n := range names {
		upper[i] = strings.ToUpper(n)
	}
	return fmt.Sprintf("invalid connection types %q", upper)
}

func expired(c *jwt.AccountClaims, now time.Time) bool {
	return c.Expires != 0 && c.Expires <= now.Unix()
}

// scope checks that the account lets the issuer sign users, and gives the user
// what the issuer's scope says.
func (u *User) scope() error {
	claims := u.Claims
	scope, ok := u.Account.Signer(claims.Issuer)
	if !ok {
		return errors.New("User JWT issuer is not known") //nolint:staticcheck // a log line
	}
	if scope == nil {
		return nil
	}
	if err := scope.ValidateScopedSigner(claims); err != nil {
		return fmt.Errorf("User JWT is not valid: %w", err) //nolint:staticcheck // a log line
	}
	filled, err := filler{claims, u.Account}.fill(scope.Template)
	if err != nil {
		return errors.New("User JWT generated invalid permissions") //nolint:staticcheck // a log line
	}
	claims.UserPermissionLimits = filled
	return nil
}

// identity returns what the user may do; until is when its window closes.
func (u *User) identity(until time.Time) *account.Identity {
	c := u.Claims
	id := account.NewIdentity(u.Account.Name)
	id.User, id.Label = c.Subject, "jwt:"+c.Subject
	id.MaxSubscriptions, id.MaxPayload = clamp(c.Limits.Subs), clamp(c.Limits.Payload)
	id.Expires = earlier(unix(c.Expires), until)
	id.JWT, id.NameTag, id.Tags = u.Token, c.Name, c.Tags
	if c.IssuerAccount != "" {
		id.IssuedBy = c.Issuer
	}
	id.Key, id.IssuedAt, id.Bearer = c.Subject, c.IssuedAt, c.BearerToken
	id.Permissions = permissions(&c.Permissions)
	if id.Permissions == nil {
		id.Permissions, id.DefaultPermissions = u.Account.Definition.DefaultPermissions, true
	}
	return id
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
