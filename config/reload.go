package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Change is something that a reload does.
type Change struct {
	Path string // of the option; "" for a line that is logged though nothing changed
	Log  string // for the log, such as "Reloaded: trace = true"; "" for none
}

// Changes are what a reload does, in the order of the table.
type Changes []Change

// Has says whether the option with the given path, or one inside it, changes.
func (c Changes) Has(path string) bool {
	return slices.ContainsFunc(c, func(one Change) bool {
		return one.Path == path || strings.HasPrefix(one.Path, path+".")
	})
}

// Diff compares two complete configurations. It returns what changes, or why
// nothing does: the first option that cannot change while the server runs, in
// the words that the reference logs behind "Failed to reload server
// configuration: ". Where a port stands for any free one, the caller has put
// the one in use in both.
func Diff(old, new *Options) (Changes, error) {
	d := &differ{old: old, new: new, rows: Table()}
	for i := 0; i < len(d.rows); i++ {
		row := &d.rows[i]
		i += row.keys
		compare := d.plain
		if rule := reloadRules[row.Path]; rule != nil {
			compare = func(*Option) error { return rule(d) }
		}
		if err := compare(row); err != nil {
			return nil, err
		}
	}
	return d.changes, nil
}

// reloadRules are the rules of options whose Reload is not the whole story.
var reloadRules = map[string]func(*differ) error{
	"authorization":          (*differ).authorization,
	"accounts":               (*differ).accounts,
	"mappings":               func(*differ) error { return nil }, // told with accounts
	"no_auth_user":           (*differ).noAuthUser,
	"system_account":         (*differ).systemAccount,
	"tls":                    (*differ).tls,
	"resolver":               (*differ).resolver,
	"proxies":                (*differ).proxies,
	"no_fast_producer_stall": (*differ).stall,
	"cluster":                (*differ).cluster,
	"gateway":                func(d *differ) error { return d.protocol("gateway", "Gateway") },
	"leafnodes":              (*differ).leafNode,
	"jetstream":              (*differ).jetStream,
	"store_dir":              (*differ).storeDir,
	"websocket":              func(d *differ) error { return d.protocol("websocket", "Websocket") },
	"mqtt":                   func(d *differ) error { return d.protocol("mqtt", "MQTT") },
	"peregrine":              func(d *differ) error { return d.inside("peregrine", unsupported) },
}

type differ struct {
	old, new *Options
	rows     []Option
	changes  Changes
}

// add notes a change. log may have a verb for value.
func (d *differ) add(path, log string, value any) {
	if strings.Contains(log, "%") {
		log = fmt.Sprintf(log, value)
	}
	switch {
	case log == "":
	case path == "client_advertise":
		log = "Reload: " + log
	case path == "ocsp_cache":
		log = "Reloaded " + log
	default:
		log = "Reloaded: " + log
	}
	d.changes = append(d.changes, Change{path, log})
}

// unsupported is the error for an option that may not change.
func unsupported(row *Option, old, new any) error { return refuse(row.Field, old, new) }

func refuse(field string, old, new any) error {
	return fmt.Errorf("config reload not supported for %s: old=%v, new=%v", field, old, new)
}

// redacted stands for a secret.
const redacted = "[REDACTED]"

// values returns what row is set to before and after, and whether that differs.
func (d *differ) values(row *Option) (old, new any, differ bool) {
	old, _ = row.Get(d.old)
	new, _ = row.Get(d.new)
	if row.Ignored != "" || reflect.DeepEqual(old, new) || isEmpty(old) && isEmpty(new) ||
		old == nil && isDefault(row, new) || new == nil && isDefault(row, old) {
		return nil, nil, false
	}
	if row.Secret {
		return redacted, redacted, true
	}
	return orEmpty(old), orEmpty(new), true
}

// isEmpty says whether v is nothing: not set, or a list or map without content.
func isEmpty(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Slice || r.Kind() == reflect.Map) && r.Len() == 0
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// plain compares an option that has no rule of its own.
func (d *differ) plain(row *Option) error {
	old, new, changed := d.values(row)
	switch {
	case !changed:
	case row.Reload == Restart:
		return unsupported(row, old, new)
	default:
		d.add(row.Path, row.Log, new)
	}
	return nil
}

// inside compares the options of a block; fixed is the error for one that may
// not change.
func (d *differ) inside(path string, fixed func(row *Option, old, new any) error) error {
	for i := range d.rows {
		row := &d.rows[i]
		rest, ok := strings.CutPrefix(row.Path, path+".")
		if !ok || row.get == nil || strings.Contains("."+rest, ".tls.") || row.Name() != "tls" && told(d.rows, i) {
			continue
		}
		old, new, changed := d.values(row)
		switch {
		case !changed:
		case row.Reload == Restart:
			if err := fixed(row, old, new); err != nil {
				return err
			}
		default:
			d.add(row.Path, row.Log, new)
		}
	}
	return nil
}

// told says whether what row i is set to is told by the options in it.
func told(rows []Option, i int) bool {
	return slices.ContainsFunc(rows[i+1:i+1+rows[i].keys], func(o Option) bool { return o.get != nil })
}

// protocol compares the block of a protocol. name begins its refusals.
func (d *differ) protocol(path, name string) error {
	return d.inside(path, func(row *Option, old, new any) error {
		if row.Path == "gateway.gateways" && sameGateways(d.old.Gateway, d.new.Gateway) {
			d.add("gateway.gateways", "", nil)
			return nil
		}
		return fmt.Errorf("config reload not supported for %s: field %q: old=%v, new=%v", name, row.Name(), plainValue(old), plainValue(new))
	})
}

