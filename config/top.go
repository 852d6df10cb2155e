package config

import (
	"maps"
	"slices"
	"strings"

	"peregrine/config/grammar"
)

// topBlock is the table of the keys outside all blocks.
var topBlock = block[Options]{entries: slices.Concat(
	clientOptions, monitorOptions, logOptions, limitOptions,
	accessOptions, operatorOptions, partOptions, peregrineOptions,
)}

// clientOptions say what clients connect to.
var clientOptions = []entry[Options]{
	address("listen", func(o *Options) *string { return &o.Host }, func(o *Options) *int { return &o.Port },
		Spec{Field: "Host or Port", Use: "Port", Doc: "Address for clients. An empty host is every interface."}),
	text("host", func(o *Options) *string { return &o.Host },
		Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Field: "Host", Flags: []string{"a", "addr", "net"},
			Varz: "host", Use: "Host", Doc: "Host that clients connect to."}),
	integer("port", func(o *Options) *int { return &o.Port },
		Spec{Default: "4222", Range: "-1 (any free port) to 65535", Field: "Port", Flags: []string{"p", "port"},
			Varz: "port", Use: "Port", Doc: "Port that clients connect to."}),
	text("client_advertise", func(o *Options) *string { return &o.ClientAdvertise },
		Spec{Unset: "the listen address", Range: "host or host:port", Reload: Live, Log: "client_advertise = %s", Flags: []string{"client_advertise"},
			Use: "ClientAdvertise", Doc: "Address told to clients instead of the listen address."}),
	refusing(text("server_name", func(o *Options) *string { return &o.ServerName },
		Spec{Unset: "the server's id", Range: "no spaces", Field: "ServerName", Flags: []string{"n", "name", "server_name"},
			Varz: "server_name", Use: "ServerName", Doc: "Name of the server, unique in its cluster."}),
		func(r *reader, k key) bool {
			spaces := k.Kind == grammar.String && strings.Contains(k.Str, " ")
			if spaces {
				r.errorf(k.Value, "server name cannot contain spaces")
			}
			return spaces
		}),
	custom("server_tags", kindTexts, readTags, func(o *Options) any { return o.ServerTags },
		Spec{Unset: "none", Range: "words such as `region:east`; kept in small letters", Reload: Live, Log: "tags",
			Varz: "tags", Use: "ServerTags", Doc: "Tags for the placement of streams and for monitoring requests."}),
	custom("server_metadata", "map of strings", readMetadata, func(o *Options) any { return o.ServerMetadata },
		Spec{Unset: "none", Range: "any strings", Reload: Live, Log: "metadata",
			Varz: "metadata", Use: "ServerMetadata", Doc: "Facts about the server for monitoring."}),
	boolean("no_header_support", func(o *Options) *bool { return &o.NoHeaderSupport },
		Spec{Field: "NoHeaderSupport", Use: "NoHeaderSupport", Doc: "Refuse message headers."}),
	boolean("disable_sublist_cache", func(o *Options) *bool { return &o.NoSublistCache },
		Spec{Aliases: []string{"no_sublist_cache"}, Field: "NoSublistCache", Ignored: "the match caches of the loops are part of how they work",
			Doc: "Turn the cache of matches off."}),
	boolean("proxy_protocol", func(o *Options) *bool { return &o.ProxyProtocol },
		Spec{Field: "ProxyProtocol", Use: "ProxyProtocol", Doc: "Expect PROXY protocol headers, version 1 or 2, on the client port."}),
}

func readTags(r *reader, k key, o *Options) {
	var words []string
	switch k.Kind {
	case grammar.String:
		words = []string{k.Str}
	case grammar.List:
		for _, e := range k.List {
			if e.Kind != grammar.String {
				r.errorf(k.Value, "error parsing tags: unsupported type %s where string is expected", "*conf.token")
				return
			}
			words = append(words, e.Str)
		}
	default:
		r.errorf(k.Value, "error parsing tags: unsupported type %s", k.Kind)
		return
	}
	for _, word := range words {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" && !slices.Contains(o.ServerTags, word) {
			o.ServerTags = append(o.ServerTags, word)
		}
	}
}

