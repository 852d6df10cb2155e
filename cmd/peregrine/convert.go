package main

import (
	"crypto/tls"
	"net"
	"strconv"

	"peregrine/config"
	"peregrine/internal/logging"
	"peregrine/monitor"
	"peregrine/server"
)

// serverOptions turns a configuration into the server's terms. Errors are of
// accounts and users that cannot be.
func serverOptions(o *config.Options) (server.Options, error) {
	p := o.Peregrine
	d, err := directory(o)
	if err != nil {
		return server.Options{}, err
	}
	engine := engineName(p.Engine)
	options := server.Options{
		Host: o.Host, Port: o.Port, ServerName: o.ServerName, ClientAdvertise: advertised(o),
		Debug: o.Debug, Trace: o.Trace, TraceHeaders: o.TraceHeaders,
		Loops: p.Loops, PinCPUs: p.PinCPUs, Engine: engine, NewEngine: engines[engine],
		MaxPayload: o.MaxPayload, MaxControlLine: o.MaxControlLine, MaxPending: o.MaxPending,
		MaxConn: o.MaxConn, MaxSubs: o.MaxSubs, MaxSubTokens: int(o.MaxSubTokens),
		PingInterval: o.PingInterval, MaxPingsOut: o.MaxPingsOut, WriteDeadline: o.WriteDeadline,
		WriteTimeout:     o.WriteTimeout.String(),
		LameDuckDuration: o.LameDuckDuration, LameDuckGracePeriod: o.LameDuckGracePeriod,
		NoHeaders: o.NoHeaderSupport, NoFastProducerStall: o.NoFastProducerStall,
		MaxClosedClients: o.MaxClosedClients,
		Directory:        d,
		Tags:             o.ServerTags, Metadata: o.ServerMetadata, FeatureFlags: o.Features(),
		Callout: calloutOptions(o.Authorization), TrustedProxies: trustedProxies(o.Proxies),
	}
	if options.IdleResolver, err = idleResolver(o); err != nil {
		return server.Options{}, err
	}
	if options.Operator, err = operatorMode(o); err != nil {
		return server.Options{}, err
	}
	if a := o.Authorization; a != nil {
		options.AuthTimeout = a.Timeout
	}
	return options, setTLS(&options, o)
}

// advertised is the address for INFO in the server's form, empty without one.
func advertised(o *config.Options) string {
	host, port, err := o.Advertised()
	if o.ClientAdvertise == "" || err != nil { // Complete has refused that
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// logOptions turns a configuration into the log's terms.
func logOptions(o *config.Options) logging.Options {
	return logging.Options{
		File: o.LogFile, RemoteSyslog: o.RemoteSyslog, Syslog: o.Syslog,
		SizeLimit: o.LogSizeLimit, FilesMax: o.LogMaxFiles,
		NoTime: !o.Logtime, UTC: o.LogtimeUTC, JSON: o.Peregrine.LogFormat == "json",
		Debug: o.Debug, Trace: o.Trace, PayloadMax: o.MaxTracedMsgLen,
	}
}

// monitorOptions turns a configuration into the monitor's terms. secure is TLS
// of the server, for pages that use it.
func monitorOptions(o *config.Options, secure *tls.Config) monitor.Options {
	if o.HTTPSPort != 0 {
		return monitor.Options{Host: o.HTTPHost, Port: o.HTTPSPort, BasePath: o.HTTPBasePath, TLS: secure}
	}
	return monitor.Options{Host: o.HTTPHost, Port: o.HTTPPort, BasePath: o.HTTPBasePath}
}
