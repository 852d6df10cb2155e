package operator

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account"
)

// Subjects and headers of the service that judges users.
const (
	CalloutSubject  = "$SYS.REQ.USER.AUTH"
	CalloutAudience = "nats-authorization-request"
	CalloutXKey     = "Nats-Server-Xkey" // header with the server's curve key
)

// Callout is a service that judges users, as one server asks it.
type Callout struct {
	// Account is where the service listens.
	Account string
	// Claims are those of Account in operator mode, else nil.
	Claims *Account
	// Issuer signs answers where there is no operator.
	Issuer string
	// XKey is the service's public curve key, empty to talk in the clear.
	XKey string

	Server    jwt.ServerID
	ServerKey nkeys.KeyPair // signs questions
	CurveKey  nkeys.KeyPair // of the server

	// Lookup finds the account that a user is placed in. Where there is no
	// operator its result is not looked at.
	Lookup func(name string) (*Account, error)
}

// Question is one client that the service is asked about.
type Question struct {
	Client  *account.Client
	Proxied bool // through a trusted proxy
	// ProxyRequired says that the client's own token wants a proxy.
	ProxyRequired bool
	Info          jwt.ClientInformation
	TLS           *jwt.ClientTLS
	// UserKey is a fresh public user key: the answer must be for it.
	UserKey string
	Token   string // the client's, or the sentinel
}

// Ask writes the question. xkey is the header to send along, empty for none.
func (s *Callout) Ask(q *Question, now time.Time, timeout time.Duration) (body []byte, xkey string, err error) {
	subject := s.Account
	if s.Claims == nil {
		subject = s.Issuer
	}
	c := jwt.NewAuthorizationRequestClaims(subject)
	c.Audience, c.UserNkey, c.Server = CalloutAudience, q.UserKey, s.Server
	c.Server.XKey = ""
	if s.XKey != "" {
		c.Server.XKey = s.Server.XKey
	}
	c.Expires = now.Add(timeout).UTC().Unix()
	c.ClientInformation, c.TLS = q.Info, q.TLS
	cl := q.Client
	c.ConnectOptions = jwt.ConnectOptions{
		JWT: q.Token, Nkey: cl.Nkey, SignedNonce: cl.Sig, Token: cl.Token, Username: cl.User, Password: cl.Pass,
		Name: cl.Name, Lang: cl.Lang, Version: cl.Version, Protocol: cl.Protocol,
	}
	if cl.Sig != "" {
		c.ClientInformation.Nonce = cl.Nonce
	}
	token, err := c.Encode(s.ServerKey)
	if err != nil {
		return nil, "", fmt.Errorf("Error encoding auth request claim on account %q: %w", s.Account, err) //nolint:staticcheck // a log line
	}
	if s.XKey == "" {
		return []byte(token), "", nil
	}
	sealed, err := s.CurveKey.Seal([]byte(token), s.XKey)
	if err != nil {
		return nil, "", fmt.Errorf("Error encrypting auth request claim on account %q: %w", s.Account, err) //nolint:staticcheck // a log line
	}
	return sealed, s.Server.XKey, nil
}

// Answer judges what the service said about q. The error's text is for the log
// and for events; it is an *account.Denial.
func (s *Callout) Answer(q *Question, body []byte, now time.Time) (*account.Identity, error) {
	c, err := s.open(q, body, now)
	if err != nil {
		return nil, denial(err)
	}
	if (q.ProxyRequired || c.ProxyRequired) && !q.Proxied {
		return nil, &account.Denial{Kind: account.ProxyRequired}
	}
	if list := issues(c, now); len(list) > 0 {
		return nil, account.Denied("Error validating user JWT: " + list[0])
	}
	if c.Subject != q.UserKey {
		return nil, account.Denied(fmt.Sprintf("Expected authorized user of %q but got %q on account %q", q.UserKey, c.Subject, s.Account))
	}
	target, claims, err := s.place(c)
	if err != nil {
		return nil, denial(err)
	}
	until, err := s.allowed(q, c, now)
	if err != nil {
		return nil, denial(err)
	}
	if c.ProxyRequired && !q.Proxied {
		return nil, &account.Denial{Kind: account.ProxyRequired}
	}
	return s.identity(q, c, target, claims, until), nil
}

// denial makes the reason of a refusal begin with a capital.
func denial(err error) *account.Denial {
	text := err.Error()
	r, n := utf8.DecodeRuneInString(text)
	return account.Denied(string(unicode.ToUpper(r)) + text[n:])
}

