package config

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Resolver says where the JWTs of accounts are looked up.
type Resolver struct {
	Type        string // "memory", "url", "full" or "cache"
	URL         string // ends with a slash
	Dir         string
	Limit       int64         // JWTs; 0 is the default of the type
	TTL         time.Duration // of the cache
	Interval    time.Duration // between exchanges with other servers
	Timeout     time.Duration // of a fetch
	AllowDelete bool
	HardDelete  bool // else deleted files are renamed
}

// id is what a reload compares; nil is no resolver.
func (v *Resolver) id() any { return deref(v) }

var (
	memoryResolver = regexp.MustCompile(`(?i)mem`)
	urlResolver    = regexp.MustCompile(`(?i)url(?:\(\s*"?([^\s"]*)"?\s*\))?`)
)

const noResolver = `error parsing account resolver, should be MEM or  URL("url") or a map containing dir and type state=[FULL|CACHE])`

func readResolver(r *reader, k key, o *Options) {
	switch k.Kind {
	case grammar.String:
		o.Resolver = nil
		if memoryResolver.MatchString(k.Str) {
			o.Resolver = &Resolver{Type: "memory"}
		} else if found := urlResolver.FindStringSubmatch(k.Str); found != nil {
			if _, err := parseURL(found[1], "account resolver"); err != nil {
				r.errorf(k.Value, "%v", err)
				return
			}
			o.Resolver = &Resolver{Type: "url", URL: strings.TrimSuffix(found[1], "/") + "/"}
		}
	case grammar.Map:
		before := len(r.Errors)
		v := resolverReading{Resolver: new(Resolver)}
		v.read(r, k)
		if len(r.Errors) > before {
			return
		}
		o.Resolver = v.Resolver
	default:
		r.errorf(k.Value, "error parsing operator resolver, wrong type %s", k.Kind)
		return
	}
	if o.Resolver == nil {
		r.errorf(k.Value, noResolver)
	}
}

// resolverReading is a resolver being read.
type resolverReading struct {
	*Resolver
	kind    string
	hardSet bool
}

// read reads the map of a resolver. It passes over keys it does not know, and
// knows keys in small letters only.
func (v *resolverReading) read(r *reader, k key) {
	before := len(r.Errors)
	for i := range resolverBlock.entries {
		e := &resolverBlock.entries[i]
		value := k.Map.Get(e.name)
		if value == nil {
			continue
		}
		// Durations are blamed at the block.
		at := *value
		if e.kind == kindDuration && value.Kind == grammar.String {
			at.Pos = k.Pos
		}
		e.read(r, key{name: e.name, Value: &at}, v)
	}
	if len(r.Errors) > before {
		return
	}
	switch strings.ToUpper(v.kind) {
	case "CACHE":
		v.Type = "cache"
		v.checkDir(r, k)
		v.checkTimeout(r, k)
		if v.Interval != 0 {
			r.errorf(k.Value, "CACHE does not accept sync")
		}
		if v.AllowDelete {
			r.errorf(k.Value, "CACHE does not accept allow_delete")
		}
		if v.hardSet {
			r.errorf(k.Value, "CACHE does not accept hard_delete")
		}
	case "FULL":
		v.Type = "full"
		v.checkDir(r, k)
		v.checkTimeout(r, k)
		if v.TTL != 0 {
			r.errorf(k.Value, "FULL does not accept ttl")
		}
		if v.hardSet && !v.AllowDelete {
			r.errorf(k.Value, "hard_delete has no effect without delete")
		}
	case "MEM", "MEMORY":
		v.Type = "memory"
	default:
		v.Resolver = nil
	}
}

// checkTimeout finds a time in which nothing can be fetched.
func (v *resolverReading) checkTimeout(r *reader, k key) {
	if k.Map.Get("timeout") != nil && v.Timeout <= 0 {
		r.errorf(k.Value, "Fetch timeout %v is too smal", v.Timeout)
	}
}

// checkDir finds why the folder of a resolver cannot be used. One that is not
// there is made when it is needed.
func (v *resolverReading) checkDir(r *reader, k key) {
	if v.Dir == "" {
		r.errorf(k.Value, "dir has no value and needs to point to a directory")
		return
	}
	if info, err := os.Stat(v.Dir); err == nil && (!info.IsDir() || info.Mode().Perm()&0o200 == 0) {
		r.errorf(k.Value, "dir needs to point to an accessible directory")
	}
}

func resolverKey(name, kind string, read func(*reader, key, *resolverReading), s Spec) entry[resolverReading] {
	return custom(name, kind, read, nil, s)
}

func resolverTime(name string, at func(*resolverReading) *time.Duration, s Spec) entry[resolverReading] {
	s.Range = `a string such as "10s"`
	return resolverKey(name, kindDuration, func(r *reader, k key, v *resolverReading) {
		text, ok := r.str(k.Value)
		if !ok {
			return
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			r.errorf(k.Value, "%v", err)
			return
		}
		*at(v) = d
	}, s)
}

