package config

import (
	"strings"
	"time"

	"peregrine/config/grammar"
)

// OCSP says which certificates are stapled.
type OCSP struct {
	Mode string   // "auto", "always", "must" or "never"
	URLs []string // responders instead of those of the certificates
}

func readOCSP(r *reader, k key, o *Options) {
	switch k.Kind {
	case grammar.Bool:
		o.OCSP = &OCSP{Mode: "never"}
		if k.Bool {
			o.OCSP.Mode = "auto"
		}
	case grammar.Map:
		o.OCSP = &OCSP{Mode: "auto"}
		// The keys of this block are not found in other cases.
		r.blaming(k.Value, func() {
			for name, v := range k.Map.All() {
				if e := ocspBlock.find(name); e != nil && e.name == name {
					e.read(r, key{name: name, Value: v}, o.OCSP)
				} else {
					r.errorf(v, "error parsing ocsp config: unsupported field string")
				}
			}
		})
	default:
		r.errorf(k.Value, "error parsing ocsp config: unsupported type %s", k.Kind)
	}
}

var ocspBlock = block[OCSP]{entries: []entry[OCSP]{
	custom("mode", kindText, func(r *reader, k key, o *OCSP) {
		mode, ok := r.str(k.Value)
		switch {
		case !ok:
		case contains([]string{"always", "must", "never", "auto"}, strings.ToLower(mode)):
			o.Mode = strings.ToLower(mode)
		default:
			r.errorf(k.Value, "error parsing ocsp config: unsupported ocsp mode string")
		}
	}, nil, Spec{Default: `"auto"`, Range: "`auto`, `always`, `must` or `never`", Reload: Live, Use: "Mode",
		Doc: "Which certificates are stapled: those that ask for it, all, those that ask for it and stop the server when one is revoked, or none."}),
	text("url", func(o *OCSP) *string {
		o.URLs = []string{""}
		return &o.URLs[0]
	}, Spec{Unset: "those of the certificates", Range: "an http URL", Reload: Live, Use: "URLs", Doc: "Responder to ask."}),
	custom("urls", "list of strings", func(r *reader, k key, _ *OCSP) {
		// No list is of this type: the reference refuses every value.
		r.mismatch(k.Value, "[]string")
	}, nil, Spec{Unset: "those of the certificates", Range: "none: nats-server refuses every value, and so does this server", Reload: Live, Use: "URLs", Doc: "Responders to ask."}),
}}

// OCSPCache says where the states of certificates are kept.
type OCSPCache struct {
	Type            string // "local" or "none"
	LocalStore      string
	PreserveRevoked bool
	SaveInterval    time.Duration
}

func readOCSPCache(r *reader, k key, o *Options) {
	c := &OCSPCache{Type: "local", LocalStore: "_rc_", SaveInterval: 5 * time.Minute}
	switch k.Kind {
	case grammar.Bool:
		if !k.Bool {
			c.Type = "none"
		}
	case grammar.Map:
		ocspCacheBlock.read(r, k.Map, "", c)
	default:
		r.errorf(k.Value, "error parsing tags: unsupported type %s", k.Kind)
		return
	}
	o.OCSPCache = c
}

const (
	cacheField = "error parsing OCSP peer cache config, unknown field [%q]"
	peerField  = "error parsing tls peer config, unknown field [%q]"
)

var ocspCacheBlock = block[OCSPCache]{unknown: cacheField, strict: true, entries: []entry[OCSPCache]{
	custom("type", kindText, func(r *reader, k key, c *OCSPCache) {
		switch {
		case k.Kind != grammar.String:
			r.errorf(k.Value, cacheField, k.name)
		case !contains([]string{"none", "local"}, strings.ToLower(k.Str)):
			r.errorf(k.Value, "error parsing OCSP peer cache config, unknown type [%s]", k.Str)
		default:
			c.Type = strings.ToLower(k.Str)
		}
	}, nil, Spec{Default: `"local"`, Range: "`local` or `none`", Reload: Live, Use: "Type", Doc: "Kind of cache."}),
	custom("local_store", kindPath, func(r *reader, k key, c *OCSPCache) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, cacheField, k.name)
			return
		}
		c.LocalStore = k.Str
	}, nil, Spec{Default: `"_rc_"`, Range: "a folder", Reload: Live, Use: "LocalStore", Doc: "Folder of the cache."}),
	custom("preserve_revoked", kindBool, func(r *reader, k key, c *OCSPCache) {
		if k.Kind != grammar.Bool {
			r.errorf(k.Value, cacheField, k.name)
			return
		}
		c.PreserveRevoked = k.Bool
	}, nil, Spec{Default: "false", Range: "true or false", Reload: Live, Use: "PreserveRevoked", Doc: "Keep the word that a certificate was revoked."}),
	custom("save_interval", kindSeconds, func(r *reader, k key, c *OCSPCache) {
		d, ok := r.ocspTime(k.Value, "error parsing OCSP peer cache config, conversion error: unexpected type", true)
		if ok {
			c.SaveInterval = max(d.Truncate(time.Second), time.Second)
		}
	}, nil, Spec{Default: `"5m"`, Range: "1 second or more", Reload: Live, Use: "SaveInterval", Doc: "Time between writes of the cache."}),
}}

// ocspTime reads seconds or a duration. wrong is the message for other types;
// told says whether the trouble with a duration is told.
func (r *reader) ocspTime(v *grammar.Value, wrong string, told bool) (time.Duration, bool) {
	switch v.Kind {
	case grammar.Int:
		return seconds(float64(v.Int)), true
	case grammar.Float:
		return seconds(v.Float), true
	case grammar.String:
		d, err := time.ParseDuration(v.Str)
		switch {
		case err == nil:
			return d, true
		case told:
			r.errorf(v, "error parsing tls peer config, conversion error: %v", err)
		default:
			r.errorf(v, "error parsing tls peer config, conversion error: unexpected type")
		}
		return 0, false
	}
	r.errorf(v, "%s", wrong)
	return 0, false
}

