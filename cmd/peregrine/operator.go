package main

import (
	"peregrine/account"
	"peregrine/account/claimstore"
	"peregrine/account/operator"
	"peregrine/config"
	"peregrine/server"
)

// operatorMode turns what a configuration says of operators into the server's
// terms; nil if it has none.
func operatorMode(o *config.Options) (*server.OperatorMode, error) {
	if len(o.TrustedKeys) == 0 {
		return nil, nil
	}
	resolver, err := resolverOptions(o)
	if err != nil {
		return nil, err
	}
	mode := &server.OperatorMode{
		Pinned: o.PinnedAccounts, Sentinel: o.DefaultSentinel, Preload: o.Preload,
		Resolver: resolver,
	}
	var operators []operator.Operator
	for _, one := range o.Operators {
		operators = append(operators, operator.Operator{Subject: one.Subject, SigningKeys: one.SigningKeys, Strict: one.StrictSigning})
		claims, lines, err := operator.Describe(one.Token)
		if err != nil {
			return nil, err
		}
		mode.Banner = append(mode.Banner, lines...)
		mode.Tokens, mode.Claims = append(mode.Tokens, one.Shown), append(mode.Claims, claims)
	}
	if len(mode.Banner) > 0 {
		mode.Banner = append([]string{"Trusted Operators"}, mode.Banner...)
	}
	mode.Trust = operator.NewTrust(o.TrustedKeys, operators)
	return mode, nil
}

// idleResolver returns the resolver of a configuration without operators, for
// which there are no accounts to look up; nil for none.
func idleResolver(o *config.Options) (*server.ResolverOptions, error) {
	if o.Resolver == nil || len(o.TrustedKeys) > 0 {
		return nil, nil
	}
	r, err := resolverOptions(o)
	return &r, err
}

// resolverOptions returns where tokens of accounts are looked up, and how.
func resolverOptions(o *config.Options) (server.ResolverOptions, error) {
	r := o.Resolver
	if r == nil {
		return server.ResolverOptions{}, nil
	}
	kinds := map[string]server.ResolverKind{
		"memory": server.MemoryResolver, "url": server.URLResolver, "full": server.FullResolver, "cache": server.CacheResolver,
	}
	out := server.ResolverOptions{
		Kind: kinds[r.Type], URL: r.URL, Dir: r.Dir, Limit: r.Limit, TTL: r.TTL, Interval: r.Interval, Timeout: r.Timeout,
	}
	switch {
	case r.HardDelete:
		out.Deletion = claimstore.Remove
	case r.AllowDelete:
		out.Deletion = claimstore.Rename
	}
	if t := o.ResolverTLS; t != nil {
		c, err := certOptions(t)
		if err != nil {
			return server.ResolverOptions{}, err
		}
		out.TLS = c.Config()
	}
	return out, nil
}

// calloutOptions returns the service that decides about clients, nil for none.
func calloutOptions(a *config.Authorization) *server.CalloutOptions {
	if a == nil || a.Callout == nil {
		return nil
	}
	c := a.Callout
	return &server.CalloutOptions{
		Issuer: c.Issuer, Account: c.Account, AuthUsers: c.AuthUsers, XKey: c.XKey, AllowedAccounts: c.AllowedAccounts,
	}
}

func trustedProxies(p *config.Proxies) (keys []string) {
	if p != nil {
		for _, one := range p.Trusted {
			keys = append(keys, one.Key)
		}
	}
	return keys
}

// underOperators adds what the directory needs to know where there are
// operators: users are known by tokens, the system account is only a name yet.
func underOperators(o *config.Options, c *account.Contents) {
	if len(o.TrustedKeys) == 0 {
		return
	}
	c.AuthorizationGiven = true
	if c.System == "" {
		c.NoSystem = true // nobody has signed one
	} else {
		c.Accounts = append(c.Accounts, account.NewDefinition(c.System))
	}
}
