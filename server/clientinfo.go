package server

import "time"

// clientInfo describes a client to services and in events. What is empty is
// left out.
type clientInfo struct {
	Start      *time.Time    `json:"start,omitempty"`
	Host       string        `json:"host,omitempty"`
	ID         uint64        `json:"id,omitempty"`
	Account    string        `json:"acc,omitempty"`
	Service    string        `json:"svc,omitempty"`
	User       string        `json:"user,omitempty"`
	Name       string        `json:"name,omitempty"`
	Lang       string        `json:"lang,omitempty"`
	Version    string        `json:"ver,omitempty"`
	RTT        time.Duration `json:"rtt,omitempty"`
	Server     string        `json:"server,omitempty"`
	Cluster    string        `json:"cluster,omitempty"`
	Stop       *time.Time    `json:"stop,omitempty"`
	JWT        string        `json:"jwt,omitempty"`
	IssuerKey  string        `json:"issuer_key,omitempty"`
	NameTag    string        `json:"name_tag,omitempty"`
	Tags       []string      `json:"tags,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	ClientType string        `json:"client_type,omitempty"`
}

// clientInfo returns what others may know of the session: its account and round
// trip time, or everything. On the session's loop.
func (c *session) clientInfo(detailed bool) *clientInfo {
	v := &clientInfo{Account: c.acc.Name, RTT: time.Duration(c.rtt.Load())}
	if !detailed {
		return v
	}
	v.Server, v.Cluster = c.w.srv.Name(), c.w.srv.options().ClusterName
	opened := c.opened
	v.Start, v.Host, v.ID = &opened, c.peer.Addr().String(), c.c.ID()
	if id := c.ident.Load(); id != nil {
		v.Name, v.Lang, v.Version, v.User = id.name, id.lang, id.version, id.user
	}
	if who := c.auth.who; who != nil {
		v.JWT, v.IssuerKey, v.NameTag, v.Tags = who.ShownJWT(), c.issuer(), who.NameTag, who.Tags
	}
	v.Kind, v.ClientType = "Client", "nats"
	return v
}