// plainValue is v as far as a message shows it: blocks and lists of them may
// have secrets in them.
func plainValue(v any) any {
	if urls, ok := v.([]*url.URL); ok {
		var all []string
		for _, u := range urls {
			all = append(all, redactURL(u))
		}
		return all
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Struct, reflect.Pointer:
		return redacted
	case reflect.Slice:
		if k := r.Type().Elem().Kind(); k == reflect.Pointer || k == reflect.Struct {
			return fmt.Sprintf("%d entries", r.Len())
		}
	}
	return v
}

// sameGateways says whether other clusters differ in TLS alone.
func sameGateways(a, b *Gateway) bool {
	if a == nil || b == nil || len(a.Gateways) != len(b.Gateways) {
		return false
	}
	for i := range a.Gateways {
		x, y := *a.Gateways[i], *b.Gateways[i]
		x.TLS, y.TLS = nil, nil
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

func (d *differ) authorization() error {
	old, new := Authorization{}, Authorization{}
	if d.old.Authorization != nil {
		old = *d.old.Authorization
	}
	if d.new.Authorization != nil {
		new = *d.new.Authorization
	}
	if !reflect.DeepEqual(old.Callout, new.Callout) {
		return refuse("AuthCallout", old.Callout, new.Callout)
	}
	if old.ProxyRequired != new.ProxyRequired {
		return refuse("ProxyRequired", old.ProxyRequired, new.ProxyRequired)
	}
	if old.User != new.User {
		d.add("authorization.user", "authorization username", nil)
	}
	if old.Password != new.Password {
		d.add("authorization.password", "authorization password", nil)
	}
	if old.Token != new.Token {
		d.add("authorization.token", "authorization token", nil)
	}
	// The default follows TLS, with a block or without.
	orDuration(&old.Timeout, authTimeoutFor(d.old.TLS))
	orDuration(&new.Timeout, authTimeoutFor(d.new.TLS))
	if old.Timeout != new.Timeout {
		d.add("authorization.timeout", "authorization timeout = %v", new.Timeout.Seconds())
	}
	// The reference logs users and accounts at every reload.
	path := ""
	if !sameUsers(old.Users, new.Users) || !reflect.DeepEqual(old.DefaultPermissions, new.DefaultPermissions) {
		path = "authorization.users"
	}
	d.add(path, "authorization users", nil)
	return nil
}

// sameUsers compares users, not where they stand in their files.
func sameUsers(a, b []*User) bool {
	return slices.EqualFunc(a, b, func(x, y *User) bool {
		u, v := *x, *y
		u.Pos, v.Pos = noPos, noPos
		return reflect.DeepEqual(u, v)
	})
}

func (d *differ) accounts() error {
	same := slices.EqualFunc(d.old.Accounts, d.new.Accounts, sameAccount) && reflect.DeepEqual(d.old.Mappings, d.new.Mappings)
	path := "accounts"
	if same {
		path = ""
	}
	d.add(path, "accounts", nil)
	return nil
}

// sameAccount compares accounts, not where they stand in their files.
func sameAccount(a, b *Account) bool {
	x, y := *a, *b
	if !sameUsers(x.Users, y.Users) ||
		!slices.EqualFunc(x.Exports, y.Exports, func(a, b *Export) bool {
			u, v := *a, *b
			u.Pos, v.Pos = noPos, noPos
			return reflect.DeepEqual(u, v)
		}) ||
		!slices.EqualFunc(x.Imports, y.Imports, func(a, b *Import) bool {
			u, v := *a, *b
			u.Pos, v.Pos = noPos, noPos
			return u == v
		}) {
		return false
	}
	x.Pos, x.Users, x.Exports, x.Imports = y.Pos, y.Users, y.Exports, y.Imports
	return reflect.DeepEqual(x, y)
}

func (d *differ) noAuthUser() error {
	old, new := d.old.NoAuthUser, d.new.NoAuthUser
	if old == new {
		return nil
	}
	stays := slices.ContainsFunc(d.new.AllUsers(), func(u *User) bool { return u.ID() == old })
	if new != "" || stays {
		return refuse("NoAuthUser", old, new)
	}
	d.add("no_auth_user", "", nil)
	return nil
}

func (d *differ) systemAccount() error {
	old, new := d.old.SystemAccount, d.new.SystemAccount
	if old != new && (old != SystemAccount || new != "") {
		return refuse("SystemAccount", old, new)
	}
	return nil
}

func (d *differ) resolver() error {
	old, new := d.old.Resolver, d.new.Resolver
	if (old == nil) != (new == nil) {
		return errors.New("config reload does not support moving to or from an account resolver")
	}
	if !reflect.DeepEqual(old, new) {
		d.add("resolver", "accounts", nil)
	}
	return nil
}

func (d *differ) proxies() error {
	keys := func(p *Proxies) (all []string) {
		if p != nil {
			for _, one := range p.Trusted {
				all = append(all, one.Key)
			}
		}
		return all
	}
	old, new := keys(d.old.Proxies), keys(d.new.Proxies)
	without := func(list, others []string) (rest []string) {
		for _, key := range list {
			if !contains(others, key) {
				rest = append(rest, key)
			}
		}
		return rest
	}
	if gone := without(old, new); len(gone) > 0 {
		d.add("proxies", "proxies trusted keys %q were removed", gone)
	}
	if came := without(new, old); len(came) > 0 {
		d.add("proxies", "proxies trusted keys %q were added", came)
	}
	return nil
}

func (d *differ) stall() error {
	if d.old.NoFastProducerStall != d.new.NoFastProducerStall {
		not := ""
		if d.new.NoFastProducerStall {
			not = "not "
		}
		d.add("no_fast_producer_stall", "fast producers will %sbe stalled", not)
	}
	return nil
}
