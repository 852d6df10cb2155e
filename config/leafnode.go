package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// LeafNode is the block of links that extend accounts to other servers.
type LeafNode struct {
	Host          string
	Port          int // -1 is any free one, 0 is none
	Authorization *LeafAuthorization
	TLS           *TLS
	Advertise     string
	NoAdvertise   bool
	Reconnect     time.Duration
	DialTimeout   time.Duration
	MinVersion    string
	Compression   Compression
	Isolate       bool
	WriteDeadline time.Duration // 0 is that of clients
	WriteTimeout  WriteTimeout
	Remotes       []*LeafRemote
}

// LeafAuthorization says which leaf nodes may connect.
type LeafAuthorization struct {
	User, Password string
	Nkey           string
	Account        string
	Timeout        time.Duration
	ProxyRequired  bool
	Users          []*User
}

var leafBlock = block[LeafNode]{entries: []entry[LeafNode]{
	address("listen", func(l *LeafNode) *string { return &l.Host }, func(l *LeafNode) *int { return &l.Port },
		Spec{Field: "Host or Port", Waiting: PartLeafNode, Doc: "Address for leaf nodes."}),
	text("host", func(l *LeafNode) *string { return &l.Host },
		Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Field: "Host", Waiting: PartLeafNode, Doc: "Host for leaf nodes."}),
	integer("port", func(l *LeafNode) *int { return &l.Port },
		Spec{Unset: "no leaf nodes are accepted", Range: "-1 (any free port) to 65535", Field: "Port", Waiting: PartLeafNode, Doc: "Port for leaf nodes."}),
	then(nested("authorization", "interface conversion: interface {} is %s, not map[string]interface {}",
		func(l *LeafNode) **LeafAuthorization { return &l.Authorization }, &leafAuthBlock,
		Spec{Unset: "leaf nodes are clients of the global account", Field: "Username", Waiting: PartLeafNode, Doc: "Which leaf nodes may connect."}),
		func(r *reader, k key, l *LeafNode) {
			if err := l.Authorization.check(); err != nil {
				r.errorf(k.Value, "%v", err)
			}
		}),
	tlsBlockAs("tls", &leafTLSBlock, func(l *LeafNode) **TLS { return &l.TLS },
		Spec{Reload: Live, Waiting: PartLeafNode, Doc: "TLS with leaf nodes that connect here."}),
	text("advertise", func(l *LeafNode) *string { return &l.Advertise },
		Spec{Aliases: []string{"leafnode_advertise"}, Unset: "the listen address", Range: "host or host:port", Field: "Advertise", Waiting: PartLeafNode, Doc: "Address told to leaf nodes."}),
	boolean("no_advertise", func(l *LeafNode) *bool { return &l.NoAdvertise },
		Spec{Field: "NoAdvertise", Waiting: PartLeafNode, Doc: "Do not tell leaf nodes about the other servers."}),
	duration("reconnect", "reconnect", func(l *LeafNode) *time.Duration { return &l.Reconnect },
		Spec{Aliases: []string{"reconnect_delay", "reconnect_interval"}, Default: `"1s"`, Field: "ReconnectInterval", Waiting: PartLeafNode, Doc: "Time between attempts to connect to a remote."}),
	duration("dial_timeout", "", func(l *LeafNode) *time.Duration { return &l.DialTimeout },
		Spec{Default: `"1s"`, Field: "DialTimeout", Waiting: PartLeafNode, Doc: "Time that a remote has to accept a connection."}),
	custom("min_version", kindText, func(r *reader, k key, l *LeafNode) {
		version, ok := r.str(k.Value)
		if !ok {
			return
		}
		if err := checkMinVersion(version); err != nil {
			r.errorf(k.Value, "%v", err)
			return
		}
		l.MinVersion = version
	}, func(l *LeafNode) any { return l.MinVersion },
		Spec{Aliases: []string{"minimum_version"}, Unset: "all", Range: "2.8.0 or later", Field: "MinVersion", Waiting: PartLeafNode, Doc: "Oldest version of leaf nodes that may connect."}),
	compression(CompressionS2Auto, func(l *LeafNode) *Compression { return &l.Compression },
		Spec{Unset: "s2_auto", Reload: Live, Log: "LeafNode Compression value is: %v", Waiting: PartLeafNode}),
	boolean("isolate_leafnode_interest", func(l *LeafNode) *bool { return &l.Isolate },
		Spec{Aliases: []string{"isolate"}, Field: "IsolateLeafnodeInterest", Waiting: PartLeafNode, Doc: "Do not pass interest from one leaf node to another."}),
	duration("write_deadline", "", func(l *LeafNode) *time.Duration { return &l.WriteDeadline },
		Spec{Unset: "that of clients", Field: "WriteDeadline", Waiting: PartLeafNode, Doc: "Time that a write to a leaf node may take."}),
	writeTimeout(func(l *LeafNode) *WriteTimeout { return &l.WriteTimeout }, Spec{Default: `"retry"`, Field: "WriteTimeout", Waiting: PartLeafNode}),
	listed(custom("remotes", kindBlocks, readRemotes, func(l *LeafNode) any { return l.Remotes },
		Spec{Unset: "none", Range: "see the keys below", Reload: Partly, ReloadNote: "see the keys; remotes may come and go", Waiting: PartLeafNode, Doc: "Servers to connect to."}),
		&remoteBlock, func(l *LeafNode) []*LeafRemote { return l.Remotes }),
}}