var resolverBlock = block[resolverReading]{entries: []entry[resolverReading]{
	resolverKey("type", kindText, func(r *reader, k key, v *resolverReading) { v.kind, _ = r.str(k.Value) },
		Spec{Unset: "refused", Range: "`full`, `cache` or `memory`, in any case", Field: "AccountResolver", Use: "Resolver.Type", Doc: "Kind of the resolver: with all JWTs, with those in use, or with those of `resolver_preload`."}),
	resolverKey("dir", kindPath, func(r *reader, k key, v *resolverReading) { v.Dir, _ = r.str(k.Value) },
		Spec{Unset: "refused for full and cache", Range: "a folder", Field: "AccountResolver", Use: "Resolver.Dir", Doc: "Folder of the JWTs."}),
	resolverKey("limit", kindInt, func(r *reader, k key, v *resolverReading) { v.Limit, _ = r.integer(k.Value) },
		Spec{Unset: "no limit for full, 1000 for cache", Range: "0 or more", Field: "AccountResolver", Use: "Resolver.Limit", Doc: "How many JWTs are kept."}),
	resolverTime("ttl", func(v *resolverReading) *time.Duration { return &v.TTL },
		Spec{Unset: "for ever", Field: "AccountResolver", Use: "Resolver.TTL", Doc: "How long a cache keeps a JWT."}),
	resolverTime("interval", func(v *resolverReading) *time.Duration { return &v.Interval },
		Spec{Unset: "1 minute", Field: "AccountResolver", Use: "Resolver.Interval", Doc: "Time between exchanges of JWTs with other servers."}),
	resolverTime("timeout", func(v *resolverReading) *time.Duration { return &v.Timeout },
		Spec{Unset: "2 seconds", Field: "AccountResolver", Use: "Resolver.Timeout", Doc: "Time that a look-up may take."}),
	resolverKey("allow_delete", kindBool, func(r *reader, k key, v *resolverReading) { v.AllowDelete, _ = r.boolean(k.Value) },
		Spec{Default: "false", Range: "true or false; not for cache", Field: "AccountResolver", Use: "Resolver.AllowDelete", Doc: "Let accounts be deleted."}),
	resolverKey("hard_delete", kindBool, func(r *reader, k key, v *resolverReading) {
		v.HardDelete, v.hardSet = k.Bool, true
		r.boolean(k.Value)
	}, Spec{Default: "false", Range: "true or false; with `allow_delete`", Field: "AccountResolver", Use: "Resolver.HardDelete", Doc: "Remove the files of deleted accounts instead of renaming them."}),
}}

func operatorIDs(all []*OperatorJWT) []string {
	var ids []string
	for _, o := range all {
		ids = append(ids, o.Token)
	}
	return ids
}

func readOperators(r *reader, k key, o *Options) {
	var texts []string
	switch k.Kind {
	case grammar.String:
		texts = []string{k.Str}
	case grammar.List:
		for _, e := range k.List {
			if e.Kind != grammar.String {
				r.errorf(k.Value, "error parsing operators: unsupported type %s where string is expected", "*conf.token")
				break
			}
			texts = append(texts, e.Str)
		}
	default:
		r.errorf(k.Value, "error parsing operators: unsupported type %s", k.Kind)
	}
	o.Operators = nil
	for _, text := range texts {
		operator, err := r.env.operatorJWT(text)
		if err != nil {
			r.errorf(k.Value, "error parsing operator JWT: %v", err)
			continue
		}
		o.Operators = append(o.Operators, operator)
	}
	// One operator can stand in for two other keys, wherever they are.
	r.later = append(r.later, func() {
		if len(o.Operators) != 1 {
			return
		}
		one := o.Operators[0]
		if o.Resolver == nil && len(r.Errors) == 0 {
			o.Resolver = &Resolver{Type: "url", URL: strings.TrimSuffix(one.AccountServerURL, "/") + "/accounts/"}
		}
		if o.SystemAccount == "" {
			o.SystemAccount = one.SystemAccount
		}
	})
}

func readPreload(r *reader, k key, o *Options) {
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "preload should be a map of account_public_key:account_jwt")
		return
	}
	o.Preload = make(map[string]string, k.Map.Len())
	for name, v := range k.Map.All() {
		if v.Kind != grammar.String {
			r.errorf(v, "preload map value should be a string JWT")
			continue
		}
		if _, err := decodeJWT(v.Str, "account", nkeyAccount, nkeyOperator); err != nil {
			r.errorf(v, "invalid account JWT")
			continue
		}
		o.Preload[name] = v.Str
	}
}

