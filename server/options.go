package server

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"peregrine/account"
	"peregrine/certs"
	"peregrine/loop"
)

// Version is the version of the protocol that this server is compatible with;
// clients read it in INFO.
const Version = "2.15.2"

// Options configure a server. They do not change after New.
type Options struct {
	Host        string // listen address; "" is 0.0.0.0
	Port        int    // 0 is DefaultPort, -1 any free one
	ServerName  string // "" is the server's id
	ClusterName string // decides which mappings count; "" is no cluster
	// Tags, Metadata and FeatureFlags describe the server to others.
	Tags            []string
	Metadata        map[string]string
	FeatureFlags    map[string]bool
	ClientAdvertise string // "host:port" for INFO instead of the listen address; port 0 is the one listened on

	Debug, Trace bool
	TraceHeaders bool // of messages, traces show the headers alone

	Loops   int    // event loops; 0 is one per usable CPU
	PinCPUs []int  // a CPU for each loop; empty is not pinned
	Engine  string // name of the engine, for messages
	// NewEngine makes the loops' engines; cmd sets it from Engine, and leaves
	// it nil for a name that it does not know.
	NewEngine func() (loop.Engine, error)

	MaxPayload     int32 // bytes of headers and payload
	MaxControlLine int32 // bytes of a line's arguments
	MaxPending     int64 // bytes that may wait for a client
	MaxConn        int   // connections; 0 is DefaultMaxConn, negative refuses all
	MaxSubs        int   // subscriptions of a connection; 0 is no limit
	MaxSubTokens   int   // tokens of a subscription's subject; 0 is no limit

	PingInterval  time.Duration
	MaxPingsOut   int
	WriteDeadline time.Duration
	// WriteTimeout is what happens to a client that is late for WriteDeadline:
	// "retry" keeps it as long as it takes some bytes, "close" and "", the
	// default, close it.
	WriteTimeout string

	LameDuckDuration    time.Duration
	LameDuckGracePeriod time.Duration

	NoHeaders           bool // refuse HPUB
	NoFastProducerStall bool // never slow a producer for a slow receiver

	// Directory says which accounts and users there are; nil lets everybody into
	// the global account.
	Directory *account.Directory
	// Activate decides about the activation tokens of imports; nil accepts none.
	Activate account.Activate
	// Authenticator decides who clients are, instead of Directory's users.
	Authenticator Authenticator
	// Operator has accounts and users known by their tokens; nil is not.
	Operator *OperatorMode
	// IdleResolver is a resolver without operators. Nothing is asked of it, but a
	// server with one that could not work does not start.
	IdleResolver *ResolverOptions
	// Callout names a service that decides about clients; not with Operator.
	Callout *CalloutOptions
	// TrustedProxies are the public keys of proxies whose word counts.
	TrustedProxies []string
	// AlwaysNonce sends a nonce even if no user of Directory signs one.
	AlwaysNonce bool
	// AuthTimeout is how long a client may take to say who it is.
	AuthTimeout time.Duration

	// TLS says how clients use TLS; nil is without.
	TLS *TLSOptions
	// Staple says which certificates are sent with a word about their state.
	Staple certs.StapleOptions
	// PeerCache keeps what responders say of clients; nil is none.
	PeerCache *certs.CacheOptions
	// ProxyProtocol takes PROXY headers, versions 1 and 2, from clients.
	ProxyProtocol bool

	// MaxClosedClients is how many closed connections are remembered.
	MaxClosedClients int

	// BeforeListen runs when the banner is logged and nothing listens yet. Its
	// error ends Start.
	BeforeListen func() error
}

// Defaults, as in the reference server.
const (
	DefaultPort                = 4222
	DefaultMaxPayload          = 1 << 20
	DefaultMaxControlLine      = 4096
	DefaultMaxPending          = 64 << 20
	DefaultMaxConn             = 64 << 10
	DefaultPingInterval        = 2 * time.Minute
	DefaultMaxPingsOut         = 2
	DefaultWriteDeadline       = 10 * time.Second
	DefaultLameDuckDuration    = 2 * time.Minute
	DefaultLameDuckGracePeriod = 10 * time.Second
	DefaultMaxClosedClients    = 10000
	DefaultAuthTimeout         = 2 * time.Second
)