// OCSPPeer says how the certificates of peers are checked.
type OCSPPeer struct {
	Verify                 bool
	ClockSkew              time.Duration
	Timeout                time.Duration
	TTLUnsetNextUpdate     time.Duration
	WarnOnly               bool
	UnknownIsGood          bool
	AllowWhenCAUnreachable bool
}

func readOCSPPeer(r *reader, k key, t *TLS) {
	p := &OCSPPeer{ClockSkew: 30 * time.Second, Timeout: 2 * time.Second, TTLUnsetNextUpdate: time.Hour}
	switch k.Kind {
	case grammar.Bool:
		p.Verify = k.Bool
	case grammar.Map:
		before := len(r.Errors)
		ocspPeerBlock.read(r, k.Map, "", p)
		// The reference names two places: of the block and of the key in it.
		for i := before; i < len(r.Errors); i++ {
			r.Errors[i] = Problem{k.Pos, r.Errors[i].String()}
		}
	default:
		r.errorf(k.Value, "error parsing ocsp peer config: unsupported type map[string]interface {}")
		return
	}
	t.OCSPPeer = p
}

// peerFields are the fields of the block's keys.
var peerFields = map[string]string{
	"verify": "Verify", "allowed_clockskew": "ClockSkew", "ca_timeout": "Timeout",
	"cache_ttl_when_next_update_unset": "TTLUnsetNextUpdate", "warn_only": "WarnOnly",
	"unknown_is_good": "UnknownIsGood", "allow_when_ca_unreachable": "AllowWhenCAUnreachable",
}

var ocspPeerBlock = block[OCSPPeer]{unknown: peerField, strict: true, entries: []entry[OCSPPeer]{
	peerFlag("verify", func(p *OCSPPeer) *bool { return &p.Verify }, "Check the certificates of peers."),
	peerTime("allowed_clockskew", false, func(p *OCSPPeer) *time.Duration { return &p.ClockSkew }, "30", "How far clocks may be apart."),
	peerTime("ca_timeout", true, func(p *OCSPPeer) *time.Duration { return &p.Timeout }, "2", "Time that a responder has to answer."),
	peerTime("cache_ttl_when_next_update_unset", true, func(p *OCSPPeer) *time.Duration { return &p.TTLUnsetNextUpdate }, "3600", "How long an answer holds that does not say so."),
	peerFlag("warn_only", func(p *OCSPPeer) *bool { return &p.WarnOnly }, "Log what is wrong and go on."),
	peerFlag("unknown_is_good", func(p *OCSPPeer) *bool { return &p.UnknownIsGood }, "Accept certificates that the responder does not know."),
	peerFlag("allow_when_ca_unreachable", func(p *OCSPPeer) *bool { return &p.AllowWhenCAUnreachable }, "Accept certificates when no responder answers."),
}}

func peerFlag(name string, at func(*OCSPPeer) *bool, doc string) entry[OCSPPeer] {
	return custom(name, kindBool, func(r *reader, k key, p *OCSPPeer) {
		if k.Kind != grammar.Bool {
			r.errorf(k.Value, peerField, k.name)
			return
		}
		*at(p) = k.Bool
	}, nil, Spec{Default: "false", Range: "true or false", Reload: Live, Use: peerFields[name], Doc: doc})
}

func peerTime(name string, told bool, at func(*OCSPPeer) *time.Duration, deft, doc string) entry[OCSPPeer] {
	return custom(name, kindSeconds, func(r *reader, k key, p *OCSPPeer) {
		d, ok := r.ocspTime(k.Value, "error parsing tls peer config, conversion error: unexpected type", told)
		if ok && d >= 0 {
			*at(p) = d
		}
	}, nil, Spec{Default: deft, Range: "0 or more", Reload: Live, Use: peerFields[name], Doc: doc})
}

// Proxies are the proxies that clients may come through.
type Proxies struct{ Trusted []*Proxy }

// Proxy is known by its public key.
type Proxy struct{ Key string }

var proxiesBlock = block[Proxies]{entries: []entry[Proxies]{
	listed(custom("trusted", kindBlocks, func(r *reader, k key, p *Proxies) {
		if k.Kind != grammar.List {
			r.errorf(k.Value, "expected proxies' trusted field to be an array, got %s", k.Kind)
			return
		}
		for _, e := range k.List {
			if e.Kind != grammar.Map {
				r.errorf(e, "expected proxies' trusted entry to be a map/struct, got %s", e.Kind)
				continue
			}
			one := new(Proxy)
			proxyBlock.read(r, e.Map, "", one)
			p.Trusted = append(p.Trusted, one)
		}
	}, nil, Spec{Unset: "none", Range: "see the keys below", Reload: Live, Use: "Trusted", Doc: "The proxies."}),
		&proxyBlock, func(p *Proxies) []*Proxy { return p.Trusted }),
}}

var proxyBlock = block[Proxy]{entries: []entry[Proxy]{
	custom("key", kindText, func(r *reader, k key, p *Proxy) {
		var ok bool
		if p.Key, ok = r.str(k.Value); ok && !isAnyKey(p.Key) {
			r.errorf(k.Value, "invalid proxy key %q", p.Key)
		}
	}, nil, Spec{Aliases: []string{"public_key"}, Unset: "refused", Range: "a public nkey", Reload: Live, Use: "Key", Doc: "Key that the proxy signs with."}),
}}
