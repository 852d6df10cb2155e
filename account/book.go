package account

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"peregrine/sublist"
	"peregrine/sublist/transform"
)

// Activate decides whether the activation token of an import counts for an
// export that needs one.
type Activate func(exporter string, ex *Export, importer string, im *Import) bool

// Book connects the imports of accounts with the exports of others. It is owned
// by one goroutine; what Links returns is not.
type Book struct {
	activate Activate
	accounts map[string]*page
	order    []string // of definition
	touched  []string
}

// page is one account in a book.
type page struct {
	defined  *Definition
	links    *Links
	problems []*Problem
	streams  []*Export        // by subject, the last of each
	services []*serviceExport // the same
}

type serviceExport struct {
	*Export
	compiled *ServiceExport
}

// NewBook returns a book without accounts. A nil activate accepts no token.
func NewBook(activate Activate) *Book {
	return &Book{activate: activate, accounts: make(map[string]*page)}
}

// Set adds accounts or replaces their definitions. All exports come before the
// imports, which are connected in the order given, streams first: of two that
// close a cycle the later one is refused. Accounts that import from those given
// are connected again.
//
// It returns what does not take effect, of all accounts touched. Links of the
// other accounts keep their address.
func (b *Book) Set(definitions ...*Definition) []*Problem {
	names := make([]string, 0, len(definitions))
	for _, d := range definitions {
		p := b.accounts[d.Name]
		if p == nil {
			b.order = append(b.order, d.Name)
		}
		b.accounts[d.Name] = export(d, p)
		names = append(names, d.Name)
	}
	return b.connect(names)
}

// Remove takes accounts out. Imports from them are problems from then on.
func (b *Book) Remove(names ...string) []*Problem {
	for _, name := range names {
		delete(b.accounts, name)
	}
	b.order = slices.DeleteFunc(b.order, func(name string) bool { return b.accounts[name] == nil })
	return b.connect(names)
}

// Links returns what the account of that name is connected to, nil if there is
// no such account.
func (b *Book) Links(name string) *Links {
	if p := b.accounts[name]; p != nil {
		return p.links
	}
	return nil
}

// Touched returns the accounts whose links are new since the last call, each
// once.
func (b *Book) Touched() []string {
	names := b.touched
	b.touched = nil
	slices.Sort(names)
	return slices.Compact(names)
}

// connect connects the accounts of the given names, and those that import from
// them, anew.
func (b *Book) connect(names []string) (problems []*Problem) {
	var pages []*page
	for _, name := range names {
		if p := b.accounts[name]; p != nil && !slices.Contains(pages, p) {
			pages = append(pages, p)
		}
	}
	changed := make(map[string]bool, len(names))
	for _, name := range names {
		changed[name] = true
	}
	for _, name := range b.order {
		if !changed[name] && b.accounts[name].importsFrom(changed) {
			pages = append(pages, b.accounts[name])
		}
	}
	// A page's links grow while others look at them for cycles.
	for _, p := range pages {
		p.links = &Links{Account: p.defined.Name}
		b.touched = append(b.touched, p.defined.Name)
		for _, x := range p.services {
			p.links.Exports = append(p.links.Exports, x.compiled)
		}
	}
	for _, service := range []bool{false, true} {
		for _, p := range pages {
			for i := range p.defined.Imports {
				im := &p.defined.Imports[i]
				if im.Service != service {
					continue
				}
				if err := b.add(p, im); err != nil {
					problems = append(problems, &Problem{Account: p.defined.Name, Import: im, Err: err})
				}
			}
		}
	}
	for _, p := range pages {
		problems = append(problems, p.problems...)
		problems = append(problems, p.mapSubjects()...)
	}
	return problems
}

func (p *page) importsFrom(names map[string]bool) bool {
	for i := range p.defined.Imports {
		if names[p.defined.Imports[i].Account] {
			return true
		}
	}
	return false
}

