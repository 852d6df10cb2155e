package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// A published and delivered message allocates nothing, whatever its form and
// whichever loops are involved.
func TestDeliveryAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget at random")
	}
	plain := func(t *testing.T) func() *client {
		s, _ := startServer(t, nil)
		return func() *client { return connect(t, s) }
	}
	big := strings.Repeat("x", 16<<10)
	for _, c := range []struct {
		name, publish, deliver string
		subscribers            int
		subscribe              string
	}{
		{"PUB", "PUB foo 2\r\nhi\r\n", "MSG foo 1 2\r\nhi\r\n", 1, "SUB foo 1"},
		{"reply", "PUB foo bar 2\r\nhi\r\n", "MSG foo 1 bar 2\r\nhi\r\n", 2, "SUB foo 1"},
		{"wildcard", "PUB foo.a 2\r\nhi\r\n", "MSG foo.a 1 2\r\nhi\r\n", 3, "SUB foo.* 1"},
		{"blanks", "PUB  foo\t2\r\nhi\r\n", "MSG foo 1 2\r\nhi\r\n", 2, "SUB foo 1"},
		{"headers", "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", 2, "SUB foo 1"},
		{"16KiB", fmt.Sprintf("PUB foo %d\r\n%s\r\n", len(big), big), fmt.Sprintf("MSG foo 1 %d\r\n%s\r\n", len(big), big), 2, "SUB foo 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			newTrip(t, plain(t), c.subscribers, c.subscribe, c.publish, c.deliver, max(200, 2000/max(1, len(c.deliver)>>10))).allocates(t, 1, 0)
		})
	}
}

// Nor does one over TLS when records are full of messages. For a record of its
// own crypto/tls allocates a few bytes each time it asks for input: twice in the
// server, for a record and to learn that there is no more, and once in each
// client; the fifth object is the bell of gnet's poller.
func TestTLSDeliveryAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget at random")
	}
	a := newAuthority(t)
	for _, size := range []int{2, 128} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("size=%d,alone=%v", size, alone), func(t *testing.T) {
				s, _ := startTLSServer(t, a, func(o *Options) { o.Debug = false })
				x := strings.Repeat("x", size)
				publish, deliver := fmt.Sprintf("PUB foo %d\r\n%s\r\n", size, x), fmt.Sprintf("MSG foo 1 %d\r\n%s\r\n", size, x)
				batch, times, known := 1000, 1, 0.
				if alone {
					batch, times, known = 1, 60, 5./2
				}
				newTrip(t, func() *client { return secureConnect(t, s, a.client()) }, 2, "SUB foo 1", publish, deliver, batch).
					allocates(t, times, known)
			})
		}
	}
}

// trip is a batch of messages on their way from one publisher to all
// subscribers.
type trip struct {
	pub     *client
	subs    []*client
	in, out []byte
	deliver string
	step    chan struct{} // the publisher writes in
}

func newTrip(t *testing.T, dial func() *client, subscribers int, subscribe, publish, deliver string, batch int) *trip {
	t.Helper()
	r := &trip{pub: dial(), deliver: deliver, step: make(chan struct{})}
	for range subscribers {
		c := dial()
		c.send(subscribe + "\r\n")
		c.sync()
		r.subs = append(r.subs, c)
	}
	r.in, r.out = []byte(strings.Repeat(publish, batch)), make([]byte, batch*len(deliver))
	go func() {
		for range r.step {
			if _, err := r.pub.Write(r.in); err != nil {
				t.Error(err)
				_ = r.pub.Close()
			}
		}
	}()
	t.Cleanup(func() { close(r.step) })
	return r
}

// allocates makes sure that a message costs no more than known allocations.
func (r *trip) allocates(t *testing.T, times int, known float64) {
	t.Helper()
	round := func() {
		for range times {
			r.step <- struct{}{}
			for _, c := range r.subs {
				if _, err := io.ReadFull(c.r, r.out); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for range 5 {
		round()
	}
	n := testing.AllocsPerRun(10, round)
	if string(r.out[:len(r.deliver)]) != r.deliver {
		t.Fatalf("delivered %q, want %q", r.out[:len(r.deliver)], r.deliver)
	}
	// Pools that a collection emptied cost a few.
	messages := times * len(r.out) / len(r.deliver) * len(r.subs)
	if per := n / float64(messages); per > known+0.1 {
		t.Errorf("%.1f allocations for %d messages: %.3f each", n, messages, per)
	}
}
