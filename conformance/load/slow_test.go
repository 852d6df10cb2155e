package load

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// pendingMax is the default limit on bytes waiting for one client.
const pendingMax = 64 << 20

// TestSlowSubscriber checks I3: a subscriber that stops reading is dropped when
// its limit is reached; the producer feels it, others go on, and the server's
// memory grows by the limit, not by what was published.
func TestSlowSubscriber(t *testing.T) {
	growth := map[harness.Seat]int64{}
	each(t, harness.Seats, func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		back := takeBaseline(t, server)
		before := server.RSS()
		slow := open(t, server)
		if err := slow.sync("SUB flood 1\r\n"); err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		stop := make(chan struct{})
		others.Go(func() { steady(t, server, stop) })
		end := sync.OnceFunc(func() {
			close(stop)
			others.Wait()
		})
		defer end()

		flood := open(t, server)
		sent := floodUntil(t, flood, server)
		end()
		if err := flood.sync(""); err != nil {
			t.Errorf("the producer: %v", err)
		}
		read, err := readAll(slow)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Logf("the slow subscriber's end: %v", err)
		}
		v := getVarz(t, server)
		if v.SlowConsumers != 1 {
			t.Errorf("%d slow consumers counted, want 1", v.SlowConsumers)
		}
		if v.Stalled == 0 {
			t.Error("the producer was never stalled")
		}
		growth[seat] = server.PeakRSS() - before
		t.Logf("published %d MiB, slow subscriber had read %d MiB, memory grew by %d MiB at most, producer stalled %d times",
			sent>>20, read>>20, growth[seat]>>20, v.Stalled)
		flood.conn.Close()
		slow.conn.Close()
		back.wantBack(t)
	})
	// The reference keeps the limit's worth of bytes plus what its collector lags.
	limit := int64(2*pendingMax + 64<<20)
	if harness.IsRaceBuild(t, harness.Peregrine) {
		limit *= 4 // the detector keeps a shadow of all memory
	}
	if growth[harness.Peregrine] > limit {
		t.Errorf("memory grew by %d MiB, want at most %d", growth[harness.Peregrine]>>20, limit>>20)
	}
}

// floodUntil publishes until the server reports the slow consumer, and returns
// how many bytes that took.
func floodUntil(t *testing.T, c *client, server *harness.Server) (sent int64) {
	t.Helper()
	data := bytes.Repeat([]byte("f"), 32<<10)
	dropped := make(chan struct{})
	go func() {
		server.Log.Await(`Slow Consumer Detected`, linger)
		close(dropped)
	}()
	for {
		select {
		case <-dropped:
			match, ok := server.Log.Await(`cid:\d+ - Slow Consumer Detected: (MaxPending of 67108864 Exceeded|WriteDeadline of 10s exceeded with \d+ chunks of \d+ total bytes\.)$`, time.Second)
			if !ok {
				t.Errorf("no slow consumer line of the right form:\n%s", server.Log.Tail(5))
			} else {
				t.Log(match[1])
			}
			return sent
		default:
		}
		for range 16 {
			c.publish("flood", data)
			sent += int64(len(data))
		}
		if err := c.out.Flush(); err != nil {
			t.Fatalf("the producer was cut off after %d MiB: %v", sent>>20, err)
		}
		if sent > 8<<30 {
			t.Fatal("8 GiB published to a subscriber that does not read, and nothing happened")
		}
	}
}

// TestSlowSubscriberNoStall floods the same subscriber where nobody may be held up
// for it: it is dropped, and the producer never waits. The reference keeps it and
// leaves messages out for it from three quarters of its limit on.
func TestSlowSubscriberNoStall(t *testing.T) {
	each(t, []harness.Seat{harness.Peregrine}, func(t *testing.T, seat harness.Seat) {
		conf := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(conf, []byte("no_fast_producer_stall: true\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		server := start(t, seat, "-c", conf)
		slow := open(t, server)
		if err := slow.sync("SUB flood 1\r\n"); err != nil {
			t.Fatal(err)
		}
		flood := open(t, server)
		floodUntil(t, flood, server)
		if err := flood.sync(""); err != nil {
			t.Errorf("the producer: %v", err)
		}
		if v := getVarz(t, server); v.SlowConsumers != 1 || v.Stalled != 0 {
			t.Errorf("%d slow consumers, want 1; the producer was stalled %d times, want none", v.SlowConsumers, v.Stalled)
		}
	})
}

// readAll reads to the end of the connection and counts.
func readAll(c *client) (int64, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(linger)); err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, c.in)
}

