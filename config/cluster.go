package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Cluster is the block of servers that act as one.
type Cluster struct {
	Name           string
	Host           string
	Port           int // -1 is any free one, 0 is none
	Authorization  *Authorization
	Routes         []*url.URL
	TLS            *TLS
	Advertise      string
	NoAdvertise    bool
	ConnectRetries int
	ConnectBackoff bool
	Permissions    *Permissions // Publish is import, Subscribe is export
	PoolSize       int          // negative is no pool
	Accounts       []string     // with routes of their own
	Compression    Compression
	PingInterval   time.Duration // 0 is that of clients, up to 30 s
	MaxPingsOut    int           // 0 is that of clients
	WriteDeadline  time.Duration // 0 is that of clients
	WriteTimeout   WriteTimeout
}

// routePingMax is the longest ping interval of routes.
const routePingMax = 30 * time.Second

// reservedCluster is a name that stands for no cluster.
const reservedCluster = "_"

var clusterBlock = block[Cluster]{entries: []entry[Cluster]{
	clusterName("name", "cluster", PartCluster, func(c *Cluster) *string { return &c.Name },
		Spec{Unset: "the gateway's name, else one is made up", Reload: Live, Flags: []string{"cluster_name"}, Doc: "Name of the cluster, the same on all its servers."}),
	address("listen", func(c *Cluster) *string { return &c.Host }, func(c *Cluster) *int { return &c.Port },
		Spec{Field: "cluster host or port", Flags: []string{"cluster", "cluster_listen"}, Waiting: PartCluster, Doc: "Address for routes."}),
	text("host", func(c *Cluster) *string { return &c.Host },
		Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Field: "cluster host", Waiting: PartCluster, Doc: "Host for routes."}),
	integer("port", func(c *Cluster) *int { return &c.Port },
		Spec{Unset: "no routes are accepted", Range: "-1 (any free port) to 65535", Field: "cluster port", Waiting: PartCluster, Doc: "Port for routes."}),
	serverAuth("Cluster", func(c *Cluster) **Authorization { return &c.Authorization }, PartCluster, func(r *reader, k key, c *Cluster) {
		p := c.Authorization.DefaultPermissions
		if p == nil {
			return
		}
		if err := checkClusterPermissions(p); err != nil {
			r.errorf(k.Value, "%v", err)
			return
		}
		r.misuse(k.Value, k.name, `setting "permissions" within cluster authorization block is deprecated`)
		if c.Permissions == nil {
			c.Permissions = p
		}
	}),
	custom("routes", "list of URLs", func(r *reader, k key, c *Cluster) {
		if list, ok := r.list(k.Value); ok {
			c.Routes = r.urls(list, "route")
		}
	}, func(c *Cluster) any { return c.Routes },
		Spec{Unset: "none", Range: "URLs such as nats://user:password@host:6222", Reload: Live, Log: "cluster routes", Flags: []string{"routes"}, Waiting: PartCluster,
			Doc: "Servers to connect to. They tell of the others."}),
	tlsBlockAs("tls", &clusterTLSBlock, func(c *Cluster) **TLS { return &c.TLS },
		Spec{Reload: Live, Waiting: PartCluster, Doc: "TLS with the servers of the cluster. Both sides verify."}),
	text("advertise", func(c *Cluster) *string { return &c.Advertise },
		Spec{Aliases: []string{"cluster_advertise"}, Unset: "the listen address", Range: "host or host:port", Reload: Live, Flags: []string{"cluster_advertise"}, Waiting: PartCluster,
			Doc: "Address told to other servers."}),
	boolean("no_advertise", func(c *Cluster) *bool { return &c.NoAdvertise },
		Spec{Reload: Live, Flags: []string{"no_advertise"}, Waiting: PartCluster, Doc: "Do not tell clients about the other servers."}),
	integer("connect_retries", func(c *Cluster) *int { return &c.ConnectRetries },
		Spec{Unset: "0", Range: "0 or more", Reload: Live, Flags: []string{"connect_retries"}, Waiting: PartCluster, Doc: "How often to try again to connect to servers that others told of."}),
	boolean("connect_backoff", func(c *Cluster) *bool { return &c.ConnectBackoff },
		Spec{Reload: Live, Waiting: PartCluster, Doc: "Wait longer after each attempt to connect."}),
	permissionsOfCluster,
	integer("pool_size", func(c *Cluster) *int { return &c.PoolSize },
		Spec{Default: "3", Range: "1 or more; negative is no pool", Reload: Live, Waiting: PartCluster, Doc: "Routes between two servers, which share the accounts."}),
	texts("accounts", "accounts", func(c *Cluster) *[]string { return &c.Accounts },
		Spec{Unset: "the system account", Range: "accounts, each once", Reload: Live, Waiting: PartCluster, Doc: "Accounts that have a route of their own."}),
	compression(CompressionS2Fast, func(c *Cluster) *Compression { return &c.Compression },
		Spec{Unset: "accept", Reload: Live, Waiting: PartCluster}),
	then(duration("ping_interval", "", func(c *Cluster) *time.Duration { return &c.PingInterval },
		Spec{Unset: "that of clients, up to 30s", Reload: Live, Waiting: PartCluster, Doc: "Time between pings of a route. More than 30s is 30s, with a warning."}),
		func(r *reader, k key, c *Cluster) {
			if c.PingInterval > routePingMax {
				r.warnf(k.Value, "Cluster 'ping_interval' will reset to %v which is the max for routes", routePingMax)
			}
		}),
	integer("ping_max", func(c *Cluster) *int { return &c.MaxPingsOut },
		Spec{Unset: "that of clients", Range: "1 or more", Reload: Live, Waiting: PartCluster, Doc: "Pings without an answer that make a route stale."}),
	duration("write_deadline", "", func(c *Cluster) *time.Duration { return &c.WriteDeadline },
		Spec{Unset: "that of clients", Reload: Live, Waiting: PartCluster, Doc: "Time that a write to a route may take."}),
	writeTimeout(func(c *Cluster) *WriteTimeout { return &c.WriteTimeout }, Spec{Default: `"retry"`, Reload: Live, Waiting: PartCluster}),
}}