// open takes the user's claims out of an answer.
func (s *Callout) open(q *Question, body []byte, now time.Time) (*jwt.UserClaims, error) {
	if len(body) == 0 {
		return nil, fmt.Errorf("auth callout violation: %q on account %q", "no reason supplied", s.Account)
	}
	sealed := s.XKey != "" && !bytes.HasPrefix(body, []byte("eyJ"))
	if sealed {
		var err error
		if body, err = s.CurveKey.Open(body, s.XKey); err != nil {
			return nil, fmt.Errorf("error decrypting auth callout response on account %q: %w", s.Account, err)
		}
	}
	r, err := decode[*jwt.AuthorizationResponseClaims](string(body), "an authorization response")
	if err != nil {
		return nil, err
	}
	if list := issues(r, now); len(list) > 0 {
		return nil, fmt.Errorf("authorization response had validation errors: %s", list[0])
	}
	switch {
	case r.Subject != q.UserKey:
		return nil, errors.New("auth callout violation: auth callout response is not for expected user")
	case r.Audience != s.Server.ID:
		return nil, errors.New("auth callout violation: auth callout response is not for server")
	}
	// What opens with the account's key was sealed by it.
	if !sealed {
		if err := s.signer(r); err != nil {
			return nil, err
		}
	}
	if r.Error != "" {
		return nil, fmt.Errorf("auth callout service returned an error: %s", r.Error)
	}
	return DecodeUser(r.Jwt)
}

// signer checks who signed an answer.
func (s *Callout) signer(r *jwt.AuthorizationResponseClaims) error {
	if s.Claims == nil {
		if r.Issuer != s.Issuer {
			return errors.New("auth callout signing key is unknown")
		}
		return nil
	}
	if r.IssuerAccount != "" && r.IssuerAccount != s.Account {
		return fmt.Errorf("auth callout response issuer account %q is not the callout account", r.IssuerAccount)
	}
	if r.Issuer != s.Account {
		if _, ok := s.Claims.Signer(r.Issuer); !ok {
			return errors.New("auth callout signing key is unknown")
		}
	}
	return nil
}

// place finds the account that the service puts a user in, with its claims in
// operator mode, and gives the user what its signer's scope says.
func (s *Callout) place(c *jwt.UserClaims) (string, *Account, error) {
	if s.Claims == nil {
		switch {
		case c.IssuerAccount != "":
			return "", nil, fmt.Errorf("error non operator mode account %q: attempted to use issuer_account", s.Account)
		case c.Issuer != s.Issuer:
			return "", nil, fmt.Errorf("wrong issuer for auth callout response on account %q, expected %q got %q", s.Account, s.Issuer, c.Issuer)
		}
		if _, err := s.Lookup(c.Audience); err != nil {
			return "", nil, fmt.Errorf("no valid account %q for auth callout response on account %q: %w", c.Audience, s.Account, err)
		}
		return c.Audience, nil, nil
	}
	name := issuerAccount(c)
	if name != s.Account && !s.Claims.MayPlace(name) {
		return "", nil, fmt.Errorf("account %q not permitted as valid account option for auth callout for account %q", c.Issuer, s.Account)
	}
	target, err := s.Lookup(name)
	if err != nil {
		return "", nil, fmt.Errorf("no valid account %q for auth callout response on account %q: %w", name, s.Account, err)
	}
	scope, ok := target.Signer(c.Issuer)
	if !ok {
		return "", nil, fmt.Errorf("user JWT issuer %q is not known", c.Issuer)
	}
	if scope != nil {
		if err := scope.ValidateScopedSigner(c); err != nil {
			return "", nil, fmt.Errorf("user JWT is not valid: %w", err)
		}
		filled, err := filler{c, target}.fill(scope.Template)
		if err != nil {
			return "", nil, fmt.Errorf("user JWT generated invalid permissions: %w", err)
		}
		c.UserPermissionLimits = filled
	}
	return name, target, nil
}

// allowed checks times and connection types; until is when the time is over.
func (s *Callout) allowed(q *Question, c *jwt.UserClaims, now time.Time) (until time.Time, err error) {
	until, open := openFor(c.Times, c.Locale, now)
	if !open {
		return until, fmt.Errorf("authorized user on account %q outside of valid connect times", s.Account)
	}
	types, unknown := account.ParseConnectionTypes(c.AllowedConnectionTypes)
	switch {
	case len(unknown) > 0 && types == 0:
		return until, fmt.Errorf("authorized user on account %q using invalid connection type", s.Account)
	case !types.Allows(q.Client.Type):
		return until, fmt.Errorf("authorized user on account %q not allowed to use connection type", s.Account)
	}
	return until, nil
}

// identity returns what the user may do. Limits of its token do not count, as in
// the reference.
func (s *Callout) identity(q *Question, c *jwt.UserClaims, target string, claims *Account, until time.Time) *account.Identity {
	id := account.NewIdentity(target)
	if c.Name != "" {
		id.User, id.Label = c.Name, "user:"+c.Name
	} else {
		id.User, id.Label = q.Client.Shown()
	}
	id.Key, id.IssuedAt = c.Subject, c.IssuedAt
	if c.IssuerAccount != "" {
		id.IssuedBy = c.Issuer
	}
	id.Expires = earlier(unix(c.Expires), until)
	id.Permissions = permissions(&c.Permissions)
	if id.Permissions == nil {
		id.DefaultPermissions = true
		if claims != nil {
			id.Permissions = claims.Definition.DefaultPermissions
		}
	}
	return id
}

// Judges tells whether the service of the account is asked about a user of it.
func (a *Account) Judges(user string) bool {
	x := a.External()
	return x != nil && !slices.Contains(x.AuthUsers, user)
}