// export starts the page of a definition. A service that stays as it was in old
// keeps its identity.
func export(d *Definition, old *page) *page {
	p := &page{defined: d}
	for i := range d.Exports {
		x := &d.Exports[i]
		if err := x.check(); err != nil {
			p.problems = append(p.problems, &Problem{Account: d.Name, Export: x, Err: err})
			continue
		}
		if !x.Service {
			p.streams = slices.DeleteFunc(p.streams, func(e *Export) bool { return e.Subject == x.Subject })
			p.streams = append(p.streams, x)
			continue
		}
		p.services = slices.DeleteFunc(p.services, func(e *serviceExport) bool { return e.Subject == x.Subject })
		p.services = append(p.services, &serviceExport{x, compileExport(d.Name, x)})
	}
	for _, x := range p.services {
		if l := x.Latency; l != nil {
			if err := p.checkLatency(x.Export); err != nil {
				p.problems = append(p.problems, &Problem{Account: d.Name, Export: x.Export, Err: err})
				x.compiled.Latency = nil
			}
		}
		if old != nil {
			x.adopt(old)
		}
	}
	return p
}

func compileExport(name string, x *Export) *ServiceExport {
	s := &ServiceExport{
		Account: name, Subject: x.Subject, Response: x.Response,
		Threshold: x.Threshold, Latency: x.Latency, AllowTrace: x.AllowTrace,
	}
	if s.Threshold <= 0 {
		s.Threshold = DefaultThreshold
	}
	return s
}

// adopt takes the compiled export over from an earlier page if it is the same.
func (x *serviceExport) adopt(old *page) {
	for _, e := range old.services {
		a, b := *e.compiled, *x.compiled
		sameLatency := a.Latency == b.Latency || a.Latency != nil && b.Latency != nil && *a.Latency == *b.Latency
		a.Latency, b.Latency = nil, nil
		if a == b && sameLatency {
			x.compiled = e.compiled
			return
		}
	}
}

// check finds what is wrong with an export by itself.
func (x *Export) check() error {
	if !sublist.IsValidSubject(x.Subject) {
		return ErrExportSubject
	}
	if n := x.TokenPosition; n != 0 && sublist.Token(x.Subject, n) != "*" {
		return ErrExportSubject
	}
	return nil
}

func (p *page) checkLatency(x *Export) error {
	switch {
	case !sublist.IsValidPublishSubject(x.Latency.Subject) || find(p.services, x.Latency.Subject) != nil:
		return ErrLatencySubject
	case x.Response != Singleton:
		return ErrLatencyType
	}
	return nil
}

// find returns the export that covers subject, the one of just that subject
// before others.
func find[E interface{ subject() string }](exports []E, subject string) E {
	var wider E
	found := false
	for _, x := range exports {
		if x.subject() == subject {
			return x
		}
		if !found && sublist.SubsetMatch(subject, x.subject()) {
			wider, found = x, true
		}
	}
	return wider
}

func (x *Export) subject() string { return x.Subject }

// approves says whether importer may have im of the export, nil for none.
func (b *Book) approves(exporter string, x *Export, importer string, im *Import) bool {
	switch {
	case x == nil:
		return false
	case x.TokenPosition != 0:
		// An import of the export's own subject names nobody.
		return x.Subject != im.Subject && sublist.Token(im.Subject, x.TokenPosition) == importer
	case x.TokenRequired:
		return b.activate != nil && b.activate(exporter, x, importer, im)
	}
	return len(x.Accounts) == 0 || slices.Contains(x.Accounts, importer)
}

// add connects one import of p.
func (b *Book) add(p *page, im *Import) error {
	other := b.accounts[im.Account]
	switch {
	case other == nil:
		return ErrMissingAccount
	case im.Service:
		return b.addService(p, other, im)
	}
	return b.addStream(p, other, im)
}

