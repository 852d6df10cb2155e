package clients

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// TestServerFacts compares what the client tells about its server.
func TestServerFacts(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat, "-n", "some_server")
		nc := connect(t, server)
		if _, err := nc.GetClientID(); err != nil {
			t.Errorf("client id: %v", err)
		}
		ip, err := nc.GetClientIP()
		if err != nil {
			t.Errorf("client ip: %v", err)
		}
		if rtt, err := nc.RTT(); err != nil || rtt <= 0 {
			t.Errorf("rtt %v: %v", rtt, err)
		}
		if nc.ConnectedUrl() != server.URL() || nc.ConnectedAddr() != server.Addr {
			t.Errorf("connected to %s (%s), want %s", nc.ConnectedUrl(), nc.ConnectedAddr(), server.URL())
		}
		return fmt.Sprintln(
			"name", nc.ConnectedServerName(),
			"id length", len(nc.ConnectedServerId()),
			"version", nc.ConnectedServerVersion(),
			"cluster", nc.ConnectedClusterName(),
			"headers", nc.HeadersSupported(),
			"auth", nc.AuthRequired(),
			"tls", nc.TLSRequired(),
			"max payload", nc.MaxPayload(),
			"servers", len(nc.Servers()), len(nc.DiscoveredServers()),
			"ip", ip,
		)
	})
}

// TestServerErrors compares the errors that the server's -ERR lines become.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat)
		failures := make(chan error, 10)
		nc := connect(t, server, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failures <- err }))
		outcome := ""
		for _, step := range []func() error{
			func() error { return nc.Publish("$NRG.x", nil) },
			func() error { return nc.PublishRequest("foo", "_R_.x", nil) },
			func() error { _, err := nc.QueueSubscribeSync("foo", "_sys_"); return err },
		} {
			if err := step(); err != nil {
				t.Error(err)
			}
			flush(t, nc)
			outcome += await(t, failures, "the error handler").Error() + "\n"
		}
		return outcome + fmt.Sprint(nc.Status())
	})
}

// TestJetStreamAbsent compares what JetStream calls report without JetStream.
func TestJetStreamAbsent(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat)
		nc := connect(t, server)
		js, err := nc.JetStream(nats.MaxWait(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		_, infoErr := js.AccountInfo()
		_, pubErr := js.Publish("foo", nil, nats.RetryAttempts(0))
		_, addErr := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"foo"}})
		return fmt.Sprintln(infoErr, "|", pubErr, "|", addErr)
	})
}

// TestStatistics compares what went over the wire for the same work.
func TestStatistics(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat)
		nc := connect(t, server)
		sub := subscribe(t, nc, "foo.*")
		for i := range 1000 {
			publish(t, nc, "foo.bar", fmt.Sprintf("%06d", i))
		}
		for range 1000 {
			next(t, sub)
		}
		stats := nc.Stats()
		return fmt.Sprintf("in %d msgs %d bytes, out %d msgs %d bytes", stats.InMsgs, stats.InBytes, stats.OutMsgs, stats.OutBytes)
	})
}
