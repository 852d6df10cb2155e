package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// leafPort is the port of URLs of remotes that have none.
const leafPort = "7422"

// LeafRemote is a server that this one connects to as a leaf node.
type LeafRemote struct {
	Pos              grammar.Pos
	URLs             []*url.URL
	Account          string // local
	Credentials      string // file
	Nkey             string // seed
	TLS              *TLS
	Hub              bool
	DenyImports      []string
	DenyExports      []string
	NoRandomize      bool
	WSCompression    bool
	WSNoMasking      bool
	Migrate          bool // leaders of streams go elsewhere when the link is lost
	MigrateDelay     time.Duration
	Isolate          bool
	RequestIsolation bool
	Compression      Compression
	FirstInfoTimeout time.Duration
	DialTimeout      time.Duration
	Disabled         bool
	IgnoreDiscovered bool
	Proxy            *LeafProxy
}

// LeafProxy is an HTTP proxy on the way to a remote.
type LeafProxy struct {
	URL                string
	Username, Password string
	Timeout            time.Duration
	TLS                *TLS
}

// name tells the remote from others.
func (m *LeafRemote) name() string {
	return m.describe(urlTexts(m.URLs), fmt.Sprintf(", nkey=%q", m.Nkey))
}

// String names the remote without its secrets.
func (m *LeafRemote) String() string {
	var urls []string
	for _, u := range m.URLs {
		urls = append(urls, redactURL(u))
	}
	return m.describe(urls, `, nkey="[REDACTED]"`)
}

func (m *LeafRemote) describe(urls []string, nkey string) string {
	account := m.Account
	if account == "" {
		account = GlobalAccount
	}
	with := ""
	if m.Credentials != "" {
		with = fmt.Sprintf(", credentials=%q", m.Credentials)
	} else if m.Nkey != "" {
		with = nkey
	}
	return fmt.Sprintf("urls=%q, account=%q%s", urls, account, with)
}

func readRemotes(r *reader, k key, l *LeafNode) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, "Expected remotes field to be an array, got %s", k.Kind)
		return
	}
	seen := make(map[string]bool)
	for _, v := range k.List {
		if v.Kind != grammar.Map {
			r.errorf(v, "Expected remote leafnode entry to be a map/struct, got %v", v)
			continue
		}
		m := &LeafRemote{Pos: v.Pos}
		remoteBlock.read(r, v.Map, "", m)
		if err := m.checkProxy(); err != nil {
			r.errorf(proxyKey(v), "%v", err)
			continue
		}
		if seen[m.name()] {
			r.errorf(lastKey(v), "duplicate remote %s", m)
			continue
		}
		seen[m.name()] = true
		l.Remotes = append(l.Remotes, m)
	}
}

// proxyKey is where what is wrong with the proxy of a remote is blamed.
func proxyKey(remote *grammar.Value) *grammar.Value {
	for name, v := range remote.Map.All() {
		if strings.EqualFold(name, "proxy") {
			return v
		}
	}
	return remote
}

const (
	twoSecrets = "Remote leafnode can not have both creds and nkey defined"
)

// remote makes the spec of an option of remotes that a reload does not change.
func remote(s Spec, field string) Spec {
	s.Field, s.Waiting = field, PartLeafNode
	return s
}

