package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// WebSocket is the block of clients that speak WebSocket.
type WebSocket struct {
	Host                                           string
	Port                                           int // -1 is any free one, 0 is none
	Advertise                                      string
	NoTLS                                          bool
	TLS                                            *TLS
	SameOrigin                                     bool
	AllowedOrigins                                 []string
	HandshakeTimeout                               time.Duration
	Compression                                    bool
	Authorization                                  *SimpleAuth
	NoAuthUser                                     string
	JWTCookie, UserCookie, PassCookie, TokenCookie string
	Headers                                        map[string]string
	PingInterval                                   time.Duration
}

// SimpleAuth is an authorization block without users.
type SimpleAuth struct {
	User, Password, Token string
	Timeout               time.Duration
}

// simpleAuth is the option of a SimpleAuth.
func simpleAuth[T any](at func(*T) **SimpleAuth, part Part, field string) entry[T] {
	fixed := func(s Spec) Spec {
		s.Field, s.Waiting = field, part
		return s
	}
	b := &block[SimpleAuth]{entries: []entry[SimpleAuth]{
		text("user", func(a *SimpleAuth) *string { return &a.User },
			fixed(Spec{Aliases: []string{"username"}, Unset: "none", Doc: "Name that everybody gives here."})),
		text("password", func(a *SimpleAuth) *string { return &a.Password },
			fixed(Spec{Aliases: []string{"pass"}, Unset: "none", Secret: true, Doc: "Password that everybody gives here."})),
		text("token", func(a *SimpleAuth) *string { return &a.Token },
			fixed(Spec{Unset: "none", Secret: true, Doc: "Token that everybody gives here."})),
		custom("timeout", "seconds", func(r *reader, k key, a *SimpleAuth) {
			a.Timeout = time.Second
			switch k.Kind {
			case grammar.Int:
				a.Timeout = seconds(float64(k.Int))
			case grammar.Float:
				a.Timeout = seconds(k.Float)
			}
		}, func(a *SimpleAuth) any { return a.Timeout },
			fixed(Spec{Unset: "that of `authorization`", Range: "seconds, whole or not; anything else is 1", Doc: "Time that a client has to say who it is."})),
	}}
	return nested("authorization", "interface conversion: interface {} is %s, not map[string]interface {}", at, b,
		fixed(Spec{Aliases: []string{"authentication"}, Unset: "the top-level `authorization`", Doc: "Who may connect here, instead of the top-level block."}))
}

// fixedWS makes the spec of an option that a reload does not change.
func fixedWS(s Spec) Spec {
	s.Field, s.Waiting = "Websocket", PartWebSocket
	return s
}

