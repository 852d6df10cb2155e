package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"regexp"

	"golang.org/x/crypto/bcrypt"
)

var bcryptForm = regexp.MustCompile(`^\$2[abxy]\$\d{2}\$.*`)

// IsBcrypt tells whether a configured password is a bcrypt hash.
func IsBcrypt(password string) bool { return bcryptForm.MatchString(password) }

// samePlain compares in a time that depends on neither.
func samePlain(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// sameHashed is slow on purpose. bcrypt reads 72 bytes: what a password has
// behind them does not count, as in the reference.
func sameHashed(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// decoys are what is compared when there is nothing to compare with, so that
// the time of a refusal does not tell whether a user exists.
type decoys struct {
	hash string // a bcrypt hash as costly as any of the directory; empty: it has none
}

// decoyPassword is not a secret: nobody is let in by it.
const decoyPassword = "decoy"

func newDecoys(c *Contents) decoys {
	cost := 0
	look := func(p string) {
		if !IsBcrypt(p) {
			return
		}
		if n, err := bcrypt.Cost([]byte(p)); err == nil {
			cost = max(cost, n)
		}
	}
	for _, u := range c.Users {
		look(u.Password)
	}
	look(c.Password)
	look(c.Token)
	if cost == 0 {
		return decoys{}
	}
	return decoys{hash: decoyHash(cost)}
}

// decoyHash returns a well-formed hash of that cost without computing one.
func decoyHash(cost int) string {
	const rest = "wwwwwwwwwwwwwwwwwwwwwuOKWq6Zr4hPyXbzOtVfGmNcEsDlJiRaO"
	return "$2a$" + string([]byte{'0' + byte(cost/10), '0' + byte(cost%10)}) + "$" + rest[:53]
}
