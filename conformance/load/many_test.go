package load

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// descriptors raises this process's limit as far as it goes and returns how many
// connections a test may hold, at most want.
func descriptors(t *testing.T, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skip(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Logf("limit of descriptors stays: %v", err)
	}
	if most := int(limit.Max) - 500; most < want {
		t.Logf("only %d connections instead of %d: the limit of descriptors is %d", most, want, limit.Max)
		return max(most, 0)
	}
	return want
}

// inParallel calls fn for 0 … count−1 on some goroutines; the first error ends it.
func inParallel(t *testing.T, count int, fn func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var failed atomic.Bool
	var work sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := fn(i); err != nil {
					failed.Store(true)
					t.Errorf("%d of %d: %v", i, count, err)
				}
			}
		})
	}
	work.Wait()
	if failed.Load() {
		t.FailNow()
	}
}

// TestIdleConnections holds 9,000 connections with a subscription each, reaches
// every one, and lets them go.
func TestIdleConnections(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		before := server.RSS()
		clients := make([]*client, descriptors(t, 9_000))
		defer func() {
			for _, c := range clients {
				if c != nil {
					c.conn.Close()
				}
			}
		}()
		inParallel(t, len(clients), func(i int) error {
			c, err := dial(server)
			if err != nil {
				return err
			}
			clients[i] = c
			return c.sync(fmt.Sprintf("SUB all 1\r\nSUB one.%d 2\r\n", i))
		})
		if n := getVarz(t, server).Connections; n != len(clients) {
			t.Errorf("%d connections counted, want %d", n, len(clients))
		}
		t.Logf("%d connections take %d bytes of memory each", len(clients), (server.RSS()-before)/int64(len(clients)))

		publisher := open(t, server)
		publisher.publish("all", []byte("everyone"))
		for i := range clients {
			publisher.publish(fmt.Sprintf("one.%d", i), []byte("you"))
		}
		if err := publisher.sync(""); err != nil {
			t.Fatal(err)
		}
		inParallel(t, len(clients), func(i int) error {
			for _, want := range []string{"everyone", "you"} {
				if msg, err := clients[i].next(); err != nil || string(msg.Data) != want {
					return fmt.Errorf("%q, %v, want %q", msg.Data, err, want)
				}
			}
			return clients[i].sync("")
		})
		for i, c := range clients {
			if i%2 == 0 {
				if err := c.conn.SetLinger(0); err != nil {
					t.Fatal(err)
				}
			}
			c.conn.Close()
		}
		publisher.conn.Close()
		back.wantBack(t)
		t.Logf("memory afterwards: %d KiB more than before", (server.RSS()-before)>>10)
	})
}

// TestConnectionStorm connects 10,000 clients one after the other, about 5,000 a
// second, on top of steady traffic that must not notice.
func TestConnectionStorm(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		stop := make(chan struct{})
		var traffic sync.WaitGroup
		traffic.Go(func() { steady(t, server, stop) })
		const rate = 5_000
		began := time.Now()
		inParallel(t, 10_000, func(i int) error {
			// The pace is the load's shape, not synchronisation.
			if ahead := time.Until(began.Add(time.Duration(i) * time.Second / rate)); ahead > 0 {
				<-time.After(ahead)
			}
			c, err := dial(server)
			if err != nil {
				return err
			}
			switch i % 4 {
			case 0: // in the middle of a message
				c.write("SUB x 1\r\nPUB x 100\r\nabc")
				err = c.out.Flush()
			case 1: // with a reset
				err = c.conn.SetLinger(0)
			case 2: // after a subscription
				err = c.sync("SUB y.* 1\r\nSUB z q 2\r\n")
			}
			return errors.Join(err, c.conn.Close())
		})
		t.Logf("10,000 connections in %v", time.Since(began).Round(time.Millisecond))
		close(stop)
		traffic.Wait()
		back.wantBack(t)
	})
}

