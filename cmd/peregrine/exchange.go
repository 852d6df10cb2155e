package main

import (
	"peregrine/account"
	"peregrine/config"
	"peregrine/sublist/transform"
)

// exchange puts what an account of a configuration exports, imports and maps
// into d.
func exchange(a *config.Account, d *account.Definition) {
	for _, x := range a.Exports {
		e := account.Export{
			Service: x.Service, Subject: x.Subject, Accounts: x.Accounts, TokenPosition: int(x.TokenPosition),
			Response: responses[x.Response], Threshold: x.Threshold, AllowTrace: x.AllowTrace,
		}
		if l := x.Latency; l != nil {
			e.Latency = &account.Latency{Subject: l.Subject, Sampling: l.Sampling}
		}
		d.Exports = append(d.Exports, e)
	}
	for _, m := range a.Imports {
		d.Imports = append(d.Imports, account.Import{
			Service: m.Service, Account: m.Account, Subject: m.Subject, Local: m.To, Prefix: m.Prefix,
			Share: m.Share, AllowTrace: m.AllowTrace,
		})
	}
	d.Mappings = mappings(a.Mappings)
}

var responses = map[string]account.Response{
	"singleton": account.Singleton, "stream": account.Streamed, "chunked": account.Chunked,
}

func mappings(all []config.Mapping) []account.Mapping {
	out := make([]account.Mapping, 0, len(all))
	for _, m := range all {
		to := make([]transform.Destination, 0, len(m.Dests))
		for _, d := range m.Dests {
			to = append(to, transform.Destination{Subject: d.Subject, Weight: d.Weight, Cluster: d.Cluster})
		}
		out = append(out, account.Mapping{Source: m.Source, Destinations: to})
	}
	return out
}
