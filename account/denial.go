package account

// Denial is why a client was not let in. The client itself learns nothing but
// that it was not, unless Kind has a text of its own.
type Denial struct {
	Kind DenialKind
	// Detail is for the debug log and for events; it has no secrets in it.
	Detail string
	// Account is where it is told, with Reason, that the client was not let in.
	// Empty is where the client was, with the text of Kind.
	Account, Reason string
	// Loud says that Detail belongs into the log as an error.
	Loud bool
}

// DenialKind says how a connection that was not let in is closed.
type DenialKind uint8

// The kinds of denials.
const (
	BadCredentials DenialKind = iota
	ProxyNotTrusted
	ProxyRequired
	TooManyConnections // of the account
	AccountGone        // the account of the user does not exist
)

// Error implements error with the reference's texts.
func (d *Denial) Error() string {
	switch d.Kind {
	case ProxyNotTrusted:
		return "proxy is not trusted"
	case ProxyRequired:
		return "proxy connection required"
	case TooManyConnections:
		return "maximum account active connections exceeded"
	}
	if d.Detail != "" {
		return "authentication error: " + d.Detail
	}
	return "authentication error"
}

// Denied returns a denial for bad credentials. detail is for the debug log.
func Denied(detail string) *Denial { return &Denial{Detail: detail} }
