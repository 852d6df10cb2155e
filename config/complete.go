package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Complete gives what neither file nor flags set its default, then checks what
// only the whole can tell. After it the options do not change any more.
// Errors are those of Check.
func (o *Options) Complete() error {
	r := &reader{opts: o, where: o.where}
	if o.Peregrine == nil {
		o.Peregrine = new(Peregrine)
	}
	topBlock.complete(r, ".", o)
	if len(r.Errors) > 0 {
		// Defaults are written to be read.
		panic("config: " + r.Error())
	}
	o.completeTop()
	o.completePermissions()
	if c := o.Cluster; c != nil {
		o.completeCluster(c)
	}
	if l := o.LeafNode; l != nil {
		for _, m := range l.Remotes {
			m.complete()
			orMode(&m.Compression, CompressionS2Auto)
		}
		if l.Port != 0 {
			orMode(&l.Compression, CompressionS2Auto)
		}
		if a := l.Authorization; a != nil {
			orDuration(&a.Timeout, authTimeoutFor(l.TLS))
		}
	}
	for _, l := range o.listeners() {
		// Without a port the default host stands for nothing.
		_, host := o.where[l.path+".host"]
		_, listen := o.where[l.path+".listen"]
		if *l.port == 0 && !host && !listen {
			*l.host = ""
		}
	}
	if g := o.Gateway; g != nil {
		if a := g.Authorization; a != nil {
			orDuration(&a.Timeout, authTimeoutFor(g.TLS))
		}
	}
	if j := o.JetStream; j != nil && j.InfoQueue == 0 {
		j.InfoQueue = j.RequestQueue
	}
	return o.Check()
}

// authTimeoutFor is the time to say who one is: with TLS, after its handshake.
func authTimeoutFor(t *TLS) time.Duration {
	if t == nil {
		return 2 * time.Second
	}
	return t.Timeout + time.Second
}

func orDuration(v *time.Duration, deft time.Duration) {
	if *v == 0 {
		*v = deft
	}
}

func orMode(c *Compression, deft string) {
	if c.Mode == "" {
		c.Mode = deft
	}
}

func (o *Options) completeTop() {
	if o.HTTPHost == "" {
		o.HTTPHost = o.Host
	}
	if a := o.Authorization; a != nil {
		orDuration(&a.Timeout, authTimeoutFor(o.TLS))
	}
}

// completePermissions gives users without permissions those of their account.
func (o *Options) completePermissions() {
	give := func(users []*User, p *Permissions) {
		for _, u := range users {
			if u.Permissions == nil {
				u.Permissions = p
			}
		}
	}
	if a := o.Authorization; a != nil {
		give(a.Users, a.DefaultPermissions)
	}
	for _, a := range o.Accounts {
		give(a.Users, a.DefaultPermissions)
	}
}

func (o *Options) completeCluster(c *Cluster) {
	if c.Port != 0 {
		orMode(&c.Compression, CompressionAccept)
	}
	c.PingInterval = min(c.PingInterval, routePingMax)
	if a := c.Authorization; a != nil {
		orDuration(&a.Timeout, authTimeoutFor(c.TLS))
	}
	// Without a pool there are no routes for accounts alone.
	if c.Port != 0 && c.PoolSize > 0 && !o.NoSystemAccount && !contains(c.Accounts, o.systemAccount()) {
		c.Accounts = append(c.Accounts, o.systemAccount())
	}
}

// Check finds what only the whole can tell: options that do not go together, in
// the words that the reference ends its start with. The -t flag does not look
// for it. It also gives some values their final form.
func (o *Options) Check() error {
	for _, check := range []func() error{
		o.checkLimits, o.checkPorts, o.checkOperators, o.checkLeafNode, o.checkAuth, o.checkGateway,
		o.checkCluster, o.checkMQTT, o.checkJetStream, o.checkWebSocket,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkAuth finds what is wrong with users.
func (o *Options) checkAuth() error {
	if err := o.checkNoAuthUser(o.NoAuthUser); err != nil {
		return err
	}
	if _, _, err := o.Advertised(); err != nil {
		return fmt.Errorf("invalid ClientAdvertise value of %s, err=%w", o.ClientAdvertise, err)
	}
	return nil
}

// Advertised is what ClientAdvertise says: a host, empty if there is none, and a
// port, 0 if it is that of the listener.
func (o *Options) Advertised() (host string, port int, err error) {
	if o.ClientAdvertise == "" {
		return "", 0, nil
	}
	host, text, err := net.SplitHostPort(o.ClientAdvertise)
	if missing := (*net.AddrError)(nil); errors.As(err, &missing) && strings.Contains(missing.Err, "missing port") {
		host, text, err = net.SplitHostPort(o.ClientAdvertise + ":0")
	}
	if err == nil {
		port, err = strconv.Atoi(strings.TrimSpace(text))
	}
	if err != nil {
		return "", 0, err
	}
	return strings.TrimSpace(host), max(port, 0), nil
}

// checkNoAuthUser finds why the user of clients without credentials is none.
func (o *Options) checkNoAuthUser(id string) error {
	if id == "" {
		return nil
	}
	if len(o.Operators) > 0 {
		return errors.New("no_auth_user not compatible with Trusted Operator")
	}
	users := o.AllUsers()
	if slices.ContainsFunc(users, func(u *User) bool { return u.ID() == id }) {
		return nil
	}
	if len(users) == 0 {
		return fmt.Errorf("no_auth_user: %q present, but users/nkeys are not defined", id)
	}
	return fmt.Errorf("no_auth_user: %q not present as user or nkey in authorization block or account configuration", id)
}

// checkPorts finds ports that no listener can have.
func (o *Options) checkPorts() error {
	type port struct {
		name string
		n    int
	}
	ports := []port{{"port", o.Port}, {"http_port", o.HTTPPort}, {"https_port", o.HTTPSPort}, {"prof_port", o.ProfPort}}
	for _, l := range o.listeners() {
		ports = append(ports, port{l.path + ".port", *l.port})
	}
	for _, p := range ports {
		if p.n < -1 || p.n > 65535 {
			return fmt.Errorf("%s must be between -1 and 65535, not %d", p.name, p.n)
		}
	}
	return nil
}

// listener is what a block listens on.
type listener struct {
	path string // of the block
	host *string
	port *int
}

// listeners returns those of the blocks that are there.
func (o *Options) listeners() []listener {
	var all []listener
	if c := o.Cluster; c != nil {
		all = append(all, listener{"cluster", &c.Host, &c.Port})
	}
	if g := o.Gateway; g != nil {
		all = append(all, listener{"gateway", &g.Host, &g.Port})
	}
	if l := o.LeafNode; l != nil {
		all = append(all, listener{"leafnodes", &l.Host, &l.Port})
	}
	if w := o.WebSocket; w != nil {
		all = append(all, listener{"websocket", &w.Host, &w.Port})
	}
	if m := o.MQTT; m != nil {
		all = append(all, listener{"mqtt", &m.Host, &m.Port})
	}
	return all
}