func (b *Book) addStream(p, other *page, im *Import) error {
	name := p.defined.Name
	if !sublist.IsValidSubject(im.Subject) || !b.approves(im.Account, find(other.streams, im.Subject), name, im) {
		return ErrStreamNotAllowed
	}
	m, err := connectStream(im)
	if err != nil {
		return err
	}
	for _, subject := range []string{m.Local, m.Subject} {
		if err := b.cycle(other, false, subject, map[string]bool{name: true}); err != nil {
			return err
		}
	}
	for _, known := range p.links.Streams {
		if known.Account == m.Account && known.Subject == m.Subject {
			return ErrStreamTwice
		}
	}
	p.links.Streams = append(p.links.Streams, m)
	return nil
}

func (b *Book) addService(p, other *page, im *Import) error {
	name, local := p.defined.Name, im.Local
	if local == "" {
		local = im.Subject
	}
	if !sublist.IsValidSubject(local) || !sublist.IsValidSubject(im.Subject) {
		return ErrExportSubject
	}
	x := find(other.services, im.Subject)
	if x == nil || !b.approves(im.Account, x.Export, name, im) {
		return ErrServiceNotAllowed
	}
	m, err := connectService(im)
	if err != nil {
		return err
	}
	if err := b.cycle(other, true, m.Local, map[string]bool{name: true}); err != nil {
		return err
	}
	for _, known := range p.links.Services {
		if known.Account == m.Account && known.Local == m.Local {
			return fmt.Errorf("duplicate service import subject %q, previously used in import for account %q, subject %q",
				local, known.Account, known.Subject)
		}
	}
	m.Export = x.compiled
	p.links.Services = append(p.links.Services, m)
	return nil
}

// cycleDepth bounds the accounts that a search for cycles goes through.
const cycleDepth = 1024

// cycle says whether what p gets on subject, a stream that it exports or requests
// to it, has been through one of the accounts visited.
func (b *Book) cycle(p *page, service bool, subject string, visited map[string]bool) error {
	if len(visited) >= cycleDepth {
		return ErrCycleDepth
	}
	if !service && find(p.streams, subject) == nil {
		return nil
	}
	for w := range p.links.ways(service) {
		if !sublist.SubjectsCollide(subject, w.meets) {
			continue
		}
		if visited[w.account] {
			return ErrCycle
		}
		visited[p.defined.Name] = true
		next := subject
		if sublist.SubsetMatch(w.local, subject) {
			next = w.local
		}
		if other := b.accounts[w.account]; other != nil {
			if err := b.cycle(other, service, next, visited); err != nil {
				return err
			}
		}
	}
	return nil
}

// way is an import as the search for cycles sees it.
type way struct{ account, meets, local string }

// ways goes through the imports of a kind. As in the reference, a stream's meets
// by its subject here, a service's by the one there.
func (l *Links) ways(service bool) iter.Seq[way] {
	return func(yield func(way) bool) {
		if service {
			for _, m := range l.Services {
				if !yield(way{m.Account, m.Subject, m.Local}) {
					return
				}
			}
			return
		}
		for _, m := range l.Streams {
			if !yield(way{m.Account, m.Local, m.Local}) {
				return
			}
		}
	}
}

// mapSubjects compiles the mappings.
func (p *page) mapSubjects() (problems []*Problem) {
	var all transform.Mappings
	for i := range p.defined.Mappings {
		m := &p.defined.Mappings[i]
		if err := all.Add(m.Source, m.Destinations...); err != nil {
			problems = append(problems, &Problem{Account: p.defined.Name, Mapping: m, Err: err})
		}
	}
	if all.Len() > 0 {
		p.links.Mappings = &all
	}
	return problems
}

func transformError(what, from, to string, err error) error {
	return fmt.Errorf("failed to create mapping transform for %s import subject from %q to %q: %w", what, from, to, err)
}

// Fold reports problems as one error, nil for none.
func Fold(problems []*Problem) error {
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.Error()
	}
	return fmt.Errorf("%s", strings.Join(lines, "; "))
}