func readMetadata(r *reader, k key, o *Options) {
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "error parsing metadata: unsupported type %s", k.Kind)
		return
	}
	o.ServerMetadata = make(map[string]string, k.Map.Len())
	for name, v := range k.Map.All() {
		if str, ok := r.str(v); ok {
			o.ServerMetadata[name] = str
		}
	}
}

// monitorOptions are the files and ports for operators.
var monitorOptions = []entry[Options]{
	address("http", func(o *Options) *string { return &o.HTTPHost }, func(o *Options) *int { return &o.HTTPPort },
		Spec{Unset: "no monitoring", Field: "HTTPHost or HTTPPort", Use: "HTTPPort", Doc: "Address of the monitoring pages."}),
	integer("http_port", func(o *Options) *int { return &o.HTTPPort },
		Spec{Aliases: []string{"monitor_port"}, Unset: "no monitoring", Range: "-1 (any free port) to 65535", Field: "HTTPPort", Flags: []string{"m", "http_port"},
			Varz: "http_port", Use: "HTTPPort", Doc: "Port of the monitoring pages, on the clients' host."}),
	address("https", func(o *Options) *string { return &o.HTTPHost }, func(o *Options) *int { return &o.HTTPSPort },
		Spec{Unset: "no monitoring", Field: "HTTPHost or HTTPSPort", Use: "HTTPSPort", Doc: "Address of the monitoring pages over TLS."}),
	integer("https_port", func(o *Options) *int { return &o.HTTPSPort },
		Spec{Unset: "no monitoring", Range: "-1 (any free port) to 65535", Field: "HTTPSPort", Flags: []string{"ms", "https_port"},
			Varz: "https_port", Use: "HTTPSPort", Doc: "Port of the monitoring pages over TLS."}),
	text("http_base_path", func(o *Options) *string { return &o.HTTPBasePath },
		Spec{Unset: "`/`", Range: "a path", Field: "HTTPBasePath", Varz: "http_base_path", Use: "HTTPBasePath", Doc: "Path in front of those of the monitoring pages."}),
	filePath("pid_file", func(o *Options) *string { return &o.PidFile },
		Spec{Aliases: []string{"pidfile"}, Unset: "none", Reload: Live, Log: "pid_file = %v", Flags: []string{"P", "pid"},
			Use: "PidFile", Doc: "File that gets the process id."}),
	filePath("ports_file_dir", func(o *Options) *string { return &o.PortsFileDir },
		Spec{Unset: "none", Reload: Live, Log: "ports_file_dir = %v", Flags: []string{"ports_file_dir"},
			Use: "PortsFileDir", Doc: "Folder that gets a file with the ports in use."}),
	integer("prof_port", func(o *Options) *int { return &o.ProfPort },
		Spec{Unset: "no profiling", Range: "-1 (any free port) to 65535", Field: "ProfPort", Flags: []string{"profile"},
			Use: "ProfPort", Doc: "Port of the Go profiler."}),
	integer("prof_block_rate", func(o *Options) *int { return &o.ProfBlockRate },
		Spec{Unset: "0", Range: "0 or more nanoseconds", Reload: Live, Log: "prof_block_rate = %v",
			Use: "ProfBlockRate", Doc: "A blocking event goes into the profile about every so many nanoseconds spent blocked."}),
}

