package monitor

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// connz is the body of /connz in the reference's order.
type connz struct {
	ServerID    string     `json:"server_id"`
	Now         time.Time  `json:"now"`
	Connections int        `json:"num_connections"`
	Total       int        `json:"total"`
	Offset      int        `json:"offset"`
	Limit       int        `json:"limit"`
	List        []connInfo `json:"connections"`
}

type connInfo struct {
	CID           uint64     `json:"cid"`
	Kind          string     `json:"kind,omitempty"`
	Type          string     `json:"type,omitempty"`
	IP            string     `json:"ip"`
	Port          int        `json:"port"`
	Start         time.Time  `json:"start"`
	LastActivity  time.Time  `json:"last_activity"`
	Stop          *time.Time `json:"stop,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	RTT           string     `json:"rtt,omitempty"`
	Uptime        string     `json:"uptime"`
	Idle          string     `json:"idle"`
	PendingBytes  int64      `json:"pending_bytes"`
	InMsgs        int64      `json:"in_msgs"`
	OutMsgs       int64      `json:"out_msgs"`
	InBytes       int64      `json:"in_bytes"`
	OutBytes      int64      `json:"out_bytes"`
	Stalls        int64      `json:"stalls,omitempty"`
	Subscriptions int        `json:"subscriptions"`
	Name          string     `json:"name,omitempty"`
	Lang          string     `json:"lang,omitempty"`
	Version       string     `json:"version,omitempty"`
	TLSVersion    string     `json:"tls_version,omitempty"`
	TLSCipher     string     `json:"tls_cipher_suite,omitempty"`
	TLSPeerCerts  []PeerCert `json:"tls_peer_certs,omitempty"`
	TLSFirst      bool       `json:"tls_first,omitempty"`
	User          string     `json:"authorized_user,omitempty"`
	Account       string     `json:"account,omitempty"`
	Subs          []string   `json:"subscriptions_list,omitempty"`
	SubsDetail    []subInfo  `json:"subscriptions_list_detail,omitempty"`
	JWT           string     `json:"jwt,omitempty"`
	IssuerKey     string     `json:"issuer_key,omitempty"`
	NameTag       string     `json:"name_tag,omitempty"`
	Tags          []string   `json:"tags,omitempty"`
	Proxy         *proxyKey  `json:"proxy,omitempty"`
}

type subInfo struct {
	Account    string `json:"account,omitempty"`
	AccountTag string `json:"account_tag,omitempty"`
	Subject    string `json:"subject"`
	Queue      string `json:"qgroup,omitempty"`
	SID        string `json:"sid"`
	Msgs       int64  `json:"msgs"`
	Max        int64  `json:"max,omitempty"`
	CID        uint64 `json:"cid"`
}

// globalAccount is the account of clients that named none; connz leaves it out.
const globalAccount = "$G"

// connOrder compares two connections for one value of the sort parameter.
type connOrder struct {
	compare    func(a, b *Conn) int
	closedOnly bool
}

func ascending[T cmp.Ordered](key func(*Conn) T) func(a, b *Conn) int {
	return func(a, b *Conn) int { return cmp.Compare(key(a), key(b)) }
}

func descending[T cmp.Ordered](key func(*Conn) T) func(a, b *Conn) int {
	return func(a, b *Conn) int { return cmp.Compare(key(b), key(a)) }
}

func byCID(c *Conn) uint64 { return c.CID }

func ended(c *Conn, now time.Time) time.Time {
	if c.Stop.IsZero() {
		return now
	}
	return c.Stop
}

// connOrders returns the values that sort may have.
func connOrders(now time.Time) map[string]connOrder {
	return map[string]connOrder{
		"":           {compare: ascending(byCID)},
		"cid":        {compare: ascending(byCID)},
		"start":      {compare: ascending(byCID)},
		"subs":       {compare: descending(func(c *Conn) int { return c.Subscriptions })},
		"pending":    {compare: descending(func(c *Conn) int64 { return c.PendingBytes })},
		"msgs_to":    {compare: descending(func(c *Conn) int64 { return c.OutMsgs })},
		"msgs_from":  {compare: descending(func(c *Conn) int64 { return c.InMsgs })},
		"bytes_to":   {compare: descending(func(c *Conn) int64 { return c.OutBytes })},
		"bytes_from": {compare: descending(func(c *Conn) int64 { return c.InBytes })},
		"last":       {compare: descending(func(c *Conn) int64 { return c.LastActivity.UnixNano() })},
		"idle":       {compare: descending(func(c *Conn) time.Duration { return ended(c, now).Sub(c.LastActivity) })},
		"uptime":     {compare: ascending(func(c *Conn) time.Duration { return ended(c, now).Sub(c.Start) })},
		"rtt":        {compare: descending(func(c *Conn) time.Duration { return c.RTT })},
		"stop":       {compare: descending(func(c *Conn) int64 { return c.Stop.UnixNano() }), closedOnly: true},
		"reason":     {compare: ascending(func(c *Conn) string { return c.Reason }), closedOnly: true},
	}
}

// connzOptions are the parameters of one request.
type connzOptions struct {
	page
	query      Query
	order      connOrder
	list       bool
	detail     bool
	auth       bool
	user       string
	account    string
	mqttClient string
}

func connzParams(r *http.Request, now time.Time) (connzOptions, error) {
	p := params{values: r.URL.Query()}
	o := connzOptions{
		auth:       p.boolean("auth"),
		user:       p.values.Get("user"),
		account:    p.values.Get("acc"),
		mqttClient: p.values.Get("mqtt_client"),
	}
	o.list, o.detail = p.subs()
	o.page = p.page()
	o.query = Query{CID: p.uint64("cid"), State: p.state(), Subscriptions: o.list}
	if p.err != nil {
		return o, p.err
	}
	if o.query.CID != 0 {
		o.page = page{Limit: 1}
	}
	name := p.values.Get("sort")
	order, known := connOrders(now)[name]
	if !known {
		return o, fmt.Errorf("invalid sorting option: %s", name)
	}
	if order.closedOnly && o.query.State != Closed {
		return o, fmt.Errorf("sort by %s only valid on closed connections", name)
	}
	o.order = order
	return o, nil
}

func (m *Monitor) serveConnz(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	o, err := connzParams(r, now)
	if err != nil {
		return err
	}
	return writeJSON(w, m.connz(o, now))
}

func (m *Monitor) connz(o connzOptions, now time.Time) *connz {
	body := &connz{Now: now.UTC(), Offset: o.Offset, Limit: o.Limit}
	if o.account != "" {
		if _, known := m.source.Interest(o.account); !known {
			return body // the reference's answer for an account it does not have
		}
	}
	body.ServerID = m.source.Identity().ID
	conns := slices.DeleteFunc(m.collect(o.query), o.excludes)
	slices.SortFunc(conns, func(a, b Conn) int {
		return cmp.Or(o.order.compare(&a, &b), cmp.Compare(a.CID, b.CID))
	})
	from, to := o.bounds(len(conns))
	body.Total, body.Connections = len(conns), to-from
	if o.query.CID != 0 {
		body.Total = o.Limit
	}
	body.List = make([]connInfo, 0, to-from)
	for i := range conns[from:to] {
		body.List = append(body.List, connEntry(&conns[from+i], o, now))
	}
	return body
}

// collect asks the source, for one handler at a time.
func (m *Monitor) collect(q Query) []Conn {
	m.walk.Lock()
	defer m.walk.Unlock()
	return m.source.Conns(q)
}

func (o connzOptions) excludes(c Conn) bool {
	return o.query.CID != 0 && c.CID != o.query.CID ||
		o.user != "" && c.User != o.user ||
		o.account != "" && cmp.Or(c.Account, globalAccount) != o.account ||
		o.mqttClient != ""
}

func connEntry(c *Conn, o connzOptions, now time.Time) connInfo {
	end := ended(c, now)
	e := connInfo{
		CID: c.CID, Kind: "Client", Type: "nats", IP: c.IP, Port: c.Port,
		Start: c.Start.UTC(), LastActivity: c.LastActivity.UTC(), Reason: c.Reason,
		RTT: rttText(c.RTT), Uptime: uptime(end.Sub(c.Start)), Idle: uptime(end.Sub(c.LastActivity)),
		PendingBytes: c.PendingBytes, InMsgs: c.InMsgs, OutMsgs: c.OutMsgs,
		InBytes: c.InBytes, OutBytes: c.OutBytes, Stalls: c.Stalls,
		Subscriptions: c.Subscriptions, Name: c.Name, Lang: c.Lang, Version: c.Version,
	}
	if t := c.TLS; t != nil {
		e.TLSVersion, e.TLSCipher, e.TLSFirst = t.Version, t.CipherSuite, t.First
		if o.auth {
			e.TLSPeerCerts = t.Peer
		}
	}
	if c.ProxyKey != "" {
		e.Proxy = &proxyKey{c.ProxyKey}
	}
	if !c.Stop.IsZero() {
		stop := c.Stop.UTC()
		e.Stop = &stop
	}
	if o.auth {
		e.User, e.NameTag = c.User, cmp.Or(c.AccountTag, c.Account, globalAccount)
		e.JWT, e.IssuerKey, e.Tags = c.JWT, c.IssuerKey, c.Tags
		if c.Account != globalAccount {
			e.Account = c.Account
		}
	}
	for _, s := range c.Subs {
		switch {
		case o.detail:
			e.SubsDetail = append(e.SubsDetail, subInfo{
				Subject: s.Subject, Queue: s.Queue, SID: s.SID, Msgs: s.Msgs, Max: s.Max, CID: c.CID,
			})
		case o.list:
			e.Subs = append(e.Subs, s.Subject)
		}
	}
	return e
}
