package operator

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"peregrine/account"
	"peregrine/sublist"
	"peregrine/sublist/transform"
)

// Account is what a valid token says of an account.
type Account struct {
	Name   string // its key
	Token  string
	Claims *jwt.AccountClaims // read only

	Definition *account.Definition

	signers map[string]*jwt.UserScope // who signs users; nil: without a scope
}

func compile(token string, c *jwt.AccountClaims, strict bool) *Account {
	a := &Account{Name: c.Subject, Token: token, Claims: c, signers: make(map[string]*jwt.UserScope, len(c.SigningKeys)+1)}
	for key, scope := range c.SigningKeys {
		s, _ := scope.(*jwt.UserScope)
		a.signers[key] = s
	}
	if !strict {
		a.signers[c.Subject] = nil
	}
	a.Definition = define(c)
	exchange(c, a.Definition)
	return a
}

// Expires returns when the account's time is over; zero is never.
func (a *Account) Expires() time.Time { return unix(a.Claims.Expires) }

func unix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Signer tells whether key signs users of the account, and by which scope, nil
// for none.
func (a *Account) Signer(key string) (scope *jwt.UserScope, ok bool) {
	scope, ok = a.signers[key]
	return scope, ok
}

// SameSigner tells whether key signs in a as it does in b.
func (a *Account) SameSigner(b *Account, key string) bool {
	x, ok := a.signers[key]
	y, ok2 := b.signers[key]
	return ok && ok2 && sameScope(x, y)
}

func sameScope(x, y *jwt.UserScope) bool {
	if x == nil || y == nil {
		return x == y
	}
	return fmt.Sprintf("%+v", deref(x)) == fmt.Sprintf("%+v", deref(y))
}

// deref makes a scope printable as a whole.
func deref(s *jwt.UserScope) any {
	resp := jwt.ResponsePermission{}
	if s.Template.Resp != nil {
		resp = *s.Template.Resp
	}
	c := *s
	c.Template.Resp = nil
	return []any{c, s.Template.Resp != nil, resp}
}

// Revoked tells whether a user whose token is of that Unix time is revoked.
func (a *Account) Revoked(user string, issuedAt int64) bool {
	return revoked(a.Claims.Revocations, user, issuedAt)
}

func revoked(list map[string]int64, key string, issuedAt int64) bool {
	for _, k := range [...]string{jwt.All, key} {
		if t, ok := list[k]; ok && t >= issuedAt {
			return true
		}
	}
	return false
}

// External returns how the account has its users judged by a service of its own,
// nil if it does not.
func (a *Account) External() *jwt.ExternalAuthorization {
	if !a.Claims.HasExternalAuthorization() {
		return nil
	}
	return &a.Claims.Authorization
}

// MayPlace tells whether the account's service may place users in other.
func (a *Account) MayPlace(other string) bool {
	x := a.External()
	if x == nil {
		return false
	}
	if len(x.AllowedAccounts) == 1 && x.AllowedAccounts[0] == jwt.AnyAccount {
		return true
	}
	return slices.Contains(x.AllowedAccounts, other)
}

// define returns limits and defaults.
func define(c *jwt.AccountClaims) *account.Definition {
	d := account.NewDefinition(c.Subject)
	d.Nkey = c.Subject
	d.Limits = account.Limits{
		Connections: clamp(c.Limits.Conn), LeafNodes: clamp(c.Limits.LeafNodeConn),
		Subscriptions: clamp(c.Limits.Subs), Payload: clamp(c.Limits.Payload),
	}
	d.DefaultPermissions = permissions(&c.DefaultPermissions)
	d.JetStream = jetStream(c)
	if t := c.Trace; t != nil && sublist.IsValidPublishSubject(string(t.Destination)) {
		d.Trace = account.MsgTrace{Dest: string(t.Destination), Sampling: t.Sampling}
		if d.Trace.Sampling <= 0 || d.Trace.Sampling > 100 {
			d.Trace.Sampling = 100
		}
	}
	return d
}

// clamp keeps limits within what is counted; every negative one is none.
func clamp(n int64) int64 {
	if n < 0 {
		return account.NoLimit
	}
	return min(n, math.MaxInt32)
}