var permissionsOfCluster = inside(custom("permissions", kindBlock, func(r *reader, k key, c *Cluster) {
	before := len(r.Errors)
	p := r.permissions(k.Value)
	switch {
	case p == nil || len(r.Errors) > before:
		return
	case p.Responses != nil:
		r.errorf(k.Value, "Cluster permissions do not support dynamic responses")
		return
	}
	if err := checkClusterPermissions(p); err != nil {
		r.errorf(k.Value, "%v", err)
		return
	}
	c.Permissions = p
}, func(c *Cluster) any { return deref(c.Permissions) },
	Spec{Unset: "everything is allowed", Range: "see the keys below; no responses, no queues", Reload: Live, Waiting: PartCluster,
		Doc: "Which interest goes to the other servers (`import`) and is taken from them (`export`)."}), &permissionsBlock)

// clusterName is the option of the name of a cluster.
func clusterName[T any](name, what string, part Part, at func(*T) *string, s Spec) entry[T] {
	s.Range, s.Waiting = "no spaces", part
	return custom(name, kindText, func(r *reader, k key, into *T) {
		text, ok := r.str(k.Value)
		switch {
		case !ok:
		case strings.Contains(text, " "):
			r.errorf(k.Value, "%s name cannot contain spaces", what)
		case text == reservedCluster:
			r.errorf(k.Value, "cluster name is reserved")
		default:
			*at(into) = text
		}
	}, func(t *T) any { return *at(t) }, s)
}