var leafAuthBlock = block[LeafAuthorization]{entries: []entry[LeafAuthorization]{
	text("user", func(a *LeafAuthorization) *string { return &a.User },
		Spec{Aliases: []string{"username"}, Unset: "none", Field: "Username", Waiting: PartLeafNode, Doc: "Name that all leaf nodes give."}),
	text("password", func(a *LeafAuthorization) *string { return &a.Password },
		Spec{Aliases: []string{"pass"}, Unset: "none", Field: "Password", Secret: true, Waiting: PartLeafNode, Doc: "Password that all leaf nodes give."}),
	keyed("nkey", nkeyUser, "Not a valid public nkey for leafnode authorization", func(a *LeafAuthorization) *string { return &a.Nkey },
		Spec{Unset: "none", Range: "a public user key", Field: "Nkey", Waiting: PartLeafNode, Doc: "Key of all leaf nodes."}),
	text("account", func(a *LeafAuthorization) *string { return &a.Account },
		Spec{Unset: "$G", Range: "an account", Field: "Account", Waiting: PartLeafNode, Doc: "Account of leaf nodes."}),
	fixedTimeout(authTimeout("error parsing leafnode authorization config, 'timeout'", func(a *LeafAuthorization) *time.Duration { return &a.Timeout })),
	boolean("proxy_required", func(a *LeafAuthorization) *bool { return &a.ProxyRequired },
		Spec{Field: "ProxyRequired", Waiting: PartLeafNode, Doc: "Leaf nodes must come through a trusted proxy."}),
	listed(custom("users", kindBlocks, readLeafUsers, func(a *LeafAuthorization) any { return a.Users },
		Spec{Unset: "none", Range: "see the keys below", Field: "Users", Waiting: PartLeafNode, Doc: "Users that leaf nodes connect as."}),
		&leafUserBlock, func(a *LeafAuthorization) []*User { return a.Users }),
}}

func fixedTimeout(e entry[LeafAuthorization]) entry[LeafAuthorization] {
	e.Reload, e.Field, e.Log, e.Use, e.Waiting = Restart, "AuthTimeout", "", "", PartLeafNode
	return e
}

func readLeafUsers(r *reader, k key, a *LeafAuthorization) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, "Expected users field to be an array, got %v", k.Value)
		return
	}
	for _, e := range k.List {
		if e.Kind != grammar.Map {
			r.errorf(e, "Expected user entry to be a map/struct, got %v", e)
			continue
		}
		u := &User{Pos: e.Pos}
		leafUserBlock.read(r, e.Map, "", u)
		a.Users = append(a.Users, u)
	}
}

var leafUserBlock = block[User]{entries: []entry[User]{
	text("user", func(u *User) *string { return &u.Name },
		Spec{Aliases: []string{"username"}, Unset: "none", Field: "Users", Waiting: PartLeafNode, Doc: "Name of the user."}),
	text("password", func(u *User) *string { return &u.Password },
		Spec{Aliases: []string{"pass"}, Unset: "none", Field: "Users", Secret: true, Waiting: PartLeafNode, Doc: "Password of the user."}),
	text("account", func(u *User) *string { return &u.Account },
		Spec{Unset: "$G", Range: "an account", Field: "Users", Waiting: PartLeafNode, Doc: "Account of the user."}),
	boolean("proxy_required", func(u *User) *bool { return &u.ProxyRequired },
		Spec{Field: "Users", Waiting: PartLeafNode, Doc: "The user must come through a trusted proxy."}),
}}

