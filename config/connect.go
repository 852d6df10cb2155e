package config

import (
	"errors"
	"fmt"
	"strings"

	"peregrine/config/grammar"
)

// Errors of exports and imports.
var (
	errExportSubject = errors.New("sublist: invalid subject")
	errStreamAuth    = errors.New("stream import not authorized")
	errServiceAuth   = errors.New("service import not authorized")
	errPrefix        = errors.New("stream import prefix can not contain wildcard tokens")
	errSecondStream  = errors.New("stream import already exists")
	errCycle         = errors.New("import forms a cycle")
	errNoSystem      = errors.New("system account not setup")
	errLatency       = errors.New("invalid publish subject")
	errLatencyType   = errors.New("bad service response type")
)

// exchange is what an account gives and takes, as far as it is connected.
type exchange struct {
	name              string
	streams, services []*Export
	taken             []link // streams
	asked             []link // services
}

// link is an import: from a subject here to one of another account.
type link struct {
	other    *exchange
	from, to string
}

// connectAccounts gives every export and import its counterpart, or reports why
// it has none, all at the key of the accounts.
func (r *reader) connectAccounts(at *grammar.Value, o *Options) {
	accounts := make(map[string]*exchange, len(o.Accounts))
	for _, a := range o.Accounts {
		accounts[a.Name] = &exchange{name: a.Name}
	}
	for _, a := range o.Accounts {
		for _, x := range a.Exports {
			r.connectExport(at, accounts, a, x, o)
		}
	}
	for _, service := range []bool{false, true} {
		for _, a := range o.Accounts {
			for _, m := range a.Imports {
				if m.Service == service {
					r.connectImport(at, accounts, accounts[a.Name], m)
				}
			}
		}
	}
}

func kindOf(service bool) string {
	if service {
		return "service"
	}
	return "stream"
}

func (r *reader) connectExport(at *grammar.Value, accounts map[string]*exchange, a *Account, x *Export, o *Options) {
	kind := kindOf(x.Service)
	for _, name := range x.Accounts {
		if accounts[name] == nil {
			r.errorf(at, "%q account not defined for %s export", name, kind)
		}
	}
	if n := int(x.TokenPosition); n > 0 {
		tokens := strings.Split(x.Subject, ".")
		if len(tokens) < n || tokens[n-1] != "*" {
			r.errorf(at, "Error adding %s export %q: %v", kind, x.Subject, errExportSubject)
			return
		}
	}
	e := accounts[a.Name]
	if !x.Service {
		e.streams = append(e.streams, x)
		return
	}
	e.services = append(e.services, x)
	if l := x.Latency; l != nil {
		switch {
		case o.NoSystemAccount:
			r.errorf(at, "Error adding service latency sampling for %q: %v", x.Subject, errNoSystem)
		case !isLiteral(l.Subject) || find(e.services, l.Subject) != nil:
			r.errorf(at, "Error adding service latency sampling for %q on subject %q: %v", x.Subject, l.Subject, errLatency)
		case x.Response != "singleton":
			r.errorf(at, "Error adding service latency sampling for %q on subject %q: %v", x.Subject, l.Subject, errLatencyType)
		}
	}
}

// find returns the export that covers subject, the one of just that subject
// before others.
func find(exports []*Export, subject string) *Export {
	var wider *Export
	for _, x := range exports {
		if x.Subject == subject {
			return x
		}
		if wider == nil && within(subject, x.Subject) {
			wider = x
		}
	}
	return wider
}

// allows says whether the account of the given name may import subject.
func (x *Export) allows(name, subject string) bool {
	switch {
	case x == nil:
		return false
	case x.TokenPosition > 0:
		// The export's own subject has a wildcard where the name must be.
		tokens := strings.Split(subject, ".")
		return x.Subject != subject && int(x.TokenPosition) <= len(tokens) && tokens[x.TokenPosition-1] == name
	}
	return len(x.Accounts) == 0 || contains(x.Accounts, name)
}

