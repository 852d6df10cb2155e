package server

import (
	"net/netip"
	"sync"
	"time"

	"peregrine/account"
	"peregrine/loop"
	"peregrine/sublist"
)

// ConnInfo is what a monitor shows of a connection.
type ConnInfo struct {
	ID                  uint64
	Peer                netip.AddrPort
	Loop                int
	Opened              time.Time
	LastActivity        time.Time
	RTT                 time.Duration
	Pending             int64
	InMsgs, OutMsgs     int64
	InBytes, OutBytes   int64
	NumSubs             int
	Subs                []SubInfo // of a closed one at most closedSubsMax; of an open one only if asked for
	Stalls              int64     // how often it was slowed as a producer
	User                string
	Account             string
	AccountTag          string   // what its claims call the account, else its name
	JWT                 string   // what the user showed; empty for a bearer token
	ProxyKey            string   // of the trusted proxy that it came through
	IssuerKey           string   // that signed the user
	Tags                []string // of the user
	Name, Lang, Version string
	TLS                 *ConnTLS  // nil without
	Closed              time.Time // zero while open
	Reason              string    // why it was closed
}

// SubInfo is what a monitor shows of a subscription.
type SubInfo struct {
	Subject, Queue, SID string
	Delivered, Max      int64 // Max 0: no auto-unsubscribe
}

// closedSubsMax bounds the subjects kept of a closed connection.
const closedSubsMax = 128

// closedRecords remembers the connections that were closed last.
type closedRecords struct {
	mu    sync.Mutex // guards all
	max   int
	ring  []ConnInfo
	next  int
	total uint64
}

func (r *closedRecords) add(c ConnInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if len(r.ring) < r.max {
		r.ring = append(r.ring, c)
		return
	}
	if r.max <= 0 {
		return
	}
	r.ring[r.next] = c
	r.next = (r.next + 1) % r.max
}

// list returns the records, oldest first.
func (r *closedRecords) list() []ConnInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append(make([]ConnInfo, 0, len(r.ring)), r.ring[r.next:]...), r.ring[:r.next]...)
}

// remember records a closed session.
func (s *Server) remember(c *session, reason Reason, numSubs int, subs []SubInfo) {
	info := c.describe()
	info.Closed, info.Reason = time.Now(), reason.String()
	info.Subs, info.NumSubs = subs, numSubs
	s.closed.add(info)
}

// describe fills a ConnInfo. Owner only.
func (c *session) describe() ConnInfo {
	out, outBytes := c.c.Sent()
	info := ConnInfo{
		ID: c.c.ID(), Peer: c.peer, Loop: c.w.index, Opened: c.opened,
		RTT: time.Duration(c.rtt.Load()), Pending: c.c.Pending(),
		InMsgs: c.inMsgs.Load(), InBytes: c.inBytes.Load(), OutMsgs: out, OutBytes: outBytes,
		NumSubs: len(c.subs), Account: c.acc.Name, Stalls: c.c.Stalls(),
	}
	info.TLS, info.AccountTag = c.describeTLS(), c.w.srv.accountTag(c.acc.Name)
	info.LastActivity = c.opened
	if seen := c.lastSeen.Load(); seen > 0 {
		info.LastActivity = time.Now().Add(-time.Duration(c.w.lp.Now() - seen))
	}
	if id := c.ident.Load(); id != nil {
		info.Name, info.Lang, info.Version = id.name, id.lang, id.version
	}
	if who := c.auth.who; who != nil {
		info.User, info.IssuerKey, info.Tags = who.User, c.issuer(), who.Tags
		info.JWT, info.ProxyKey = who.ShownJWT(), who.ProxyKey
	} else {
		info.User, _ = c.client().Shown() // what it said, and was not let in
	}
	return info
}

// OpenConnections describes every open connection; with subs, also their
// subjects. It asks each loop and waits for the answers; loops do not wait.
func (s *Server) OpenConnections(subs bool) []ConnInfo {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if !running {
		return nil
	}
	answers := make(chan []ConnInfo, len(s.workers))
	asked := 0
	for _, w := range s.workers {
		if w.lp.Post(func() { answers <- w.describeAll(subs) }) {
			asked++
		}
	}
	var all []ConnInfo
	for range asked {
		select {
		case some := <-answers:
			all = append(all, some...)
		case <-s.done:
			return all
		}
	}
	return all
}

func (w *worker) describeAll(subs bool) []ConnInfo {
	out := make([]ConnInfo, 0, w.count.Load())
	w.each(func(c *session) {
		info := c.describe()
		if subs {
			info.Subs = c.subInfos(len(c.subs))
		}
		out = append(out, info)
	})
	return out
}

// ClosedConnections returns the connections closed last, oldest first.
func (s *Server) ClosedConnections() []ConnInfo { return s.closed.list() }

// Stats are the server's counters at one moment.
type Stats struct {
	Started          time.Time
	Connections      int64
	TotalConnections int64
	Subscriptions    int64
	SlowConsumers    int64
	StaleConnections int64
	NotPinned        int64  // users of accounts that are not pinned
	Inserts, Removes uint64 // of subscriptions, since the start
	account.Totals
	Loops          []loop.Stats
	Chunks, Shared int64 // outbound buffers in use
}

// AccountStats are the counters of one account at one moment.
type AccountStats struct {
	Connections      int64 // clients and leaf nodes
	LeafNodes        int64
	Subscriptions    int64
	Inserts, Removes uint64 // of subscriptions, since the start
	account.Totals
}

// AccountStats reads the counters of the account of that name; ok is false if
// there is none.
func (s *Server) AccountStats(name string) (st AccountStats, ok bool) {
	a := s.accounts.find(name)
	if a == nil {
		return st, false
	}
	interest := interestStats(a)
	return AccountStats{
		Connections: a.Connections(), LeafNodes: a.LeafNodes(),
		Subscriptions: int64(interest.Subscriptions), Inserts: interest.Inserts, Removes: interest.Removes,
		Totals: a.Totals(),
	}, true
}

// interestStats counts the subscriptions of an account but for the server's own.
// While some of those come or go the counters are of different moments.
func interestStats(a *liveAccount) sublist.Stats {
	x, st := exchangeOf(a), a.Interest.Stats()
	gone, made := x.ownUnsubs.Load(), x.ownSubs.Load()
	st.Subscriptions = max(st.Subscriptions-int(made-gone), 0)
	st.Inserts -= min(made, st.Inserts)
	st.Removes -= min(gone, st.Removes)
	return st
}

// Stats reads the counters. It waits for nothing.
func (s *Server) Stats() Stats {
	st := Stats{
		Started: s.started, Connections: s.connections.Load(), TotalConnections: s.totalConns.Load(),
		SlowConsumers: s.slowConsumers.Load(), StaleConnections: s.staleConns.Load(),
		NotPinned: s.notPinned.Load(),
		Totals:    account.Sum(s.counters),
	}
	for _, a := range s.accounts.all() {
		interest := interestStats(a)
		st.Subscriptions += int64(interest.Subscriptions)
		st.Inserts += interest.Inserts
		st.Removes += interest.Removes
	}
	s.mu.Lock()
	group := s.group
	s.mu.Unlock()
	if group != nil {
		st.Loops = group.Stats()
	}
	st.Chunks, st.Shared = loop.BuffersInUse()
	return st
}
