package clients

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"peregrine/conformance/harness"
)

// TestMicro runs two instances of a service, asks them, and discovers them.
func TestMicro(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat)
		for range 2 {
			addService(t, connect(t, server))
		}
		nc := connect(t, server)
		for i := range 100 {
			msg, err := nc.Request("math.double", fmt.Append(nil, i), harness.Patience)
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			if want := fmt.Sprint(2 * i); string(msg.Data) != want {
				t.Fatalf("answer %q, want %q", msg.Data, want)
			}
		}
		bad, err := nc.Request("math.double", []byte("x"), harness.Patience)
		if err != nil {
			t.Fatal(err)
		}
		outcome := fmt.Sprintln("error", bad.Header.Get(micro.ErrorCodeHeader), bad.Header.Get(micro.ErrorHeader))
		outcome += fmt.Sprintln("pings", strings.Join(discover(t, nc, "$SRV.PING.numbers", 2), " "))
		outcome += fmt.Sprintln("infos", strings.Join(discover(t, nc, "$SRV.INFO", 2), " "))
		return outcome + fmt.Sprintln("requests counted", requestsCounted(t, nc))
	})
}

func addService(t *testing.T, nc *nats.Conn) {
	t.Helper()
	service, err := micro.AddService(nc, micro.Config{Name: "numbers", Version: "1.2.3", Description: "doubles"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	double := func(r micro.Request) {
		var n int
		err := json.Unmarshal(r.Data(), &n)
		if err != nil {
			err = r.Error("400", "not a number", nil)
		} else {
			err = r.Respond(fmt.Append(nil, 2*n))
		}
		if err != nil {
			t.Errorf("respond: %v", err)
		}
	}
	if err := service.AddGroup("math").AddEndpoint("double", micro.HandlerFunc(double)); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
}

// discover asks all instances and returns what each says it is.
func discover(t *testing.T, nc *nats.Conn, subject string, count int) []string {
	t.Helper()
	inbox := nc.NewInbox()
	sub := subscribe(t, nc, inbox)
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		t.Fatal(err)
	}
	answers := make([]string, count)
	for i := range answers {
		var identity struct{ Name, Version, Type, Description string }
		if err := json.Unmarshal(next(t, sub).Data, &identity); err != nil {
			t.Fatal(err)
		}
		answers[i] = fmt.Sprintf("%+v", identity)
	}
	sort.Strings(answers)
	return answers
}

// requestsCounted adds up the statistics of all instances.
func requestsCounted(t *testing.T, nc *nats.Conn) int {
	t.Helper()
	inbox := nc.NewInbox()
	sub := subscribe(t, nc, inbox)
	if err := nc.PublishRequest("$SRV.STATS.numbers", inbox, nil); err != nil {
		t.Fatal(err)
	}
	total := 0
	for range 2 {
		var stats micro.Stats
		if err := json.Unmarshal(next(t, sub).Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, endpoint := range stats.Endpoints {
			total += endpoint.NumRequests
		}
	}
	return total
}