// jetStream returns the limits without tiers. Tiers are of JetStream itself.
func jetStream(c *jwt.AccountClaims) *account.JetStreamLimits {
	if !c.Limits.IsJSEnabled() {
		return nil
	}
	l := c.Limits.JetStreamLimits
	return &account.JetStreamLimits{
		MaxMemory: l.MemoryStorage, MaxStore: l.DiskStorage, MaxStreams: l.Streams, MaxConsumers: l.Consumer,
		MaxAckPending: orUnlimited(l.MaxAckPending), MemoryMaxStreamBytes: orUnlimited(l.MemoryMaxStreamBytes),
		StoreMaxStreamBytes: orUnlimited(l.DiskMaxStreamBytes), MaxBytesRequired: l.MaxBytesRequired,
		ClusterTraffic: string(c.ClusterTraffic),
	}
}

func orUnlimited(n int64) int64 {
	if n > 0 {
		return n
	}
	return account.NoLimit
}

// Defaults of response permissions that leave a value out.
const (
	responsesDefault   = 1
	responseTTLDefault = 2 * time.Minute
)

// permissions returns nil when p allows everything.
func permissions(p *jwt.Permissions) *account.Permissions {
	out := &account.Permissions{Publish: subjects(&p.Pub), Subscribe: subjects(&p.Sub)}
	if r := p.Resp; r != nil {
		out.Responses = &account.ResponsePermission{MaxMsgs: r.MaxMsgs, Expires: r.Expires}
		if r.MaxMsgs == 0 {
			out.Responses.MaxMsgs = responsesDefault
		}
		if r.Expires == 0 {
			out.Responses.Expires = responseTTLDefault
		}
		if out.Publish == nil {
			out.Publish = &account.SubjectPermission{}
		}
		if out.Publish.Allow == nil {
			out.Publish.Allow = []string{} // answers are all that may be published
		}
	}
	if out.Publish == nil && out.Subscribe == nil && out.Responses == nil {
		return nil
	}
	return out
}

func subjects(p *jwt.Permission) *account.SubjectPermission {
	if p.Empty() {
		return nil
	}
	s := &account.SubjectPermission{Deny: p.Deny}
	if len(p.Allow) > 0 {
		s.Allow = p.Allow
	}
	return s
}

// exchange puts exports, imports and mappings into d.
func exchange(c *jwt.AccountClaims, d *account.Definition) {
	for _, x := range c.Exports {
		if x != nil {
			d.Exports = append(d.Exports, export(x))
		}
	}
	for _, im := range c.Imports {
		if im != nil {
			d.Imports = append(d.Imports, importOf(im))
		}
	}
	sources := make([]string, 0, len(c.Mappings))
	for source := range c.Mappings {
		sources = append(sources, string(source))
	}
	slices.Sort(sources)
	for _, source := range sources {
		d.Mappings = append(d.Mappings, account.Mapping{Source: source, Destinations: destinations(c.Mappings[jwt.Subject(source)])})
	}
}

func export(x *jwt.Export) account.Export {
	out := account.Export{
		Service: x.IsService(), Subject: string(x.Subject), TokenPosition: int(x.AccountTokenPosition),
		TokenRequired: x.TokenReq, Revocations: x.Revocations, Threshold: x.ResponseThreshold, AllowTrace: x.AllowTrace,
	}
	switch x.ResponseType {
	case jwt.ResponseTypeStream:
		out.Response = account.Streamed
	case jwt.ResponseTypeChunked:
		out.Response = account.Chunked
	}
	if l := x.Latency; l != nil {
		out.Latency = &account.Latency{Subject: string(l.Results), Sampling: int(l.Sampling)}
	}
	return out
}

func importOf(im *jwt.Import) account.Import {
	out := account.Import{
		Service: im.IsService(), Account: im.Account, Subject: string(im.Subject), Local: string(im.LocalSubject),
		Token: im.Token, Share: im.Share, AllowTrace: im.AllowTrace,
	}
	switch to := string(im.To); {
	case out.Local != "" || to == "":
	case out.Service:
		// The older form of services has the subjects the other way round.
		out.Local, out.Subject = out.Subject, to
	default:
		out.Prefix = to
	}
	return out
}

func destinations(list []jwt.WeightedMapping) []transform.Destination {
	out := make([]transform.Destination, 0, len(list))
	for _, m := range list {
		out = append(out, transform.Destination{Subject: string(m.Subject), Weight: m.GetWeight(), Cluster: m.Cluster})
	}
	return out
}

// checkMappings finds the first mapping that could not be used.
func checkMappings(c *jwt.AccountClaims) error {
	for source, list := range c.Mappings {
		if !sublist.IsValidSubject(string(source)) {
			return fmt.Errorf("mapping %q: %w", source, errors.New("invalid subject"))
		}
		var all transform.Mappings
		if err := all.Add(string(source), destinations(list)...); err != nil {
			return fmt.Errorf("mapping %q: %w", source, err)
		}
	}
	return nil
}
