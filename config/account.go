package config

import (
	"strconv"
	"strings"

	"peregrine/config/grammar"
)

// Names of the accounts that need no configuration.
const (
	GlobalAccount = "$G"
	SystemAccount = "$SYS"
)

// Account is a name space of subjects with its users.
type Account struct {
	Pos                grammar.Pos
	Name               string
	Nkey               string
	Users              []*User
	DefaultPermissions *Permissions
	Mappings           []Mapping
	Limits             AccountLimits
	Trace              MsgTrace
	JetStream          *AccountJetStream // nil is off
	Exports            []*Export
	Imports            []*Import
}

// AccountLimits bound an account; -1 is no limit.
type AccountLimits struct {
	Connections, Subscriptions, Payload, LeafNodes int32
}

// MsgTrace says which messages with a trace header of the W3C form are traced.
type MsgTrace struct {
	Dest     string // subject
	Sampling int    // percent
}

// AccountJetStream bounds JetStream in an account; -1 is no limit.
type AccountJetStream struct {
	MaxMemory, MaxStore                       int64
	MaxStreams, MaxConsumers, MaxAckPending   int
	MemoryMaxStreamBytes, StoreMaxStreamBytes int64
	MaxBytesRequired                          bool
	ClusterTraffic                            string // "system" or "owner"
}

