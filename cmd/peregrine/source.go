package main

import (
	"errors"
	"sync/atomic"

	"peregrine/monitor"
	"peregrine/server"
)

// source shows a server to the monitor, in the monitor's terms.
type source struct {
	server    *server.Server
	effective *atomic.Pointer[effective]
}

func (s source) Identity() monitor.Identity {
	o, config := s.server.Options(), s.effective.Load()
	revision, _ := buildRevision()
	id := monitor.Identity{
		ID: s.server.ID(), Name: s.server.Name(), Version: server.Version, OwnVersion: fullVersion(),
		GitCommit: revision, Proto: 1, Host: o.Host, Port: o.Port, Engine: o.Engine,
		SystemAccount:  o.Directory.System(),
		MaxConnections: o.MaxConn, MaxSubscriptions: o.MaxSubs, MaxControlLine: o.MaxControlLine,
		MaxPayload: o.MaxPayload, MaxPending: o.MaxPending, PingInterval: o.PingInterval,
		PingMax: o.MaxPingsOut, WriteDeadline: o.WriteDeadline, WriteTimeout: o.WriteTimeout, AuthRequired: s.server.AuthRequired(), AuthTimeout: o.AuthTimeout, Start: s.server.Stats().Started,
		ConfigLoaded: config.since, ConfigDigest: config.options.Digest,
		Tags: config.options.ServerTags, Metadata: config.options.ServerMetadata, Features: config.options.Features(),
	}
	if o.Operator != nil {
		id.OperatorJWTs, id.OperatorClaims = o.Operator.Tokens, o.Operator.Claims
	}
	id.TrustedProxies = o.TrustedProxies
	id.TLS = monitorTLS(s.server.TLSStats())
	if addr := s.server.Addr(); addr != nil {
		id.Port = addr.Port
	}
	return id
}

func (s source) Totals() monitor.Totals {
	st := s.server.Stats()
	t := monitor.Totals{
		Connections: int(st.Connections), TotalConnections: uint64(st.TotalConnections),
		Subscriptions: uint64(max(st.Subscriptions, 0)), SlowConsumers: st.SlowConsumers, StaleConnections: st.StaleConnections,
		NotPinned: st.NotPinned,
		InMsgs:    st.InMsgs, InBytes: st.InBytes, OutMsgs: st.OutMsgs, OutBytes: st.OutBytes,
	}
	for _, l := range st.Loops {
		t.StalledClients += l.Stalls
	}
	return t
}

func (s source) Figures() monitor.Figures {
	st := s.server.Stats()
	f := monitor.Figures{Chunks: st.Chunks, SharedPayloads: st.Shared, Loops: make([]monitor.Loop, len(st.Loops))}
	for i, l := range st.Loops {
		f.Loops[i] = monitor.Loop{
			ID: l.Index, CPU: l.CPU, Connections: l.Conns, Turns: l.Turns, LongestTurn: l.LongestTurn,
			Stalls: l.Stalls, StalledTime: l.Stalled,
		}
	}
	return f
}

func (s source) Conns(q monitor.Query) []monitor.Conn {
	var infos []server.ConnInfo
	if q.State != monitor.Closed {
		infos = s.server.OpenConnections(q.Subscriptions)
	}
	if q.State != monitor.Open {
		infos = append(infos, s.server.ClosedConnections()...)
	}
	conns := make([]monitor.Conn, 0, len(infos))
	for i := range infos {
		if q.CID == 0 || q.CID == infos[i].ID {
			conns = append(conns, monitorConn(&infos[i]))
		}
	}
	return conns
}

func monitorConn(c *server.ConnInfo) monitor.Conn {
	m := monitor.Conn{
		CID: c.ID, IP: c.Peer.Addr().String(), Port: int(c.Peer.Port()),
		Start: c.Opened, LastActivity: c.LastActivity, Stop: c.Closed, Reason: c.Reason,
		RTT: c.RTT, PendingBytes: c.Pending, InMsgs: c.InMsgs, OutMsgs: c.OutMsgs,
		InBytes: c.InBytes, OutBytes: c.OutBytes, Subscriptions: c.NumSubs,
		Name: c.Name, Lang: c.Lang, Version: c.Version, Account: c.Account, User: c.User, Stalls: c.Stalls,
		IssuerKey: c.IssuerKey, Tags: c.Tags, AccountTag: c.AccountTag, JWT: c.JWT, ProxyKey: c.ProxyKey,
	}
	if t := c.TLS; t != nil {
		m.TLS = &monitor.ConnTLS{Version: t.Version, CipherSuite: t.CipherSuite, First: t.First}
		for _, p := range t.Peer {
			m.TLS.Peer = append(m.TLS.Peer, monitor.PeerCert{Subject: p.Subject, KeySum: p.KeySum, CertSum: p.CertSum})
		}
	}
	if len(c.Subs) > 0 {
		m.Subs = make([]monitor.Sub, len(c.Subs))
		for i, sub := range c.Subs {
			m.Subs[i] = monitor.Sub{Subject: sub.Subject, Queue: sub.Queue, SID: sub.SID, Msgs: sub.Delivered, Max: sub.Max}
		}
	}
	return m
}

func (s source) Interest(account string) (monitor.Interest, bool) {
	if account != "" {
		st, ok := s.server.AccountStats(account)
		return monitor.Interest{Subscriptions: uint64(max(st.Subscriptions, 0)), Inserts: st.Inserts, Removes: st.Removes}, ok
	}
	st := s.server.Stats()
	return monitor.Interest{Subscriptions: uint64(max(st.Subscriptions, 0)), Inserts: st.Inserts, Removes: st.Removes}, true
}

// errNotListening is the reference's text for a client listener that is not up.
var errNotListening = errors.New("failed to be ready for connections after 1ms: server")

func (s source) Ready() error {
	if s.server.Addr() == nil || s.server.InLameDuck() {
		return errNotListening
	}
	return nil
}
