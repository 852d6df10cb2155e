package clients

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

const traceConfig = `
accounts {
  A {
    users: [
      {user: a, password: x}
      {user: limited, password: x, permissions: {publish: {deny: [nope, traces.no]}, subscribe: {deny: deny.x}}}
    ]
    exports: [{service: svc.open, allow_trace: true}, {service: svc.closed}, {stream: "news.>"}]
    mappings: {mapped: "to.here", mapped.nope: nope}
    msg_trace: {dest: account.traces}
  }
  B {
    users: [{user: b, password: x}]
    imports: [
      {service: {account: A, subject: svc.open}, to: ask.open}, {service: {account: A, subject: svc.closed}}
      {stream: {account: A, subject: news.open}, allow_trace: true, prefix: from}, {stream: {account: A, subject: news.closed}}
    ]
    exports: [{service: ask.open, allow_trace: true}, {service: chained}]
    mappings: {chained: ask.open}
  }
  C {
    users: [{user: c, password: x}]
    imports: [{service: {account: B, subject: ask.open}, to: far.open}, {service: {account: B, subject: chained}, to: far.mapped}]
  }
  D { users: [{user: d, password: x}], msg_trace: {dest: other, sampling: 100} }
}
`

// tracing is a server with accounts, and connections to it by user; watch has one
// more of each account's.
type tracing struct {
	t      *testing.T
	server *harness.Server
	by     map[string]*nats.Conn
	watch  map[string]*nats.Conn
	failed chan error
}

func newTracing(t *testing.T, seat harness.Seat) *tracing {
	server, _ := configured(t, seat, traceConfig)
	e := &tracing{
		t: t, server: server,
		by: make(map[string]*nats.Conn), watch: make(map[string]*nats.Conn), failed: make(chan error, 10),
	}
	for user, watcher := range map[string]string{"a": "a", "limited": "a", "b": "b", "c": "c", "d": "d"} {
		e.by[user] = connect(t, e.server, nats.UserInfo(user, "x"), nats.Name("by "+user),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { e.failed <- err }))
		e.watch[user] = connect(t, e.server, nats.UserInfo(watcher, "x"))
	}
	return e
}

// volatileTraces is what two traces of the same differ in.
var volatileTraces = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`^\{"server":\{.*?\},"request"`), `{"server":<server>,"request"`},
	{regexp.MustCompile(`"ts":"[0-9T:.Z+-]+"`), `"ts":<time>`},
	{regexp.MustCompile(`"cid":[0-9]+`), `"cid":<n>`},
	{regexp.MustCompile(`_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]{6}`), `_R_.<reply>`},
	{regexp.MustCompile(`_INBOX\.[0-9A-Za-z.]+`), `_INBOX.<inbox>`},
	{regexp.MustCompile(`("rtt\\?"):[0-9]+`), `$1:<ns>`},
}