// logOptions say what is logged, and where.
var logOptions = []entry[Options]{
	boolean("debug", func(o *Options) *bool { return &o.Debug },
		Spec{Reload: Live, Log: "debug = %v", Flags: []string{"D", "debug"}, Use: "Debug", Doc: "Log debug lines."}),
	boolean("trace", func(o *Options) *bool { return &o.Trace },
		Spec{Reload: Live, Log: "trace = %v", Flags: []string{"V", "trace"}, Use: "Trace", Doc: "Log protocol lines."}),
	traceToo("trace_verbose", func(o *Options) *bool { return &o.TraceVerbose },
		Spec{Reload: Live, Log: "trace_verbose = %v", Use: "Trace", Doc: "Log protocol lines, those of the system account too. Sets `trace`."}),
	traceToo("trace_headers", func(o *Options) *bool { return &o.TraceHeaders },
		Spec{Reload: Live, Log: "trace_headers = %v", Use: "TraceHeaders", Doc: "Log protocol lines with the headers of messages and without payloads. Sets `trace`."}),
	boolean("logtime", func(o *Options) *bool { return &o.Logtime },
		Spec{Default: "true", ZeroCounts: true, Reload: Live, Log: "logtime = %v", Flags: []string{"T", "logtime"},
			Use: "Logtime", Doc: "Put the time in front of log lines."}),
	boolean("logtime_utc", func(o *Options) *bool { return &o.LogtimeUTC },
		Spec{Reload: Live, Log: "logtime_utc = %v", Flags: []string{"logtime_utc"}, Use: "LogtimeUTC", Doc: "Log the time in UTC."}),
	filePath("log_file", func(o *Options) *string { return &o.LogFile },
		Spec{Aliases: []string{"logfile"}, Unset: "standard error", Reload: Live, Log: "log_file = %v", Flags: []string{"l", "log"},
			Use: "LogFile", Doc: "File to log to. It wins over `remote_syslog`, that over `syslog`."}),
	size("log_size_limit", func(o *Options) *int64 { return &o.LogSizeLimit },
		Spec{Aliases: []string{"logfile_size_limit"}, Unset: "no limit", Field: "LogSizeLimit", Flags: []string{"log_size_limit"},
			Use: "LogSizeLimit", Doc: "Size at which the log file is put aside and begun anew."}),
	integer("log_max_num", func(o *Options) *int64 { return &o.LogMaxFiles },
		Spec{Aliases: []string{"logfile_max_num"}, Unset: "all are kept", Range: "0 or more", Field: "LogMaxFiles",
			Use: "LogMaxFiles", Doc: "How many log files are kept, the one in use included."}),
	boolean("syslog", func(o *Options) *bool { return &o.Syslog },
		Spec{Reload: Live, Log: "syslog = %v", Flags: []string{"s", "syslog"}, Use: "Syslog", Doc: "Log to the machine's syslog."}),
	text("remote_syslog", func(o *Options) *string { return &o.RemoteSyslog },
		Spec{Unset: "none", Range: "a URL such as udp://host:514", Reload: Live, Log: "remote_syslog = %v", Flags: []string{"r", "remote_syslog"},
			Use: "RemoteSyslog", Doc: "Log to the syslog of another machine."}),
	integer("max_traced_msg_len", func(o *Options) *int { return &o.MaxTracedMsgLen },
		Spec{Unset: "no limit", Range: "0 or more bytes", Reload: Live, Log: "max_traced_msg_len = %d", Flags: []string{"max_traced_msg_len"},
			Use: "MaxTracedMsgLen", Doc: "How much of a payload a trace shows."}),
	integer("connect_error_reports", func(o *Options) *int { return &o.ConnectErrorReports },
		Spec{Default: "3600", Range: "1 or more attempts", Reload: Live, Log: "connect_error_reports = %v",
			Aside: true, Waiting: PartCluster, Doc: "One in so many failures to connect to another server the first time is logged."}),
	integer("reconnect_error_reports", func(o *Options) *int { return &o.ReconnectErrorReports },
		Spec{Default: "1", Range: "1 or more attempts", Reload: Live, Log: "reconnect_error_reports = %v",
			Aside: true, Waiting: PartCluster, Doc: "The same for connecting again."}),
}

// traceToo is a kind of trace, which turns trace on and off with it.
func traceToo(name string, at func(*Options) *bool, s Spec) entry[Options] {
	e := boolean(name, at, s)
	e.read = func(r *reader, k key, o *Options) {
		if on, ok := r.boolean(k.Value); ok {
			*at(o), o.Trace = on, on
		}
	}
	return e
}

