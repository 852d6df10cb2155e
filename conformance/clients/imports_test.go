package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// exchangeConfig has a service and streams of PROVIDER and their use in USER;
// extra is one more import.
func exchangeConfig(extra string) string {
	return fmt.Sprintf(`
accounts {
  PROVIDER {
    users: [ {user: provider, password: x} ]
    exports: [
      {service: "calc.*", latency: {subject: measured}}, {service: "list", response_type: stream}
      {stream: "news.>"}, {stream: "later.>"}
    ]
  }
  USER {
    users: [ {user: user, password: x} ]
    imports: [
      {service: {account: PROVIDER, subject: "calc.*"}, to: "math.*"}, {service: {account: PROVIDER, subject: list}}
      {stream: {account: PROVIDER, subject: "news.>"}, prefix: far}
      %s
    ]
  }
}
`, extra)
}

// exchange starts a server with the configuration and connects both sides.
func exchange(t *testing.T, seat harness.Seat) (server *harness.Server, path string, provider, user *nats.Conn) {
	t.Helper()
	server, path = configured(t, seat, exchangeConfig(""))
	return server, path, connect(t, server, nats.UserInfo("provider", "x")), connect(t, server, nats.UserInfo("user", "x"))
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestServiceOfAnotherAccount(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		_, _, provider, user := exchange(t, seat)
		if _, err := user.Request("math.add", nil, harness.Patience); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("request without a service: %v, want no responders", err)
		}
		measured := subscribe(t, provider, "measured")
		var asked atomic.Int64
		for range 3 {
			if _, err := provider.QueueSubscribe("calc.*", "workers", func(m *nats.Msg) {
				asked.Add(1)
				if info := m.Header.Get("Nats-Request-Info"); !strings.Contains(info, `"acc":"USER"`) {
					t.Errorf("request info %q", info)
				}
				_ = m.Respond([]byte(m.Subject + " " + string(m.Data)))
			}); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, provider)
		const count = 500
		for i := range count {
			m, err := user.Request("math.add", fmt.Append(nil, i), harness.Patience)
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint("calc.add ", i); string(m.Data) != want {
				t.Fatalf("answer %q, want %q", m.Data, want)
			}
		}
		if n := asked.Load(); n != count {
			t.Errorf("%d requests for %d", n, count)
		}
		for range count {
			var v struct {
				Type      string
				Status    int
				Requestor struct{ Acc string }
				Responder struct{ Acc, User string }
				Start     time.Time
				Service   time.Duration
				Total     time.Duration
			}
			if err := json.Unmarshal(next(t, measured).Data, &v); err != nil {
				t.Fatal(err)
			}
			if v.Type != "io.nats.server.metric.v1.service_latency" || v.Status != 200 || v.Requestor.Acc != "USER" ||
				v.Responder.Acc != "PROVIDER" || v.Responder.User != "provider" || v.Total < v.Service || v.Start.IsZero() {
				t.Fatalf("measurement %+v", v)
			}
		}
	})
}

func TestStreamedAnswersOfAnotherAccount(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		_, _, provider, user := exchange(t, seat)
		if _, err := provider.Subscribe("list", func(m *nats.Msg) {
			for i := range 100 {
				_ = m.Respond(fmt.Append(nil, i))
			}
			_ = m.Respond(nil)
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, provider)
		inbox := nats.NewInbox()
		answers := subscribe(t, user, inbox)
		if err := user.PublishRequest("list", inbox, nil); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			wantNext(t, answers, fmt.Sprint(i))
		}
		wantNext(t, answers, "")
	})
}

func TestImportsComeAndGoWithReload(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server, path, provider, user := exchange(t, seat)
		later := subscribe(t, user, "later.>")
		var came atomic.Int64
		if _, err := user.Subscribe("far.news.*", func(m *nats.Msg) {
			n := came.Load()
			if seat == harness.Reference && string(m.Data) != fmt.Sprint(n) {
				return // it sends some twice while imports change
			}
			if string(m.Data) != fmt.Sprint(n) {
				t.Errorf("message %q, want %d", m.Data, n)
			}
			came.Add(1)
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, user)
		stop, ended := make(chan struct{}), make(chan int, 1)
		go func() { // traffic that no reload may touch
			for i := 0; ; i++ {
				select {
				case <-stop:
					ended <- i
					return
				default:
					_ = provider.Publish("news.x", fmt.Append(nil, i))
					if i%50 == 0 {
						_ = provider.FlushTimeout(harness.Patience)
					}
				}
			}
		}()
		reloads := 0
		reload := func(extra string) {
			t.Helper()
			rewrite(t, path, exchangeConfig(extra))
			server.Signal(syscall.SIGHUP)
			reloads++
			server.AwaitCount(`Reloaded server configuration`, reloads)
		}
		for range 3 {
			reload(`{stream: {account: PROVIDER, subject: "later.>"}}`)
			publish(t, provider, "later.a", "there")
			flush(t, provider)
			flush(t, user)
			wantNext(t, later, "there")
			reload("")
			publish(t, provider, "later.a", "gone")
			flush(t, provider)
			flush(t, user)
			if n, _, _ := later.Pending(); n != 0 {
				t.Errorf("%d messages after the import was taken away", n)
			}
		}
		close(stop)
		sent := await(t, ended, "the end of the publisher")
		flush(t, provider)
		if err := user.Drain(); err != nil {
			t.Fatal(err)
		}
		await(t, user.StatusChanged(nats.CLOSED), "the end of what was to come")
		if n := came.Load(); n != int64(sent) {
			t.Errorf("%d messages came of %d", n, sent)
		}
	})
}
