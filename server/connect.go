package server

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"peregrine/account"
	"peregrine/codec"
)

// connectOptions are the fields of CONNECT.
type connectOptions struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	Echo         bool   `json:"echo"`
	TLSRequired  bool   `json:"tls_required"`
	Nkey         string `json:"nkey,omitempty"`
	JWT          string `json:"jwt,omitempty"`
	Sig          string `json:"sig,omitempty"`
	ProxySig     string `json:"proxy_sig,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	User         string `json:"user,omitempty"`
	Pass         string `json:"pass,omitempty"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Account      string `json:"account,omitempty"`
	NewAccount   bool   `json:"new_account,omitempty"`
	Headers      bool   `json:"headers,omitempty"`
	NoResponders bool   `json:"no_responders,omitempty"`
}

// defaultConnect is what holds for a client that has not sent CONNECT, and for
// what its CONNECT leaves out.
var defaultConnect = connectOptions{Verbose: true, Pedantic: true, Echo: true}

// protocolMax is the newest protocol level of clients: 1 takes INFO at any time.
const protocolMax = 1

// onConnect handles CONNECT, the first or a later one. A later one begins
// again: without subscriptions, in the global account.
func (c *session) onConnect(f *codec.Frame) {
	if c.w.trace {
		c.tracef("<<- [CONNECT %s]", redact(f.Arg))
	}
	first := !c.stage.connected
	if !first {
		c.dropAllSubs()
	}
	o := c.connect
	if err := json.Unmarshal(f.Arg, &o); err != nil {
		c.errorf("%s", connectError(err))
		c.close(ProtocolViolation)
		return
	}
	c.connect = o
	c.stage.connected = true
	c.headers.Store(o.Headers && !c.w.srv.options().NoHeaders)
	c.parser.HeadersOK = c.headers.Load()
	if first {
		c.setRTT(int64(sinceOpen(c)))
		c.startFirstPing()
	}
	c.authenticate(func() { c.finishConnect(first) })
}

// finishConnect goes on with CONNECT when it is known who the client is.
func (c *session) finishConnect(first bool) {
	o := &c.connect
	if o.Account != "" || o.NewAccount {
		c.denied(account.Denied(""))
		return
	}
	c.identify(first)
	switch {
	case o.Protocol < 0 || o.Protocol > protocolMax:
		c.sendErr(errClientProtocol)
		c.close(BadClientProtocolVersion)
		c.errorf("%s", errClientProtocol)
	case o.NoResponders && !c.headers.Load():
		c.sendErr(errNoRespondersHeader)
		c.close(NoRespondersRequiresHeaders)
		c.errorf("%s", errNoRespondersHeader)
	default:
		c.ok()
	}
}

// connectError words a JSON error as the reference's option type would.
func connectError(err error) string {
	return strings.Replace(err.Error(), "connectOptions.", "ClientOpts.", 1)
}

// identify keeps the names of a client for logs and monitors. The names in the
// log's prefix are those of the first CONNECT.
func (c *session) identify(first bool) {
	o := &c.connect
	id := identity{name: o.Name, lang: o.Lang, version: o.Version}
	if old := c.ident.Load(); !first && old != nil {
		id.label = old.label
	} else {
		id.label = c.logLabel()
	}
	if who := c.auth.who; who != nil {
		id.user = who.User
	}
	c.ident.Store(&id)
}

// logLabel is what the log's prefix says of a client.
func (c *session) logLabel() string {
	o := &c.connect
	var parts []string
	if o.Version != "" {
		parts = append(parts, "v"+o.Version)
	}
	for _, p := range []string{o.Lang, o.Name} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	label := ""
	if len(parts) > 0 {
		label = " - " + strconv.Quote(strings.Join(parts, ":"))
	}
	if who := c.auth.who; who != nil && who.Label != "" {
		label += " - " + strconv.Quote(c.acc.Name+"/"+who.Label)
	}
	return label
}

// secretKeys are the CONNECT fields that no log may show. The reference shows
// jwt; a bearer token is all that its user needs, so it is hidden here.
var secretKeys = []string{"pass", "auth_token", "jwt", "sig", "proxy_sig"}

const redacted = `"[REDACTED]"`

// redact replaces the values of secret keys in a CONNECT for the trace log. A
// line that is no JSON object is not shown at all: it may hold anything.
func redact(arg []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(arg))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return []byte("[REDACTED]")
	}
	var out []byte
	shown := int64(0)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return []byte("[REDACTED]")
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return []byte("[REDACTED]")
		}
		if name, _ := key.(string); secretKey(name) {
			end := dec.InputOffset()
			out = append(append(out, arg[shown:end-int64(len(value))]...), redacted...)
			shown = end
		}
	}
	if _, err := dec.Token(); err != nil || len(bytes.TrimSpace(arg[dec.InputOffset():])) > 0 {
		return []byte("[REDACTED]")
	}
	return append(out, arg[shown:]...)
}

func secretKey(name string) bool {
	return slices.ContainsFunc(secretKeys, func(s string) bool { return strings.EqualFold(s, name) })
}

// onInfo ignores INFO from a client, which must be JSON all the same.
func (c *session) onInfo(f *codec.Frame) {
	var v Info
	if err := json.Unmarshal(f.Arg, &v); err != nil {
		c.errorf("%v", err)
		c.close(ProtocolViolation)
	}
}