// operatorOptions tie accounts to JSON web tokens.
var operatorOptions = []entry[Options]{
	custom("operator", "path or JWT, or list of them", readOperators, func(o *Options) any { return operatorIDs(o.Operators) },
		Spec{Aliases: []string{"operators", "root", "roots", "root_operator", "root_operators"}, Unset: "accounts come from this file",
			Range: "files with operator JWTs, or the JWTs", Field: "TrustedOperators", Use: "Operators",
			Doc: "Operators whose accounts may be used. With one, its account server and system account are used where `resolver` and `system_account` are not set."}),
	custom("trusted_keys", kindTexts, readTrustedKeys, func(o *Options) any { return o.TrustedKeys },
		Spec{Aliases: []string{"trusted"}, Unset: "those of the operators", Range: "public operator keys", Field: "TrustedKeys", Use: "TrustedKeys",
			Doc: "Keys that sign the JWTs of accounts."}),
	inside(custom("resolver", "`MEMORY`, `URL(…)` or block", readResolver, func(o *Options) any { return o.Resolver.id() },
		Spec{Aliases: []string{"account_resolver", "accounts_resolver"}, Unset: "the account server of the operator",
			Range:  "`MEMORY`, `URL(http://host/jwt/v1/accounts/)` or see the keys below",
			Reload: Partly, ReloadNote: "not from or to having none", Use: "Resolver", Doc: "Where the JWTs of accounts are looked up."}), &resolverBlock),
	tlsBlockAs("resolver_tls", &clientTLSBlock, func(o *Options) **TLS { return &o.ResolverTLS },
		Spec{Reload: Live, Log: "accounts", Use: "ResolverTLS", Doc: "TLS towards a URL resolver."}),
	custom("resolver_preload", "map of account keys to JWTs", readPreload, func(o *Options) any { return o.Preload },
		Spec{Unset: "none", Range: "account JWTs", Reload: Live, Log: "accounts", Use: "Preload", Doc: "Account JWTs known from the start."}),
	custom("resolver_pinned_accounts", kindTexts, readPinnedAccounts, func(o *Options) any { return o.PinnedAccounts },
		Spec{Unset: "all accounts", Range: "public account keys", Reload: Live, Log: "accounts", Use: "PinnedAccounts", Doc: "The only accounts that may be used, with the system account."}),
	text("default_sentinel", func(o *Options) *string { return &o.DefaultSentinel },
		Spec{Unset: "none", Range: "a bearer user JWT", Reload: Live, Log: "default_sentinel = %s", Secret: true, Use: "DefaultSentinel",
			Doc: "User JWT of clients that send none."}),
}

