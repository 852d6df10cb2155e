package account

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// User is somebody who may connect. It is immutable.
type User struct {
	Name     string // empty for a user with an nkey
	Password string // plain or a bcrypt hash
	Nkey     string // public user key, instead of name and password
	Account  string // name; empty is the global one

	Permissions     *Permissions    // nil: everything is allowed
	ConnectionTypes ConnectionTypes // 0: all
	ProxyRequired   bool            // only through a trusted proxy
}

// Permissions are what a user may do. Absent parts allow all. They are
// immutable; equal pointers are equal permissions.
type Permissions struct {
	Publish   *SubjectPermission
	Subscribe *SubjectPermission
	Responses *ResponsePermission

	compiled compiled
}

// SubjectPermission is a choice of subjects, in Subscribe perhaps with a queue
// behind a blank.
type SubjectPermission struct {
	Allow []string // nil allows all; empty allows none to publish, all to subscribe
	Deny  []string
}

// ResponsePermission allows answers to requests that a user received.
type ResponsePermission struct {
	MaxMsgs int           // answers to a request; negative is no limit
	Expires time.Duration // time for them; negative is no limit
}

// ConnectionTypes is a set of kinds of connections.
type ConnectionTypes uint8

// The kinds of connections, as one each.
const (
	Standard ConnectionTypes = 1 << iota
	WebSocket
	LeafNode
	LeafNodeWS
	MQTT
	MQTTWS
	InProcess
)

var connectionTypeNames = [...]string{"STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"}

// ParseConnectionTypes makes a set of names, in any case. unknown are those
// that are none.
func ParseConnectionTypes(names []string) (set ConnectionTypes, unknown []string) {
next:
	for _, name := range names {
		for i, known := range connectionTypeNames {
			if strings.EqualFold(name, known) {
				set |= 1 << i
				continue next
			}
		}
		unknown = append(unknown, name)
	}
	return set, unknown
}

// Allows tells whether a connection of the one kind t is in the set; an empty
// set has all.
func (c ConnectionTypes) Allows(t ConnectionTypes) bool { return c == 0 || c&t != 0 }

// Credentials are what a client says in CONNECT to show who it is.
type Credentials struct {
	User, Pass, Token string
	Nkey, JWT, Sig    string
	ProxySig          string
}

// Empty tells that the client says nothing about itself.
func (c *Credentials) Empty() bool {
	return c.User == "" && c.Pass == "" && c.Token == "" && c.Nkey == ""
}

// Client is what an authenticator is told about a connection. It does not
// change while the authenticator decides, and holds secrets: never log it.
type Client struct {
	ID    uint64
	Type  ConnectionTypes // one kind
	Peer  netip.AddrPort
	TLS   *tls.ConnectionState // nil without TLS
	Nonce string               // what signatures are over; empty if none was sent
	// ProxyKey is of the trusted proxy that the client came through; empty is
	// none. The server's own authenticator finds it out.
	ProxyKey string

	Credentials
	Name, Lang, Version string
	Protocol            int
}

// String keeps secrets out of what is printed by mistake.
func (c Client) String() string { return fmt.Sprintf("client %d at %v", c.ID, c.Peer) }

// Format implements fmt.Formatter for all verbs, %+v and %#v too.
func (c Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// Format shows nothing of credentials.
func (Credentials) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// Format shows a user's name alone.
func (u User) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "user %q", u.ID()) }

// NoLimit is a limit that limits nothing.
const NoLimit = -1

// Identity is who a client turned out to be, and what it may do.
type Identity struct {
	Account string // name of an account that exists; empty is the global one
	// User is what monitors show: a name, a public key or a stand-in for a
	// secret. Label is the same for logs, such as "user:me" or "nkey:U…".
	User, Label string

	Permissions *Permissions
	// MaxSubscriptions and MaxPayload bound the connection below what server and
	// account allow; NoLimit does not. NewIdentity sets both to NoLimit.
	MaxSubscriptions int64
	MaxPayload       int64

	Expires time.Time // when the connection is closed; zero is never

	// Configured is the user of the directory that this is, if it is one: a
	// reload looks at it again. Nil for others, who stay until closed.
	Configured *User

	JWT      string // what the user showed, for services that are told
	NameTag  string
	Tags     []string
	IssuedBy string // key that signed JWT
	Key      string // public user key that a JWT was for; JWT itself may be unset
	IssuedAt int64  // of that JWT, Unix seconds
	Bearer   bool   // JWT was enough
	ProxyKey string // of the trusted proxy that the client came through

	// DefaultPermissions says that Permissions are those of the account: they
	// change with it.
	DefaultPermissions bool
}

// ShownJWT returns the user's token for those who are told of it. A bearer token
// is all that somebody else would need, so it is not shown.
func (id *Identity) ShownJWT() string {
	if id.Bearer {
		return ""
	}
	return id.JWT
}

// NewIdentity returns an identity in an account without limits of its own.
func NewIdentity(account string) *Identity {
	return &Identity{Account: account, MaxSubscriptions: NoLimit, MaxPayload: NoLimit}
}
