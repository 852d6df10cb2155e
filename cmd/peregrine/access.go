package main

import (
	"fmt"
	"slices"

	"peregrine/account"
	"peregrine/config"
)

// directory turns what a configuration says of accounts and users into the
// server's terms.
func directory(o *config.Options) (*account.Directory, error) {
	c := account.Contents{
		System: o.SystemAccount, NoSystem: o.NoSystemAccount, NoAuthUser: o.NoAuthUser,
		AuthorizationGiven: o.Authorization != nil,
		CertificateMap:     o.TLS != nil && o.TLS.Map,
	}
	if a := o.Authorization; a != nil {
		c.User, c.Password, c.Token, c.ProxyRequired = a.User, a.Password, a.Token, a.ProxyRequired
	}
	shared := make(map[*config.Permissions]*account.Permissions)
	for _, u := range o.AllUsers() {
		types, _ := account.ParseConnectionTypes(u.ConnectionTypes)
		c.Users = append(c.Users, &account.User{
			Name: u.Name, Password: u.Password, Nkey: u.Nkey, Account: u.Account,
			Permissions: permissions(u.Permissions, shared), ConnectionTypes: types, ProxyRequired: u.ProxyRequired,
		})
	}
	if len(o.Mappings) > 0 {
		global := account.NewDefinition(account.Global)
		global.Mappings = mappings(o.Mappings)
		c.Accounts = append(c.Accounts, global)
	}
	for _, a := range o.Accounts {
		c.Accounts = append(c.Accounts, definition(a, shared))
		if a.Name == account.System && c.System == "" {
			c.System = account.System
		}
	}
	underOperators(o, &c)
	return account.NewDirectory(c)
}

func definition(a *config.Account, shared map[*config.Permissions]*account.Permissions) *account.Definition {
	d := account.NewDefinition(a.Name)
	d.Nkey = a.Nkey
	d.Limits = account.Limits{
		Connections: int64(a.Limits.Connections), LeafNodes: int64(a.Limits.LeafNodes),
		Subscriptions: int64(a.Limits.Subscriptions), Payload: int64(a.Limits.Payload),
	}
	d.DefaultPermissions = permissions(a.DefaultPermissions, shared)
	d.Trace = account.MsgTrace{Dest: a.Trace.Dest, Sampling: a.Trace.Sampling}
	if j := a.JetStream; j != nil {
		d.JetStream = &account.JetStreamLimits{
			MaxMemory: j.MaxMemory, MaxStore: j.MaxStore,
			MaxStreams: int64(j.MaxStreams), MaxConsumers: int64(j.MaxConsumers), MaxAckPending: int64(j.MaxAckPending),
			MemoryMaxStreamBytes: j.MemoryMaxStreamBytes, StoreMaxStreamBytes: j.StoreMaxStreamBytes,
			MaxBytesRequired: j.MaxBytesRequired, ClusterTraffic: j.ClusterTraffic,
		}
	}
	exchange(a, d)
	return d
}

// permissions keeps what users share shared.
func permissions(p *config.Permissions, shared map[*config.Permissions]*account.Permissions) *account.Permissions {
	if p == nil {
		return nil
	}
	if same := shared[p]; same != nil {
		return same
	}
	choice := func(s *config.SubjectPermission) *account.SubjectPermission {
		if s == nil {
			return nil
		}
		return &account.SubjectPermission{Allow: s.Allow, Deny: s.Deny}
	}
	same := &account.Permissions{Publish: choice(p.Publish), Subscribe: choice(p.Subscribe)}
	if r := p.Responses; r != nil {
		same.Responses = &account.ResponsePermission{MaxMsgs: r.MaxMsgs, Expires: r.Expires}
	}
	shared[p] = same
	return same
}

// missingAccess lists what accounts ask for and this version cannot do; the
// option table does not see into lists.
func missingAccess(o *config.Options) (lines []string) {
	for _, a := range o.Accounts {
		if a.JetStream != nil {
			lines = append(lines, fmt.Sprintf("account %s (%s) needs %s, which this version does not have yet", a.Name, a.Pos, config.PartJetStream))
		}
	}
	slices.Sort(lines)
	return lines
}
