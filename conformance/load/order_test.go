package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"peregrine/conformance/harness"
)

// burst describes traffic from every publisher to every subscriber.
type burst struct {
	publishers, subscribers int
	count                   int // messages per publisher
	size                    func(r *rand.Rand) int
}

// stampSize is the publisher's number and the sequence number, at the start of
// each payload.
const stampSize = 8

func stamp(b []byte, publisher, sequence int) {
	binary.LittleEndian.PutUint32(b, uint32(publisher))
	binary.LittleEndian.PutUint32(b[4:], uint32(sequence))
}

func unstamp(b []byte) (publisher, sequence int) {
	return int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
}

// TestOrder checks I1: many publishers, all subscribers subscribed to all. The
// bytes for one subscriber stay below its limit, so nothing may be dropped.
func TestOrder(t *testing.T) {
	small := func(*rand.Rand) int { return 16 }
	for name, b := range map[string]burst{
		"8 to 8, small":    {8, 8, 25_000, small},
		"32 to 4, small":   {32, 4, 6_000, small},
		"2 to 32, small":   {2, 32, 25_000, small},
		"6 to 6, mixed":    {6, 6, 2_000, func(r *rand.Rand) int { return stampSize + r.IntN(8<<10) }},
		"3 to 5, large":    {3, 5, 60, func(r *rand.Rand) int { return stampSize + r.IntN(500<<10) }},
		"4 to 4, any size": {4, 4, 3_000, func(r *rand.Rand) int { return stampSize + r.IntN(1<<r.IntN(15)) }},
	} {
		t.Run(name, func(t *testing.T) {
			seed := harness.Seed(t)
			each(t, harness.Seats, func(t *testing.T, seat harness.Seat) {
				server := start(t, seat)
				back := takeBaseline(t, server)
				for round := range scaled(1) {
					b.run(t, server, seed+uint64(round))
					back.wantBack(t)
				}
				if n := getVarz(t, server).SlowConsumers; n != 0 {
					t.Errorf("%d slow consumers", n)
				}
			})
		})
	}
}

func (b burst) run(t *testing.T, server *harness.Server, seed uint64) {
	t.Helper()
	var work sync.WaitGroup
	failures := make(chan error, b.publishers+b.subscribers)
	var clients []*client
	connect := func() *client {
		c := open(t, server).wide()
		clients = append(clients, c)
		return c
	}
	for i := range b.subscribers {
		c := connect()
		subject := []string{"burst.*", "burst.>", ">", "*.*"}[i%4]
		if err := c.sync("SUB " + subject + " 1\r\n"); err != nil {
			t.Fatal(err)
		}
		work.Go(func() { failures <- c.receive(b.publishers, b.count) })
	}
	for i := range b.publishers {
		c := connect()
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		work.Go(func() { failures <- c.send(fmt.Sprintf("burst.%d", i), i, b.count, random, b.size) })
	}
	work.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	for _, c := range clients {
		c.conn.Close()
	}
}

func (c *client) send(subject string, publisher, count int, random *rand.Rand, size func(*rand.Rand) int) error {
	data := make([]byte, 1<<20)
	for sequence := range count {
		n := size(random)
		stamp(data, publisher, sequence)
		c.publish(subject, data[:n])
	}
	return c.sync("")
}

// receive takes count messages of each publisher and checks their order. One
// more round trip shows that there were no others.
func (c *client) receive(publishers, count int) error {
	want := make([]int, publishers)
	for range publishers * count {
		msg, err := c.next()
		if err != nil {
			return fmt.Errorf("receiving, at %v: %w", want, err)
		}
		publisher, sequence := unstamp(msg.Data)
		if publisher >= publishers || want[publisher] != sequence {
			return fmt.Errorf("publisher %d: message %d, want %v", publisher, sequence, want)
		}
		want[publisher]++
	}
	return c.sync("")
}

