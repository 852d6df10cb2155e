package clients

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

func TestPublishSubscribe(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		publisher, subscriber := connect(t, server), connect(t, server)
		sub := subscribe(t, subscriber, "orders.>")
		flush(t, subscriber)
		const count = 20_000
		for i := range count {
			publish(t, publisher, "orders.new", fmt.Sprint(i))
		}
		for i := range count {
			msg := wantNext(t, sub, fmt.Sprint(i))
			if msg.Subject != "orders.new" || msg.Reply != "" || len(msg.Header) != 0 {
				t.Fatalf("message %d: subject %q, reply %q, header %v", i, msg.Subject, msg.Reply, msg.Header)
			}
		}
	})
}

func TestQueueGroup(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		publisher := connect(t, server)
		const members, count = 5, 10_000
		var got [members]atomic.Int64
		var all atomic.Int64
		done := make(chan struct{})
		for i := range members {
			nc := connect(t, server)
			_, err := nc.QueueSubscribe("work", "group", func(*nats.Msg) {
				got[i].Add(1)
				if all.Add(1) == count {
					close(done)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			flush(t, nc)
		}
		watcher := subscribe(t, publisher, "work")
		for i := range count {
			publish(t, publisher, "work", fmt.Sprint(i))
		}
		await(t, done, "the last delivery")
		for i := range count {
			wantNext(t, watcher, fmt.Sprint(i))
		}
		for i := range members {
			// Uniform choice gives each member 2,000 with a deviation of 40.
			if n := got[i].Load(); n < count/members/2 || n > 2*count/members {
				t.Errorf("member %d got %d of %d messages", i, n, count)
			}
		}
		if n := all.Load(); n != count {
			t.Errorf("the group got %d messages, want %d", n, count)
		}
	})
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]nats.Option{
		"mux":       nil,
		"old style": {nats.UseOldRequestStyle()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Each(t, func(t *testing.T, seat harness.Seat) {
				server := harness.Start(t, seat)
				responder, requester := connect(t, server), connect(t, server, options...)
				_, err := responder.Subscribe("help", func(msg *nats.Msg) {
					if err := msg.Respond(append([]byte("re:"), msg.Data...)); err != nil {
						t.Errorf("respond: %v", err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				flush(t, responder)
				for i := range 500 {
					msg, err := requester.Request("help", fmt.Append(nil, i), harness.Patience)
					if err != nil {
						t.Fatalf("request %d: %v", i, err)
					}
					if want := fmt.Sprint("re:", i); string(msg.Data) != want {
						t.Fatalf("answer %q, want %q", msg.Data, want)
					}
				}
			})
		})
	}
}

func TestNoResponders(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		for _, options := range [][]nats.Option{nil, {nats.UseOldRequestStyle()}} {
			nc := connect(t, server, options...)
			if _, err := nc.Request("nobody", nil, harness.Patience); !errors.Is(err, nats.ErrNoResponders) {
				t.Errorf("request: %v, want %v", err, nats.ErrNoResponders)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		nc := connect(t, server)
		sub := subscribe(t, nc, "h")
		msg := nats.NewMsg("h")
		msg.Reply = "answer"
		msg.Data = []byte("payload")
		msg.Header = nats.Header{"One": {"1"}, "Two": {"a", "b"}, "lower-case": {"ü"}, "Empty": {""}, "Long": {strings.Repeat("x", 10_000)}}
		if err := nc.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
		got := wantNext(t, sub, "payload")
		if got.Reply != "answer" || fmt.Sprint(got.Header) != fmt.Sprint(msg.Header) {
			t.Errorf("reply %q, header %v; want %q, %v", got.Reply, got.Header, msg.Reply, msg.Header)
		}
	})
}

func TestMaxPayload(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		nc := connect(t, server)
		sub := subscribe(t, nc, "big")
		if nc.MaxPayload() != 1<<20 {
			t.Fatalf("max payload %d", nc.MaxPayload())
		}
		data := strings.Repeat("b", 1<<20)
		publish(t, nc, "big", data)
		wantNext(t, sub, data)
		if err := nc.Publish("big", make([]byte, 1<<20+1)); !errors.Is(err, nats.ErrMaxPayload) {
			t.Errorf("publish: %v, want %v", err, nats.ErrMaxPayload)
		}
	})
}

func TestAutoUnsubscribe(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		publisher, subscriber := connect(t, server), connect(t, server)
		sub, end := subscribe(t, subscriber, "n"), subscribe(t, subscriber, "end")
		if err := sub.AutoUnsubscribe(10); err != nil {
			t.Fatal(err)
		}
		flush(t, subscriber)
		for range 100 {
			publish(t, publisher, "n", "x")
		}
		publish(t, publisher, "end", "")
		next(t, end)
		for range 10 {
			next(t, sub)
		}
		if _, err := sub.NextMsg(harness.Patience); !errors.Is(err, nats.ErrMaxMessages) && !errors.Is(err, nats.ErrBadSubscription) {
			t.Errorf("after the maximum: %v", err)
		}
		if stats := subscriber.Stats(); stats.InMsgs != 11 {
			t.Errorf("%d messages came over the wire, want 11", stats.InMsgs)
		}
	})
}

func TestNoEcho(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		quiet, other := connect(t, server, nats.NoEcho()), connect(t, server)
		own, theirs := subscribe(t, quiet, "s"), subscribe(t, other, "s")
		flush(t, quiet)
		flush(t, other)
		publish(t, quiet, "s", "mine")
		wantNext(t, theirs, "mine")
		publish(t, other, "s", "yours")
		wantNext(t, own, "yours")
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		closed := make(chan struct{})
		subscriber := connect(t, server, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
		publisher := connect(t, server)
		const count = 5_000
		var got atomic.Int64
		if _, err := subscriber.Subscribe("work", func(msg *nats.Msg) {
			got.Add(1)
			if err := msg.Respond(nil); err != nil {
				t.Errorf("respond: %v", err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, subscriber)
		answers := subscribe(t, publisher, "answers")
		for range count {
			if err := publisher.PublishRequest("work", "answers", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, publisher)
		if err := subscriber.Drain(); err != nil {
			t.Fatal(err)
		}
		await(t, closed, "the end of the drain")
		if err := subscriber.LastError(); err != nil {
			t.Errorf("drain: %v", err)
		}
		if n := got.Load(); n != count {
			t.Errorf("%d messages handled before the drain ended, want %d", n, count)
		}
		for range count {
			next(t, answers)
		}
	})
}

func TestSubscriptionDrain(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat)
		nc := connect(t, server)
		sub, rest := subscribe(t, nc, "a"), subscribe(t, nc, "b")
		for i := range 100 {
			publish(t, nc, "a", fmt.Sprint(i))
		}
		flush(t, nc)
		if err := sub.Drain(); err != nil {
			t.Fatal(err)
		}
		flush(t, nc)
		publish(t, nc, "a", "too late")
		publish(t, nc, "b", "end")
		wantNext(t, rest, "end")
		for i := range 100 {
			wantNext(t, sub, fmt.Sprint(i))
		}
		if msg, err := sub.NextMsg(harness.Patience); err == nil {
			t.Errorf("a message after the drain: %q", msg.Data)
		}
	})
}
