package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Export offers a subject of an account to others.
type Export struct {
	Pos           grammar.Pos
	Service       bool // else a stream
	Subject       string
	Accounts      []string // who may import it; empty is everybody
	TokenPosition uint     // of the token that must be the importer's name, from 1; 0 is none

	// Of services.
	Response   string        // "singleton", "stream" or "chunked"
	Threshold  time.Duration // 0 is the server's default
	Latency    *Latency
	AllowTrace bool
}

// Latency publishes how long a service takes.
type Latency struct {
	Subject  string
	Sampling int // percent; 0 is by headers
}

// Import takes a subject of another account.
type Import struct {
	Pos        grammar.Pos
	Service    bool // else a stream
	Account    string
	Subject    string
	To         string // local subject
	Prefix     string // of the local subject, of streams
	Share      bool   // tell the service about the client
	AllowTrace bool
}

// exportReading is an export being read, with the places of its keys.
type exportReading struct {
	Export
	at              map[string]*grammar.Value // by the name in the table
	stream, service string
}

func readExports(r *reader, k key, a *Account) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, "Exports should be an array, got %s", k.Kind)
		return
	}
	for _, v := range k.List {
		if v.Kind != grammar.Map {
			r.errorf(v, "Export Items should be a map with type entry, got %s", v.Kind)
			continue
		}
		x := exportReading{Export: Export{Pos: v.Pos, Response: "singleton"}, at: make(map[string]*grammar.Value)}
		before := len(r.Errors)
		exportBlock.read(r, v.Map, "", &x)
		if named := x.at["stream"] != nil || x.at["service"] != nil; len(r.Errors) == before && r.checkExport(&x) && named {
			a.Exports = append(a.Exports, &x.Export)
		}
	}
}

// checkExport finds keys that do not go together.
func (r *reader) checkExport(x *exportReading) bool {
	stream, service := x.at["stream"], x.at["service"]
	switch {
	case stream != nil && service != nil:
		if before(service.Pos, stream.Pos) {
			r.errorf(stream, "Detected stream %q but already saw a service", x.stream)
		} else {
			r.errorf(service, "Detected service %q but already saw a stream", x.service)
		}
	case stream == nil:
		x.Service, x.Subject = true, x.service
		return true
	case x.at["response_type"] != nil:
		r.errorf(x.at["response_type"], "Detected response directive on non-service")
	case x.at["response_threshold"] != nil:
		r.errorf(x.at["response_threshold"], "Detected response directive on non-service")
	case x.at["latency"] != nil:
		r.errorf(x.at["latency"], "Detected latency directive on non-service")
	case x.at["allow_trace"] != nil:
		r.errorf(x.at["allow_trace"], "Detected allow_trace directive on non-service")
	default:
		x.Subject = x.stream
		return true
	}
	return false
}

// before says whether a is in front of b in their file.
func before(a, b grammar.Pos) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}

// exported is an option of an export; a second one, by another name, is refused
// with the message twice.
func exported(name, kind, twice string, read func(*reader, key, *exportReading), s Spec) entry[exportReading] {
	s.Reload = Live
	return custom(name, kind, func(r *reader, k key, x *exportReading) {
		if twice != "" && x.at[name] != nil {
			r.errorf(k.Value, "%s", twice)
			return
		}
		x.at[name] = k.Value
		read(r, k, x)
	}, nil, s)
}

