package monitor

import "time"

// Source is what the monitor asks of a server. All methods may be called from
// any goroutine at any time after the server was made, even before it listens
// and after it stopped, and return copies that belong to the caller.
type Source interface {
	// Identity returns what a server is and is allowed. Cheap.
	Identity() Identity
	// Totals returns the sums over all connections that are or were. Cheap.
	Totals() Totals
	// Figures returns the state of loops and buffers. Cheap.
	Figures() Figures
	// Conns returns the connections that match q. It may take a turn of each
	// loop to collect.
	Conns(q Query) []Conn
	// Interest returns figures of the subscription index of one account, or of
	// all for "". ok is false if there is no such account.
	Interest(account string) (i Interest, ok bool)
	// Ready says why clients cannot connect, or nil.
	Ready() error
}

// Identity names a server and its limits.
type Identity struct {
	ID, Name   string
	Version    string // of nats-server, as in INFO
	OwnVersion string // of Peregrine
	GitCommit  string // 7 hex digits, or empty
	Proto      int
	Host       string
	Port       int
	Engine     string

	SystemAccount string // empty if there is none
	// OperatorJWTs are the tokens of the operators that the server works for,
	// OperatorClaims what is in them, ready for JSON.
	OperatorJWTs   []string
	OperatorClaims []any
	TrustedProxies []string // keys

	MaxConnections   int
	MaxSubscriptions int // per connection, 0 = unlimited
	MaxControlLine   int32
	MaxPayload       int32
	MaxPending       int64 // bytes per connection
	PingInterval     time.Duration
	PingMax          int
	WriteDeadline    time.Duration
	WriteTimeout     string
	AuthRequired     bool
	AuthTimeout      time.Duration
	Start            time.Time

	ConfigLoaded time.Time
	ConfigDigest string // of the file, empty without one
	Tags         []string
	Metadata     map[string]string
	Features     map[string]bool // all that are known
	TLS          TLS
}

// TLS is how clients use it; the zero value is without.
type TLS struct {
	Required, Verify, OCSPPeerVerify bool
	Timeout                          time.Duration // of handshakes
	CertNotAfter                     time.Time
	PeerCache                        *PeerCache
}

// PeerCache is what is kept of the states of clients' certificates.
type PeerCache struct {
	Type      string `json:"cache_type,omitempty"`
	Hits      int64  `json:"cache_hits,omitempty"`
	Misses    int64  `json:"cache_misses,omitempty"`
	Responses int64  `json:"cached_responses,omitempty"`
	Revoked   int64  `json:"cached_revoked_responses,omitempty"`
	Good      int64  `json:"cached_good_responses,omitempty"`
	Unknown   int64  `json:"cached_unknown_responses,omitempty"`
}

// Totals are counters since the start, except Connections and Subscriptions,
// which are of now.
type Totals struct {
	Connections      int
	TotalConnections uint64
	Subscriptions    uint64
	InMsgs, InBytes  int64
	OutMsgs          int64
	OutBytes         int64
	SlowConsumers    int64
	StaleConnections int64
	NotPinned        int64 // users of accounts that are not pinned
	StalledClients   int64
}

// Figures are what the reference has no name for.
type Figures struct {
	Loops          []Loop // in order of their number
	Chunks         int64  // outbound chunks in use
	SharedPayloads int64  // payloads that several loops are sending
}

// Loop is one event loop.
type Loop struct {
	ID          int           `json:"id"`
	CPU         int           `json:"cpu"` // pinned to, -1 = not pinned
	Connections int64         `json:"connections"`
	Turns       int64         `json:"turns"`
	LongestTurn time.Duration `json:"longest_turn"` // nanoseconds
	Stalls      int64         `json:"stalls"`       // of producers
	StalledTime time.Duration `json:"stalled_time"` // nanoseconds, all stalls
}

// Interest describes the subscription index.
type Interest struct {
	Subscriptions uint64
	Cached        int
	Inserts       uint64
	Removes       uint64
	Matches       uint64
	CacheHits     uint64
	MaxFanout     int
	AvgFanout     float64
}

// State selects connections by whether they still are.
type State uint8

const (
	Open State = iota
	Closed
	All
)

// Query selects connections.
type Query struct {
	State         State
	CID           uint64 // 0 = all
	Subscriptions bool   // fill Conn.Subs
}

// Conn is one connection, open or closed.
type Conn struct {
	CID           uint64
	IP            string
	Port          int
	Start         time.Time
	LastActivity  time.Time
	Stop          time.Time // zero while open
	Reason        string    // of the end
	RTT           time.Duration
	PendingBytes  int64
	InMsgs        int64
	OutMsgs       int64
	InBytes       int64
	OutBytes      int64
	Stalls        int64
	Subscriptions int
	Name          string
	Lang          string
	Version       string
	User          string // as authenticated, secrets already redacted
	Account       string
	JWT           string // empty for one that is a secret
	ProxyKey      string // of the proxy that it came through
	IssuerKey     string // that signed the user
	AccountTag    string // a name for Account; empty is Account itself
	Tags          []string
	Subs          []Sub
	TLS           *ConnTLS // nil without
}

// ConnTLS is what a connection and its peer have agreed on.
type ConnTLS struct {
	Version     string // "1.3"
	CipherSuite string
	First       bool // the handshake came before INFO
	Peer        []PeerCert
}

// PeerCert is a certificate of the peer.
type PeerCert struct {
	Subject string `json:"subject,omitempty"`
	KeySum  string `json:"spki_sha256,omitempty"` // hex
	CertSum string `json:"cert_sha256,omitempty"` // hex
}

// Sub is one subscription of a connection.
type Sub struct {
	Subject string
	Queue   string
	SID     string
	Msgs    int64 // delivered
	Max     int64 // of auto-unsubscribe, 0 = none
}