func readPinnedAccounts(r *reader, k key, o *Options) {
	if keys, ok := r.texts(k.Value, "resolver_pinned_accounts"); ok {
		o.PinnedAccounts = keys
	}
}

func readTrustedKeys(r *reader, k key, o *Options) {
	keys, _ := r.texts(k.Value, "trusted")
	o.TrustedKeys = keys
	// Blamed is what the reference looked at last.
	at := k.Value
	if k.Kind == grammar.List && len(k.List) > 0 {
		at = k.List[len(k.List)-1]
	}
	for _, key := range keys {
		if !isKey(nkeyOperator, key) {
			r.errorf(at, "trust key %q required to be a valid public operator nkey", key)
		}
	}
}

// checkOperators finds what is wrong with operator mode as a whole, and takes
// the trusted keys from the operators.
func (o *Options) checkOperators() error {
	if len(o.Operators) == 0 {
		if o.DefaultSentinel != "" {
			return errors.New("default sentinel requires operators and accounts")
		}
		return nil
	}
	if err := checkSentinel(o.DefaultSentinel); err != nil {
		return err
	}
	switch {
	case o.Resolver == nil:
		return errors.New("operators require an account resolver to be configured")
	case len(o.Accounts) > 0 || len(o.Mappings) > 0:
		return errors.New("operators do not allow Accounts to be configured directly")
	case len(o.AllUsers()) > 0:
		return errors.New("operators do not allow users to be configured directly")
	case len(o.TrustedKeys) > 0:
		return errors.New("conflicting options for 'TrustedKeys' and 'TrustedOperators'")
	}
	if err := o.checkOperatorSystem(); err != nil {
		return err
	}
	for _, op := range o.Operators {
		if err := op.checkVersion(); err != nil {
			return err
		}
		if !op.StrictSigning {
			o.TrustedKeys = append(o.TrustedKeys, op.Subject)
		}
		o.TrustedKeys = append(o.TrustedKeys, op.SigningKeys...)
	}
	for _, key := range o.TrustedKeys {
		if !isKey(nkeyOperator, key) {
			return fmt.Errorf("trusted Keys %q are required to be a valid public operator nkey", key)
		}
	}
	for _, key := range o.PinnedAccounts {
		if !isKey(nkeyAccount, key) {
			return fmt.Errorf("pinned account key %q is not a valid public account nkey", key)
		}
	}
	if len(o.PinnedAccounts) > 0 && o.SystemAccount != "" && !contains(o.PinnedAccounts, o.SystemAccount) {
		o.PinnedAccounts = append(o.PinnedAccounts, o.SystemAccount)
	}
	if o.Authorization != nil && o.Authorization.Callout != nil {
		return errors.New("operators do not allow authorization callouts to be configured directly")
	}
	return nil
}

// checkSentinel finds why a user JWT cannot be that of clients without one. A
// user of a scoped signing key, which has no permissions, is judged later.
func checkSentinel(token string) error {
	if token == "" {
		return nil
	}
	c, err := decodeJWT(token, "user", nkeyAccount)
	if err != nil {
		return errors.New("default sentinel JWT not valid")
	}
	if !c.Nats.BearerToken && c.Nats.IssuerAccount == "" {
		return errors.New("default sentinel must be a bearer token")
	}
	return nil
}

func (o *Options) checkOperatorSystem() error {
	if o.SystemAccount == "" {
		if o.Operators[0].SystemAccount == "" && (o.Resolver.Type == "full" || o.Resolver.Type == "cache") {
			return errors.New("using nats based account resolver - the system account needs to be specified in configuration or the operator jwt")
		}
		return nil
	}
	named := false
	for _, op := range o.Operators {
		if op.SystemAccount == o.SystemAccount {
			return nil
		}
		named = named || op.SystemAccount != ""
	}
	if named {
		return errors.New("system_account in config and operator JWT must be identical")
	}
	return nil
}

// compatible is the version of nats-server that this server stands for.
var compatible = [3]int{2, 15, 2}

// checkVersion finds whether the operator asks for a newer server.
func (op *OperatorJWT) checkVersion() error {
	if op.ServerVersion == "" {
		return nil
	}
	parts := strings.Split(op.ServerVersion, ".")
	if len(parts) != len(compatible) {
		return fmt.Errorf("operator %s expects version %s got error instead: asserted server version must be of the form <major>.<minor>.<update>", op.Subject, op.ServerVersion)
	}
	for i, name := range []string{"major", "minor", "update"} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return fmt.Errorf("operator %s expects version %s got error instead: asserted server version cant parse %s to int", op.Subject, op.ServerVersion, parts[i])
		}
		if n > compatible[i] {
			return fmt.Errorf("operator %s expected %s version %d > server %s version %d", op.Subject, name, n, name, compatible[i])
		}
		if n < compatible[i] {
			return nil
		}
	}
	return nil
}
