package operator

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
)

// Errors of accounts.
var (
	// ErrValidation says that an account's token is not what it should be.
	ErrValidation = errors.New("account validation failed")
	// ErrExpired says that an account's time is over.
	ErrExpired = errors.New("account expired")
	// ErrMissing says that nobody knows the account.
	ErrMissing = errors.New("account missing")
)

// Operator is one that the server works for.
type Operator struct {
	Subject     string // its key
	SigningKeys []string
	Strict      bool // only signing keys sign
}

// Trust is whose signatures on accounts count. It is immutable.
type Trust struct {
	keys   map[string]bool // operator keys and signing keys
	strict map[string]bool // signing keys of strict operators
	first  Operator
}

// NewTrust trusts keys. operators say more about some of them; the first one is
// who may push and delete accounts.
func NewTrust(keys []string, operators []Operator) *Trust {
	t := &Trust{keys: make(map[string]bool), strict: make(map[string]bool)}
	for _, k := range keys {
		t.keys[k] = true
	}
	for i, o := range operators {
		if i == 0 {
			t.first = o
		}
		if !o.Strict {
			continue
		}
		for _, k := range o.SigningKeys {
			t.strict[k] = true
		}
	}
	return t
}

// Trusts tells whether accounts that issuer signed count.
func (t *Trust) Trusts(issuer string) bool { return t.keys[issuer] }

// MayDelete tells whether issuer may delete accounts: it is the first operator,
// unless that is strict, or one of its signing keys.
func (t *Trust) MayDelete(issuer string) bool {
	if issuer == t.first.Subject {
		return issuer != "" && !t.first.Strict
	}
	for _, k := range t.first.SigningKeys {
		if k == issuer {
			return true
		}
	}
	return false
}

// HasOperator tells whether somebody may push accounts.
func (t *Trust) HasOperator() bool {
	return t.first.Subject != "" && (!t.first.Strict || len(t.first.SigningKeys) > 0)
}

// CheckIssuer refuses accounts that a strict operator signed with its own key.
func (t *Trust) CheckIssuer(c *jwt.AccountClaims) error {
	if t.first.Strict && c.Issuer == t.first.Subject {
		return errors.New("operator requires issuer to be a signing key")
	}
	return nil
}

// Account reads the token of an account and judges it.
//
// Errors: what is wrong with its form, ErrValidation for everything else.
func (t *Trust) Account(token string, now time.Time) (*Account, error) {
	c, err := DecodeAccount(token)
	if err != nil {
		return nil, err
	}
	if checkSize(c) != nil {
		return nil, ErrValidation
	}
	if !t.Trusts(c.Issuer) || len(issues(c, now)) > 0 {
		return nil, ErrValidation
	}
	return compile(token, c, t.strict[c.Issuer]), nil
}

// Bootstrap returns an account of which nothing is known but its key: only that
// signs users, and without the first operator's own key being trusted nobody.
func (t *Trust) Bootstrap(name string) *Account {
	c := jwt.NewAccountClaims(name)
	c.Issuer = t.first.Subject
	return compile("", c, !t.Trusts(c.Issuer))
}

// CheckPush finds why a pushed account must not be stored; whether it is trusted
// is looked at when it is used.
func CheckPush(c *jwt.AccountClaims) error {
	if err := checkSize(c); err != nil {
		return err
	}
	vr := jwt.CreateValidationResults()
	c.Validate(vr)
	if vr.IsBlocking(false) {
		return fmt.Errorf("validation errors: %v", vr.Errors())
	}
	return checkMappings(c)
}

// linksMax bounds the imports of an account, and its exports: looking for
// overlaps compares each with each.
const linksMax = 4096

func checkSize(c *jwt.AccountClaims) error {
	if max(len(c.Imports), len(c.Exports)) > linksMax {
		return fmt.Errorf("validation errors: [more than %d imports or exports]", linksMax)
	}
	return nil
}

// Describe returns what is in the token of an operator, ready for JSON, and what
// is logged of it at the start.
func Describe(token string) (claims any, banner []string, err error) {
	c, err := decode[*jwt.OperatorClaims](token, "operator")
	if err != nil {
		return nil, nil, err
	}
	expires := "Never"
	if c.Expires != 0 {
		expires = time.Unix(c.Expires, 0).String()
	}
	return c, []string{
		fmt.Sprintf("  System  : %q", c.Audience),
		fmt.Sprintf("  Operator: %q", c.Name),
		fmt.Sprintf("  Issued  : %v", time.Unix(c.IssuedAt, 0)),
		"  Expires : " + expires,
	}, nil
}