// loopsMax bounds Options.Loops.
const loopsMax = 256

// loopsDefault is taken when the program starts, and so the same at a reload:
// what surrounds a server may have given the scheduler more processors since.
var loopsDefault = min(runtime.GOMAXPROCS(0), loopsMax)

// DefaultOptions returns what an empty configuration means.
func DefaultOptions() Options {
	return Options{
		Host: "0.0.0.0", Port: DefaultPort, Engine: "gnet",
		MaxPayload: DefaultMaxPayload, MaxControlLine: DefaultMaxControlLine,
		MaxPending: DefaultMaxPending, MaxConn: DefaultMaxConn,
		PingInterval: DefaultPingInterval, MaxPingsOut: DefaultMaxPingsOut,
		WriteDeadline: DefaultWriteDeadline, LameDuckDuration: DefaultLameDuckDuration,
		LameDuckGracePeriod: DefaultLameDuckGracePeriod, MaxClosedClients: DefaultMaxClosedClients,
	}
}

// complete fills in what is left zero and refuses what cannot work.
func (o *Options) complete() error {
	d := DefaultOptions()
	orInt := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	orDur := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	if o.Host == "" {
		o.Host = d.Host
	}
	orInt(&o.Port, d.Port)
	orInt(&o.MaxConn, d.MaxConn)
	orInt(&o.MaxPingsOut, d.MaxPingsOut)
	orInt(&o.MaxClosedClients, d.MaxClosedClients)
	orDur(&o.PingInterval, d.PingInterval)
	orDur(&o.WriteDeadline, d.WriteDeadline)
	if t := o.TLS; t != nil {
		own := *t
		o.TLS = &own
		orDur(&own.Timeout, DefaultTLSTimeout)
		orDur(&o.AuthTimeout, own.Timeout+time.Second)
	}
	orDur(&o.AuthTimeout, DefaultAuthTimeout)
	orDur(&o.LameDuckDuration, d.LameDuckDuration)
	orDur(&o.LameDuckGracePeriod, d.LameDuckGracePeriod)
	if o.Directory == nil {
		open, err := account.NewDirectory(account.Contents{})
		if err != nil {
			return err
		}
		o.Directory = open
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = d.MaxPayload
	}
	if o.MaxControlLine == 0 {
		o.MaxControlLine = d.MaxControlLine
	}
	if o.MaxPending == 0 {
		o.MaxPending = d.MaxPending
	}
	if strings.Contains(o.ServerName, " ") {
		return errors.New("server name cannot contain spaces")
	}
	if int64(o.MaxPayload) > o.MaxPending {
		return fmt.Errorf("max_payload (%v) cannot be higher than max_pending (%v)", o.MaxPayload, o.MaxPending)
	}
	if o.LameDuckDuration <= o.LameDuckGracePeriod {
		return fmt.Errorf("lame duck grace period (%v) should be strictly lower than lame duck duration (%v)",
			o.LameDuckGracePeriod, o.LameDuckDuration)
	}
	return o.completeLoops()
}

func (o *Options) completeLoops() error {
	if o.NewEngine == nil {
		return fmt.Errorf("engine %q is not part of this build; there are gnet and, on Linux, epoll", o.Engine)
	}
	if o.Loops < 0 || o.Loops > loopsMax {
		return fmt.Errorf("loops must be between 1 and %d, not %d", loopsMax, o.Loops)
	}
	if len(o.PinCPUs) > 0 {
		if o.Loops == 0 {
			o.Loops = len(o.PinCPUs)
		}
		if o.Loops != len(o.PinCPUs) {
			return fmt.Errorf("pin-cpus names %d CPUs for %d loops: one CPU a loop is needed", len(o.PinCPUs), o.Loops)
		}
		for _, cpu := range o.PinCPUs {
			if err := loop.CheckCPU(cpu); err != nil {
				return fmt.Errorf("pin-cpus: %w", err)
			}
		}
	}
	if o.Loops == 0 {
		o.Loops = loopsDefault
	}
	return nil
}