// TestSlowSubscriberDeadline stays below the limit: then the deadline of a write,
// ten seconds, ends the connection.
func TestSlowSubscriberDeadline(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a deadline of ten seconds")
	}
	var seats sync.WaitGroup
	for _, seat := range harness.Seats {
		server := start(t, seat)
		slow, producer := open(t, server), open(t, server)
		if err := slow.sync("SUB flood 1\r\n"); err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("f"), 256<<10)
		for range 100 { // 25 MiB: more than the sockets hold, less than the limit
			producer.publish("flood", data)
		}
		if err := producer.sync(""); err != nil {
			t.Fatal(err)
		}
		seats.Go(func() {
			if _, ok := server.Log.Await(`Slow Consumer Detected: WriteDeadline of 10s exceeded with \d+ chunks of \d+ total bytes\.$`, linger); !ok {
				t.Errorf("%s: no write deadline in the log:\n%s", seat, server.Log.Tail(5))
				return
			}
			if _, err := readAll(slow); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection was not cut", seat)
			}
			if err := producer.sync(""); err != nil {
				t.Errorf("%s: the producer: %v", seat, err)
			}
		})
	}
	seats.Wait()
}

// TestWriteTimeoutRetry lets a subscriber read less than it gets, with the policy
// that keeps such ones: both servers tell of each deadline that passes and of the
// end, and nothing is lost.
func TestWriteTimeoutRetry(t *testing.T) {
	t.Parallel()
	for _, seat := range harness.Seats {
		t.Run(seat.String(), func(t *testing.T) {
			t.Parallel()
			conf := filepath.Join(t.TempDir(), "server.conf")
			if err := os.WriteFile(conf, []byte("write_deadline: \"2s\", write_timeout: retry\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			server := harness.Start(t, seat, "-c", conf)
			slow, producer := open(t, server), open(t, server)
			if err := slow.sync("SUB flood 1\r\n"); err != nil {
				t.Fatal(err)
			}
			const count, size = 160, 256 << 10 // 40 MiB: less than max_pending
			data := bytes.Repeat([]byte("f"), size)
			produced := make(chan error, 1)
			go func() {
				for range count {
					producer.publish("flood", data)
				}
				produced <- producer.sync("PUB flood 3\r\nend\r\n")
			}()
			late := make(chan bool, 1)
			go func() {
				_, ok := server.Log.Await(`Slow Consumer State: WriteDeadline of 2s exceeded with \d+ chunks of \d+ total bytes\.$`, linger)
				late <- ok
			}()
			// The pace is the load's shape: something is read within each deadline,
			// and not all of what waits.
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			read := int64(0)
			for waiting := true; waiting; {
				select {
				case ok := <-late:
					if !ok {
						t.Fatalf("the connection is not late twice:\n%s", server.Log.Tail(5))
					}
					waiting = false
				case <-pace.C:
					n, err := io.CopyN(io.Discard, slow.in, 64<<10)
					read += n
					if err != nil {
						t.Fatalf("after %d bytes: %v\n%s", read, err, server.Log.Tail(5))
					}
				}
			}
			all := int64(count*(len("MSG flood 1 262144\r\n\r\n")+size) + len("MSG flood 1 3\r\nend\r\n"))
			n, err := io.CopyN(io.Discard, slow.in, all-read)
			if err != nil {
				t.Fatalf("after %d of %d bytes: %v", read+n, all, err)
			}
			if err := <-produced; err != nil {
				t.Errorf("the producer: %v", err)
			}
			server.Await(`cid:\d+ - Slow Consumer Recovered: Flush took \d+\.\d{3}s with \d+ chunks of \d+ total bytes\.$`)
			if n := server.Log.Count(`Slow Consumer Detected: WriteDeadline of 2s exceeded with \d+ chunks of \d+ total bytes\.$`); n != 1 {
				t.Errorf("detected %d times", n)
			}
			if err := slow.sync(""); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPausingSubscriber reads in bursts and is never far behind: nothing is lost
// and nobody is dropped.
func TestPausingSubscriber(t *testing.T) {
	each(t, peers(), func(t *testing.T, seat harness.Seat) {
		server := start(t, seat)
		subscriber, producer := open(t, server), open(t, server)
		if err := subscriber.sync("SUB s 1\r\n"); err != nil {
			t.Fatal(err)
		}
		const rounds, perRound = 20, 200 // 8 MiB unread at most
		data := make([]byte, 40<<10)
		for round := range rounds {
			for i := range perRound {
				stamp(data, round, i)
				producer.publish("s", data)
			}
			if err := producer.sync(""); err != nil {
				t.Fatal(err)
			}
			for i := range perRound {
				msg, err := subscriber.next()
				if err != nil {
					t.Fatal(err)
				}
				if r, n := unstamp(msg.Data); r != round || n != i || len(msg.Data) != len(data) {
					t.Fatalf("round %d, message %d: got %d, %d", round, i, r, n)
				}
			}
		}
		if n := getVarz(t, server).SlowConsumers; n != 0 {
			t.Errorf("%d slow consumers", n)
		}
	})
}