// partOptions are the blocks of other parts of the server.
var partOptions = []entry[Options]{
	nested("cluster", "Expected map to define cluster, got %s", func(o *Options) **Cluster { return &o.Cluster }, &clusterBlock,
		Spec{Unset: "no cluster", Reload: Partly, ReloadNote: "adding, removing and moving it is refused", Waiting: PartCluster, Varz: "cluster", Doc: "Servers that act as one."}),
	nested("gateway", "Expected gateway to be a map, got %s", func(o *Options) **Gateway { return &o.Gateway }, &gatewayBlock,
		Spec{Unset: "no gateways", Reload: Partly, ReloadNote: "only certificates", Field: "Gateway", Waiting: PartGateway, Varz: "gateway", Doc: "Links between clusters."}),
	nested("leafnodes", "Expected map to define a leafnode, got %s", func(o *Options) **LeafNode { return &o.LeafNode }, &leafBlock,
		Spec{Aliases: []string{"leaf"}, Unset: "no leaf nodes", Reload: Partly, ReloadNote: "TLS, compression and the list of remotes",
			Field: "LeafNode", Waiting: PartLeafNode, Varz: "leaf", Doc: "Links that extend an account to other servers."}),
	jetStreamEntry,
	refusing(filePath("store_dir", func(o *Options) *string { return &o.StoreDir },
		Spec{Aliases: []string{"storedir"}, Unset: "a folder for temporary files", Range: "a path", Reload: Partly, ReloadNote: "not while JetStream is on",
			Flags: []string{"sd", "store_dir"}, Aside: true, Waiting: PartJetStream, Doc: "Folder of JetStream; here or in `jetstream`."}),
		func(r *reader, k key) bool { return secondStoreDir(r, k.Value) }),
	custom("default_js_domain", "map of accounts to domains", readDefaultDomain, func(o *Options) any { return o.DefaultJSDomain },
		Spec{Unset: "none", Range: "accounts without JetStream", Field: "JsAccDefaultDomain", Aside: true, Waiting: PartJetStream, Doc: "JetStream domain of clients that name none, by account."}),
	nested("websocket", "Expected websocket to be a map, got %s", func(o *Options) **WebSocket { return &o.WebSocket }, &webSocketBlock,
		Spec{Aliases: []string{"ws"}, Unset: "no WebSocket", Reload: Partly, ReloadNote: "only certificates", Field: "Websocket", Waiting: PartWebSocket, Varz: "websocket", Doc: "Clients that speak WebSocket."}),
	nested("mqtt", "Expected mqtt to be a map, got %s", func(o *Options) **MQTT { return &o.MQTT }, &mqttBlock,
		Spec{Unset: "no MQTT", Reload: Partly, ReloadNote: "see the keys", Field: "MQTT", Waiting: PartMQTT, Varz: "mqtt", Doc: "Clients that speak MQTT."}),
	custom("feature_flags", "map of booleans", readFeatureFlags, func(o *Options) any { return o.FeatureFlags },
		Spec{Unset: "js_raft_delete_range alone is on", Range: "true or false for any name; unknown names are logged and change nothing", Field: "FeatureFlags",
			Aside: true, Waiting: PartJetStream, Doc: "Behaviour to opt in to or out of: js_ack_fc_v2, js_api_reply_v2, js_raft_delete_range, js_snapshot_sources."}),
}

// secondStoreDir reports a folder of JetStream when there is one already.
func secondStoreDir(r *reader, v *grammar.Value) bool {
	if r.opts.StoreDir == "" {
		return false
	}
	r.errorf(v, "Duplicate 'store_dir' configuration")
	return true
}

func readDefaultDomain(r *reader, k key, o *Options) {
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "error default_js_domain config: unsupported type %s", k.Kind)
		return
	}
	o.DefaultJSDomain = make(map[string]string, k.Map.Len())
	r.blaming(k.Value, func() {
		for account, v := range k.Map.All() {
			if domain, ok := r.str(v); ok {
				o.DefaultJSDomain[account] = domain
			}
		}
	})
}

// features are the flags that exist, and what holds without them.
var features = map[string]bool{
	"js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false,
}

// Features returns all flags that exist.
func (o *Options) Features() map[string]bool {
	all := maps.Clone(features)
	for name := range all {
		if on, set := o.FeatureFlags[name]; set {
			all[name] = on
		}
	}
	return all
}

func readFeatureFlags(r *reader, k key, o *Options) {
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "error parsing feature flags: unsupported type %s", k.Kind)
		return
	}
	o.FeatureFlags = make(map[string]bool, k.Map.Len())
	for name, v := range k.Map.All() {
		if v.Kind != grammar.Bool {
			r.errorf(v, "error parsing feature flag %q: expected bool, got %s", name, v.Kind)
			continue
		}
		o.FeatureFlags[name] = v.Bool
	}
}

// peregrineOptions are our own.
var peregrineOptions = []entry[Options]{
	nested("peregrine", "expected peregrine to be a map, got %s", func(o *Options) **Peregrine { return &o.Peregrine }, &peregrineBlock,
		Spec{Unset: "the defaults below", Reload: Partly, ReloadNote: "see the keys", Use: "Peregrine", Doc: "Options that nats-server does not have."}),
}