func (r *reader) connectImport(at *grammar.Value, accounts map[string]*exchange, a *exchange, m *Import) {
	kind := kindOf(m.Service)
	other := accounts[m.Account]
	if other == nil {
		r.errorf(at, "%q account not defined for %s import", m.Account, kind)
		return
	}
	connect := a.takeStream
	if m.Service {
		connect = a.askService
	}
	if err := connect(other, m); err != nil {
		r.errorf(at, "Error adding %s import %q: %v", kind, m.Subject, err)
	}
}

// takeStream connects the import of a stream.
func (a *exchange) takeStream(other *exchange, m *Import) error {
	from, to := m.Subject, m.To
	if !validSubject(from) || !find(other.streams, from).allows(a.name, from) {
		return errStreamAuth
	}
	if m.Prefix != "" {
		if isWild(m.Prefix) {
			return errPrefix
		}
		to = strings.TrimSuffix(m.Prefix, ".") + "." + from
	}
	if to == "" {
		to = from
	}
	for _, subject := range []string{to, from} {
		if other.cycle(false, subject, map[string]bool{a.name: true}) {
			return errCycle
		}
	}
	if isWild(from) && to != from {
		if err := checkTransform(from, toPlaceholders(to), true); err != nil {
			return fmt.Errorf("failed to create mapping transform for stream import subject from %q to %q: %w", from, to, err)
		}
		to = toWildcards(to)
	}
	for _, l := range a.taken {
		if l.other == other && l.from == from {
			return errSecondStream
		}
	}
	a.taken = append(a.taken, link{other, from, to})
	return nil
}

// cycle says whether what e gives on subject, or asks for there if it is a service,
// leads to one of the accounts visited.
func (e *exchange) cycle(service bool, subject string, visited map[string]bool) bool {
	links := e.asked
	if !service {
		if find(e.streams, subject) == nil {
			return false
		}
		links = e.taken
	}
	for _, l := range links {
		if !collide(subject, l.to) {
			continue
		}
		if visited[l.other.name] {
			return true
		}
		visited[e.name] = true
		next, narrower := subject, l.to
		if service {
			narrower = l.from
		}
		if within(narrower, subject) {
			next = narrower
		}
		if l.other.cycle(service, next, visited) {
			return true
		}
	}
	return false
}

// askService connects the import of a service: requests on from here go to
// the subject to there.
func (a *exchange) askService(other *exchange, m *Import) error {
	from, to := m.To, m.Subject
	if !validSubject(from) || !validSubject(to) {
		return errExportSubject
	}
	if !find(other.services, to).allows(a.name, to) {
		return errServiceAuth
	}
	local := from
	if isWild(to) {
		local = toWildcards(from)
	}
	if other.cycle(true, local, map[string]bool{a.name: true}) {
		return errCycle
	}
	for _, l := range a.asked {
		if l.other == other && l.from == from {
			return fmt.Errorf("duplicate service import subject %q, previously used in import for account %q, subject %q", from, other.name, l.to)
		}
	}
	if isWild(to) && to != from {
		to = toWildcards(to)
		if err := checkTransform(to, toPlaceholders(from), true); err != nil {
			return fmt.Errorf("failed to create mapping transform for service import subject from %q to %q: %w", from, to, err)
		}
		from = toWildcards(from)
	}
	a.asked = append(a.asked, link{other, from, to})
	return nil
}

// toPlaceholders turns the partial wildcards of a subject into $1, $2 and so on.
func toPlaceholders(subject string) string {
	tokens := strings.Split(subject, ".")
	n := 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = fmt.Sprintf("$%d", n)
		}
	}
	return strings.Join(tokens, ".")
}

// toWildcards turns placeholders for wildcards into partial wildcards.
func toWildcards(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if len(token) > 1 && token[0] == '$' && token[1] >= '1' && token[1] <= '9' {
			tokens[i] = "*"
		} else if f, err := parsePlaceholder(token); err == nil && isFunction(token) && f.name == "wildcard" {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}