// account returns the account of the given name that the file configures.
func (o *Options) account(name string) *Account {
	for _, a := range o.Accounts {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// AllUsers returns the users of authorization and of accounts.
func (o *Options) AllUsers() []*User {
	var all []*User
	if o.Authorization != nil {
		all = append(all, o.Authorization.Users...)
	}
	for _, a := range o.Accounts {
		all = append(all, a.Users...)
	}
	return all
}

func readAccounts(r *reader, k key, o *Options) {
	switch k.Kind {
	case grammar.List:
		for _, e := range k.List {
			name, ok := r.str(e)
			switch {
			case !ok:
			case name == GlobalAccount:
				r.errorf(e, "%q is a Reserved Account", name)
			case o.account(name) != nil:
				r.errorf(e, "Duplicate Account Entry: %s", name)
			default:
				o.Accounts = append(o.Accounts, newAccount(name, e.Pos))
			}
		}
	case grammar.Map:
		for name, e := range k.Map.All() {
			if e.Used {
				continue
			}
			r.account(name, e, o)
		}
	}
	// Exports and imports need all accounts, and nothing else to be wrong.
	r.later = append(r.later, func() {
		if len(r.Errors) == 0 {
			r.connectAccounts(k.Value, o)
		}
	})
}

func newAccount(name string, pos grammar.Pos) *Account {
	return &Account{Name: name, Pos: pos, Limits: AccountLimits{-1, -1, -1, -1}}
}

// account reads one account.
func (r *reader) account(name string, v *grammar.Value, o *Options) {
	if v.Kind != grammar.Map {
		r.errorf(v, "Expected map entries for accounts")
		return
	}
	if name == GlobalAccount {
		r.errorf(v, "%q is a Reserved Account", name)
		return
	}
	known := make(map[string]bool)
	for _, u := range o.AllUsers() {
		known[u.ID()] = true
	}
	a := newAccount(name, v.Pos)
	accountBlock.read(r, v.Map, "", a)
	o.Accounts = append(o.Accounts, a)
	if len(a.Users) == 0 {
		return
	}
	users := v.Map.Get("users")
	for key, e := range v.Map.All() {
		if strings.EqualFold(key, "users") {
			users = e
		}
	}
	if auth := o.Authorization; auth != nil {
		if auth.User != "" {
			r.errorf(users, "Can not have a single user/pass and accounts")
			return
		}
		if auth.Token != "" {
			r.errorf(users, "Can not have a token and accounts")
			return
		}
	}
	for _, u := range a.Users {
		u.Account = name
		if known[u.ID()] {
			r.errorf(users, "Duplicate %s %q detected", u.kind(), u.ID())
		}
		known[u.ID()] = true
	}
}

var accountBlock = block[Account]{entries: []entry[Account]{
	custom("nkey", kindText, func(r *reader, k key, a *Account) {
		if k.Kind != grammar.String || !isKey(nkeyAccount, k.Str) {
			r.errorf(k.Value, "Not a valid public nkey for an account: %q", grammar.Plain(k.Value))
			return
		}
		a.Nkey = k.Str
	}, func(a *Account) any { return a.Nkey },
		Spec{Unset: "none", Range: "a public account key", Reload: Live, Use: "Nkey", Doc: "Key of the account."}),
	listed(custom("users", kindBlocks, func(r *reader, k key, a *Account) { a.Users, _ = r.users(k.Value) }, nil,
		Spec{Unset: "none", Range: "see the keys of `authorization.users`", Reload: Live, Use: "Options.AllUsers", Doc: "Users of the account."}),
		&userBlock, func(a *Account) []*User { return a.Users }),
	permissions("default_permissions", nil, func(a *Account) **Permissions { return &a.DefaultPermissions },
		"Permissions of users that have none of their own."),
	inside(custom("mappings", "map of subjects", func(r *reader, k key, a *Account) { a.Mappings = r.mappings(k.Value) }, nil,
		Spec{Aliases: []string{"maps"}, Unset: "none", Range: mappingRange, Reload: Live, Use: "Mappings", Doc: "Subjects that are published as others."}), &destinationBlock),
	inside(custom("limits", kindBlock, func(r *reader, k key, a *Account) {
		if k.Kind != grammar.Map {
			r.errorf(k.Value, "Expected account limits to be a map/struct, got %v", k.Value)
			return
		}
		limitsBlock.read(r, k.Map, "", &a.Limits)
	}, nil, Spec{Unset: "none", Reload: Live, Use: "Limits", Doc: "What the account may use."}), &limitsBlock),
	inside(custom("msg_trace", "subject or block", readMsgTrace, nil,
		Spec{Aliases: []string{"trace_dest"}, Unset: "none", Reload: Live, Use: "Trace", Doc: "Tracing of messages with a W3C trace header."}), &traceBlock),
	inside(custom("jetstream", "boolean, `enabled`, `disabled` or block", readAccountJetStream, nil,
		Spec{Unset: "off", Range: "true, false or see the keys below", Reload: Live, Waiting: PartJetStream, Doc: "JetStream for the account."}), &accountJetStreamBlock),
	listed(custom("exports", kindBlocks, readExports, nil,
		Spec{Unset: "none", Range: "see the keys below", Reload: Live, Use: "Exports", Doc: "Subjects for other accounts."}),
		&exportBlock, func(a *Account) []*exportReading { return nil }),
	listed(custom("imports", kindBlocks, readImports, nil,
		Spec{Unset: "none", Range: "see the keys below", Reload: Live, Use: "Imports", Doc: "Subjects of other accounts."}),
		&importBlock, func(a *Account) []*importReading { return nil }),
}}

const accountLimits = "Unknown field %q parsing account limits"

var limitsBlock = block[AccountLimits]{unknown: accountLimits, entries: []entry[AccountLimits]{
	accountLimit("max_connections", "max_conn", "Connections", func(l *AccountLimits) *int32 { return &l.Connections }, "Clients at a time."),
	accountLimit("max_subscriptions", "max_subs", "Subscriptions", func(l *AccountLimits) *int32 { return &l.Subscriptions }, "Subscriptions at a time."),
	accountLimit("max_payload", "max_pay", "Payload", func(l *AccountLimits) *int32 { return &l.Payload }, "Largest payload of a message in bytes."),
	accountLimit("max_leafnodes", "max_leafs", "LeafNodes", func(l *AccountLimits) *int32 { return &l.LeafNodes }, "Leaf nodes at a time."),
}}

func accountLimit(name, alias, use string, at func(*AccountLimits) *int32, doc string) entry[AccountLimits] {
	return integer(name, at, Spec{Aliases: []string{alias}, Default: "-1", ZeroCounts: true, Range: "-1 (no limit) or more", Reload: Live, Use: use, Doc: doc})
}

func readMsgTrace(r *reader, k key, a *Account) {
	before := len(r.Errors)
	switch k.Kind {
	case grammar.String:
		r.traceDest(k, &a.Trace)
	case grammar.Map:
		for name, v := range k.Map.All() {
			if e := traceBlock.find(name); e != nil {
				e.read(r, key{name: name, Value: v}, &a.Trace)
			} else if !v.Used {
				r.errorf(v, "Unknown field %q parsing account message trace map/struct %q", name, k.name)
			}
		}
	default:
		r.errorf(k.Value, "Expected account message trace %q to be a string or a map/struct, got %s", k.name, k.Kind)
	}
	switch {
	case len(r.Errors) > before:
	case a.Trace.Dest != "" && a.Trace.Sampling == 0:
		a.Trace.Sampling = 100
	case a.Trace.Dest == "" && a.Trace.Sampling > 0:
		r.warnf(k.Value, "Trace destination sampling ignored since no destination was set")
		a.Trace.Sampling = 0
	}
}

func (r *reader) traceDest(k key, t *MsgTrace) {
	switch {
	case k.Kind != grammar.String:
		r.errorf(k.Value, "Field %q should be a string, got %s", k.name, k.Kind)
	case !isLiteral(k.Str):
		r.errorf(k.Value, "Trace destination %q is not valid", k.Str)
	default:
		t.Dest = k.Str
	}
}

var traceBlock = block[MsgTrace]{entries: []entry[MsgTrace]{
	custom("dest", kindText, func(r *reader, k key, t *MsgTrace) { r.traceDest(k, t) }, nil,
		Spec{Unset: "no tracing", Range: "a subject without wildcards", Reload: Live, Use: "Dest", Doc: "Subject that gets the traces."}),
	custom("sampling", "integer or percentage", func(r *reader, k key, t *MsgTrace) {
		var n int64
		switch k.Kind {
		case grammar.Int:
			n = k.Int
		case grammar.String:
			parsed, err := strconv.Atoi(strings.TrimSuffix(k.Str, "%"))
			if err != nil {
				r.errorf(k.Value, "Invalid trace destination sampling value %q", k.Str)
				return
			}
			n = int64(parsed)
		default:
			r.errorf(k.Value, "Trace destination sampling field %q should be an integer or a percentage, got %s", k.name, k.Kind)
			return
		}
		if n <= 0 || n > 100 {
			r.errorf(k.Value, "Ttrace destination sampling value %d is invalid, needs to be [1..100]", n)
			return
		}
		t.Sampling = int(n)
	}, nil, Spec{Default: "100", Range: `1 to 100, or "1%" to "100%"`, Reload: Live, Use: "Sampling", Doc: "Share of the messages."}),
}}

func readAccountJetStream(r *reader, k key, a *Account) {
	unlimited := AccountJetStream{-1, -1, -1, -1, -1, -1, -1, false, "system"}
	switch k.Kind {
	case grammar.Bool:
		if k.Bool {
			a.JetStream = &unlimited
		}
	case grammar.String:
		switch strings.ToLower(k.Str) {
		case "enabled", "enable":
			a.JetStream = &unlimited
		case "disabled", "disable":
			a.JetStream = nil
		default:
			r.errorf(k.Value, "Expected 'enabled' or 'disabled' for string value, got '%s'", k.Str)
		}
	case grammar.Map:
		a.JetStream = &unlimited
		accountJetStreamBlock.read(r, k.Map, "", a.JetStream)
	default:
		r.errorf(k.Value, "Expected map, bool or string to define JetStream, got %s", k.Kind)
	}
}

var accountJetStreamBlock = block[AccountJetStream]{entries: []entry[AccountJetStream]{
	accountSize("max_memory", []string{"max_mem", "mem", "memory"}, func(j *AccountJetStream) *int64 { return &j.MaxMemory }, "Bytes of streams in memory."),
	accountSize("max_store", []string{"max_file", "max_disk", "store", "disk"}, func(j *AccountJetStream) *int64 { return &j.MaxStore }, "Bytes of streams in files."),
	accountSize("max_streams", []string{"streams"}, func(j *AccountJetStream) *int { return &j.MaxStreams }, "Streams."),
	accountSize("max_consumers", []string{"consumers"}, func(j *AccountJetStream) *int { return &j.MaxConsumers }, "Consumers."),
	custom("max_bytes_required", kindBool, func(r *reader, k key, j *AccountJetStream) {
		if k.Kind != grammar.Bool {
			r.errorf(k.Value, "Expected a parseable bool for %q, got %v", k.name, k.Value)
			return
		}
		j.MaxBytesRequired = k.Bool
	}, nil, Spec{Aliases: []string{"max_stream_bytes", "max_bytes"}, Default: "false", Range: "true or false", Reload: Live, Waiting: PartJetStream, Doc: "Streams must have a size limit."}),
	accountSize("memory_max_stream_bytes", []string{"mem_max_stream_bytes"}, func(j *AccountJetStream) *int64 { return &j.MemoryMaxStreamBytes }, "Bytes of one stream in memory."),
	accountSize("store_max_stream_bytes", []string{"disk_max_stream_bytes"}, func(j *AccountJetStream) *int64 { return &j.StoreMaxStreamBytes }, "Bytes of one stream in files."),
	accountSize("max_ack_pending", nil, func(j *AccountJetStream) *int { return &j.MaxAckPending }, "Messages of a consumer that wait for an ack."),
	custom("cluster_traffic", kindText, func(r *reader, k key, j *AccountJetStream) {
		switch {
		case k.Kind != grammar.String:
			r.errorf(k.Value, "Expected either 'system' or 'owner' string value for %q, got %v", k.name, k.Value)
		case k.Str == "" || k.Str == "system":
			j.ClusterTraffic = "system"
		case k.Str == "owner":
			j.ClusterTraffic = "owner"
		default:
			r.errorf(k.Value, "Expected 'system' or 'owner' string value for %q, got %v", k.name, k.Value)
		}
	}, nil, Spec{Default: `"system"`, Range: "`system` or `owner`", Reload: Live, Waiting: PartJetStream, Doc: "Account whose routes carry the replication of streams."}),
}}

func accountSize[N number](name string, aliases []string, at func(*AccountJetStream) *N, doc string) entry[AccountJetStream] {
	return custom(name, kindSize, func(r *reader, k key, j *AccountJetStream) {
		if k.Kind != grammar.Int {
			r.errorf(k.Value, "Expected a parseable size for %q, got %v", k.name, k.Value)
			return
		}
		*at(j) = fit[N](k.Int)
	}, nil, Spec{Aliases: aliases, Default: "-1", ZeroCounts: true, Range: "-1 (no limit) or more, without quotes", Reload: Live, Waiting: PartJetStream, Doc: doc})
}