var peregrineBlock = block[Peregrine]{entries: []entry[Peregrine]{
	bounded(integer("loops", func(p *Peregrine) *int { return &p.Loops },
		Spec{Unset: "one for each usable CPU", Range: "0 (one for each usable CPU) to 256", Field: "Loops", Flags: []string{"loops"},
			Use: "Loops", Doc: "Event loops for clients."}), 0, 256),
	custom("pin_cpus", "string or list of integers", readPinCPUs, func(p *Peregrine) any { return p.PinCPUs },
		Spec{Unset: "not pinned", Range: `CPU numbers, as "0,2-5" or [0, 2, 3 ]`, Field: "PinCPUs", Flags: []string{"pin-cpus"},
			Use: "PinCPUs", Doc: "A CPU for each loop."}),
	bounded(integer("cluster_loops", func(p *Peregrine) *int { return &p.ClusterLoops },
		Spec{Unset: "1 if there are links", Range: "0 to 64", Field: "ClusterLoops", Waiting: PartCluster,
			Doc: "Event loops for links between servers."}), 0, 64),
	text("engine", func(p *Peregrine) *string { return &p.Engine },
		Spec{Default: `"auto"`, Range: `"auto" (the fastest of the platform), "gnet", on Linux "epoll"`, Field: "Engine", Flags: []string{"engine"},
			Use: "Engine", Doc: "What drives the event loops."}),
	oneOf("log_format", func(p *Peregrine) *string { return &p.LogFormat }, []string{"text", "json"},
		Spec{Default: `"text"`, Field: "LogFormat", Use: "LogFormat", Doc: "Form of log lines: nats-server's, or a JSON object each."}),
	size("memory_limit", func(p *Peregrine) *int64 { return &p.MemoryLimit },
		Spec{Unset: "GOMEMLIMIT of the environment", Reload: Live, Log: "memory_limit = %v", Use: "MemoryLimit",
			Doc: "Memory that the garbage collector tries to stay within."}),
}}

// bounded makes e, an integer option, refuse what is not within limits.
func bounded[T any](e entry[T], lowest, highest int64) entry[T] {
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		if k.Kind == grammar.Int && (k.Int < lowest || k.Int > highest) {
			r.errorf(k.Value, "%s must be between %d and %d, not %d", e.name, lowest, highest, k.Int)
			return
		}
		read(r, k, into)
	}
	return e
}

// oneOf is an option that takes one of some words.
func oneOf[T any](name string, at func(*T) *string, words []string, s Spec) entry[T] {
	s.Range = "`" + strings.Join(words, "`, `") + "`"
	e := text(name, at, s)
	e.read = func(r *reader, k key, into *T) {
		word, ok := r.str(k.Value)
		switch {
		case !ok:
		case slices.Contains(words, strings.ToLower(word)):
			*at(into) = strings.ToLower(word)
		default:
			r.errorf(k.Value, "%s must be one of %s, not %q", name, strings.Join(words, ", "), word)
		}
	}
	return e
}

func readPinCPUs(r *reader, k key, p *Peregrine) {
	switch k.Kind {
	case grammar.String:
		cpus, err := ParseCPUs(k.Str)
		if err != nil {
			r.errorf(k.Value, "pin_cpus: %v", err)
			return
		}
		p.PinCPUs = cpus
	case grammar.Int:
		p.PinCPUs = []int{int(k.Int)}
	case grammar.List:
		p.PinCPUs = nil
		for _, e := range k.List {
			if e.Kind != grammar.Int || e.Int < 0 || e.Int > cpuMax || slices.Contains(p.PinCPUs, int(e.Int)) {
				r.errorf(e, "pin_cpus: %v is not the number of one more CPU", e)
				return
			}
			p.PinCPUs = append(p.PinCPUs, int(e.Int))
		}
	default:
		r.errorf(k.Value, "pin_cpus: expected a string or a list, got %s", k.Kind)
	}
}
