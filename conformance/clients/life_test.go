package clients

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// TestReconnect restarts the server on its port: the client comes back by
// itself, with its subscriptions and what it published meanwhile.
func TestReconnect(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*harness.Server){
		"killed":  (*harness.Server).Kill,
		"stopped": func(s *harness.Server) { s.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Each(t, func(t *testing.T, seat harness.Seat) {
				address := harness.OwnAddress()
				server := harness.Start(t, seat, "-a", address)
				gone, back := make(chan error, 1), make(chan struct{}, 1)
				nc := connect(t, server,
					nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
					nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { gone <- err }),
					nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
				sub := subscribe(t, nc, "s.*")
				limited := subscribe(t, nc, "limited")
				if err := limited.AutoUnsubscribe(3); err != nil {
					t.Fatal(err)
				}
				publish(t, nc, "s.before", "1")
				publish(t, nc, "limited", "1")
				wantNext(t, sub, "1")
				wantNext(t, limited, "1")

				end(server)
				await(t, gone, "the disconnect")
				publish(t, nc, "s.meanwhile", "2")
				harness.Start(t, seat, "-a", address, "-p", strconv.Itoa(server.Port()))
				await(t, back, "the reconnect")
				flush(t, nc)
				publish(t, nc, "s.after", "3")
				wantNext(t, sub, "2")
				wantNext(t, sub, "3")
				for i := range 5 {
					publish(t, nc, "limited", fmt.Sprint(i))
				}
				flush(t, nc)
				wantNext(t, limited, "0")
				wantNext(t, limited, "1")
				if msg, err := limited.NextMsg(harness.Patience); err == nil {
					t.Errorf("delivery after the maximum: %q", msg.Data)
				}
			})
		})
	}
}

// TestLameDuck asks a server to retire: clients are told, and work until they
// are closed.
func TestLameDuck(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		told := make(chan struct{})
		nc := connect(t, server, nats.LameDuckModeHandler(func(*nats.Conn) { close(told) }))
		sub := subscribe(t, nc, "still")
		flush(t, nc)
		server.Signal(syscall.SIGUSR2)
		await(t, told, "the lame duck handler")
		publish(t, nc, "still", "working")
		wantNext(t, sub, "working")
		if other, err := nats.Connect(server.URL(), nats.Timeout(harness.Patience)); err == nil {
			other.Close()
			t.Error("a lame duck accepts a connection")
		}
		if code := drainAndExit(t, nc, server); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// drainAndExit closes the last client. The server then has none left, but both
// servers leave only after their grace period: they are stopped instead.
func drainAndExit(t *testing.T, nc *nats.Conn, server *harness.Server) int {
	t.Helper()
	nc.Close()
	server.Signal(syscall.SIGINT)
	return server.Exit()
}

// TestStop sends the polite signals: clients see the end of the connection, no
// error from the server, and the exit code is 0.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Start(t, seat)
				closed := make(chan error, 1)
				failures := make(chan error, 10)
				nc := connect(t, server, nats.NoReconnect(),
					nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failures <- err }),
					nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
				subscribe(t, nc, "s")
				flush(t, nc)
				server.Signal(signal)
				outcome := fmt.Sprintln("closed with", await(t, closed, "the end"), "and", len(failures), "errors")
				return outcome + fmt.Sprintln("exit code", server.Exit())
			})
		})
	}
}

// TestClientSlowConsumer lets the client, not the server, give up on messages.
func TestClientSlowConsumer(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		failures := make(chan error, 1)
		nc := connect(t, server, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case failures <- err:
			default:
			}
		}))
		publisher := connect(t, server)
		release := make(chan struct{})
		defer close(release)
		sub, err := nc.Subscribe("fast", func(*nats.Msg) { <-release })
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.SetPendingLimits(10, -1); err != nil {
			t.Fatal(err)
		}
		flush(t, nc)
		for range 1_000 {
			publish(t, publisher, "fast", "x")
		}
		if err := await(t, failures, "the slow consumer error"); !errors.Is(err, nats.ErrSlowConsumer) {
			t.Errorf("error %v, want %v", err, nats.ErrSlowConsumer)
		}
		flush(t, nc) // the connection itself is fine
	})
}

// TestPingStale lets the client ping often: the server answers each.
func TestPingStale(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		nc := connect(t, server, nats.NoReconnect(), nats.PingInterval(5*time.Millisecond), nats.MaxPingsOutstanding(1000))
		for range 200 {
			flush(t, nc)
		}
		if nc.Status() != nats.CONNECTED {
			t.Errorf("status %v, last error %v", nc.Status(), nc.LastError())
		}
	})
}