var remoteBlock = block[LeafRemote]{entries: []entry[LeafRemote]{
	custom("urls", "URL or list of them", func(r *reader, k key, m *LeafRemote) {
		switch k.Kind {
		case grammar.List:
			m.URLs = r.urls(k.List, "leafnode")
		case grammar.String:
			if u, ok := r.url(k.Value, "leafnode"); ok {
				m.URLs = append(m.URLs, u)
			}
		default:
			r.errorf(k.Value, "Expected remote leafnode url to be an array or string, got %v", k.Value)
		}
	}, nil, remote(Spec{Aliases: []string{"url"}, Unset: "refused", Range: "URLs of the schemes nats, tls, ws or wss; without a port, 7422", Doc: "Where the remote is. With `account` and credentials it is what tells remotes apart."}, "URLs")),
	text("account", func(m *LeafRemote) *string { return &m.Account },
		remote(Spec{Aliases: []string{"local"}, Default: `"$G"`, Range: "an account", Doc: "Account here that is extended."}, "LocalAccount")),
	custom("credentials", kindPath, func(r *reader, k key, m *LeafRemote) {
		file, ok := r.str(k.Value)
		if !ok {
			return
		}
		file, err := r.env.expand(file)
		switch {
		case err != nil:
			r.errorf(k.Value, "%v", err)
		case m.Nkey != "":
			r.errorf(k.Value, twoSecrets)
		default:
			m.Credentials = file
		}
	}, nil, remote(Spec{Aliases: []string{"creds"}, Unset: "none", Range: "a file; ~ and $NAME are expanded", Doc: "Credentials to connect with."}, "Credentials")),
	custom("nkey", kindText, func(r *reader, k key, m *LeafRemote) {
		seed, ok := r.str(k.Value)
		switch {
		case !ok:
		case !isUserSeed(seed):
			r.errorf(k.Value, "Remote leafnode nkey is not a valid seed: %q", seed)
		case m.Credentials != "":
			r.errorf(k.Value, twoSecrets)
		default:
			m.Nkey = seed
		}
	}, nil, remote(Spec{Aliases: []string{"seed"}, Unset: "none", Range: "the seed of a user key", Secret: true, Doc: "Key to connect with."}, "Nkey")),
	tlsBlockAs("tls", &leafTLSBlock, func(m *LeafRemote) **TLS { return &m.TLS },
		Spec{Reload: Live, Waiting: PartLeafNode, Doc: "TLS with the remote."}),
	boolean("hub", func(m *LeafRemote) *bool { return &m.Hub },
		remote(Spec{Doc: "This server is the hub, the remote is the leaf."}, "Hub")),
	deny("deny_imports", "deny_import", func(m *LeafRemote) *[]string { return &m.DenyImports }, "Subjects that do not come in.", "DenyImports"),
	deny("deny_exports", "deny_export", func(m *LeafRemote) *[]string { return &m.DenyExports }, "Subjects that do not go out.", "DenyExports"),
	boolean("no_randomize", func(m *LeafRemote) *bool { return &m.NoRandomize },
		remote(Spec{Aliases: []string{"dont_randomize"}, Doc: "Try the URLs in order."}, "NoRandomize")),
	boolean("ws_compression", func(m *LeafRemote) *bool { return &m.WSCompression },
		remote(Spec{Aliases: []string{"ws_compress", "websocket_compress", "websocket_compression"}, Doc: "Offer WebSocket compression."}, "Websocket")),
	boolean("ws_no_masking", func(m *LeafRemote) *bool { return &m.WSNoMasking },
		remote(Spec{Aliases: []string{"websocket_no_masking"}, Doc: "Ask to send WebSocket frames without masks."}, "Websocket")),
	custom("jetstream_cluster_migrate", "boolean or block", func(r *reader, k key, m *LeafRemote) {
		switch k.Kind {
		case grammar.Bool:
			m.Migrate = k.Bool
		case grammar.Map:
			m.Migrate = true
			// Other keys are passed over.
			if v := k.Map.Get("leader_migrate_delay"); v != nil {
				r.blaming(k.Value, func() { m.MigrateDelay, _ = r.duration(v, "leader_migrate_delay") })
			}
		default:
			r.errorf(k.Value, "Expected boolean or map for jetstream_cluster_migrate, got %s", k.Kind)
		}
	}, nil, remote(Spec{Aliases: []string{"js_cluster_migrate"}, Default: "false", Range: "true, false or a block with `leader_migrate_delay`",
		Doc: "Leaders of streams of the account leave this server when the link is lost."}, "JetStreamClusterMigrate")),
	boolean("isolate_leafnode_interest", func(m *LeafRemote) *bool { return &m.Isolate },
		remote(Spec{Aliases: []string{"isolate"}, Doc: "Do not pass interest of other leaf nodes on to the remote."}, "LocalIsolation")),
	boolean("request_isolation", func(m *LeafRemote) *bool { return &m.RequestIsolation },
		remote(Spec{Doc: "Ask the remote not to pass interest of its other leaf nodes here."}, "RequestIsolation")),
	compression(CompressionS2Auto, func(m *LeafRemote) *Compression { return &m.Compression },
		Spec{Unset: "s2_auto", Reload: Live, Waiting: PartLeafNode}),
	durationAsWritten("first_info_timeout", func(m *LeafRemote) *time.Duration { return &m.FirstInfoTimeout },
		remote(Spec{Default: `"1s"`, Doc: "Time that the remote has to send its first line."}, "FirstInfoTimeout")),
	durationAsWritten("dial_timeout", func(m *LeafRemote) *time.Duration { return &m.DialTimeout },
		remote(Spec{Unset: "that of `leafnodes`", Doc: "Time that the remote has to accept a connection."}, "DialTimeout")),
	boolean("disabled", func(m *LeafRemote) *bool { return &m.Disabled },
		Spec{Reload: Live, Waiting: PartLeafNode, Doc: "Do not connect."}),
	boolean("ignore_discovered_servers", func(m *LeafRemote) *bool { return &m.IgnoreDiscovered },
		remote(Spec{Doc: "Connect to no servers but those of `urls`."}, "IgnoreDiscoveredServers")),
	nested("proxy", "Expected proxy to be a map, got %s", func(m *LeafRemote) **LeafProxy { return &m.Proxy }, &leafProxyBlock,
		Spec{Unset: "none", Reload: Partly, ReloadNote: "only TLS", Field: "Proxy", Waiting: PartLeafNode, Doc: "HTTP proxy on the way."}),
}}

// durationAsWritten is a duration whose messages have the key as it was written.
func durationAsWritten[T any](name string, at func(*T) *time.Duration, s Spec) entry[T] {
	e := duration(name, "", at, s)
	e.read = func(r *reader, k key, into *T) {
		if d, ok := r.duration(k.Value, k.name); ok {
			*at(into) = d
		}
	}
	return e
}

