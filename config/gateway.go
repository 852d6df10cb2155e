package config

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"peregrine/config/grammar"
)

// Gateway is the block of links between clusters.
type Gateway struct {
	Name           string // that of the cluster
	Host           string
	Port           int // -1 is any free one
	Authorization  *Authorization
	TLS            *TLS
	Advertise      string
	ConnectRetries int
	ConnectBackoff bool
	RejectUnknown  bool
	WriteDeadline  time.Duration // 0 is that of clients
	WriteTimeout   WriteTimeout
	Gateways       []*RemoteGateway
}

// RemoteGateway is another cluster.
type RemoteGateway struct {
	Name string
	URLs []*url.URL
	TLS  *TLS // nil is that of the block around it
}

var gatewayBlock = block[Gateway]{entries: []entry[Gateway]{
	clusterName("name", "gateway", PartGateway, func(g *Gateway) *string { return &g.Name },
		Spec{Unset: "refused", Field: "Gateway", Doc: "Name of this cluster."}),
	address("listen", func(g *Gateway) *string { return &g.Host }, func(g *Gateway) *int { return &g.Port },
		Spec{Field: "Gateway", Waiting: PartGateway, Doc: "Address for other clusters."}),
	text("host", func(g *Gateway) *string { return &g.Host },
		Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Field: "Gateway", Waiting: PartGateway, Doc: "Host for other clusters."}),
	integer("port", func(g *Gateway) *int { return &g.Port },
		Spec{Unset: "refused", Range: "-1 (any free port) to 65535", Field: "Gateway", Waiting: PartGateway, Doc: "Port for other clusters."}),
	serverAuth("Gateway", func(g *Gateway) **Authorization { return &g.Authorization }, PartGateway, nil),
	tlsBlockAs("tls", &gatewayTLSBlock, func(g *Gateway) **TLS { return &g.TLS },
		Spec{Reload: Live, Waiting: PartGateway, Doc: "TLS with other clusters. Both sides verify."}),
	text("advertise", func(g *Gateway) *string { return &g.Advertise },
		Spec{Unset: "the listen address", Range: "host or host:port", Field: "Gateway", Waiting: PartGateway, Doc: "Address told to other clusters."}),
	integer("connect_retries", func(g *Gateway) *int { return &g.ConnectRetries },
		Spec{Unset: "0", Range: "0 or more", Field: "Gateway", Waiting: PartGateway, Doc: "How often to try again to connect to clusters that others told of."}),
	boolean("connect_backoff", func(g *Gateway) *bool { return &g.ConnectBackoff },
		Spec{Field: "Gateway", Waiting: PartGateway, Doc: "Wait longer after each attempt to connect."}),
	boolean("reject_unknown_cluster", func(g *Gateway) *bool { return &g.RejectUnknown },
		Spec{Aliases: []string{"reject_unknown"}, Field: "Gateway", Waiting: PartGateway, Doc: "Refuse clusters that `gateways` does not name."}),
	duration("write_deadline", "", func(g *Gateway) *time.Duration { return &g.WriteDeadline },
		Spec{Unset: "that of clients", Field: "Gateway", Waiting: PartGateway, Doc: "Time that a write to another cluster may take."}),
	writeTimeout(func(g *Gateway) *WriteTimeout { return &g.WriteTimeout }, Spec{Default: `"retry"`, Field: "Gateway", Waiting: PartGateway}),
	listed(custom("gateways", kindBlocks, readGateways, func(g *Gateway) any { return g.Gateways },
		Spec{Unset: "none", Range: "see the keys below", Field: "Gateway", Waiting: PartGateway, Doc: "The other clusters. This one may be among them."}),
		&remoteGatewayBlock, func(g *Gateway) []*RemoteGateway { return g.Gateways }),
}}

func readGateways(r *reader, k key, g *Gateway) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, "Expected gateways field to be an array, got %s", k.Kind)
		return
	}
	for _, v := range k.List {
		if v.Kind != grammar.Map {
			r.errorf(v, "Expected gateway entry to be a map/struct, got %v", v)
			continue
		}
		remote := new(RemoteGateway)
		remoteGatewayBlock.read(r, v.Map, "", remote)
		g.Gateways = append(g.Gateways, remote)
	}
}

var remoteGatewayBlock = block[RemoteGateway]{entries: []entry[RemoteGateway]{
	text("name", func(g *RemoteGateway) *string { return &g.Name },
		Spec{Unset: "refused", Range: "the name of a cluster", Field: "Gateway", Waiting: PartGateway, Doc: "Name of the cluster."}),
	custom("url", kindText, func(r *reader, k key, g *RemoteGateway) {
		if _, ok := r.str(k.Value); ok {
			if u, ok := r.url(k.Value, "gateway"); ok {
				g.URLs = append(g.URLs, u)
			}
		}
	}, nil, Spec{Unset: "`urls` is needed", Range: "a URL", Field: "Gateway", Waiting: PartGateway, Doc: "Where the cluster is."}),
	custom("urls", "list of URLs", func(r *reader, k key, g *RemoteGateway) {
		if list, ok := r.list(k.Value); ok {
			g.URLs = r.urls(list, "gateway")
		}
	}, nil, Spec{Unset: "`url` is needed", Range: "URLs", Field: "Gateway", Waiting: PartGateway, Doc: "Where the cluster is, with several addresses."}),
	tlsBlockAs("tls", &gatewayTLSBlock, func(g *RemoteGateway) **TLS { return &g.TLS },
		Spec{Unset: "that of the gateway", Reload: Live, Waiting: PartGateway, Doc: "TLS with the cluster."}),
}}

// checkGateway finds what is wrong with gateways as a whole.
func (o *Options) checkGateway() error {
	g := o.Gateway
	switch {
	case g == nil || g.Name == "" && g.Port == 0:
		return nil
	case g.Name == "":
		return errors.New("gateway has no name")
	case g.Port == 0:
		return fmt.Errorf("gateway %q has no port specified (select -1 for random port)", g.Name)
	}
	for i, remote := range g.Gateways {
		if remote.Name == "" {
			return fmt.Errorf("gateway in the list %d has no name", i)
		}
		if len(remote.URLs) == 0 {
			return fmt.Errorf("gateway %q has no URL", remote.Name)
		}
	}
	return nil
}