// check finds what does not go together.
func (a *LeafAuthorization) check() error {
	if a == nil || len(a.Users) == 0 {
		return nil
	}
	if a.User != "" {
		return errors.New("can not have a single user/pass and a users array")
	}
	if a.Nkey != "" {
		return errors.New("can not have a single nkey and a users array")
	}
	seen := make(map[string]bool)
	for _, u := range a.Users {
		if seen[u.Name] {
			return fmt.Errorf("duplicate user %q detected in leafnode authorization", u.Name)
		}
		seen[u.Name] = true
	}
	return nil
}

var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$`)

// checkMinVersion finds why version cannot be the oldest of leaf nodes: those
// before 2.8.0 do not tell theirs.
func checkMinVersion(version string) error {
	parts := semver.FindStringSubmatch(version)
	if parts == nil {
		return errors.New("invalid leafnode's minimum version: invalid semver")
	}
	major, err := strconv.Atoi(parts[1])
	minor, err2 := strconv.Atoi(parts[2])
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("invalid leafnode's minimum version: %w", err)
	}
	if major < 2 || major == 2 && minor < 8 {
		return errors.New("the minimum version should be at least 2.8.0")
	}
	return nil
}

// expand replaces variables and a leading tilde in the name of a file.
func (e Env) expand(file string) (string, error) {
	file = os.Expand(file, func(name string) string {
		value, _ := e.LookupEnv(name)
		return value
	})
	rest, ok := strings.CutPrefix(file, "~")
	if !ok {
		return file, nil
	}
	home, _ := e.LookupEnv("HOME")
	if home == "" {
		return "", errors.New("failed to get home dir, require $HOME")
	}
	return filepath.Join(home, rest), nil
}

// checkLeafNode finds what is wrong with leaf nodes as a whole.
func (o *Options) checkLeafNode() error {
	l := o.LeafNode
	if l == nil {
		return nil
	}
	if err := l.Authorization.check(); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, m := range l.Remotes {
		if seen[m.name()] {
			return fmt.Errorf("duplicate remote %s", m)
		}
		seen[m.name()] = true
	}
	if err := o.checkLeafAccounts(l); err != nil {
		return err
	}
	if err := l.Compression.complete(CompressionS2Auto); err != nil {
		return err
	}
	for _, m := range l.Remotes {
		if err := m.check(); err != nil {
			return err
		}
	}
	if g := o.Gateway; l.Port != 0 && g != nil && (g.Name != "" || g.Port != 0) && o.SystemAccount == "" {
		return errors.New("leaf nodes and gateways (both being defined) require a system account to also be configured")
	}
	return nil
}

// checkLeafAccounts finds accounts that do not exist.
func (o *Options) checkLeafAccounts(l *LeafNode) error {
	auth := l.Authorization
	if auth == nil {
		auth = new(LeafAuthorization)
	}
	if len(o.Operators) > 0 {
		if len(auth.Users) > 0 {
			return errors.New("operator mode does not allow specifying users in leafnode config")
		}
		for _, m := range l.Remotes {
			if !isKey(nkeyAccount, m.Account) {
				return errors.New("operator mode requires account nkeys in remotes. " +
					"Please add an `account` key to each remote in your `leafnodes` section, to assign it to an account. " +
					"Each account value should be a 56 character public key, starting with the letter 'A'")
			}
		}
		if l.Port != 0 && auth.Account != "" && !isKey(nkeyAccount, auth.Account) {
			return errors.New("operator mode and non account nkeys are incompatible")
		}
		return nil
	}
	missing := func(name, where string) error {
		system := name == SystemAccount && o.SystemAccount == "" && !o.NoSystemAccount
		if name == "" || name == GlobalAccount || system || o.account(name) != nil {
			return nil
		}
		return fmt.Errorf("cannot find local account %q specified in leafnode %s", name, where)
	}
	if err := missing(auth.Account, "authorization"); err != nil {
		return err
	}
	for _, u := range auth.Users {
		if err := missing(u.Account, "authorization"); err != nil {
			return err
		}
	}
	for _, m := range l.Remotes {
		if err := missing(m.Account, "remote"); err != nil {
			return err
		}
	}
	return nil
}

// redactURL returns u without its password.
func redactURL(u *url.URL) string {
	if _, has := u.User.Password(); !has {
		return u.String()
	}
	copied := *u
	copied.User = url.UserPassword(u.User.Username(), "xxxxx")
	return copied.String()
}
