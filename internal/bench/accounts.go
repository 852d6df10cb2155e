package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// accountsConfig has a chain of two imports: what the asker in C publishes goes
// through B to the server in A. Both have permissions. Plain has neither.
const accountsConfig = `
accounts {
  A {
    users: [
      {user: plain, password: bench}
      {user: server, password: bench, permissions: {subscribe: ["bench.>"], publish: {deny: ">"}}}
      {user: responder, password: bench, permissions: {subscribe: ["bench.>"], publish: ["_R_.>", "log.>"]}}
    ]
    exports: [ {service: "bench.>"} ]
  }
  B {
    imports: [ {service: {account: A, subject: "bench.>"}, to: "mid.>"} ]
    exports: [ {service: "mid.>"} ]
  }
  C {
    users: [ {user: asker, password: bench, permissions: {publish: ["ask.>"], subscribe: ["_INBOX.>"]}} ]
    imports: [ {service: {account: B, subject: "mid.>"}, to: "ask.>"} ]
  }
}
`

// writeConfig writes text to a file of its own; after an error there is none.
func writeConfig(text string) (path string, err error) {
	f, err := os.CreateTemp("", "bench-*.conf")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

var accounts = []*Scenario{
	{Name: "account-128", Title: "1 → 1 in one account, 128 B", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "One publisher, one subscriber, same account, no permissions: what the next one is compared with.",
		run: oneToOne{publisher: "plain", subscriber: "plain", subject: "bench.00"}.run},
	{Name: "imports-128", Title: "1 → 1 through two imports, 128 B", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "One publisher, one subscriber two accounts further, both with permissions; each message gets a header that says who asks.",
		run: oneToOne{publisher: "asker", subscriber: "server", subject: "ask.00"}.run},
	{Name: "account-varied", Title: "1 → 1 in one account, 128 B, about 200 subjects", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "As account-128, with another subject in each message.",
		run: oneToOne{publisher: "plain", subscriber: "plain", subject: "bench", varied: true}.run},
	{Name: "imports-varied", Title: "1 → 1 through two imports, 128 B, about 200 subjects", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "As imports-128, with another subject in each message.",
		run: oneToOne{publisher: "asker", subscriber: "server", subject: "ask", varied: true}.run},
	{Name: "account-rr", Title: "request/reply in one account, 16 pairs, 64 B", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "What the next one is compared with.",
		run: requests{pairs: 16, payload: 64, asker: "plain", responder: "plain"}.run},
	{Name: "imports-rr", Title: "request/reply through two imports, 16 pairs, 64 B", Main: "msgs_per_s", Group: "accounts", Config: accountsConfig,
		Doc: "Requests and answers pass two account boundaries; asker and responder have permissions.",
		run: requests{pairs: 16, payload: 64, asker: "asker", responder: "responder", imported: true}.run},
}

const (
	accountsPayload  = 128
	accountsSubjects = 200 // fewer than the messages of a block
)

// oneToOne is a saturating load between two users.
type oneToOne struct {
	publisher, subscriber, subject string
	varied                         bool // publishes to accountsSubjects below subject in turn
}

func (o oneToOne) run(r *run) error {
	listened, heard := "bench.00", len("bench.00")
	subjects := []string{o.subject}
	if o.varied {
		listened, heard, subjects = "bench.*", len("bench.000"), nil
		for i := range accountsSubjects {
			subjects = append(subjects, fmt.Sprintf("%s.%03d", o.subject, i))
		}
	}
	delivery := len("MSG  1 ") + heard + len(strconv.Itoa(accountsPayload)) + 4 + accountsPayload
	f := r.newFlow(r.Window / delivery)
	sub, err := r.dialAs(login{user: o.subscriber, pass: "bench"})
	if err != nil {
		return err
	}
	in := &frames{order: orderExactly, next: make([]uint64, 1), done: f}
	if err := r.listen(sub, []byte("SUB "+listened+" 1\r\n"), in); err != nil {
		return err
	}
	pub, err := r.dialAs(login{user: o.publisher, pass: "bench"})
	if err != nil {
		return err
	}
	pub.writer = true
	if err := r.watch(pub, &frames{}); err != nil {
		return err
	}
	// A round trip time with another number of digits would change the length of
	// the header, which the reader takes as given.
	p := &publisher{r: r, c: pub, flow: f, copies: 1, mute: true,
		block: newMixedBlock(subjects, "", accountsPayload, blockBytes, max(1, r.Window/delivery/4))}
	r.write(p.publish)
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	seen, err := r.measure(r.Duration, f)
	if err != nil {
		return err
	}
	r.record(seen, float64(seen.total()), delivery)
	return r.settle(f)
}
