package config

import (
	"time"

	"peregrine/config/grammar"
)

// Options is a configuration as a whole. Fields are zero for what is not set
// until Complete gives them defaults. Blocks that are absent are nil. Once
// completed it is shared and not changed any more.
type Options struct {
	File   string // the file it was read from, "" for none
	Digest string // "sha256:…" of the file's content, as the reference logs it

	// Clients.
	Host            string
	Port            int // -1 is any free one
	ClientAdvertise string
	ServerName      string
	ServerTags      []string // small letters, no duplicates
	ServerMetadata  map[string]string
	NoHeaderSupport bool
	NoSublistCache  bool
	ProxyProtocol   bool

	// Files and monitoring.
	PidFile       string
	PortsFileDir  string
	HTTPHost      string
	HTTPPort      int
	HTTPSPort     int
	HTTPBasePath  string
	ProfPort      int
	ProfBlockRate int

	// Log.
	Debug                 bool
	Trace                 bool
	TraceVerbose          bool
	TraceHeaders          bool
	Logtime               bool
	LogtimeUTC            bool
	LogFile               string
	LogSizeLimit          int64 // bytes
	LogMaxFiles           int64
	Syslog                bool
	RemoteSyslog          string
	MaxTracedMsgLen       int // bytes
	ConnectErrorReports   int // attempts
	ReconnectErrorReports int // attempts

	// Limits.
	MaxControlLine      int32 // bytes
	MaxPayload          int32 // bytes
	MaxPending          int64 // bytes
	MaxConn             int   // negative refuses all
	MaxSubs             int
	MaxSubTokens        uint8
	MaxClosedClients    int
	PingInterval        time.Duration
	MaxPingsOut         int
	WriteDeadline       time.Duration
	WriteTimeout        WriteTimeout
	NoFastProducerStall bool
	LameDuckDuration    time.Duration
	LameDuckGracePeriod time.Duration

	// Who may do what.
	Authorization   *Authorization
	Accounts        []*Account
	Mappings        []Mapping // of the global account
	NoAuthUser      string
	SystemAccount   string
	NoSystemAccount bool
	DefaultSentinel string
	TLS             *TLS
	AllowNonTLS     bool
	OCSP            *OCSP
	OCSPCache       *OCSPCache
	Proxies         *Proxies

	// Operator mode.
	Operators      []*OperatorJWT
	Resolver       *Resolver
	ResolverTLS    *TLS
	Preload        map[string]string // account key to JWT
	PinnedAccounts []string
	TrustedKeys    []string

	// Other parts of the server.
	Cluster         *Cluster
	Gateway         *Gateway
	LeafNode        *LeafNode
	JetStream       *JetStream
	StoreDir        string
	DefaultJSDomain map[string]string // account to domain
	WebSocket       *WebSocket
	MQTT            *MQTT
	FeatureFlags    map[string]bool

	Peregrine *Peregrine

	where map[string]grammar.Pos // of the options that a file or a flag set, by path
}

// Where returns the place that set the option with the given path; ok is false
// if nothing did. Options set by a flag have a place without a line.
func (o *Options) Where(path string) (pos grammar.Pos, ok bool) {
	pos, ok = o.where[path]
	return pos, ok
}

// WriteTimeout is what happens to a connection whose write passes its deadline.
type WriteTimeout uint8

// The write timeout policies.
const (
	WriteTimeoutDefault WriteTimeout = iota
	WriteTimeoutClose
	WriteTimeoutRetry
)

var writeTimeoutNames = [...]string{"default", "close", "retry"}

// String returns the word for w, none for the default.
func (w WriteTimeout) String() string {
	if w == WriteTimeoutDefault {
		return ""
	}
	return writeTimeoutNames[w]
}

// writeTimeout is the option of a write timeout policy.
func writeTimeout[T any](at func(*T) *WriteTimeout, s Spec) entry[T] {
	s.Range = "`default`, `close` or `retry`"
	s.Doc = "What happens to a connection whose write passes its deadline."
	if s.Default == "" {
		s.Default = `"default"`
	}
	return custom("write_timeout", kindText, func(r *reader, k key, into *T) {
		name, ok := r.str(k.Value)
		if !ok {
			return
		}
		for i, known := range writeTimeoutNames {
			if name == known {
				*at(into) = WriteTimeout(i)
				return
			}
		}
		r.errorf(k.Value, "write_timeout must be 'default', 'close' or 'retry'")
	}, func(t *T) any { return *at(t) }, s)
}

// Peregrine are the options that nats-server does not have.
type Peregrine struct {
	Loops        int
	PinCPUs      []int
	ClusterLoops int
	Engine       string
	LogFormat    string
	MemoryLimit  int64 // bytes
}
