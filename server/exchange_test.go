package server

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"peregrine/account"
	"peregrine/sublist"
	"peregrine/sublist/transform"
)

var exchangeSeed = flag.Uint64("exchange-seed", 0, "seed of the random test of imports alone, 0 for the usual ones")

// What reaches whom through random imports is what a naive walk over them says,
// for single messages, messages that repeat, and after a change of the imports.
func TestExchangeAgainstModel(t *testing.T) {
	seeds := []uint64{*exchangeSeed}
	if *exchangeSeed == 0 {
		seeds = []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("exchange-seed=", seed), func(t *testing.T) { testExchange(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

// exchangeModel is the accounts and who listens in them.
type exchangeModel struct {
	book *account.Book
	subs map[string][]*modelSub // by account
	want map[string]int         // what is to be delivered, how often
}

type modelSub struct {
	name    string // of the client and sid
	subject string
}

var modelAccounts = []string{"A", "B", "C", "D"}

func testExchange(t *testing.T, rng *rand.Rand) {
	definitions := randomDefinitions(rng)
	s, _ := startServer(t, withUsers(t, account.Contents{Accounts: definitions, Users: modelUsers()}))
	m := &exchangeModel{book: connected(definitions), subs: make(map[string][]*modelSub)}
	clients := make(map[string]*client)
	var names []string
	for i := range 12 {
		acc := modelAccounts[rng.IntN(len(modelAccounts))]
		name := fmt.Sprint(acc, i)
		c := connectAs(t, s, acc)
		clients[name], names = c, append(names, name)
		for sid := range 1 + rng.IntN(4) {
			sub := &modelSub{name: fmt.Sprint(name, "/", sid), subject: randomSubject(rng, true)}
			m.subs[acc] = append(m.subs[acc], sub)
			c.send(fmt.Sprintf("SUB %s %d\r\n", sub.subject, sid))
		}
		c.sync()
	}
	number, reached := 0, 0
	for round := range 6 {
		if round == 3 { // other imports, under the same subscriptions
			definitions = randomDefinitions(rng)
			m.book = connected(definitions)
			o := s.Options()
			withUsers(t, account.Contents{Accounts: definitions, Users: modelUsers()})(&o)
			if err := s.Reload(o); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				clients[name].drainPing()
			}
		}
		m.want = make(map[string]int)
		for range 40 {
			name := names[rng.IntN(len(names))]
			subject, times := randomSubject(rng, false), 1+rng.IntN(3)*rng.IntN(40)
			var out strings.Builder
			for range times {
				number++
				fmt.Fprintf(&out, "PUB %s 5\r\n%05d\r\n", subject, number%100000)
				m.publish(name[:1], subject, fmt.Sprintf("%05d", number%100000))
			}
			clients[name].send(out.String())
		}
		reached += len(m.want)
		got := make(map[string]int)
		for range 2 { // until everything is published, then until it has come
			for _, name := range names {
				for _, line := range clients[name].deliveries(name) {
					got[line]++
				}
			}
		}
		m.compare(t, got)
	}
	if reached == 0 {
		t.Error("nothing was ever delivered: the test shows nothing")
	}
}

func (m *exchangeModel) compare(t *testing.T, got map[string]int) {
	t.Helper()
	for line, n := range got {
		if m.want[line] != n {
			t.Errorf("%q came %d times, want %d", line, n, m.want[line])
		}
	}
	for line, n := range m.want {
		if got[line] == 0 {
			t.Errorf("%q did not come, want it %d times", line, n)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// publish notes what a message of a client leads to.
func (m *exchangeModel) publish(acc, subject, payload string) {
	if ms := m.book.Links(acc).Mappings; ms != nil {
		if mapped, changed := ms.Map(nil, []byte(subject), "", nil); changed {
			subject = string(mapped)
		}
	}
	m.land(acc, subject, payload, acc, nil, "")
}

// land notes who gets a message that is in acc under subject. asker is the
// account that it was published in, passed the services on its way, service the
// account of the last import but the first.
func (m *exchangeModel) land(acc, subject, payload, asker string, passed []*account.ServiceExport, service string) {
	info := ""
	if len(passed) > 0 {
		info = fmt.Sprintf(" for %s by %q", asker, service)
	}
	for _, sub := range m.subs[acc] {
		if sublist.SubsetMatch(subject, sub.subject) {
			m.want[sub.name+" "+subject+" "+payload+info]++
		}
	}
	if len(passed) == 0 {
		for _, name := range modelAccounts {
			for _, im := range m.book.Links(name).Streams {
				if im.Account != acc || !sublist.SubsetMatch(subject, im.Subject) {
					continue
				}
				local := string(im.AppendLocal(nil, []byte(subject)))
				for _, sub := range m.subs[name] {
					if sublist.SubsetMatch(local, sub.subject) {
						m.want[sub.name+" "+local+" "+payload]++
					}
				}
			}
		}
	}
	for _, im := range m.book.Links(acc).Services {
		if !sublist.SubsetMatch(subject, im.Local) || slices.Contains(passed, im.Export) {
			continue
		}
		next, by := string(im.AppendSubject(nil, []byte(subject))), ""
		if len(passed) > 0 {
			by = acc
		}
		if ms := m.book.Links(im.Account).Mappings; ms != nil {
			if mapped, changed := ms.Map(nil, []byte(next), "", nil); changed {
				next = string(mapped)
			}
		}
		m.land(im.Account, next, payload, asker, append(slices.Clip(passed), im.Export), by)
	}
}

// deliveries reads what comes until all that was sent has been handled and
// returns each message as the model writes it.
func (c *client) deliveries(name string) (all []string) {
	c.t.Helper()
	c.send("PING\r\n")
	for {
		line := c.line()
		if line == "PONG" {
			return all
		}
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasSuffix(f[0], "MSG") {
			c.t.Fatalf("%s got %q", name, line)
		}
		size, _ := strconv.Atoi(f[len(f)-1])
		body := make([]byte, size+2)
		for at := 0; at < len(body); {
			n, err := c.r.Read(body[at:])
			if err != nil {
				c.t.Fatal(err)
			}
			at += n
		}
		body = body[:size]
		info := ""
		if f[0] == "HMSG" {
			hdr, _ := strconv.Atoi(f[3])
			info = infoOf(c.t, body[:hdr])
			body = body[hdr:]
		}
		all = append(all, fmt.Sprint(name, "/", f[2], " ", f[1], " ", string(body), info))
	}
}

// infoOf reads what a header block says of who asks.
func infoOf(t testing.TB, block []byte) string {
	_, value, ok := bytes.Cut(block, []byte("Nats-Request-Info: "))
	if !ok || !bytes.HasPrefix(block, []byte("NATS/1.0\r\n")) || !bytes.HasSuffix(block, []byte("}\r\n\r\n")) {
		t.Fatalf("header %q", block)
	}
	field := func(key string) string {
		_, rest, _ := bytes.Cut(value, []byte(`"`+key+`":"`))
		text, _, _ := bytes.Cut(rest, []byte(`"`))
		return string(text)
	}
	return fmt.Sprintf(" for %s by %q", field("acc"), field("svc"))
}

func modelUsers() (users []*account.User) {
	for _, name := range modelAccounts {
		users = append(users, &account.User{Name: name, Password: "x", Account: name})
	}
	return users
}

func connectAs(t testing.TB, s *Server, user string) *client {
	t.Helper()
	return loggedIn(t, s, user, "x")
}

func connected(definitions []*account.Definition) *account.Book {
	book := account.NewBook(nil)
	book.Set(definitions...)
	for _, name := range modelAccounts {
		if book.Links(name) == nil {
			book.Set(account.NewDefinition(name))
		}
	}
	return book
}

func randomSubject(rng *rand.Rand, wild bool) string {
	tokens := make([]string, 1+rng.IntN(3))
	words := []string{"a", "b", "*"}
	for i := range tokens {
		n := len(words)
		if !wild {
			n--
		}
		tokens[i] = words[rng.IntN(n)]
	}
	if wild && rng.IntN(4) == 0 {
		tokens[len(tokens)-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// randomDefinitions returns accounts whose imports all connect.
func randomDefinitions(rng *rand.Rand) []*account.Definition {
	var all []*account.Definition
	for _, name := range modelAccounts {
		d := account.NewDefinition(name)
		for range 2 + rng.IntN(4) {
			d.Exports = append(d.Exports, account.Export{Service: rng.IntN(2) == 0, Subject: randomSubject(rng, true)})
		}
		for range 2 + rng.IntN(6) {
			im := account.Import{
				Service: rng.IntN(2) == 0, Account: modelAccounts[rng.IntN(len(modelAccounts))], Subject: randomSubject(rng, true),
			}
			switch {
			case im.Account == name:
				continue
			case !im.Service && rng.IntN(2) == 0:
				im.Prefix = "a"
			case im.Service && rng.IntN(2) == 0 && !sublist.HasWildcard(im.Subject):
				im.Local = randomSubject(rng, false)
			}
			d.Imports = append(d.Imports, im)
		}
		if rng.IntN(3) == 0 {
			d.Mappings = append(d.Mappings, account.Mapping{
				Source: "a.*", Destinations: []transform.Destination{{Subject: "b.$1", Weight: 100}},
			})
		}
		all = append(all, d)
	}
	for { // of what does not connect, the first goes
		problems := account.NewBook(nil).Set(all...)
		if len(problems) == 0 {
			return all
		}
		for _, d := range all {
			d.Imports = slices.DeleteFunc(d.Imports, func(im account.Import) bool {
				return d.Name == problems[0].Account && problems[0].Import != nil && im == *problems[0].Import
			})
		}
	}
}

// I1 holds for what comes through a stream import too; the reference neither
// counts nor limits it.
func TestStreamImportsCountForTheMaximum(t *testing.T) {
	a, b := account.NewDefinition("A"), account.NewDefinition("B")
	a.Exports = []account.Export{{Subject: "s.*"}}
	b.Imports = []account.Import{{Account: "A", Subject: "s.*"}}
	s, _ := startServer(t, withUsers(t, account.Contents{Accounts: []*account.Definition{a, b}, Users: modelUsers()[:2]}))
	from, to := connectAs(t, s, "A"), connectAs(t, s, "B")
	to.send("SUB s.* 1\r\nUNSUB 1 3\r\nSUB end 2\r\nPUB s.own 1\r\n0\r\n")
	to.expect("MSG s.own 1 1", "0")
	from.send(strings.Repeat("PUB s.a 1\r\n1\r\n", 20))
	from.sync()
	to.expect("MSG s.a 1 1", "1", "MSG s.a 1 1", "1")
	to.sync()
	eventually(t, "the share in the other account gone", to.sync, func() bool {
		return !s.accounts.find("A").Interest.HasInterest([]byte("s.a"))
	})
}
