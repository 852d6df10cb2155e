package clients

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// TestManySubscriptions holds 10,000 subscriptions on one connection.
func TestManySubscriptions(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		subscriber, publisher := connect(t, server), connect(t, server)
		const count = 10_000
		got := make(chan *nats.Msg, count)
		subs := make([]*nats.Subscription, count)
		for i := range subs {
			sub, err := subscriber.ChanSubscribe(fmt.Sprintf("many.%d", i), got)
			if err != nil {
				t.Fatal(err)
			}
			subs[i] = sub
		}
		flush(t, subscriber)
		for i := range count {
			publish(t, publisher, fmt.Sprintf("many.%d", i), fmt.Sprint(i))
		}
		for i := range count {
			msg := await(t, got, "a delivery")
			if want := fmt.Sprintf("many.%d", i); msg.Subject != want || msg.Sub != subs[i] {
				t.Fatalf("message %d came on %s", i, msg.Subject)
			}
		}
		for _, sub := range subs[1:] {
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, subscriber)
		for i := count - 1; i >= 0; i-- {
			publish(t, publisher, fmt.Sprintf("many.%d", i), "again")
		}
		if msg := await(t, got, "the last delivery"); msg.Subject != "many.0" {
			t.Errorf("a message on %s after all others were unsubscribed", msg.Subject)
		}
	})
}

// TestWildcardMix publishes random subjects to random subscriptions and counts
// the deliveries of each against a naive matcher.
func TestWildcardMix(t *testing.T) {
	t.Parallel()
	seed := harness.Seed(t)
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		random := rand.New(rand.NewPCG(seed, 1))
		publisher := connect(t, server)
		conns := []*nats.Conn{connect(t, server), connect(t, server), connect(t, server)}
		patterns := make([]string, 400)
		subs := make([]*nats.Subscription, len(patterns))
		for i := range patterns {
			patterns[i] = randomPattern(random)
			subs[i] = subscribe(t, conns[i%len(conns)], patterns[i])
		}
		ends := make([]*nats.Subscription, len(conns))
		for i, nc := range conns {
			ends[i] = subscribe(t, nc, "end")
			flush(t, nc)
		}
		want := make([][]string, len(patterns))
		for range 5_000 {
			if random.IntN(200) == 0 { // interest changes under way
				flush(t, publisher)
				i := random.IntN(len(subs))
				if err := subs[i].Unsubscribe(); err != nil {
					t.Fatal(err)
				}
				patterns[i] = randomPattern(random)
				subs[i] = subscribe(t, conns[i%len(conns)], patterns[i])
				flush(t, conns[i%len(conns)])
				want[i] = nil
			}
			subject := randomSubject(random)
			publish(t, publisher, subject, "")
			for i, pattern := range patterns {
				if matches(pattern, subject) {
					want[i] = append(want[i], subject)
				}
			}
		}
		publish(t, publisher, "end", "")
		for i, end := range ends {
			next(t, end)
			flush(t, conns[i])
		}
		for i, sub := range subs {
			if matches(patterns[i], "end") {
				want[i] = append(want[i], "end")
			}
			if got := received(t, sub); !slices.Equal(got, want[i]) {
				t.Fatalf("%s: %d deliveries %.10q, want %d %.10q", patterns[i], len(got), got, len(want[i]), want[i])
			}
		}
	})
}

// received takes what has arrived.
func received(t *testing.T, sub *nats.Subscription) []string {
	t.Helper()
	count, _, err := sub.Pending()
	if err != nil {
		t.Fatal(err)
	}
	subjects := make([]string, count)
	for i := range subjects {
		subjects[i] = next(t, sub).Subject
	}
	return subjects
}

var tokens = []string{"a", "b", "c", "dd", "eee"}

func randomSubject(random *rand.Rand) string {
	parts := make([]string, 1+random.IntN(4))
	for i := range parts {
		parts[i] = tokens[random.IntN(len(tokens))]
	}
	return strings.Join(parts, ".")
}

func randomPattern(random *rand.Rand) string {
	parts := strings.Split(randomSubject(random), ".")
	for i := range parts {
		if random.IntN(3) == 0 {
			parts[i] = "*"
		}
	}
	if random.IntN(4) == 0 {
		parts[len(parts)-1] = ">"
	}
	return strings.Join(parts, ".")
}

// matches is the definition of a match, written as plainly as possible.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}
