package account

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/sublist"
	"peregrine/sublist/transform"
)

func stream(subject string, to ...string) Export { return Export{Subject: subject, Accounts: to} }

func service(subject string, to ...string) Export {
	return Export{Service: true, Subject: subject, Accounts: to}
}

func take(account, subject string) Import { return Import{Account: account, Subject: subject} }

func ask(account, subject, local string) Import {
	return Import{Service: true, Account: account, Subject: subject, Local: local}
}

func expect(t *testing.T, problems []*Problem, want ...error) {
	t.Helper()
	if len(problems) != len(want) {
		t.Fatalf("problems %v, want %v", Fold(problems), want)
	}
	for i, p := range problems {
		if !errors.Is(p, want[i]) {
			t.Errorf("problem %v, want %v", p, want[i])
		}
	}
}

func TestApproval(t *testing.T) {
	try := func(x Export, im Import, want ...error) {
		t.Helper()
		b := NewBook(func(exporter string, _ *Export, importer string, im *Import) bool {
			return im.Token == exporter+" lets "+importer
		})
		expect(t, b.Set(&Definition{Name: "B", Imports: []Import{im}}, &Definition{Name: "A", Exports: []Export{x}}), want...)
	}
	try(stream("a.*"), take("A", "a.*"))
	try(stream("a.*"), take("A", "a.b"))
	try(stream("a.*"), take("A", "a.>"), ErrStreamNotAllowed)
	try(stream("a.*"), take("A", "b"), ErrStreamNotAllowed)
	try(stream("a.*"), take("C", "a.*"), ErrMissingAccount)
	try(stream("a", "B"), take("A", "a"))
	try(stream("a", "C"), take("A", "a"), ErrStreamNotAllowed)
	try(stream("a"), ask("A", "a", ""), ErrServiceNotAllowed)
	try(service("a", "C", "B"), ask("A", "a", ""))
	try(service("a", "C"), ask("A", "a", ""), ErrServiceNotAllowed)
	try(Export{Subject: "x.*", TokenPosition: 2}, take("A", "x.B"))
	try(Export{Subject: "x.*", TokenPosition: 2}, take("A", "x.C"), ErrStreamNotAllowed)
	try(Export{Subject: "x.*", TokenPosition: 2}, take("A", "x.*"), ErrStreamNotAllowed)
	try(Export{Subject: "x.B", TokenPosition: 2}, take("A", "x.B"), ErrStreamNotAllowed, ErrExportSubject)
	try(Export{Subject: "x.*", TokenPosition: -1}, take("A", "x.B"), ErrStreamNotAllowed, ErrExportSubject)
	try(Export{Subject: "t", TokenRequired: true}, take("A", "t"), ErrStreamNotAllowed)
	try(Export{Subject: "t", TokenRequired: true}, Import{Account: "A", Subject: "t", Token: "A lets B"})
	try(Export{Service: true, Subject: "s", Latency: &Latency{Subject: "a.*"}}, ask("A", "s", ""), ErrLatencySubject)
	try(Export{Service: true, Subject: "s", Latency: &Latency{Subject: "s"}}, ask("A", "s", ""), ErrLatencySubject)
	try(Export{Service: true, Subject: "s", Response: Chunked, Latency: &Latency{Subject: "l"}}, ask("A", "s", ""), ErrLatencyType)
	try(stream("a"), Import{Account: "A", Subject: "a", Prefix: "p.*"}, ErrPrefix)
	try(stream("a.*"), Import{Account: "A", Subject: "a.*", Local: "b"}, transform.ErrUnusedWildcards)
	try(service("a.*"), ask("A", "a.*", "b.$2"), transform.ErrIndexOutOfRange)
}

func TestImportsTwice(t *testing.T) {
	b := NewBook(nil)
	a := &Definition{Name: "A", Exports: []Export{stream("a"), service("s"), service("q")}}
	expect(t, b.Set(a, &Definition{Name: "B", Imports: []Import{take("A", "a"), {Account: "A", Subject: "a", Prefix: "p"}}}), ErrStreamTwice)
	problems := b.Set(&Definition{Name: "B", Imports: []Import{ask("A", "s", "x"), ask("A", "q", "x")}})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), `duplicate service import subject "x", previously used in import for account "A", subject "s"`) {
		t.Error(Fold(problems))
	}
}

func TestCycles(t *testing.T) {
	d := func(name string, x Export, im Import) *Definition {
		return &Definition{Name: name, Exports: []Export{x}, Imports: []Import{im}}
	}
	expect(t, NewBook(nil).Set(
		d("A", stream("s"), take("C", "s")), d("B", stream("s"), take("A", "s")), d("C", stream("s"), take("B", "s"))), ErrCycle)
	expect(t, NewBook(nil).Set(
		d("A", service("s"), ask("C", "s", "")), d("B", service("s"), ask("A", "s", "")), d("C", service("s"), ask("B", "s", ""))), ErrCycle)
	// Subjects that do not meet are no cycle.
	expect(t, NewBook(nil).Set(d("A", stream("a"), take("B", "b")), d("B", stream("b"), take("A", "a"))))
	expect(t, NewBook(nil).Set(
		d("A", service("a.*"), ask("B", "b.*", "x.*")), d("B", service("b.*"), ask("A", "a.*", "y.*"))))
}