// serverAuth is the authorization block of links between servers, which has one
// user at most. what begins messages; after sees what was read.
func serverAuth[T any](what string, at func(*T) **Authorization, part Part, after func(*reader, key, *T)) entry[T] {
	e := nested("authorization", "interface conversion: interface {} is %s, not map[string]interface {}", at, &authorizationBlock,
		Spec{Unset: "everybody may connect", Reload: Live, Waiting: part, Doc: "Who may connect, and how to introduce oneself. Of its keys, those of several users, tokens and callouts are refused."})
	all := e.rows
	e.rows = func(path string, find func(*Options) *T) []Option {
		var rows []Option
		for _, o := range all(path, find) {
			switch o.Name() {
			case "user", "password", "timeout":
				if !strings.Contains(o.Path, "[]") {
					o.Use, o.Waiting, o.Flags, o.Log = "", part, nil, ""
					rows = append(rows, o)
				}
			}
		}
		return rows
	}
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		*at(into) = nil
		read(r, k, into)
		a := *at(into)
		switch {
		case a == nil:
		case a.hasUsers:
			r.errorf(k.Value, "%s authorization does not allow multiple users", what)
		case a.Token != "":
			r.errorf(k.Value, "%s authorization does not support tokens", what)
		case a.Callout != nil:
			r.errorf(k.Value, "%s authorization does not support callouts", what)
		case after != nil:
			after(r, k, into)
		}
	}
	return e
}

// checkClusterPermissions finds subjects that are none: queues are not allowed here.
func checkClusterPermissions(p *Permissions) error {
	for _, side := range []struct {
		name string
		p    *SubjectPermission
	}{{"import", p.Publish}, {"export", p.Subscribe}} {
		if side.p == nil {
			continue
		}
		if err := checkSubjects(side.p.Allow, false); err != nil {
			return fmt.Errorf("cluster %s allow: %w", side.name, err)
		}
		if err := checkSubjects(side.p.Deny, false); err != nil {
			return fmt.Errorf("cluster %s deny: %w", side.name, err)
		}
	}
	return nil
}

// urls reads URLs of the given kind; a second one of the same text is left out
// with a warning.
func (r *reader) urls(list []*grammar.Value, kind string) []*url.URL {
	var all []*url.URL
	seen := make(map[string]bool)
	for _, v := range list {
		text, ok := r.str(v)
		if !ok {
			return nil
		}
		if seen[text] {
			r.misuse(v, text, fmt.Sprintf("Duplicate %s entry detected", kind))
			continue
		}
		seen[text] = true
		if u, ok := r.url(v, kind); ok {
			all = append(all, u)
		}
	}
	return all
}

// url reads a URL of the given kind.
func (r *reader) url(v *grammar.Value, kind string) (*url.URL, bool) {
	u, err := parseURL(v.Str, kind)
	if err != nil {
		r.errorf(v, "%v", err)
	}
	return u, err == nil
}

func parseURL(text, kind string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("error parsing %s url [%q]", kind, text)
	}
	return u, nil
}

func urlTexts(urls []*url.URL) []string {
	var all []string
	for _, u := range urls {
		all = append(all, u.String())
	}
	return all
}

// checkCluster finds what is wrong with the cluster as a whole, and names it
// after the gateway if it has no name of its own.
func (o *Options) checkCluster() error {
	c := o.Cluster
	if g := o.Gateway; g != nil && g.Name != "" {
		if c == nil {
			c = new(Cluster)
			o.Cluster = c
		}
		if c.Name != "" && c.Name != g.Name {
			return errors.New("cluster name conflicts between cluster and gateway definitions")
		}
		c.Name = g.Name
	}
	if c == nil {
		return nil
	}
	if err := c.Compression.complete(CompressionS2Fast); err != nil {
		return err
	}
	if len(c.Accounts) > 0 && c.PoolSize < 0 {
		return errors.New("pool_size cannot be negative if pinned accounts are specified")
	}
	seen := make(map[string]bool)
	for _, name := range c.Accounts {
		if seen[name] {
			return fmt.Errorf("found duplicate account name %q in pinned accounts list %q", name, c.Accounts)
		}
		seen[name] = true
	}
	return nil
}
