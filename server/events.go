package server

import (
	"cmp"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"peregrine/account"
	"peregrine/sublist"
)

// What the server tells in the system account, and who asked it something there,
// leaves in one order, that of ServerInfo.Seq:
//
//	any goroutine ─ tell ─▶ outbox ─▶ one goroutine: JSON ─▶ publishInto

// Subjects of events; an account or a server stands for the verb.
const (
	connectEventOf     = "$SYS.ACCOUNT.%s.CONNECT"
	disconnectEventOf  = "$SYS.ACCOUNT.%s.DISCONNECT"
	connsEventOf       = "$SYS.SERVER.ACCOUNT.%s.CONNS"
	connsEventOfOld    = "$SYS.ACCOUNT.%s.SERVER.CONNS"
	authErrorEventOf   = "$SYS.SERVER.%s.CLIENT.AUTH.ERR"
	authErrorInAccount = "$SYS.ACCOUNT.CLIENT.AUTH.ERR"
)

const eventTypes = "io.nats.server.advisory.v1."

// outboxSize bounds what waits to be told.
const outboxSize = 16 << 10

// outbox is what waits to be told.
type outbox struct {
	in      chan notice
	dropped atomic.Int64
}

// notice is one message of the server.
type notice struct {
	acc     *liveAccount
	subject string
	// build returns what is told, ready for JSON; it runs on the outbox's
	// goroutine.
	build func(*ServerInfo) any
}

// tell publishes in acc what build returns, in the order of its calls. It never
// waits: too much at once is dropped, which the log tells.
func (s *Server) tell(acc *liveAccount, subject string, build func(*ServerInfo) any) {
	select {
	case s.outbox.in <- notice{acc, subject, build}:
	default:
		if n := s.outbox.dropped.Add(1); n&(n-1) == 0 {
			s.log.Warnf("Too many system messages at once, %d dropped so far, the last on %q", n, subject)
		}
	}
}

// hears tells whether anybody listens to an event. Names of accounts may make
// subjects that are none.
func hears(acc *liveAccount, subject string) bool {
	return acc.Interest.HasInterest([]byte(subject)) && sublist.IsValidPublishSubject(subject)
}

// of puts a name into the form of a subject.
func of(form, name string) string { return strings.Replace(form, "%s", name, 1) }

// runOutbox tells what waits until the server ends.
func (s *Server) runOutbox() {
	for {
		select {
		case <-s.quit:
			return
		case n := <-s.outbox.in:
			b, err := json.Marshal(n.build(s.serverInfo()))
			if err == nil {
				err = s.publishInto(n.acc, &internalMsg{subject: n.subject, payload: b}, nil)
			}
			if err != nil {
				s.log.Warnf("Error publishing a system message on %q: %v", n.subject, err)
			}
		}
	}
}

// typedEvent begins every event. Field order is part of what users see.
type typedEvent struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Time time.Time `json:"timestamp"`
}

func newTypedEvent(kind string, now time.Time) typedEvent {
	return typedEvent{eventTypes + kind, newEventID(), now.UTC()}
}

// dataStats count messages. The parts of links between servers are there only in
// the counts of an account.
type dataStats struct {
	Msgs     int64      `json:"msgs"`
	Bytes    int64      `json:"bytes"`
	Gateways *linkStats `json:"gateways,omitempty"`
	Routes   *linkStats `json:"routes,omitempty"`
	Leafs    *linkStats `json:"leafs,omitempty"`
}

type linkStats struct {
	Msgs  int64 `json:"msgs"`
	Bytes int64 `json:"bytes"`
}

// connectEvent tells that a client is there.
type connectEvent struct {
	typedEvent
	Server *ServerInfo `json:"server"`
	Client *clientInfo `json:"client"`
}

// disconnectEvent tells that a client has gone, or was not let in.
type disconnectEvent struct {
	typedEvent
	Server   *ServerInfo `json:"server"`
	Client   *clientInfo `json:"client"`
	Sent     dataStats   `json:"sent"` // by the client
	Received dataStats   `json:"received"`
	Reason   string      `json:"reason"`
}

// tellConnect tells that the session is in its account. On its loop, as are all
// that tell about a session.
func (c *session) tellConnect() {
	s := c.w.srv
	c.auth.told = true
	sys := s.systemAccount()
	subject := of(connectEventOf, c.acc.Name)
	if sys == nil || !hears(sys, subject) {
		return
	}
	e := &connectEvent{typedEvent: newTypedEvent("client_connect", time.Now()), Client: c.eventInfo(c.acc)}
	s.tell(sys, subject, func(i *ServerInfo) any { e.Server = i; return e })
}

// tellDisconnect tells that the session has ended.
func (c *session) tellDisconnect(r Reason) {
	if sys := c.w.srv.systemAccount(); sys != nil {
		c.tellGone(sys, of(disconnectEventOf, c.acc.Name), c.acc, r.String())
	}
}

// tellAuthError tells the operators that the session was not let in, or may not
// stay.
func (c *session) tellAuthError(r Reason) {
	if sys := c.w.srv.systemAccount(); sys != nil {
		c.tellGone(sys, of(authErrorEventOf, c.w.srv.id), c.acc, r.String())
	}
}