// Where accounts are changed one by one, the result is that of defining all of
// them at once, unless cycles make the order count.
func TestStepsLeadToTheSame(t *testing.T) {
	rng := seeds.Rand(t, 1)
	names := []string{"A", "B", "C", "D"}
	refused, connected := 0, 0
	for range 300 {
		steps := NewBook(nil)
		now := make(map[string]*Definition)
		for range 12 {
			name := names[rng.IntN(len(names))]
			if rng.IntN(5) == 0 {
				steps.Remove(name)
				delete(now, name)
				continue
			}
			now[name] = randomDefinition(rng, name, names)
			steps.Set(now[name])
		}
		atOnce := NewBook(nil)
		var all []*Definition
		for _, name := range names {
			if now[name] != nil {
				all = append(all, now[name])
			}
		}
		problems := atOnce.Set(all...)
		refused += len(problems)
		if slices.ContainsFunc(problems, func(p *Problem) bool { return errors.Is(p, ErrCycle) }) {
			continue
		}
		for _, name := range names {
			got, want := describe(steps.Links(name)), describe(atOnce.Links(name))
			if got != want {
				t.Fatalf("account %s:\n%s\nat once:\n%s", name, got, want)
			}
			connected += strings.Count(got, "\n")
		}
	}
	if refused == 0 || connected == 0 {
		t.Errorf("%d refused, %d connected: the test shows nothing", refused, connected)
	}
}

// randomDefinition imports downwards in names, so that no cycle closes.
func randomDefinition(rng *rand.Rand, name string, names []string) *Definition {
	d := &Definition{Name: name}
	for range rng.IntN(4) {
		x := Export{Service: rng.IntN(2) == 0, Subject: randomPattern(rng, 2)}
		if rng.IntN(3) == 0 {
			x.Accounts = []string{names[rng.IntN(len(names))]}
		}
		d.Exports = append(d.Exports, x)
	}
	for range rng.IntN(6) {
		from := names[rng.IntN(len(names))]
		if from >= name {
			continue
		}
		im := Import{Service: rng.IntN(2) == 0, Account: from, Subject: randomPattern(rng, 2)}
		if !im.Service && rng.IntN(2) == 0 {
			im.Prefix = "p"
		}
		d.Imports = append(d.Imports, im)
	}
	return d
}

func describe(l *Links) string {
	if l == nil {
		return "gone"
	}
	var b strings.Builder
	for _, m := range l.Streams {
		fmt.Fprintf(&b, "stream %s %s as %s\n", m.Account, m.Subject, m.Local)
	}
	for _, m := range l.Services {
		fmt.Fprintf(&b, "service %s %s as %s by %s\n", m.Account, m.Subject, m.Local, m.Export.Subject)
	}
	for _, x := range l.Exports {
		fmt.Fprintf(&b, "export %s\n", x.Subject)
	}
	return b.String()
}

// What approves an import can be seen from outside: every connected import is
// within an export that lets the account have it.
func TestConnectedImportsAreCovered(t *testing.T) {
	rng := seeds.Rand(t, 1)
	names := []string{"A", "B", "C"}
	for range 500 {
		b := NewBook(nil)
		all := make(map[string]*Definition)
		var list []*Definition
		for _, name := range names {
			all[name] = randomDefinition(rng, name, names)
			list = append(list, all[name])
		}
		b.Set(list...)
		for _, name := range b.Touched() {
			l := b.Links(name)
			covered := func(account, subject string, service bool) {
				for _, x := range all[account].Exports {
					if x.Service == service && sublist.SubsetMatch(subject, x.Subject) && (len(x.Accounts) == 0 || slices.Contains(x.Accounts, l.Account)) {
						return
					}
				}
				t.Fatalf("%s has %s of %s, which is not exported to it", l.Account, subject, account)
			}
			for _, m := range l.Streams {
				covered(m.Account, m.Subject, false)
			}
			for _, m := range l.Services {
				covered(m.Account, m.Subject, true)
			}
		}
	}
}

// A service that stays as it was keeps its identity when its account changes.
func TestExportsKeepTheirIdentity(t *testing.T) {
	b := NewBook(nil)
	latency := func() *Latency { return &Latency{Subject: "l", Sampling: 50} }
	x := func(n int) Export {
		return Export{Service: true, Subject: "s", Latency: latency(), Response: Response(n)}
	}
	b.Set(&Definition{Name: "A", Exports: []Export{x(0)}}, &Definition{Name: "B", Imports: []Import{ask("A", "s", "")}})
	first := b.Links("B").Services[0].Export
	b.Set(&Definition{Name: "A", Exports: []Export{x(0), service("more")}})
	if again := b.Links("B").Services[0].Export; again != first {
		t.Error("an unchanged service was replaced")
	}
	y := x(0)
	y.AllowTrace = true
	b.Set(&Definition{Name: "A", Exports: []Export{y}})
	if again := b.Links("B").Services[0].Export; again == first {
		t.Error("a changed service was not replaced")
	}
}