// steady sends messages and checks that they arrive, until stop.
func steady(t *testing.T, server *harness.Server, stop <-chan struct{}) {
	publisher, err := dial(server)
	if err != nil {
		t.Error(err)
		return
	}
	defer publisher.conn.Close()
	subscriber, err := dial(server)
	if err != nil {
		t.Error(err)
		return
	}
	defer subscriber.conn.Close()
	if err := subscriber.sync("SUB steady 1\r\n"); err != nil {
		t.Error(err)
		return
	}
	data := make([]byte, stampSize)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		stamp(data, 0, i)
		publisher.publish("steady", data)
		if err := publisher.out.Flush(); err != nil {
			t.Errorf("steady traffic: %v", err)
			return
		}
		msg, err := subscriber.next()
		if err != nil {
			t.Errorf("steady traffic: %v", err)
			return
		}
		if _, got := unstamp(msg.Data); got != i {
			t.Errorf("steady traffic: message %d, want %d", got, i)
			return
		}
	}
}

// TestHalfOpen leaves connections in every unfinished state, then ends them in
// every way.
func TestHalfOpen(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		unfinished := []string{
			"", "C", "CONNECT {\"verb", "PUB foo 100\r\n", "PUB foo 100\r\nabc", "SUB foo", "CONNECT {}\r\nSUB > 1\r\nPUB foo 5\r\nhello\r",
			"PING", "HPUB", "CONNECT {\"headers\":true}\r\nHPUB a 10 20\r\nNATS",
		}
		conns := make([]*net.TCPConn, scaled(300))
		inParallel(t, len(conns), func(i int) error {
			conn, err := net.Dial("tcp", server.Addr)
			if err != nil {
				return err
			}
			conns[i] = conn.(*net.TCPConn)
			_, err = io.WriteString(conn, unfinished[i%len(unfinished)])
			return err
		})
		harness.Poll(t, "all connections counted", func() bool { return getVarz(t, server).Connections >= len(conns) })
		for i, conn := range conns {
			switch i % 3 {
			case 0:
				conn.Close()
			case 1:
				if err := errors.Join(conn.SetLinger(0), conn.Close()); err != nil {
					t.Fatal(err)
				}
			case 2: // our side only: the server must end its own
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, conn := range conns {
			if i%3 != 2 {
				continue
			}
			if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("connection %d was not ended: %v", i, err)
			}
			conn.Close()
		}
		back.wantBack(t)
	})
}

// TestByteAtATime lets 40 clients speak in single bytes, all at once.
func TestByteAtATime(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		const count = 40
		inParallel(t, count, func(i int) error {
			c, err := dial(server)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			text := fmt.Sprintf("SUB drip.%d %d\r\nPUB drip.%d 11\r\nhello %05d\r\nUNSUB %d\r\n", i, i, i, i, i)
			for range 20 {
				for _, b := range []byte(text) {
					if _, err := c.conn.Write([]byte{b}); err != nil {
						return err
					}
				}
				msg, err := c.next()
				if want := fmt.Sprintf("hello %05d", i); err != nil || string(msg.Data) != want {
					return fmt.Errorf("%q, %v, want %q", msg.Data, err, want)
				}
			}
			return c.sync("")
		})
		back.wantBack(t)
	})
}

// TestManySubscriptions holds 100,000 subscriptions with mixed wildcards and
// counts deliveries against a calculation.
func TestManySubscriptions(t *testing.T) {
	seed := harness.Seed(t)
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		before := server.RSS()
		random := rand.New(rand.NewPCG(seed, 2))
		clients := make([]*client, 10)
		interest := make([]map[string]int, len(clients)) // pattern → subscriptions
		const each = 10_000
		for i := range clients {
			clients[i] = open(t, server).wide()
			interest[i] = make(map[string]int)
			for sid := range each {
				pattern := pattern(random)
				interest[i][pattern]++
				clients[i].write(fmt.Sprintf("SUB %s %d\r\n", pattern, sid))
			}
			if err := clients[i].sync("SUB end end\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		if v := getVarz(t, server); v.Subscriptions != back.varz.Subscriptions+len(clients)*(each+1) {
			t.Errorf("%d subscriptions counted, want %d more than %d", v.Subscriptions, len(clients)*(each+1), back.varz.Subscriptions)
		}
		t.Logf("memory per subscription: %d bytes", (server.RSS()-before)/int64(len(clients)*each))

		publisher := open(t, server).wide()
		want := make([]int, len(clients))
		for range scaled(2_000) {
			subject := subject(random)
			publisher.publish(subject, nil)
			for i := range clients {
				for _, pattern := range covering(subject) {
					want[i] += interest[i][pattern]
				}
			}
		}
		publisher.publish("end", nil)
		var flushed sync.WaitGroup
		flushed.Go(func() {
			if err := publisher.sync(""); err != nil {
				t.Error(err)
			}
		})
		inParallel(t, len(clients), func(i int) error {
			got := 0
			for {
				msg, err := clients[i].next()
				if err != nil {
					return err
				}
				if string(msg.Sid) == "end" {
					break
				}
				got++
			}
			if got != want[i] {
				return fmt.Errorf("%d deliveries, want %d", got, want[i])
			}
			return nil
		})
		flushed.Wait()
		for _, c := range clients[:5] {
			for sid := range each {
				c.write(fmt.Sprintf("UNSUB %d\r\n", sid))
			}
			if err := c.sync("UNSUB end\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		if v := getVarz(t, server); v.Subscriptions != back.varz.Subscriptions+5*each+5 {
			t.Errorf("%d subscriptions counted after half was unsubscribed, want %d", v.Subscriptions, back.varz.Subscriptions+5*each+5)
		}
		publisher.conn.Close()
		for _, c := range clients {
			c.conn.Close()
		}
		back.wantBack(t)
	})
}