func deny(name, alias string, at func(*LeafRemote) *[]string, doc, field string) entry[LeafRemote] {
	return custom(name, kindTexts, func(r *reader, k key, m *LeafRemote) {
		*at(m), _ = r.subjects(k.Value, false)
	}, nil, remote(Spec{Aliases: []string{alias}, Unset: "none", Range: "subjects, with wildcards or without", Doc: doc}, field))
}

var leafProxyBlock = block[LeafProxy]{entries: []entry[LeafProxy]{
	text("url", func(p *LeafProxy) *string { return &p.URL },
		remote(Spec{Unset: "refused", Range: "an http or https URL", Doc: "Where the proxy is."}, "Proxy")),
	text("username", func(p *LeafProxy) *string { return &p.Username },
		remote(Spec{Unset: "none", Doc: "Name for the proxy."}, "Proxy")),
	text("password", func(p *LeafProxy) *string { return &p.Password },
		remote(Spec{Unset: "none", Secret: true, Doc: "Password for the proxy."}, "Proxy")),
	duration("timeout", "proxy timeout", func(p *LeafProxy) *time.Duration { return &p.Timeout },
		remote(Spec{Unset: "that of the remote", Doc: "Time that the proxy has to answer."}, "Proxy")),
	proxyTLS,
}}

// proxyTLS is the TLS block of a proxy, of which keys of servers are refused.
var proxyTLS = func() entry[LeafProxy] {
	e := tlsBlockAs("tls", &leafTLSBlock, func(p *LeafProxy) **TLS { return &p.TLS },
		Spec{Unset: "that of the machine", Reload: Live, Waiting: PartLeafNode, Doc: "TLS with an https proxy; keys for servers are refused."})
	usable := []string{"cert_file", "key_file", "ca_file", "insecure", "cipher_suites", "allow_insecure_cipher_suites", "curve_preferences",
		"min_version", "timeout", "cert_store", "cert_match_by", "cert_match", "cert_match_skip_invalid", "ca_certs_match", "certs"}
	rows := e.rows
	e.rows = func(path string, find func(*Options) *LeafProxy) []Option {
		var kept []Option
		for _, o := range rows(path, find) {
			if key, _, _ := strings.Cut(strings.TrimPrefix(o.Path, path+"."), "."); contains(usable, key) {
				kept = append(kept, o)
			}
		}
		return kept
	}
	read := e.read
	e.read = func(r *reader, k key, p *LeafProxy) {
		before := len(r.Errors)
		for name, v := range k.Map.All() {
			if known := leafTLSBlock.find(name); known == nil || !contains(usable, known.name) {
				r.errorf(v, "%q is not supported for proxy TLS", name)
			}
		}
		if len(r.Errors) == before {
			read(r, k, p)
		}
	}
	return e
}()

// checkProxy finds what is wrong with the proxy of a remote.
func (m *LeafRemote) checkProxy() error {
	p := m.Proxy
	if p == nil || *p == (LeafProxy{}) {
		return nil
	}
	if p.URL == "" {
		return errors.New("proxy URL must be specified when other proxy options are set")
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return fmt.Errorf("invalid proxy URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("proxy URL scheme must be http or https, got: %s", u.Scheme)
	case u.Host == "":
		return errors.New("proxy URL must specify a host")
	case p.TLS != nil && u.Scheme != "https":
		return fmt.Errorf("proxy TLS configuration requires an https proxy URL, got: %s", u.Scheme)
	case p.Timeout < 0:
		return errors.New("proxy timeout must be >= 0")
	case p.TLS != nil && p.TLS.Timeout < 0:
		return errors.New("proxy TLS timeout must be >= 0")
	case (p.Username == "") != (p.Password == ""):
		return errors.New("proxy username and password must both be specified or both be empty")
	}
	for _, target := range m.URLs {
		if target.Scheme == "wss" && m.TLS == nil {
			return fmt.Errorf("proxy is configured but remote URL %s requires TLS and no TLS configuration is provided. "+
				"When using proxy with TLS endpoints, ensure TLS is properly configured for the leafnode remote", target)
		}
	}
	return nil
}

func isWebSocket(u *url.URL) bool { return u.Scheme == "ws" || u.Scheme == "wss" }

// check finds what is wrong with a remote as a whole.
func (m *LeafRemote) check() error {
	if err := m.checkProxy(); err != nil {
		return err
	}
	for _, u := range m.URLs {
		if isWebSocket(u) != isWebSocket(m.URLs[0]) {
			var urls []string
			for _, u := range m.URLs {
				urls = append(urls, redactURL(u))
			}
			return fmt.Errorf("remote leaf node configuration cannot have a mix of websocket and non-websocket urls: %q", urls)
		}
	}
	return m.Compression.complete(CompressionS2Auto)
}

// complete adds the port to URLs without one.
func (m *LeafRemote) complete() {
	for _, u := range m.URLs {
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), leafPort)
		}
	}
}
