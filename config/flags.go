package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"peregrine/config/grammar"
)

// Flag is an option of the command line.
type Flag struct {
	Name  string // without dashes
	Value string // "true" and "false" for switches
}

// flagKinds are the flags that are more than the text of one option.
var flagKinds = map[string]func(*Options, string) error{
	"VV":  switches(func(o *Options) []*bool { return []*bool{&o.Trace, &o.TraceVerbose} }),
	"DV":  switches(func(o *Options) []*bool { return []*bool{&o.Debug, &o.Trace} }),
	"DVV": switches(func(o *Options) []*bool { return []*bool{&o.Debug, &o.Trace, &o.TraceVerbose} }),

	"js": setJetStream, "jetstream": setJetStream,

	"user": func(o *Options, text string) error { o.authorization().User = text; return nil },
	"pass": func(o *Options, text string) error { o.authorization().Password = text; return nil },
	"auth": func(o *Options, text string) error { o.authorization().Token = text; return nil },

	"routes":            setRoutes,
	"cluster":           setCluster,
	"cluster_listen":    setCluster,
	"cluster_name":      func(o *Options, text string) error { o.cluster().Name = text; return nil },
	"cluster_advertise": func(o *Options, text string) error { o.cluster().Advertise = text; return nil },
	"no_advertise": func(o *Options, text string) (err error) {
		o.cluster().NoAdvertise, err = strconv.ParseBool(text)
		return err
	},
	"connect_retries": func(o *Options, text string) (err error) {
		o.cluster().ConnectRetries, err = strconv.Atoi(text)
		return err
	},

	"loops":    func(o *Options, text string) (err error) { o.peregrine().Loops, err = strconv.Atoi(text); return err },
	"pin-cpus": func(o *Options, text string) (err error) { o.peregrine().PinCPUs, err = ParseCPUs(text); return err },
	"engine":   func(o *Options, text string) error { o.peregrine().Engine = text; return nil },
}

// flagPaths are the options of flags that the table does not lead to.
var flagPaths = map[string]string{"VV": "trace", "DV": "debug", "DVV": "debug", "tls": "tls", "tlscert": "tls", "tlskey": "tls", "tlscacert": "tls", "tlsverify": "tls"}

func switches(at func(*Options) []*bool) func(*Options, string) error {
	return func(o *Options, text string) error {
		on, err := strconv.ParseBool(text)
		for _, target := range at(o) {
			*target = on
		}
		return err
	}
}

func (o *Options) authorization() *Authorization {
	if o.Authorization == nil {
		o.Authorization = new(Authorization)
	}
	return o.Authorization
}

func (o *Options) cluster() *Cluster {
	if o.Cluster == nil {
		o.Cluster = new(Cluster)
	}
	return o.Cluster
}

func (o *Options) peregrine() *Peregrine {
	if o.Peregrine == nil {
		o.Peregrine = new(Peregrine)
	}
	return o.Peregrine
}

func setJetStream(o *Options, text string) error {
	on, err := strconv.ParseBool(text)
	if o.JetStream == nil {
		o.JetStream = &JetStream{Strict: true}
	}
	o.JetStream.Enabled = on
	return err
}

func setRoutes(o *Options, text string) error {
	o.cluster().Routes = nil
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		u, err := parseURL(part, "route")
		if err != nil {
			return err
		}
		o.cluster().Routes = append(o.cluster().Routes, u)
	}
	return nil
}

// setCluster sets what a cluster URL says; an empty one turns routes off. The
// URL's credentials, or that it has none, win over the file's.
func setCluster(o *Options, text string) error {
	c := o.cluster()
	if text == "" {
		c.Port = 0
		return nil
	}
	// A URL cannot have the port that stands for any.
	text, any := strings.CutSuffix(text, ":-1")
	if any {
		text += ":0"
	}
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return err
	}
	c.Host = host
	if c.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	if any {
		c.Port = -1
	}
	if c.Authorization == nil {
		c.Authorization = new(Authorization)
	}
	c.Authorization.User, c.Authorization.Password = "", ""
	if u.User != nil {
		password, has := u.User.Password()
		if !has {
			return errors.New("expected cluster password to be set")
		}
		c.Authorization.User, c.Authorization.Password = u.User.Username(), password
	}
	return nil
}

// ApplyFlags puts flags on top of what the file set, in order. Flags that are
// not options, such as -c, are passed over. Before Complete only.
func (o *Options) ApplyFlags(flags []Flag, env Env) error {
	env.complete()
	rows := Table()
	byFlag := make(map[string]*Option)
	for i := range rows {
		for _, name := range rows[i].Flags {
			byFlag[name] = &rows[i]
		}
	}
	routes := false
	var tlsFlags []Flag
	for _, f := range flags {
		row := byFlag[f.Name]
		set := flagKinds[f.Name]
		path := flagPaths[f.Name]
		switch {
		case strings.HasPrefix(f.Name, "tls"):
			tlsFlags = append(tlsFlags, f)
			continue
		case set != nil:
		case row != nil && row.set != nil:
			set = row.set
		default:
			continue
		}
		if err := set(o, f.Value); err != nil {
			return err
		}
		if row != nil {
			path = row.Path
		}
		o.where[path] = grammar.Pos{File: "-" + f.Name}
		routes = routes || f.Name == "routes" && f.Value != ""
	}
	if err := o.applyTLSFlags(tlsFlags, env); err != nil {
		return err
	}
	if c := o.Cluster; routes && c.Host == "" && c.Port == 0 {
		return errors.New("solicited routes require cluster capabilities, e.g. --cluster")
	}
	return nil
}

// applyTLSFlags makes a TLS block of the flags, if any, in place of the file's.
// --tls=false takes the file's away.
func (o *Options) applyTLSFlags(flags []Flag, env Env) error {
	if len(flags) == 0 {
		return nil
	}
	t := new(TLS)
	for _, f := range flags {
		switch f.Name {
		case "tls":
			if on, err := strconv.ParseBool(f.Value); err != nil {
				return err
			} else if !on {
				o.TLS = nil
				return nil
			}
		case "tlsverify":
			on, err := strconv.ParseBool(f.Value)
			if err != nil {
				return err
			}
			t.Verify = on
		case "tlscert":
			t.CertFile = f.Value
		case "tlskey":
			t.KeyFile = f.Value
		case "tlscacert":
			t.CAFile = f.Value
		}
	}
	if t.CertFile == "" {
		return errors.New("TLS Server certificate must be present and valid")
	}
	if t.KeyFile == "" {
		return errors.New("TLS Server private key must be present and valid")
	}
	if err := t.load(env); err != nil {
		return err
	}
	o.TLS = t
	o.where["tls"] = grammar.Pos{File: "-" + flags[0].Name}
	return nil
}

// RedactFlag returns f with what is secret in its value replaced, for the
// process's list of arguments.
func RedactFlag(f Flag) Flag {
	const redacted = "[REDACTED]"
	switch f.Name {
	case "user", "pass", "auth":
		f.Value = redacted
	case "cluster", "cluster_listen", "routes":
		parts := strings.Split(f.Value, ",")
		for i, part := range parts {
			if u, err := url.Parse(strings.TrimSpace(part)); err == nil && u.User != nil {
				at := strings.LastIndexByte(part, '@')
				parts[i] = fmt.Sprintf("%s://%s%s", u.Scheme, redacted, part[at:])
			}
		}
		f.Value = strings.Join(parts, ",")
	}
	return f
}
