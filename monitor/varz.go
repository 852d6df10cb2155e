package monitor

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
)

// tlsTimeoutSeconds is what the reference shows whether or not TLS is in use.
const tlsTimeoutSeconds = 2

// block stands for a part of the server that is not configured: "{}".
type block struct{}

// perKind counts something by kind of connection.
type perKind struct {
	Clients  int64 `json:"clients"`
	Routes   int64 `json:"routes"`
	Gateways int64 `json:"gateways"`
	Leafs    int64 `json:"leafs"`
}

type diskWaits struct {
	Waiters     int64 `json:"waiters"`
	Waits       int64 `json:"waits"`
	WaitTime    int64 `json:"wait_time"`
	MaxWaitTime int64 `json:"max_wait_time"`
}

// proxies are those whose word about clients counts.
type proxies struct {
	Trusted []proxyKey `json:"trusted,omitempty"`
}

type proxyKey struct {
	Key string `json:"key"`
}

// trustedProxies is nil without any.
func trustedProxies(keys []string) *proxies {
	if len(keys) == 0 {
		return nil
	}
	p := new(proxies)
	for _, key := range keys {
		p.Trusted = append(p.Trusted, proxyKey{key})
	}
	return p
}

// varz is the body of /varz in the reference's order.
type varz struct {
	ServerID  string `json:"server_id"`
	Name      string `json:"server_name"`
	Version   string `json:"version"`
	Proto     int    `json:"proto"`
	GitCommit string `json:"git_commit,omitempty"`
	GoVersion string `json:"go"`
	Host      string `json:"host"`
	Port      int    `json:"port"`

	AuthRequired      bool `json:"auth_required,omitempty"`
	TLSRequired       bool `json:"tls_required,omitempty"`
	TLSVerify         bool `json:"tls_verify,omitempty"`
	TLSOCSPPeerVerify bool `json:"tls_ocsp_peer_verify,omitempty"`

	MaxConnections   int           `json:"max_connections"`
	MaxSubscriptions int           `json:"max_subscriptions,omitempty"`
	PingInterval     time.Duration `json:"ping_interval"`
	PingMax          int           `json:"ping_max"`
	HTTPHost         string        `json:"http_host"`
	HTTPPort         int           `json:"http_port"`
	HTTPBasePath     string        `json:"http_base_path"`
	HTTPSPort        int           `json:"https_port"`
	AuthTimeout      float64       `json:"auth_timeout"`
	MaxControlLine   int32         `json:"max_control_line"`
	MaxPayload       int32         `json:"max_payload"`
	MaxPending       int64         `json:"max_pending"`

	Cluster   block `json:"cluster"`
	Gateway   block `json:"gateway"`
	Leaf      block `json:"leaf"`
	MQTT      block `json:"mqtt"`
	Websocket block `json:"websocket"`
	JetStream block `json:"jetstream"`

	TLSTimeout    float64       `json:"tls_timeout"`
	WriteDeadline time.Duration `json:"write_deadline"`
	WriteTimeout  string        `json:"write_timeout,omitempty"`
	Start         time.Time     `json:"start"`
	Now           time.Time     `json:"now"`
	Uptime        string        `json:"uptime"`
	Mem           int64         `json:"mem"`
	Cores         int           `json:"cores"`
	MaxProcs      int           `json:"gomaxprocs"`
	MemLimit      int64         `json:"gomemlimit,omitempty"`
	CPU           float64       `json:"cpu"`

	Connections      int               `json:"connections"`
	TotalConnections uint64            `json:"total_connections"`
	Routes           int               `json:"routes"`
	Remotes          int               `json:"remotes"`
	Leafs            int               `json:"leafnodes"`
	InMsgs           int64             `json:"in_msgs"`
	InBytes          int64             `json:"in_bytes"`
	InClientMsgs     int64             `json:"in_client_msgs"`
	InClientBytes    int64             `json:"in_client_bytes"`
	OutMsgs          int64             `json:"out_msgs"`
	OutBytes         int64             `json:"out_bytes"`
	OutClientMsgs    int64             `json:"out_client_msgs"`
	OutClientBytes   int64             `json:"out_client_bytes"`
	SlowConsumers    int64             `json:"slow_consumers"`
	StaleConnections int64             `json:"stale_connections"`
	StalledClients   int64             `json:"stalled_clients"`
	Subscriptions    uint64            `json:"subscriptions"`
	Requests         map[string]uint64 `json:"http_req_stats"`
	ConfigLoadTime   time.Time         `json:"config_load_time"`
	ConfigDigest     string            `json:"config_digest"`
	Tags             []string          `json:"tags,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	FeatureFlags     map[string]bool   `json:"feature_flags,omitempty"`
	OperatorJWTs     []string          `json:"trusted_operators_jwt,omitempty"`
	OperatorClaims   []any             `json:"trusted_operators_claim,omitempty"`
	SystemAccount    string            `json:"system_account,omitempty"`
	NotPinned        int64             `json:"pinned_account_fails,omitempty"`

	OCSPPeerCache        *PeerCache `json:"ocsp_peer_cache,omitempty"`
	SlowConsumerStats    perKind    `json:"slow_consumer_stats"`
	StaleConnectionStats perKind    `json:"stale_connection_stats"`
	DiskWaits            diskWaits  `json:"disk_io_wait_stats"`
	Proxies              *proxies   `json:"proxies,omitempty"`
	TLSCertNotAfter      time.Time  `json:"tls_cert_not_after,omitzero"`

	Peregrine own `json:"peregrine"`
}

// own holds the figures that the reference has no name for.
type own struct {
	Version        string        `json:"version"`
	Engine         string        `json:"engine"`
	LongestTurn    time.Duration `json:"longest_turn"` // nanoseconds, over all loops
	Chunks         int64         `json:"outbound_chunks"`
	SharedPayloads int64         `json:"shared_payloads"`
	Loops          []Loop        `json:"loops"`
}

func (m *Monitor) serveVarz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, m.varz(time.Now()))
}

func (m *Monitor) varz(now time.Time) *varz {
	id, totals, process := m.source.Identity(), m.source.Totals(), m.process.sample(now)
	v := &varz{
		ServerID: id.ID, Name: id.Name, Version: id.Version, Proto: id.Proto,
		GitCommit: id.GitCommit, GoVersion: runtime.Version(), Host: id.Host, Port: id.Port,

		MaxConnections: id.MaxConnections, MaxSubscriptions: id.MaxSubscriptions,
		PingInterval: id.PingInterval, PingMax: id.PingMax,
		HTTPHost: m.options.Host, HTTPBasePath: m.options.BasePath,
		AuthRequired: id.AuthRequired, AuthTimeout: id.AuthTimeout.Seconds(), TLSTimeout: tlsTimeoutSeconds,
		OperatorJWTs:   id.OperatorJWTs,
		OperatorClaims: id.OperatorClaims,
		SystemAccount:  id.SystemAccount,
		MaxControlLine: id.MaxControlLine, MaxPayload: id.MaxPayload, MaxPending: id.MaxPending,
		WriteDeadline: id.WriteDeadline, WriteTimeout: id.WriteTimeout,

		Start: id.Start.UTC(), Now: now.UTC(), Uptime: uptime(now.Sub(id.Start)),
		Mem: process.resident, CPU: process.cpu,
		Cores: runtime.NumCPU(), MaxProcs: runtime.GOMAXPROCS(0), MemLimit: memoryLimit(),
		Requests: m.requestCounts(), ConfigLoadTime: id.ConfigLoaded.UTC(),
		ConfigDigest: id.ConfigDigest, Tags: id.Tags, Metadata: id.Metadata, FeatureFlags: id.Features,
		Proxies:   trustedProxies(id.TrustedProxies),
		Peregrine: m.own(id),
	}
	v.setTLS(id.TLS)
	if m.options.TLS != nil {
		v.HTTPSPort = m.options.Port
	} else {
		v.HTTPPort = m.options.Port
	}
	v.setTotals(totals)
	return v
}

// setTLS fills in how clients use TLS.
func (v *varz) setTLS(t TLS) {
	v.TLSRequired, v.TLSVerify, v.TLSOCSPPeerVerify = t.Required, t.Verify, t.OCSPPeerVerify
	v.OCSPPeerCache, v.TLSCertNotAfter = t.PeerCache, t.CertNotAfter
	if t.Timeout > 0 {
		v.TLSTimeout = t.Timeout.Seconds()
	}
}

// setTotals fills in counters. While there are only clients, the figures for
// clients and for everybody are the same.
func (v *varz) setTotals(t Totals) {
	v.Connections, v.TotalConnections = t.Connections, t.TotalConnections
	v.InMsgs, v.InBytes, v.OutMsgs, v.OutBytes = t.InMsgs, t.InBytes, t.OutMsgs, t.OutBytes
	v.InClientMsgs, v.InClientBytes = t.InMsgs, t.InBytes
	v.OutClientMsgs, v.OutClientBytes = t.OutMsgs, t.OutBytes
	v.SlowConsumers, v.SlowConsumerStats.Clients = t.SlowConsumers, t.SlowConsumers
	v.StaleConnections, v.StaleConnectionStats.Clients = t.StaleConnections, t.StaleConnections
	v.StalledClients, v.Subscriptions = t.StalledClients, t.Subscriptions
	v.NotPinned = t.NotPinned
}

func (m *Monitor) own(id Identity) own {
	f := m.source.Figures()
	o := own{Version: id.OwnVersion, Engine: id.Engine, Chunks: f.Chunks, SharedPayloads: f.SharedPayloads, Loops: f.Loops}
	for _, l := range f.Loops {
		o.LongestTurn = max(o.LongestTurn, l.LongestTurn)
	}
	return o
}

// memoryLimit is GOMEMLIMIT, 0 when there is none.
func memoryLimit() int64 {
	const none = 1<<63 - 1
	if limit := debug.SetMemoryLimit(-1); limit != none {
		return limit
	}
	return 0
}