var exportBlock = block[exportReading]{entries: []entry[exportReading]{
	exported("stream", kindText, "", func(r *reader, k key, x *exportReading) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, "Expected stream name to be string, got %s", k.Kind)
		}
		x.stream = k.Str
	}, Spec{Unset: "a `service` is needed", Range: "a subject", Use: "Subject", Doc: "Subject that others may subscribe to."}),
	exported("service", kindText, "", func(r *reader, k key, x *exportReading) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, "Expected service name to be string, got %s", k.Kind)
		}
		x.service = k.Str
	}, Spec{Unset: "a `stream` is needed", Range: "a subject", Use: "Service", Doc: "Subject that others may send requests to."}),
	exported("accounts", "list of strings", "", func(r *reader, k key, x *exportReading) {
		list, ok := r.list(k.Value)
		if !ok {
			return
		}
		for _, e := range list {
			if name, ok := r.str(e); ok {
				x.Accounts = append(x.Accounts, name)
			}
		}
	}, Spec{Unset: "everybody", Range: "accounts of this file", Use: "Accounts", Doc: "Who may import it."}),
	exported("account_token_position", kindInt, "", func(r *reader, k key, x *exportReading) {
		if n, ok := r.integer(k.Value); ok {
			// A negative one is as far out as can be.
			x.TokenPosition = uint(min(n, math.MaxInt32))
			if n < 0 {
				x.TokenPosition = math.MaxInt32
			}
		}
	}, Spec{Unset: "none", Range: "the number of a `*` token, from 1", Use: "TokenPosition", Doc: "Token of the subject that must be the name of the importing account."}),
	exported("response_type", kindText, "Duplicate response type definition", func(r *reader, k key, x *exportReading) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, "Expected response type to be string, got %s", k.Kind)
			return
		}
		switch strings.ToLower(k.Str) {
		case "single", "singleton":
			x.Response = "singleton"
		case "stream":
			x.Response = "stream"
		case "chunk", "chunked":
			x.Response = "chunked"
		default:
			r.errorf(k.Value, "Unknown response type: %q", k.Str)
		}
	}, Spec{Aliases: []string{"response"}, Default: `"singleton"`, Range: "`singleton`, `stream` or `chunked`", Use: "Response", Doc: "How a service answers."}),
	exported("response_threshold", kindDuration, "Duplicate response threshold detected", func(r *reader, k key, x *exportReading) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, "Expected response threshold to be a parseable time duration, got %s", k.Kind)
			return
		}
		d, err := time.ParseDuration(k.Str)
		if err != nil {
			r.errorf(k.Value, "Expected response threshold to be a parseable time duration, got %q", k.Str)
			return
		}
		x.Threshold = d
	}, Spec{Aliases: []string{"threshold", "response_max_time", "response_time"}, Unset: "2 minutes", Range: `a string such as "10s"`, Use: "Threshold", Doc: "Time that a service has to answer."}),
	inside(exported("latency", "subject or block", "", readLatency,
		Spec{Unset: "none", Use: "Latency", Doc: "Measurements of a service."}), &latencyBlock),
	exported("allow_trace", kindBool, "", func(r *reader, k key, x *exportReading) {
		x.AllowTrace, _ = r.boolean(k.Value)
	}, Spec{Default: "false", Range: "true or false", Use: "AllowTrace", Doc: "Traces go on in the exporting account of a service."}),
}}

// readLatency accepts keys that it does not know.
func readLatency(r *reader, k key, x *exportReading) {
	if k.Kind == grammar.String {
		x.Latency = &Latency{Subject: k.Str, Sampling: 100}
		return
	}
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "Expected latency entry to be a map/struct or string, got %s", k.Kind)
		return
	}
	l := &Latency{Sampling: 100}
	before := len(r.Errors)
	for i := range latencyBlock.entries {
		e := &latencyBlock.entries[i]
		if v := k.Map.Get(e.name); v != nil {
			e.read(r, key{name: e.name, Value: v}, l)
		}
	}
	if len(r.Errors) > before {
		return
	}
	if k.Map.Get("subject") == nil {
		r.errorf(k.Value, "Latency subject required, but missing")
		return
	}
	x.Latency = l
}

var latencyBlock = block[Latency]{entries: []entry[Latency]{
	custom("sampling", "integer, percentage or `headers`", func(r *reader, k key, l *Latency) {
		var n int64
		switch k.Kind {
		case grammar.Int:
			n = k.Int
		case grammar.String:
			if strings.EqualFold(strings.TrimSpace(k.Str), "headers") {
				l.Sampling = 0
				return
			}
			parsed, err := strconv.Atoi(strings.TrimSuffix(k.Str, "%"))
			if err != nil {
				r.errorf(k.Value, "Failed to parse latency sample: %v", err)
				return
			}
			n = int64(parsed)
		default:
			r.errorf(k.Value, "Expected latency sample to be a string or map/struct, got %s", k.Kind)
			return
		}
		if n < 1 || n > 100 {
			r.errorf(k.Value, "bad sampling percentage, should be 1-100")
			return
		}
		l.Sampling = int(n)
	}, nil, Spec{Default: "100", Range: `1 to 100, "1%" to "100%" or "headers"`, Reload: Live, Use: "Sampling", Doc: "Share of the requests that are measured."}),
	custom("subject", kindText, func(r *reader, k key, l *Latency) {
		if k.Kind != grammar.String {
			r.errorf(k.Value, "Expected latency subject to be a string, got string")
			return
		}
		l.Subject = k.Str
	}, nil, Spec{Unset: "refused", Range: "a subject without wildcards", Reload: Live, Use: "Subject", Doc: "Subject that gets the measurements."}),
}}

// importReading is an import being read.
type importReading struct {
	Import
	at       map[string]*grammar.Value // by the name in the table
	to       string
	accounts map[bool][2]string // account and subject of the service (true) and the stream
}

