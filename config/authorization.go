package config

import (
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Authorization says who may connect. Accounts may name more users.
type Authorization struct {
	User, Password     string // of everyone
	Token              string // of everyone
	Timeout            time.Duration
	Users              []*User
	DefaultPermissions *Permissions
	Callout            *AuthCallout
	ProxyRequired      bool

	hasUsers bool // the key is there, perhaps with an empty list
}

// User is somebody with a password or a key.
type User struct {
	Pos             grammar.Pos
	Name, Password  string
	Nkey            string
	Permissions     *Permissions
	ConnectionTypes []string // in capitals; empty is all
	ProxyRequired   bool
	Account         string // "" is the global one
}

// ID is what a client gives as its name: that of the user or its key.
func (u *User) ID() string {
	if u.Nkey != "" {
		return u.Nkey
	}
	return u.Name
}

// AuthCallout sends the question who a client is to a service.
type AuthCallout struct {
	Issuer          string // account key
	Account         string
	AuthUsers       []string // users that the service itself connects as
	XKey            string   // curve key
	AllowedAccounts []string
}

var accessOptions = []entry[Options]{
	then(nested("authorization", "interface conversion: interface {} is %s, not map[string]interface {}",
		func(o *Options) **Authorization { return &o.Authorization }, &authorizationBlock,
		Spec{Unset: "everybody may connect", Reload: Partly, ReloadNote: "see the keys", Use: "Authorization", Doc: "Who may connect."}),
		checkAuthorization),
	listed(custom("accounts", kindBlocks, readAccounts, func(o *Options) any { return o.Accounts },
		Spec{Unset: "the global account alone", Range: "a list of names, or a map with a block for each name", Reload: Live, Log: "accounts",
			Use: "Accounts", Doc: "Separate name spaces of subjects."}), &accountBlock, func(o *Options) []*Account { return o.Accounts }),
	custom("mappings", "map of subjects", func(r *reader, k key, o *Options) { o.Mappings = r.mappings(k.Value) },
		func(o *Options) any { return o.Mappings },
		Spec{Aliases: []string{"maps"}, Unset: "none", Range: mappingRange, Reload: Live, Log: "accounts",
			Use: "Mappings", Doc: "Subjects of the global account that are published as others."}),
	text("no_auth_user", func(o *Options) *string { return &o.NoAuthUser },
		Spec{Unset: "clients must say who they are", Range: "a user or nkey that exists", Reload: Partly, ReloadNote: "may go together with its user",
			Field: "NoAuthUser", Use: "NoAuthUser", Doc: "User of clients that give no credentials."}),
	text("system_account", func(o *Options) *string { return &o.SystemAccount },
		Spec{Aliases: []string{"system"}, Unset: "$SYS", Range: "an account", Reload: Partly, ReloadNote: "from `$SYS` to unset is allowed", Field: "SystemAccount",
			Use: "SystemAccount", Doc: "Account of the events and services of the server."}),
	boolean("no_system_account", func(o *Options) *bool { return &o.NoSystemAccount },
		Spec{Aliases: []string{"no_system", "no_sys_acc"}, Field: "NoSystemAccount", Aside: true, Use: "NoSystemAccount", Doc: "Have no system account."}),
	tlsBlockAs("tls", &clientTLSBlock, func(o *Options) **TLS { return &o.TLS },
		Spec{Unset: "no TLS", Reload: Partly, ReloadNote: "all but `verify_and_map` and `connection_rate_limit`", Use: "TLS", Doc: "TLS with clients."}),
	boolean("allow_non_tls", func(o *Options) *bool { return &o.AllowNonTLS },
		Spec{Field: "AllowNonTLS", Aside: true, Use: "AllowNonTLS", Doc: "Let clients choose to do without TLS."}),
	inside(custom("ocsp", "boolean or block", readOCSP, func(o *Options) any { return deref(o.OCSP) },
		Spec{Unset: "only certificates that ask for it", Range: "true is mode auto, false is mode never; or see the keys below",
			Reload: Live, Log: "OCSP", Use: "OCSP", Doc: "Stapling of certificate states."}), &ocspBlock),
	inside(custom("ocsp_cache", "boolean or block", readOCSPCache, func(o *Options) any { return deref(o.OCSPCache) },
		Spec{Unset: "local", Range: "true is type local, false is type none; or see the keys below",
			Reload: Live, Log: "OCSP peer cache", Use: "OCSPCache", Doc: "Cache of certificate states of peers."}), &ocspCacheBlock),
	nested("proxies", "expected proxies to be a map/struct, got %s", func(o *Options) **Proxies { return &o.Proxies }, &proxiesBlock,
		Spec{Unset: "none", Reload: Live, Use: "Proxies", Doc: "Proxies that clients may come through."}),
}

// deref makes an absent block nil for comparison.
func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// The keys of authorization blocks with users: those of clients, of clusters and
// of gateways.
var authorizationBlock = block[Authorization]{entries: []entry[Authorization]{
	text("user", func(a *Authorization) *string { return &a.User },
		Spec{Aliases: []string{"username"}, Unset: "none", Reload: Live, Log: "authorization username", Flags: []string{"user"}, Use: "User", Doc: "Name that everybody gives."}),
	text("password", func(a *Authorization) *string { return &a.Password },
		Spec{Aliases: []string{"pass"}, Unset: "none", Range: "a string, plain or as bcrypt hash", Reload: Live, Log: "authorization password", Flags: []string{"pass"},
			Secret: true, Use: "Password", Doc: "Password that everybody gives."}),
	text("token", func(a *Authorization) *string { return &a.Token },
		Spec{Unset: "none", Range: "a string, plain or as bcrypt hash; not with users", Reload: Live, Log: "authorization token", Flags: []string{"auth"},
			Secret: true, Use: "Token", Doc: "Token that everybody gives."}),
	authTimeout("error parsing authorization config, 'timeout'", func(a *Authorization) *time.Duration { return &a.Timeout }),
	listed(custom("users", kindBlocks, func(r *reader, k key, a *Authorization) {
		a.Users, a.hasUsers = r.users(k.Value)
	}, func(a *Authorization) any { return a.Users },
		Spec{Unset: "none", Range: "see the keys below", Reload: Live, Log: "authorization users", Use: "Options.AllUsers", Doc: "Users of the global account."}),
		&userBlock, func(a *Authorization) []*User { return a.Users }),
	permissions("default_permissions", []string{"default_permission", "permissions"}, func(a *Authorization) **Permissions { return &a.DefaultPermissions },
		"Permissions of users that have none of their own."),
	inside(custom("auth_callout", kindBlock, func(r *reader, k key, a *Authorization) {
		if c := r.callout(k.Value); c != nil {
			a.Callout = c
		}
	}, func(a *Authorization) any { return deref(a.Callout) },
		Spec{Aliases: []string{"auth_hook"}, Unset: "none", Field: "AuthCallout", Use: "Callout", Doc: "Service that decides who a client is."}), &calloutBlock),
	boolean("proxy_required", func(a *Authorization) *bool { return &a.ProxyRequired },
		Spec{Field: "ProxyRequired", Use: "ProxyRequired", Doc: "Clients must come through a trusted proxy."}),
}}

// authTimeout is the option of the time that a peer has to say who it is.
func authTimeout[T any](complaint string, at func(*T) *time.Duration) entry[T] {
	return custom("timeout", kindSeconds, func(r *reader, k key, into *T) {
		d, ok := r.timeout(k.Value, complaint)
		if !ok {
			return
		}
		if d > time.Minute {
			r.misuse(k.Value, k.name, highTimeout(k.Value, d))
		}
		*at(into) = d
	}, func(t *T) any { return *at(t) },
		Spec{Unset: "2 seconds, with TLS its timeout and one", Range: "up to 60 seconds, more with a warning", Reload: Live, Log: "authorization timeout = %v",
			Use: "Authorization.Timeout", Doc: "Time that a peer has to say who it is."})
}

// checkAuthorization finds what does not go together in the block of clients and
// the accounts read before it.
func checkAuthorization(r *reader, k key, o *Options) {
	a := o.Authorization
	if a == nil {
		return
	}
	if (a.User != "" || a.Password != "") && a.Token != "" {
		r.errorf(k.Value, "Cannot have a user/pass and token")
		return
	}
	known := make(map[string]bool)
	for _, acc := range o.Accounts {
		for _, u := range acc.Users {
			known[u.ID()] = true
		}
	}
	if a.hasUsers || len(known) > 0 {
		if a.User != "" {
			r.errorf(k.Value, "Can not have a single user/pass and a users array")
			return
		}
		if a.Token != "" {
			r.errorf(k.Value, "Can not have a token and a users array")
			return
		}
	}
	for _, u := range a.Users {
		if known[u.ID()] {
			r.errorf(k.Value, "Duplicate %s %q detected", u.kind(), u.ID())
			return
		}
		known[u.ID()] = true
	}
}

// kind says by what the user is known.
func (u *User) kind() string {
	if u.Nkey != "" {
		return "nkey"
	}
	return "user"
}

var userBlock = block[User]{entries: []entry[User]{
	text("user", func(u *User) *string { return &u.Name },
		Spec{Aliases: []string{"username"}, Unset: "an `nkey` is needed", Range: "a name that no other user has", Reload: Live, Use: "Name", Doc: "Name of the user."}),
	text("password", func(u *User) *string { return &u.Password },
		Spec{Aliases: []string{"pass"}, Unset: "none", Range: "a string, plain or as bcrypt hash", Reload: Live, Secret: true, Use: "Password", Doc: "Password of the user."}),
	text("nkey", func(u *User) *string { return &u.Nkey },
		Spec{Unset: "a `user` is needed", Range: "a public user key", Reload: Live, Use: "Nkey", Doc: "Key of the user, instead of name and password."}),
	permissions("permissions", []string{"permission", "authorization"}, func(u *User) **Permissions { return &u.Permissions },
		"What the user may publish and subscribe to."),
	custom("allowed_connection_types", kindTexts, readConnectionTypes, func(u *User) any { return u.ConnectionTypes },
		Spec{Aliases: []string{"connection_types", "clients"}, Unset: "all", Range: strings.Join(connectionTypes, ", ") + ", in any case", Reload: Live,
			Use: "ConnectionTypes", Doc: "Kinds of connections that the user may make."}),
	boolean("proxy_required", func(u *User) *bool { return &u.ProxyRequired },
		Spec{Reload: Live, Use: "ProxyRequired", Doc: "The user must come through a trusted proxy."}),
}}

// connectionTypes are the kinds of connections that a user can be held to.
var connectionTypes = []string{"STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"}

func readConnectionTypes(r *reader, k key, u *User) {
	names, ok := r.texts(k.Value, "allowed connection types")
	if !ok {
		return
	}
	var unknown []string
	for _, name := range names {
		if name = strings.ToUpper(name); contains(connectionTypes, name) {
			u.ConnectionTypes = append(u.ConnectionTypes, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		r.errorf(k.Value, "invalid connection types %q", unknown)
	}
}

// users reads a list of users. It is false if there is none to be had.
func (r *reader) users(v *grammar.Value) ([]*User, bool) {
	if v.Kind != grammar.List {
		r.errorf(v, "Expected users field to be an array, got %v", v)
		return nil, false
	}
	var users []*User
	for _, e := range v.List {
		if e.Kind != grammar.Map {
			r.errorf(e, "Expected user entry to be a map/struct, got %v", e)
			continue
		}
		u := &User{Pos: e.Pos}
		userBlock.read(r, e.Map, "", u)
		last := lastKey(e)
		switch {
		case u.Nkey == "" && u.Name == "":
			r.errorf(last, "User entry requires a user")
		case u.Nkey != "" && !isKey(nkeyUser, u.Nkey):
			r.errorf(last, "Not a valid public nkey for a user")
		case u.Nkey != "" && (u.Name != "" || u.Password != ""):
			r.errorf(last, "Nkey users do not take usernames or passwords")
		default:
			users = append(users, u)
			continue
		}
		return nil, false
	}
	return users, true
}

// lastKey is where the reference blames what is wrong with a map as a whole: at
// the last key it looked at, or at the map itself if that is empty.
func lastKey(v *grammar.Value) *grammar.Value {
	last := v
	for _, e := range v.Map.All() {
		last = e
	}
	return last
}

func (r *reader) callout(v *grammar.Value) *AuthCallout {
	if v.Kind != grammar.Map {
		r.errorf(v, "Expected authorization callout to be a map/struct, got %v", v)
		return nil
	}
	c := &AuthCallout{Account: GlobalAccount}
	before := len(r.Errors)
	calloutBlock.read(r, v.Map, "", c)
	// Keys that are not known do not stand for those that are needed.
	unknown := 0
	for name := range v.Map.All() {
		if calloutBlock.find(name) == nil {
			unknown++
		}
	}
	if len(r.Errors)-before > unknown {
		return c
	}
	if c.Account == "" {
		c.Account = GlobalAccount
	}
	switch last := lastKey(v); {
	case c.Issuer == "":
		r.errorf(last, "Authorization callouts require an issuer to be specified")
	case len(c.AuthUsers) == 0:
		r.errorf(last, "Authorization callouts require authorized users to be specified")
	}
	for _, name := range c.AllowedAccounts {
		r.later = append(r.later, func() {
			if r.opts.account(name) == nil {
				r.errorf(v, "auth_callout allowed account %q not found in configured accounts", name)
			}
		})
	}
	return c
}

var calloutBlock = block[AuthCallout]{
	unknown: "Unknown field %q parsing authorization callout",
	entries: []entry[AuthCallout]{
		keyed("issuer", nkeyAccount, "Expected callout user to be a valid public account nkey, got %q", func(c *AuthCallout) *string { return &c.Issuer },
			Spec{Unset: "refused", Range: "a public account key", Field: "AuthCallout", Use: "Issuer", Doc: "Who signs the answers."}),
		text("account", func(c *AuthCallout) *string { return &c.Account },
			Spec{Aliases: []string{"acc"}, Default: `"$G"`, Range: "an account", Field: "AuthCallout", Use: "Account", Doc: "Account of the service."}),
		names("auth_users", "Expected auth_users field to be an array, got %s", func(c *AuthCallout) *[]string { return &c.AuthUsers },
			Spec{Aliases: []string{"users"}, Unset: "refused", Range: "users or nkeys", Field: "AuthCallout", Use: "AuthUsers", Doc: "Users that the service connects as, who are not asked about."}),
		keyed("xkey", nkeyCurve, "Expected callout xkey to be a valid public xkey, got %q", func(c *AuthCallout) *string { return &c.XKey },
			Spec{Aliases: []string{"key"}, Unset: "no encryption", Range: "a public curve key", Field: "AuthCallout", Use: "XKey", Doc: "Key that requests are encrypted to."}),
		names("allowed_accounts", "Expected allowed accounts field to be an array, got %s", func(c *AuthCallout) *[]string { return &c.AllowedAccounts },
			Spec{Unset: "all", Range: "accounts of this file", Field: "AuthCallout", Use: "AllowedAccounts", Doc: "Accounts that the service may put clients in."}),
	},
}

// keyed is an option that takes a public key. wrong is the message for others,
// perhaps with a verb for the text.
func keyed[T any](name string, kind nkeyKind, wrong string, at func(*T) *string, s Spec) entry[T] {
	return custom(name, kindText, func(r *reader, k key, into *T) {
		text, ok := r.str(k.Value)
		if !ok {
			return
		}
		*at(into) = text
		switch {
		case isKey(kind, text):
		case strings.Contains(wrong, "%"):
			r.errorf(k.Value, wrong, text)
		default:
			r.errorf(k.Value, "%s", wrong)
		}
	}, func(t *T) any { return *at(t) }, s)
}

// names is an option that takes a list of strings.
func names[T any](name, wrong string, at func(*T) *[]string, s Spec) entry[T] {
	return custom(name, "list of strings", func(r *reader, k key, into *T) {
		if k.Kind != grammar.List {
			r.errorf(k.Value, wrong, "*conf.token")
			return
		}
		for _, e := range k.List {
			if text, ok := r.str(e); ok {
				*at(into) = append(*at(into), text)
			}
		}
	}, func(t *T) any { return *at(t) }, s)
}
