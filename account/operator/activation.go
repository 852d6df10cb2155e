package operator

import (
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"peregrine/account"
)

// Activates tells whether the token of im, which account importer declares,
// lets it have what a exports as ex. until is when the token's time is over,
// zero for never; it is also given for tokens that do not count for another
// reason.
func (a *Account) Activates(ex *account.Export, importer *Account, im *account.Import, now time.Time) (until time.Time, ok bool) {
	if im.Token == "" {
		return time.Time{}, false
	}
	c, err := decode[*jwt.ActivationClaims](im.Token, "activation")
	if err != nil {
		return time.Time{}, false
	}
	until = unix(c.Expires)
	switch {
	case len(issues(c, now)) > 0, !until.IsZero() && !until.After(now):
	case c.Subject != importer.Name:
	case !a.signedActivation(c):
	case (c.ImportType == jwt.Service) != im.Service:
	case !jwt.Subject(im.Subject).IsContainedIn(c.ImportSubject):
	case revoked(ex.Revocations, c.Subject, c.IssuedAt):
	default:
		return until, true
	}
	return until, false
}

// signedActivation tells whether the account, or one of its signing keys in its
// name, signed c.
func (a *Account) signedActivation(c *jwt.ActivationClaims) bool {
	if c.IssuerAccount == "" {
		return c.Issuer == a.Name
	}
	_, ok := a.signers[c.Issuer]
	return ok && c.IssuerAccount == a.Name
}

// ActivationsEnd returns the first time after now at which an activation token
// of the account's imports is over; zero if there is none.
func (a *Account) ActivationsEnd(now time.Time) (first time.Time) {
	for _, im := range a.Claims.Imports {
		if im == nil || im.Token == "" {
			continue
		}
		c, err := decode[*jwt.ActivationClaims](im.Token, "activation")
		if err != nil {
			continue
		}
		if t := unix(c.Expires); t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// ImportsFrom tells whether the account imports from other.
func (a *Account) ImportsFrom(other string) bool {
	return slices.ContainsFunc(a.Claims.Imports, func(im *jwt.Import) bool { return im != nil && im.Account == other })
}