var webSocketBlock = block[WebSocket]{entries: []entry[WebSocket]{
	address("listen", func(w *WebSocket) *string { return &w.Host }, func(w *WebSocket) *int { return &w.Port },
		fixedWS(Spec{Doc: "Address for WebSocket clients."})),
	text("host", func(w *WebSocket) *string { return &w.Host },
		fixedWS(Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Doc: "Host for WebSocket clients."})),
	integer("port", func(w *WebSocket) *int { return &w.Port },
		fixedWS(Spec{Unset: "no WebSocket", Range: "-1 (any free port) to 65535", Doc: "Port for WebSocket clients."})),
	text("advertise", func(w *WebSocket) *string { return &w.Advertise },
		fixedWS(Spec{Unset: "the listen address", Range: "host or host:port", Doc: "Address told to WebSocket clients."})),
	boolean("no_tls", func(w *WebSocket) *bool { return &w.NoTLS },
		fixedWS(Spec{Doc: "Do without `tls`, which is needed otherwise."})),
	tlsBlockAs("tls", &wsTLSBlock, func(w *WebSocket) **TLS { return &w.TLS },
		Spec{Unset: "refused without `no_tls`", Reload: Live, Waiting: PartWebSocket, Doc: "TLS with WebSocket clients."}),
	boolean("same_origin", func(w *WebSocket) *bool { return &w.SameOrigin },
		fixedWS(Spec{Doc: "Pages must come from the host that they connect to."})),
	texts("allowed_origins", "allowed origins", func(w *WebSocket) *[]string { return &w.AllowedOrigins },
		fixedWS(Spec{Aliases: []string{"allowed_origin", "allow_origins", "allow_origin", "origins", "origin"}, Unset: "all", Range: "http and https URLs", Doc: "Where pages must come from."})),
	custom("handshake_timeout", kindSeconds, func(r *reader, k key, w *WebSocket) {
		switch k.Kind {
		case grammar.Int:
			w.HandshakeTimeout = seconds(float64(k.Int))
		case grammar.String:
			d, err := time.ParseDuration(k.Str)
			if err != nil {
				r.errorf(k.Value, "%v", err)
				return
			}
			w.HandshakeTimeout = d
		default:
			r.errorf(k.Value, "error parsing handshake timeout: unsupported type %s", k.Kind)
		}
	}, func(w *WebSocket) any { return w.HandshakeTimeout },
		fixedWS(Spec{Unset: "no limit", Range: "whole seconds or a duration", Doc: "Time for the handshakes of TLS and WebSocket."})),
	boolean("compression", func(w *WebSocket) *bool { return &w.Compression },
		fixedWS(Spec{Aliases: []string{"compress"}, Doc: "Offer compression."})),
	simpleAuth(func(w *WebSocket) **SimpleAuth { return &w.Authorization }, PartWebSocket, "Websocket"),
	text("no_auth_user", func(w *WebSocket) *string { return &w.NoAuthUser },
		fixedWS(Spec{Unset: "the top-level `no_auth_user`", Range: "a user or nkey that exists", Doc: "User of clients that give no credentials here."})),
	text("jwt_cookie", func(w *WebSocket) *string { return &w.JWTCookie },
		fixedWS(Spec{Unset: "none", Range: "the name of a cookie; needs operators or trusted keys", Doc: "Cookie with the user's JWT."})),
	text("user_cookie", func(w *WebSocket) *string { return &w.UserCookie },
		fixedWS(Spec{Unset: "none", Range: "the name of a cookie", Doc: "Cookie with the user's name."})),
	text("pass_cookie", func(w *WebSocket) *string { return &w.PassCookie },
		fixedWS(Spec{Unset: "none", Range: "the name of a cookie", Doc: "Cookie with the user's password."})),
	text("token_cookie", func(w *WebSocket) *string { return &w.TokenCookie },
		fixedWS(Spec{Unset: "none", Range: "the name of a cookie", Doc: "Cookie with the token."})),
	custom("headers", "map of strings", func(r *reader, k key, w *WebSocket) {
		if k.Kind != grammar.Map {
			r.errorf(k.Value, "error parsing headers: unsupported type %s", k.Kind)
			return
		}
		w.Headers = make(map[string]string, k.Map.Len())
		for name, v := range k.Map.All() {
			if v.Kind != grammar.String {
				r.errorf(v, "error parsing header key %s: unsupported type %s", name, v.Kind)
				continue
			}
			w.Headers[name] = v.Str
		}
	}, func(w *WebSocket) any { return w.Headers },
		fixedWS(Spec{Unset: "none", Range: "headers that the handshake does not use itself", Doc: "Headers of the answer to the handshake."})),
	duration("ping_interval", "", func(w *WebSocket) *time.Duration { return &w.PingInterval },
		fixedWS(Spec{Unset: "the top-level `ping_interval`", Doc: "Time between pings of a WebSocket client."})),
}}

// checkWebSocket finds what is wrong with WebSocket as a whole.
func (o *Options) checkWebSocket() error {
	w := o.WebSocket
	if w == nil || w.Port == 0 {
		return nil
	}
	if w.TLS == nil && !w.NoTLS {
		return errors.New("websocket requires TLS configuration")
	}
	for _, origin := range w.AllowedOrigins {
		if err := checkOrigin(origin); err != nil {
			return err
		}
	}
	if err := o.checkNoAuthUser(w.NoAuthUser); err != nil {
		return err
	}
	if a := w.Authorization; a != nil && len(o.AllUsers()) > 0 {
		if a.User != "" {
			return errors.New("websocket authentication username not compatible with presence of users/nkeys")
		}
		if a.Token != "" {
			return errors.New("websocket authentication token not compatible with presence of users/nkeys")
		}
	}
	if w.JWTCookie != "" && len(o.Operators) == 0 && len(o.TrustedKeys) == 0 {
		return fmt.Errorf("trusted operators or trusted keys configuration is required for JWT authentication via cookie %q", w.JWTCookie)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		lower := strings.ToLower(name)
		if contains([]string{"host", "content-length", "connection", "upgrade", "nats-no-masking"}, lower) {
			return fmt.Errorf("websocket: invalid header %q not allowed", name)
		}
		if strings.HasPrefix(lower, "sec-websocket-") {
			return fmt.Errorf("websocket: invalid header %q, \"Sec-WebSocket-\" prefix not allowed", name)
		}
	}
	return nil
}

func checkOrigin(origin string) error {
	u, err := url.ParseRequestURI(origin)
	switch {
	case err != nil:
		return fmt.Errorf("unable to parse allowed origin: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("unable to parse allowed origin %q: allowed origins must be absolute URLs with http or https scheme", origin)
	case u.Host == "":
		return fmt.Errorf("unable to parse allowed origin %q: host is required", origin)
	case u.Port() != "":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return fmt.Errorf("unable to parse allowed origin: %w", err)
		}
	}
	return nil
}