func readImports(r *reader, k key, a *Account) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, "Imports should be an array, got %s", k.Kind)
		return
	}
	for _, v := range k.List {
		if v.Kind != grammar.Map {
			r.errorf(v, "Import Items should be a map with type entry, got %s", v.Kind)
			continue
		}
		m := importReading{Import: Import{Pos: v.Pos}, at: make(map[string]*grammar.Value), accounts: make(map[bool][2]string)}
		before := len(r.Errors)
		importBlock.read(r, v.Map, "", &m)
		if len(r.Errors) > before || !r.checkImport(&m) || m.Subject == "" {
			continue
		}
		if dup := a.sameService(&m.Import); dup != nil {
			r.errorf(v, "Duplicate service import subject %q, previously used in import for account %q, subject %q", m.To, dup.Account, dup.Subject)
			continue
		}
		a.Imports = append(a.Imports, &m.Import)
	}
}

// sameService returns an import of a service of the same account to the same
// subject.
func (a *Account) sameService(m *Import) *Import {
	for _, known := range a.Imports {
		if m.Service && known.Service && known.To == m.To && known.Account == m.Account {
			return known
		}
	}
	return nil
}

// checkImport finds keys that do not go together.
func (r *reader) checkImport(m *importReading) bool {
	stream, service := m.at["stream"], m.at["service"]
	from := m.accounts[service != nil]
	m.Service, m.Account, m.Subject, m.To = service != nil, from[0], from[1], m.to
	switch {
	case stream != nil && service != nil:
		if before(service.Pos, stream.Pos) {
			r.errorf(stream, "Detected stream but already saw a service")
		} else {
			r.errorf(service, "Detected service but already saw a stream")
		}
		return false
	case service != nil && m.at["allow_trace"] != nil:
		r.errorf(m.at["allow_trace"], "Detected allow_trace directive on a non-stream")
		return false
	case stream != nil && m.to != "" && m.Prefix != "":
		r.errorf(m.at["to"], "Stream import can not have a 'prefix' and a 'to' property")
		return false
	case service != nil && m.To == "":
		m.To = m.Subject
	}
	return true
}

func imported(name, kind string, read func(*reader, key, *importReading), s Spec) entry[importReading] {
	s.Reload = Live
	return custom(name, kind, func(r *reader, k key, m *importReading) {
		m.at[name] = k.Value
		read(r, k, m)
	}, nil, s)
}

var importBlock = block[importReading]{entries: []entry[importReading]{
	inside(imported("stream", kindBlock, func(r *reader, k key, m *importReading) { r.importFrom(k, m, "Stream", false) },
		Spec{Unset: "a `service` is needed", Use: "Imports", Doc: "Stream of another account."}), &sourceBlock),
	inside(imported("service", kindBlock, func(r *reader, k key, m *importReading) { r.importFrom(k, m, "Service", true) },
		Spec{Unset: "a `stream` is needed", Use: "Service", Doc: "Service of another account."}), &sourceBlock),
	imported("to", kindText, func(r *reader, k key, m *importReading) { m.to, _ = r.str(k.Value) },
		Spec{Unset: "the subject of the other account", Range: "a subject", Use: "To", Doc: "Subject here."}),
	imported("prefix", kindText, func(r *reader, k key, m *importReading) { m.Prefix, _ = r.str(k.Value) },
		Spec{Unset: "none", Range: "tokens without wildcards; not with `to`", Use: "Prefix", Doc: "What comes before the subject of a stream here."}),
	imported("share", kindBool, func(r *reader, k key, m *importReading) { m.Share, _ = r.boolean(k.Value) },
		Spec{Default: "false", Range: "true or false", Use: "Share", Doc: "Tell a service about the client behind a request."}),
	imported("allow_trace", kindBool, func(r *reader, k key, m *importReading) { m.AllowTrace, _ = r.boolean(k.Value) },
		Spec{Default: "false", Range: "true or false", Use: "AllowTrace", Doc: "Traces go on in the importing account of a stream."}),
}}

// importFrom reads which subject of which account is imported.
func (r *reader) importFrom(k key, m *importReading, what string, service bool) {
	if k.Kind != grammar.Map {
		r.errorf(k.Value, "%s entry should be an account map, got %s", what, k.Kind)
		return
	}
	var from [2]string
	sourceBlock.read(r, k.Map, "", &from)
	if from[0] == "" || from[1] == "" {
		r.errorf(k.Value, "Expect an account name and a subject")
	}
	m.accounts[service] = from
}

var sourceBlock = block[[2]string]{entries: []entry[[2]string]{
	text("account", func(from *[2]string) *string { return &from[0] },
		Spec{Unset: "refused", Range: "an account of this file", Reload: Live, Use: "Account", Doc: "The other account."}),
	text("subject", func(from *[2]string) *string { return &from[1] },
		Spec{Unset: "refused", Range: "a subject that it exports", Reload: Live, Use: "Subject", Doc: "The subject there."}),
}}