// tellAccountAuthError tells acc that a client of it was not let in.
func (c *session) tellAccountAuthError(acc *liveAccount, reason string) {
	if c.w.srv.systemAccount() != nil && acc != nil {
		c.tellGone(acc, authErrorInAccount, acc, reason)
	}
}

// tellGone publishes in where that the session, a client of acc, has ended.
func (c *session) tellGone(where *liveAccount, subject string, acc *liveAccount, reason string) {
	if !hears(where, subject) {
		return
	}
	now := time.Now().UTC()
	out, outBytes := c.c.Sent()
	e := &disconnectEvent{
		typedEvent: newTypedEvent("client_disconnect", now), Client: c.eventInfo(acc), Reason: reason,
		Sent:     dataStats{Msgs: c.inMsgs.Load(), Bytes: c.inBytes.Load()},
		Received: dataStats{Msgs: out, Bytes: outBytes},
	}
	e.Client.Stop, e.Client.RTT = &now, time.Duration(c.rtt.Load())
	c.w.srv.tell(where, subject, func(i *ServerInfo) any { e.Server = i; return e })
}

// eventInfo describes the session, as a client of acc, in events.
func (c *session) eventInfo(acc *liveAccount) *clientInfo {
	o, opened := &c.connect, c.opened.UTC()
	v := &clientInfo{
		Start: &opened, Host: c.peer.Addr().String(), ID: c.c.ID(), Account: acc.Name,
		Name: o.Name, Lang: o.Lang, Version: o.Version,
		IssuerKey: c.issuer(), NameTag: c.w.srv.accountTag(c.acc.Name), Kind: "Client", ClientType: "nats",
	}
	v.User, _ = c.client().Shown()
	if who := c.auth.who; who != nil {
		v.User, v.Tags, v.JWT = who.User, who.Tags, who.ShownJWT()
	}
	return v
}

// issuer returns who signed the session's user: a key, or the account where
// nobody in particular did; empty for users without a key.
func (c *session) issuer() string {
	who := c.auth.who
	switch {
	case who == nil:
	case who.IssuedBy != "":
		return who.IssuedBy
	case who.Key != "", who.Configured != nil && who.Configured.Nkey != "":
		return c.acc.Name
	}
	return ""
}

// accountTag returns the name that the claims of an account have for it, else
// its name.
func (s *Server) accountTag(name string) string {
	if s.claims != nil {
		if a := s.claims.snapshot(name); a != nil {
			return cmp.Or(a.Claims.Name, name)
		}
	}
	return name
}

// accountConns tells how many connections an account has here.
type accountConns struct {
	typedEvent
	Server *ServerInfo `json:"server"`
	accountStat
}

// accountStat are the counts of an account.
type accountStat struct {
	Account       string    `json:"acc"`
	Name          string    `json:"name"`
	Conns         int64     `json:"conns"`
	LeafNodes     int64     `json:"leafnodes"`
	TotalConns    int64     `json:"total_conns"`
	NumSubs       uint64    `json:"num_subscriptions"`
	Sent          dataStats `json:"sent"`
	Received      dataStats `json:"received"`
	SlowConsumers int64     `json:"slow_consumers"`
}

func (s *Server) accountStat(a *liveAccount) accountStat {
	t, all, leafs := a.Totals(), a.Connections(), a.LeafNodes()
	count := func(msgs, bytes int64) dataStats {
		return dataStats{Msgs: msgs, Bytes: bytes, Gateways: new(linkStats), Routes: new(linkStats), Leafs: new(linkStats)}
	}
	return accountStat{
		Account: a.Name, Name: s.accountTag(a.Name),
		Conns: all - leafs, LeafNodes: leafs, TotalConns: all,
		NumSubs: uint64(interestStats(a).Subscriptions),
		Sent:    count(t.OutMsgs, t.OutBytes), Received: count(t.InMsgs, t.InBytes),
		SlowConsumers: exchangeOf(a).slow.Load(),
	}
}

// connsInterval is how often the number of connections of an account is told
// while it does not change.
const connsInterval = 30 * time.Second

// connsChanged tells how many connections an account has. The global account is
// nobody's in particular.
func (s *Server) connsChanged(a *liveAccount) {
	sys := s.systemAccount()
	if sys == nil || a.Name == account.Global {
		return
	}
	exchangeOf(a).connsTold.Store(time.Now().UnixNano())
	for _, form := range []string{connsEventOfOld, connsEventOf} {
		if subject := of(form, a.Name); hears(sys, subject) {
			s.tell(sys, subject, func(i *ServerInfo) any {
				return &accountConns{newTypedEvent("account_connections", time.Now()), i, s.accountStat(a)}
			})
		}
	}
}

// repeatConns tells the number of connections of accounts again from time to
// time.
func (s *Server) repeatConns() {
	tick := time.NewTicker(connsInterval / 6)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case now := <-tick.C:
			for _, a := range s.accounts.all() {
				told := exchangeOf(a).connsTold.Load()
				if a.Connections() > 0 && now.UnixNano()-told >= int64(connsInterval) {
					s.connsChanged(a)
				}
			}
		}
	}
}
