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
	const batch = 2000
	allocs := func(t *testing.T, publish, deliver string, subscribers int, subscribe string) {
		t.Helper()
		s, _ := startServer(t, nil)
		pub := connect(t, s)
		var subs []*client
		for range subscribers {
			c := connect(t, s)
			c.send(subscribe + "\r\n")
			c.sync()
			subs = append(subs, c)
		}
		in := []byte(strings.Repeat(publish, batch))
		out := make([]byte, batch*len(deliver))
		round := func() {
			done := make(chan error, 1)
			go func() {
				_, err := pub.Write(in)
				done <- err
			}()
			for _, c := range subs {
				if _, err := io.ReadFull(c.r, out); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			round()
		}
		n := testing.AllocsPerRun(10, round)
		if string(out[:len(deliver)]) != deliver {
			t.Fatalf("delivered %q, want %q", out[:len(deliver)], deliver)
		}
		// The round itself, a goroutine and a channel, costs a few; pools that
		// a collection emptied cost a few more.
		if per := n / float64(batch*subscribers); per > 0.1 {
			t.Errorf("%.1f allocations for %d messages: %.3f each", n, batch*subscribers, per)
		}
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
		t.Run(c.name, func(t *testing.T) { allocs(t, c.publish, c.deliver, c.subscribers, c.subscribe) })
	}
}
