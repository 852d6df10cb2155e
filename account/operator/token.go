package operator

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
)

// TokenMax is the longest token that is looked at, in bytes.
const TokenMax = jwt.MaxTokenSize

var errSpelling = errors.New("token is not in its canonical form")

// canonical refuses tokens that differ from the one that was issued but would
// verify all the same.
func canonical(token string) error {
	if len(token) > TokenMax {
		return fmt.Errorf("token size %d exceeds maximum of %d bytes: %w", len(token), TokenMax, jwt.ErrTokenTooLarge)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("expected 3 chunks")
	}
	for _, part := range parts {
		if strings.ContainsAny(part, "\r\n") {
			return errSpelling
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return err
		}
	}
	return nil
}

// decode reads a token that must hold claims of type C and verifies its
// signature, by the issuer it names.
func decode[C jwt.Claims](token, what string) (C, error) {
	var none C
	if err := canonical(token); err != nil {
		return none, err
	}
	claims, err := jwt.Decode(token)
	if err != nil {
		return none, err
	}
	c, ok := claims.(C)
	if !ok {
		return none, errors.New("not " + what + " claim")
	}
	return c, nil
}

// DecodeAccount reads an account's token and verifies its signature.
func DecodeAccount(token string) (*jwt.AccountClaims, error) {
	return decode[*jwt.AccountClaims](token, "account")
}

// DecodeUser reads a user's token and verifies its signature.
func DecodeUser(token string) (*jwt.UserClaims, error) {
	return decode[*jwt.UserClaims](token, "user")
}

// DecodeGeneric reads a token of any kind and verifies its signature.
func DecodeGeneric(token string) (*jwt.GenericClaims, error) {
	if err := canonical(token); err != nil {
		return nil, err
	}
	return jwt.DecodeGeneric(token)
}

// issues returns what is wrong with claims at the given time; the library looks
// at its own clock, so its words about time are left out.
func issues(c jwt.Claims, now time.Time) (list []string) {
	data := c.Claims()
	if data.Expires > 0 && now.Unix() > data.Expires {
		list = append(list, "claim is expired")
	}
	if data.NotBefore > 0 && data.NotBefore > now.Unix() {
		list = append(list, "claim is not yet valid")
	}
	vr := jwt.CreateValidationResults()
	c.Validate(vr)
	for _, issue := range vr.Issues {
		if issue.Blocking {
			list = append(list, issue.Description)
		}
	}
	return list
}
