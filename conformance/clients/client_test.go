package clients

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// connect dials a server and closes the connection at the end of the test.
func connect(t *testing.T, server *harness.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append([]nats.Option{nats.Timeout(harness.Patience)}, options...)
	nc, err := nats.Connect(server.URL(), options...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// flush waits until the server has seen everything nc sent.
func flush(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(harness.Patience); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func subscribe(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatalf("subscribe %s: %v", subject, err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	return sub
}

func publish(t *testing.T, nc *nats.Conn, subject, data string) {
	t.Helper()
	if err := nc.Publish(subject, []byte(data)); err != nil {
		t.Fatalf("publish %s: %v", subject, err)
	}
}

func next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	msg, err := sub.NextMsg(harness.Patience)
	if err != nil {
		t.Fatalf("next message on %s: %v", sub.Subject, err)
	}
	return msg
}

// wantNext takes the next message and checks its payload.
func wantNext(t *testing.T, sub *nats.Subscription, want string) *nats.Msg {
	t.Helper()
	msg := next(t, sub)
	if string(msg.Data) != want {
		t.Fatalf("message on %s: %.60q, want %.60q", msg.Subject, msg.Data, want)
	}
	return msg
}

// await waits for a signal from a callback.
func await[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(harness.Patience):
		t.Fatalf("%s never happened", what)
		panic("unreachable")
	}
}