func subject(random *rand.Rand) string {
	parts := make([]string, 2+random.IntN(3))
	for i := range parts {
		parts[i] = fmt.Sprintf("t%d", random.IntN(20))
	}
	return strings.Join(parts, ".")
}

// pattern is a subject with wildcards in about two of three cases. The first
// token stays, or every message would reach a large part of all.
func pattern(random *rand.Rand) string {
	parts := strings.Split(subject(random), ".")
	for i := 1; i < len(parts); i++ {
		if random.IntN(4) == 0 {
			parts[i] = "*"
		}
	}
	if random.IntN(8) == 0 {
		parts[len(parts)-1] = ">"
	}
	return strings.Join(parts, ".")
}

// covering lists every pattern that matches subject: each token itself or a
// wildcard, and each of those cut short by a full wildcard.
func covering(subject string) []string {
	heads := []string{""}
	var full, all []string
	for i, token := range strings.Split(subject, ".") {
		dot := "."
		if i == 0 {
			dot = ""
		}
		all = all[:0]
		for _, head := range heads {
			full = append(full, head+dot+">")
			all = append(all, head+dot+token, head+dot+"*")
		}
		heads = append([]string(nil), all...)
	}
	return append(full, heads...)
}

// TestChurn subscribes, asks and unsubscribes in a circle, with new connections
// now and then: nothing adds up.
func TestChurn(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		responder := open(t, server).wide()
		if err := responder.sync("SUB help q 1\r\n"); err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		work.Go(func() { answer(t, responder) })
		cycle := func() {
			inParallel(t, 50, func(i int) error {
				c, err := dial(server)
				if err != nil {
					return err
				}
				defer c.conn.Close()
				for n := range 100 {
					inbox := fmt.Sprintf("_INBOX.%d.%d", i, n)
					c.write(fmt.Sprintf("SUB %s %d\r\nUNSUB %d 1\r\nPUB help %s 1\r\n?\r\n", inbox, n, n, inbox))
					if err := c.out.Flush(); err != nil {
						return err
					}
					if msg, err := c.next(); err != nil || string(msg.Subject) != inbox {
						return fmt.Errorf("%s: %q, %v", inbox, msg.Subject, err)
					}
				}
				return c.sync("")
			})
		}
		cycle()
		early := server.RSS()
		for range scaled(4) {
			cycle()
		}
		late := server.RSS()
		t.Logf("memory after the first cycle %d KiB, after the last %d KiB", early>>10, late>>10)
		if grown := late - early; grown > 64<<20 {
			t.Errorf("memory grew by %d MiB", grown>>20)
		}
		responder.conn.Close()
		work.Wait()
		back.wantBack(t)
	})
}

// answer replies to requests until its connection ends.
func answer(t *testing.T, c *client) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "PING\r\n" {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[0] != "MSG" {
			t.Errorf("request %q", line)
			return
		}
		if _, err := c.in.Discard(len("?\r\n")); err != nil {
			return
		}
		c.publish(fields[3], []byte("!"))
		if c.in.Buffered() == 0 {
			if err := c.out.Flush(); err != nil {
				return
			}
		}
	}
}
