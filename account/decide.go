package account

import (
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nkeys"
)

// Decision is what a directory says of a client, without having computed
// anything slow.
type Decision struct {
	Identity *Identity // who the client is, if Proof agrees
	Err      error     // why it is nobody; a *Denial
	// Proof is what is left to do and may take a while: compare a hash, verify a
	// signature. It is safe on any goroutine. Nil: the decision is final. When
	// Err is set, the proof only takes its time.
	Proof func() error
	// Notes are for the debug log, Warning for the log: what the decision rests
	// on.
	Notes   []string
	Warning string
}

// Decide tells who c is. It neither waits nor computes for long.
func (d *Directory) Decide(c *Client) Decision {
	if !d.Required() {
		id := NewIdentity("")
		id.User, id.Label = c.Shown()
		return Decision{Identity: id}
	}
	k := &d.contents
	cred := c.Credentials
	noUser := k.NoAuthUser != "" && cred.Empty()
	if len(d.nkeys) > 0 {
		if noUser && d.nkeys[k.NoAuthUser] != nil {
			cred.Nkey = k.NoAuthUser
		}
		if cred.Nkey != "" {
			return d.decideNkey(c, cred.Nkey, &cred)
		}
	}
	if d.certificates != nil && c.Type == Standard {
		return d.decideCertificate(c, &cred)
	}
	if len(d.users) > 0 {
		if noUser && d.users[k.NoAuthUser] != nil {
			u := d.users[k.NoAuthUser]
			// As in the reference, a hash does not match itself: it is for users who
			// have a password to give.
			cred.User, cred.Pass = u.Name, u.Password
			return d.decideUser(c, u, &cred)
		}
		if cred.User != "" {
			return d.decideUser(c, d.users[cred.User], &cred)
		}
	}
	return d.decideSingle(c, &cred)
}

// decideNkey looks at a client that showed a key, or is given the one of those
// that show nothing.
func (d *Directory) decideNkey(c *Client, key string, cred *Credentials) Decision {
	u := d.nkeys[key]
	switch {
	case u == nil:
		return deny("")
	case !u.ConnectionTypes.Allows(c.Type):
		return deny("")
	case u.ProxyRequired && c.ProxyKey == "":
		return Decision{Err: &Denial{Kind: ProxyRequired}}
	}
	id := d.identity(u)
	id.User, id.Label = key, "nkey:"+key
	if key == d.contents.NoAuthUser {
		return Decision{Identity: id}
	}
	sig, nonce := cred.Sig, c.Nonce
	return Decision{Identity: id, Proof: func() error { return VerifyNonce(key, nonce, sig) }}
}

// VerifyNonce tells whether sig is key's signature of nonce, as clients encode
// it. The error is a *Denial.
func VerifyNonce(key, nonce, sig string) error {
	if sig == "" {
		return Denied("Signature missing")
	}
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(sig); err != nil {
			return Denied("Signature not valid base64")
		}
	}
	pub, err := nkeys.FromPublicKey(key)
	if err != nil {
		return Denied(fmt.Sprintf("User nkey not valid: %v", err))
	}
	if nonce == "" || pub.Verify([]byte(nonce), raw) != nil {
		return Denied("Signature not verified")
	}
	return nil
}

// decideUser looks at a client that gave a name; u is nil if nobody has it.
func (d *Directory) decideUser(c *Client, u *User, cred *Credentials) Decision {
	switch {
	case u == nil, !u.ConnectionTypes.Allows(c.Type):
		return d.slowly(deny(""), cred.Pass)
	case u.ProxyRequired && c.ProxyKey == "":
		return Decision{Err: &Denial{Kind: ProxyRequired}}
	}
	id := d.identity(u)
	id.User, id.Label = u.Name, "user:"+u.Name
	return d.compare(id, u.Password, cred.Pass)
}

// decideCertificate looks at a client whose certificate says who it is.
func (d *Directory) decideCertificate(c *Client, cred *Credentials) Decision {
	r := deny("")
	switch {
	case c.TLS == nil:
		r.Notes = []string{"User required in cert, no TLS connection state"}
		return r
	case len(c.TLS.PeerCertificates) == 0:
		r.Notes = []string{"User required in cert, no peer certificates found"}
		return r
	}
	name, note, ok := d.certificates.Find(c.TLS.PeerCertificates[0], func(name string) bool {
		u := d.users[name]
		return u != nil && u.ConnectionTypes.Allows(c.Type)
	})
	if ok {
		r = d.decideUser(c, d.users[name], cred)
		if cred.User != "" {
			r.Warning = fmt.Sprintf("User %q found in connect proto, but user required from cert", cred.User)
		}
	}
	if len(c.TLS.PeerCertificates) > 1 {
		r.Notes = append(r.Notes, "Multiple peer certificates found, selecting first")
	}
	r.Notes = append(r.Notes, note)
	return r
}

// decideSingle looks at a client where one secret is everybody's.
func (d *Directory) decideSingle(c *Client, cred *Credentials) Decision {
	k := &d.contents
	if k.ProxyRequired && c.ProxyKey == "" {
		return Decision{Err: &Denial{Kind: ProxyRequired}}
	}
	id := NewIdentity("")
	id.User, id.Label = cred.Shown()
	switch {
	case k.Token != "":
		return d.compare(id, k.Token, cred.Token)
	case k.User != "":
		if !samePlain(k.User, cred.User) {
			return d.slowly(deny(""), cred.Pass)
		}
		return d.compare(id, k.Password, cred.Pass)
	}
	return d.slowly(deny(""), cred.Pass)
}

// compare decides by a password, the configured one first.
func (d *Directory) compare(id *Identity, want, given string) Decision {
	if IsBcrypt(want) {
		return Decision{Identity: id, Proof: func() error {
			if !sameHashed(want, given) {
				return Denied("")
			}
			return nil
		}}
	}
	if !samePlain(want, given) {
		return d.slowly(deny(""), given)
	}
	return Decision{Identity: id}
}

// slowly makes a refusal take as long as one by a wrong password.
func (d *Directory) slowly(r Decision, given string) Decision {
	if hash := d.secrets.hash; hash != "" {
		err := r.Err
		r.Proof = func() error {
			sameHashed(hash, given)
			return err
		}
	}
	return r
}

func deny(detail string) Decision { return Decision{Err: Denied(detail)} }

// identity returns what u may do.
func (d *Directory) identity(u *User) *Identity {
	id := NewIdentity(u.Account)
	id.Permissions, id.Configured = u.Permissions, u
	return id
}

// redacted stands for a secret.
const redacted = "[REDACTED]"

// Shown is how monitors and logs name somebody who says to be cred.
func (cred *Credentials) Shown() (user, label string) {
	switch {
	case cred.Nkey != "":
		return cred.Nkey, "nkey:" + cred.Nkey
	case cred.User != "":
		return cred.User, "user:" + cred.User
	case cred.Token != "":
		return redacted, "token"
	}
	return "", ""
}

// Claimed names, for the log of a refusal, who the client said it was; empty if
// it said nothing.
func (cred *Credentials) Claimed() string {
	switch {
	case cred.Nkey != "":
		return fmt.Sprintf("Nkey %q", cred.Nkey)
	case cred.User != "":
		return fmt.Sprintf("User %q", cred.User)
	case cred.Token != "":
		return fmt.Sprintf("Token %q", redacted)
	}
	return ""
}