func shownTrace(b []byte) string {
	text := string(b)
	for _, v := range volatileTraces {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// trace publishes as user, with headers "key: value", and returns the trace that
// comes to dest.
func (e *tracing) trace(user, dest, subject, reply string, headers ...string) string {
	e.t.Helper()
	traces := subscribe(e.t, e.watch[user], dest)
	flush(e.t, e.watch[user])
	e.send(user, subject, reply, headers...)
	text := shownTrace(next(e.t, traces).Data)
	if err := traces.Unsubscribe(); err != nil {
		e.t.Fatal(err)
	}
	return text + "\n"
}

func (e *tracing) send(user, subject, reply string, headers ...string) {
	e.t.Helper()
	m := nats.NewMsg(subject)
	m.Reply, m.Data = reply, []byte("body")
	for _, line := range headers {
		key, value, _ := strings.Cut(line, ": ")
		m.Header[key] = append(m.Header[key], value)
	}
	if err := e.by[user].PublishMsg(m); err != nil {
		e.t.Fatal(err)
	}
	flush(e.t, e.by[user])
}

// listen subscribes as user; the result tells what came, once least messages
// have.
func (e *tracing) listen(user, subject string) func(least ...int) string {
	e.t.Helper()
	sub := subscribe(e.t, e.by[user], subject)
	flush(e.t, e.by[user])
	return func(least ...int) string {
		e.t.Helper()
		for _, want := range least {
			for n := 0; n < want; {
				flush(e.t, e.by[user])
				n, _, _ = sub.Pending()
			}
		}
		flush(e.t, e.by[user])
		n, _, err := sub.Pending()
		if err != nil {
			e.t.Fatal(err)
		}
		text := fmt.Sprintf("%s got %d:", subject, n)
		for range n {
			m := next(e.t, sub)
			var lines []string
			for key, values := range m.Header {
				for _, value := range values {
					lines = append(lines, key+": "+value)
				}
			}
			slices.Sort(lines)
			text += shownTrace(fmt.Appendf(nil, " %s %q %q", m.Subject, lines, m.Data))
		}
		return text + "\n"
	}
}

const (
	here     = "Nats-Trace-Dest: traces"
	only     = "Nats-Trace-Only: true"
	sampled  = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unasked  = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	disabled = "Nats-Trace-Dest: trace disabled"
)

// TestTraces compares traces, and what receivers get of the message.
func TestTraces(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		run  func(e *tracing) string
	}{
		{"nobody listens", func(e *tracing) string { return e.trace("a", "traces", "x", "", here) }},
		{"delivered", func(e *tracing) string {
			got := e.listen("a", "x")
			return e.trace("a", "traces", "x", "", here, "Other: 1", "other: 2", "Other: 3") + got()
		}},
		{"only", func(e *tracing) string {
			got := e.listen("a", "x.*")
			text := ""
			for _, value := range []string{"true", "TRUE", "1", "on", "false", "yes"} {
				text += e.trace("a", "traces", "x.y", "", here, "Nats-Trace-Only: "+value)
			}
			return text + got()
		}},
		{"queues", func(e *tracing) string {
			for range 3 {
				if _, err := e.by["a"].QueueSubscribeSync("x.*", "workers"); err != nil {
					e.t.Fatal(err)
				}
			}
			flush(e.t, e.by["a"])
			return e.trace("a", "traces", "x.y", "", here) + e.trace("a", "traces", "x.y", "", here, only)
		}},
		{"denied to receive", func(e *tracing) string {
			got := e.listen("limited", "deny.*")
			return e.trace("a", "traces", "deny.x", "", here) + e.trace("a", "traces", "deny.y", "", here) + got()
		}},
		{"denied to publish", func(e *tracing) string {
			got := e.listen("a", "nope")
			return e.trace("limited", "traces", "nope", "", here) + fmt.Sprintln(await(e.t, e.failed, "an error")) +
				e.trace("limited", "traces", "mapped.nope", "", here) + fmt.Sprintln(await(e.t, e.failed, "an error")) + got()
		}},
		{"reserved", func(e *tracing) string {
			return e.trace("a", "traces", "$NRG.x", "", here) + fmt.Sprintln(await(e.t, e.failed, "an error")) +
				e.trace("a", "traces", "x", "_R_.x", here) + fmt.Sprintln(await(e.t, e.failed, "an error"))
		}},
		{"denied to trace", func(e *tracing) string {
			got := e.listen("a", "x")
			traced := e.listen("a", "traces.no")
			e.send("limited", "x", "", "Nats-Trace-Dest: traces.no")
			return fmt.Sprintln(await(e.t, e.failed, "an error")) + got() + traced()
		}},
		{"no destination", func(e *tracing) string {
			got := e.listen("a", "x")
			for _, dest := range []string{"a.*", "a..b", ">", " "} {
				e.send("a", "x", "", "Nats-Trace-Dest: "+dest)
				e.send("a", "x", "", "Nats-Trace-Dest: "+dest, only)
			}
			e.send("a", "x", "", only)
			return got()
		}},
		{"mapped", func(e *tracing) string {
			got := e.listen("a", "to.here")
			return e.trace("a", "traces", "mapped", "", here) + got()
		}},
		{"no echo", func(e *tracing) string {
			nc := connect(e.t, e.server, nats.UserInfo("a", "x"), nats.NoEcho(), nats.Name("quiet"))
			subscribe(e.t, nc, "x")
			m := nats.NewMsg("x")
			m.Header["Nats-Trace-Dest"] = []string{"traces"}
			traces := subscribe(e.t, e.watch["a"], "traces")
			flush(e.t, e.watch["a"])
			if err := nc.PublishMsg(m); err != nil {
				e.t.Fatal(err)
			}
			return shownTrace(next(e.t, traces).Data)
		}},
		{"off", func(e *tracing) string {
			got, traced := e.listen("a", "x"), e.listen("a", "account.traces")
			e.send("a", "x", "", disabled)
			e.send("a", "x", "", disabled, sampled)
			e.send("a", "x", "", disabled, only)
			e.send("a", "x", "", unasked)
			e.send("a", "x", "", "traceparent: x")
			e.send("a", "x", "", "nats-trace-dest: traces")
			return got() + traced()
		}},
		{"old origin", func(e *tracing) string {
			got, traced := e.listen("a", "x"), e.listen("a", "traces")
			e.send("a", "x", "", here, "Nats-Trace-Origin-Account: A")
			e.send("a", "x", "", here, "Nats-Trace-Origin-Account: A", only)
			e.send("a", "x", "", sampled, "Nats-Trace-Origin-Account: A", only)
			return got() + traced()
		}},
		{"external", func(e *tracing) string {
			got := e.listen("a", "x")
			text := e.trace("a", "account.traces", "x", "", sampled) + e.trace("a", "account.traces", "x", "", strings.ToUpper(sampled[:11])+sampled[11:], only) +
				e.trace("a", "traces", "x", "", sampled, here) + e.trace("a", "account.traces", "x", "", unasked, "Traceparent"+sampled[11:]) + got()
			got = e.listen("b", "x")
			e.send("b", "x", "", sampled, only)
			return text + got() + e.trace("d", "other", "x", "", sampled)
		}},
		{"service", func(e *tracing) string {
			open, closed := e.listen("a", "svc.open"), e.listen("a", "svc.closed")
			text := ""
			for _, subject := range []string{"ask.open", "svc.closed"} {
				text += e.trace("b", "traces", subject, "", here) + e.trace("b", "traces", subject, "", here, only) +
					e.trace("b", "traces", subject, "inbox", here) + e.trace("b", "traces", subject, "inbox", here, only)
			}
			return text + open() + closed()
		}},
		{"chain", func(e *tracing) string {
			open := e.listen("a", "svc.open")
			return e.trace("c", "traces", "far.open", "", here, "Nats-Request-Info: forged") + e.trace("c", "traces", "far.open", "", here, only) +
				e.trace("c", "traces", "far.mapped", "", here) + e.trace("c", "traces", "far.mapped", "", here, only) + open()
		}},
		{"answer", func(e *tracing) string {
			if _, err := e.by["a"].Subscribe("svc.open", func(m *nats.Msg) {
				answer := nats.NewMsg(m.Reply)
				answer.Header = m.Header
				answer.Data = []byte("answer")
				_ = m.RespondMsg(answer)
			}); err != nil {
				e.t.Fatal(err)
			}
			got := e.listen("b", "inbox")
			flush(e.t, e.by["a"])
			return e.trace("b", "traces", "ask.open", "inbox", here) + got(1)
		}},
		{"answer is traced", func(e *tracing) string {
			asked := subscribe(e.t, e.by["a"], "svc.open")
			flush(e.t, e.by["a"])
			got := e.listen("b", "inbox")
			e.send("b", "ask.open", "inbox")
			text := e.trace("a", "traces", next(e.t, asked).Reply, "", here) + got()
			e.send("b", "ask.open", "inbox")
			m := next(e.t, asked)
			return text + e.trace("a", "traces", m.Reply, "", here, only) + got() + e.trace("a", "traces", m.Reply, "", here) + got()
		}},
		{"stream", func(e *tracing) string {
			open, closed := e.listen("b", "from.news.open"), e.listen("b", "news.closed")
			text := ""
			for _, subject := range []string{"news.open", "news.closed"} {
				text += e.trace("a", "traces", subject, "", here) + e.trace("a", "traces", subject, "", here, only)
			}
			return text + open() + closed()
		}},
		{"stream queue", func(e *tracing) string {
			text := ""
			for _, subject := range []string{"from.news.*", "news.*"} {
				if _, err := e.by["b"].QueueSubscribeSync(subject, "workers"); err != nil {
					e.t.Fatal(err)
				}
			}
			flush(e.t, e.by["b"])
			for _, subject := range []string{"news.open", "news.closed"} {
				text += e.trace("a", "traces", subject, "", here) + e.trace("a", "traces", subject, "", here, only)
			}
			return text
		}},
		{"no responders", func(e *tracing) string {
			m := nats.NewMsg("x")
			m.Header["Nats-Trace-Dest"] = []string{"traces"}
			_, err := e.by["a"].RequestMsg(m, harness.Patience)
			if !errors.Is(err, nats.ErrNoResponders) {
				e.t.Errorf("%v, want no responders", err)
			}
			return fmt.Sprint(err)
		}},
		{"too large", func(e *tracing) string {
			traces := subscribe(e.t, e.watch["a"], "traces")
			flush(e.t, e.watch["a"])
			raw, err := net.Dial("tcp", e.server.Addr)
			if err != nil {
				e.t.Fatal(err)
			}
			defer raw.Close()
			const headers = "NATS/1.0\r\nNats-Trace-Dest: traces\r\nOther: x\r\n"
			if _, err := io.WriteString(raw, "CONNECT {\"headers\":true,\"user\":\"a\",\"pass\":\"x\"}\r\nPING\r\n"); err != nil {
				e.t.Fatal(err)
			}
			r := bufio.NewReader(raw)
			for line := ""; line != "PONG\r\n"; {
				if line, err = r.ReadString('\n'); err != nil {
					e.t.Fatal(err)
				}
			}
			if _, err := io.WriteString(raw, "HPUB x y 100 10000000\r\n"+headers); err != nil {
				e.t.Fatal(err)
			}
			return shownTrace(next(e.t, traces).Data)
		}},
		{"packed", func(e *tracing) string {
			text := ""
			traces := subscribe(e.t, e.watch["a"], "traces")
			flush(e.t, e.watch["a"])
			for _, accepted := range []string{"gzip", "GZIP, deflate", "snappy", "s2", "gzip, snappy", "br"} {
				e.send("a", "x", "", here, "Accept-Encoding: "+accepted)
				m := next(e.t, traces)
				text += fmt.Sprintf("%s: %q %s\n", accepted, m.Header, shownTrace(unpack(e.t, m)))
			}
			return text
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				return c.run(newTracing(t, seat))
			})
		})
	}
}

func unpack(t *testing.T, m *nats.Msg) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(m.Data)
	switch m.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "snappy":
		r = s2.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
