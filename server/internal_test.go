package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// recv waits for a handler to pass something on.
func recv[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(clientTimeout):
		t.Fatalf("nothing came in %v", clientTimeout)
		panic("unreachable")
	}
}

func TestInternalPublishReachesClientsInOrder(t *testing.T) {
	s, _ := startServer(t, nil)
	c := connect(t, s)
	c.send("SUB a.* 1\r\nSUB a.h 2\r\n")
	c.sync()
	const n = 1000
	for i := range n {
		m := &internalMsg{subject: "a.b", reply: "r", payload: fmt.Appendf(nil, "%d", i)}
		if err := s.publishInto(s.global, m, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		text := fmt.Sprint(i)
		c.expect(fmt.Sprintf("MSG a.b 1 r %d", len(text)), text)
	}
	reached := make(chan bool, 1)
	header := []byte("NATS/1.0\r\nA: b\r\n\r\n")
	if err := s.publishInto(s.global, &internalMsg{subject: "a.h", header: header, payload: []byte("xy")}, func(r bool) { reached <- r }); err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for range 10 {
		got = append(got, c.line())
	}
	for _, sid := range []string{"1", "2"} {
		want := fmt.Sprintf("HMSG a.h %s  18 20", sid)
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if !recv(t, reached) {
		t.Error("two clients got it, but it reached nobody")
	}
	if err := s.publishInto(s.global, &internalMsg{subject: "nobody"}, func(r bool) { reached <- r }); err != nil {
		t.Fatal(err)
	}
	if recv(t, reached) {
		t.Error("nobody listens, but it reached somebody")
	}
	eventually(t, "counters of pending messages back to zero", func() { c.sync() }, func() bool {
		return s.internal.msgs.Load() == 0 && s.internal.bytes.Load() == 0
	})
}

func TestInternalPublishLargePayload(t *testing.T) {
	s, _ := startServer(t, nil)
	a, b := connect(t, s), connect(t, s)
	for _, c := range []*client{a, b} {
		c.send("SUB big 1\r\n")
		c.sync()
	}
	payload := bytes.Repeat([]byte("0123456789"), 1<<16)
	if err := s.publishInto(s.global, &internalMsg{subject: "big", payload: payload}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{a, b} {
		c.expect(fmt.Sprintf("MSG big 1  %d", len(payload)), string(payload))
	}
}

func TestInternalPublishRefuses(t *testing.T) {
	s, _ := startServer(t, nil)
	for _, m := range []internalMsg{
		{subject: ""}, {subject: "a.*"}, {subject: "a b"}, {subject: "a\r\nPUB b 0"}, {subject: "a..b"},
		{subject: "a", reply: "b c"}, {subject: "a", reply: ">"},
	} {
		if err := s.publishInto(s.global, &m, nil); !errors.Is(err, errInternalSubject) {
			t.Errorf("%q reply %q: %v", m.subject, m.reply, err)
		}
	}
	s.Shutdown()
	if err := s.publishInto(s.global, &internalMsg{subject: "a"}, nil); !errors.Is(err, errInternalStopped) {
		t.Errorf("after the end: %v", err)
	}
}

func TestInternalSubscription(t *testing.T) {
	s, _ := startServer(t, nil)
	q := s.newInternalQueue("test", 16, 1<<20)
	got := make(chan *internalMsg, 64)
	sub, err := q.subscribe(s.global, "in.>", "", func(m *internalMsg) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.subscribe(s.global, "in..x", "", nil); err == nil {
		t.Error("a subject that cannot be subscribed to was taken")
	}
	c := connect(t, s)
	c.send("PUB in.a r 5\r\nhello\r\nHPUB in.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
	m := recv(t, got)
	if m.subject != "in.a" || m.reply != "r" || string(m.payload) != "hello" || m.header != nil || m.from == nil || m.acc != s.global {
		t.Errorf("got %+v", m)
	}
	if m = recv(t, got); m.subject != "in.b" || m.reply != "" || string(m.payload) != "hi" || string(m.header) != "NATS/1.0\r\n\r\n" {
		t.Errorf("got %+v", m)
	}
	// From the server to itself.
	if err := s.publishInto(s.global, &internalMsg{subject: "in.c", payload: []byte("x")}, nil); err != nil {
		t.Fatal(err)
	}
	if m = recv(t, got); m.subject != "in.c" || m.from != nil {
		t.Errorf("got %+v", m)
	}
	sub.close()
	c.send("SUB rep 1\r\nPUB in.a rep 0\r\n\r\n")
	c.expect("HMSG rep 1 36 36", "NATS/1.0 503", "Nats-Subject: in.a", "", "")
	if n := s.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions left", n)
	}
}

func TestInternalQueueFull(t *testing.T) {
	s, log := startServer(t, nil)
	check := func(msgs int, bytes int64, payload string, fits int) {
		t.Helper()
		q := s.newInternalQueue("small", msgs, bytes)
		hold, begun, seen := make(chan bool), make(chan bool, 1), make(chan string, 64)
		sub, err := q.subscribe(s.global, "slow", "", func(m *internalMsg) {
			select {
			case begun <- true:
			default:
			}
			<-hold
			seen <- string(m.payload)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.close()
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		c := connect(t, s)
		pub := func(reply string) {
			c.send(fmt.Sprintf("PUB slow %s %d\r\n%s\r\n", reply, len(payload), payload))
		}
		c.send("SUB rep 1\r\n")
		pub("rep") // taken by the handler
		recv(t, begun)
		for range fits {
			pub("rep")
		}
		c.sync() // each was taken: no 503 came
		pub("rep")
		c.expect("HMSG rep 1 36 36", "NATS/1.0 503", "Nats-Subject: slow", "", "")
		release()
		for range fits + 1 {
			if got := recv(t, seen); got != payload {
				t.Errorf("got %q", got)
			}
		}
		c.send("PUB slow rep 2\r\nok\r\n")
		if got := recv(t, seen); got != "ok" {
			t.Errorf("after it was full: %q", got)
		}
		if q.bytes.Load() != 0 || q.dropped.Load() != 1 {
			t.Errorf("%d bytes, %d dropped", q.bytes.Load(), q.dropped.Load())
		}
	}
	check(3, 1<<20, "x", 3)
	check(100, 100, strings.Repeat("y", 93), 1) // larger than a half: one waits
	if !log.has("Internal queue small is full") {
		t.Error("nothing logged")
	}
}