// TestQueueExact checks I2 with members on many connections, and that each
// member sees each publisher's messages in order. Members stop after an end from
// every publisher: order is kept per publisher only.
func TestQueueExact(t *testing.T) {
	each(t, harness.Seats, func(t *testing.T, seat harness.Seat) {
		const publishers, members, watchers = 6, 8, 2
		count := scaled(10_000)
		server := start(t, seat)
		back := takeBaseline(t, server)
		group := newTally(publishers, count)
		var work sync.WaitGroup
		var clients []*client
		connect := func(subscriptions string) *client {
			c := open(t, server).wide()
			clients = append(clients, c)
			if err := c.sync(subscriptions); err != nil {
				t.Fatal(err)
			}
			return c
		}
		run := func(what string, fn func() error) {
			work.Go(func() {
				if err := fn(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		for range members {
			c := connect("SUB work.* group 1\r\nSUB end 2\r\n")
			run("member", func() error { return group.member(c) })
		}
		for range watchers {
			c := connect("SUB work.> 1\r\n")
			run("watcher", func() error { return c.receive(publishers, count) })
		}
		for i := range publishers {
			c := connect("")
			run("publisher", func() error {
				if err := c.send(fmt.Sprintf("work.%d", i), i, count, nil, func(*rand.Rand) int { return stampSize }); err != nil {
					return err
				}
				return c.sync("PUB end 0\r\n\r\n")
			})
		}
		work.Wait()
		for publisher := range group.seen {
			for sequence, times := range group.seen[publisher] {
				if times != 1 {
					t.Fatalf("publisher %d, message %d: delivered %d times", publisher, sequence, times)
				}
			}
		}
		for _, c := range clients {
			c.conn.Close()
		}
		back.wantBack(t)
	})
}

// tally counts the deliveries of every message to a group.
type tally struct {
	mu   sync.Mutex
	seen [][]int // by publisher and sequence
}

func newTally(publishers, count int) *tally {
	seen := make([][]int, publishers)
	for i := range seen {
		seen[i] = make([]int, count)
	}
	return &tally{seen: seen}
}

// member reads until every publisher has said end.
func (g *tally) member(c *client) error {
	next := make([]int, len(g.seen))
	for ends := 0; ends < len(g.seen); {
		msg, err := c.next()
		if err != nil {
			return err
		}
		if string(msg.Sid) == "2" {
			ends++
			continue
		}
		publisher, sequence := unstamp(msg.Data)
		if sequence < next[publisher] {
			return fmt.Errorf("publisher %d: %d after %d", publisher, sequence, next[publisher]-1)
		}
		next[publisher] = sequence + 1
		g.mu.Lock()
		g.seen[publisher][sequence]++
		g.mu.Unlock()
	}
	return nil
}

// TestAutoUnsubscribeExact lets many publishers race for the last delivery.
func TestAutoUnsubscribeExact(t *testing.T) {
	each(t, harness.Seats, func(t *testing.T, seat harness.Seat) {
		const publishers, maximum = 8, 1000
		server := start(t, seat)
		subscriber := open(t, server)
		if err := subscriber.sync(fmt.Sprintf("SUB end 1\r\nSUB race 2\r\nUNSUB 2 %d\r\nSUB race group 3\r\nUNSUB 3 %d\r\n", maximum, maximum)); err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		for range publishers {
			c := open(t, server)
			work.Go(func() {
				for range maximum {
					c.publish("race", nil)
				}
				if err := c.sync("PUB end 0\r\n\r\n"); err != nil {
					t.Error(err)
				}
			})
		}
		got := map[string]int{}
		for got["1"] < publishers {
			msg, err := subscriber.next()
			if err != nil {
				t.Fatal(err)
			}
			got[string(msg.Sid)]++
		}
		work.Wait()
		if got["2"] != maximum || got["3"] != maximum {
			t.Errorf("%d plain and %d queue deliveries, want %d of each", got["2"], got["3"], maximum)
		}
	})
}
