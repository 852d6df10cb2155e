package server

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"peregrine/loop"
)

// I1: with publishers on all loops, an auto-unsubscribe maximum is met exactly.
func TestAutoUnsubscribeIsExactAcrossLoops(t *testing.T) {
	const publishers, each, max = 6, 500, 1000
	s, _ := startServer(t, func(o *Options) { o.Loops = 3 })
	sub := connect(t, s)
	sub.send(fmt.Sprintf("SUB foo 1\r\nUNSUB 1 %d\r\nSUB end 2\r\n", max))
	sub.sync()
	var wg sync.WaitGroup
	for range publishers {
		pub := connect(t, s)
		wg.Go(func() {
			for range each {
				pub.send("PUB foo 0\r\n\r\n")
			}
			pub.sync()
		})
	}
	wg.Wait()
	last := connect(t, s)
	last.send("PUB end 0\r\n\r\n")
	n := 0
	for line := sub.line(); line != "MSG end 2 0"; line = sub.line() {
		if line == "MSG foo 1 0" {
			n++
		} else if line != "" {
			t.Fatalf("got %q", line)
		}
	}
	if n != max {
		t.Errorf("%d of %d messages arrived", n, max)
	}
	eventually(t, "the subscription is gone", sub.drainPing, func() bool { return s.Stats().Subscriptions == 1 })
}

// drainPing makes a round trip, skipping what else arrives.
func (c *client) drainPing() {
	c.send("PING\r\n")
	for c.line() != "PONG" {
	}
}

// I2: when connections end, nothing of them is left.
func TestNothingIsLeftOfClosedSessions(t *testing.T) {
	s, _ := startServer(t, nil)
	keep := connect(t, s)
	for range 20 {
		c := connect(t, s)
		for i := range 3 * dropBatch / 20 {
			c.send(fmt.Sprintf("SUB a.%d.* %d\r\nSUB b.%d q %d\r\n", i, 2*i, i, 2*i+1))
		}
		c.sync()
		_ = c.Close()
	}
	many := connect(t, s)
	for i := range 2*dropBatch + 1 {
		many.send(fmt.Sprintf("SUB c.%d %d\r\n", i, i))
	}
	many.sync()
	_ = many.Close()
	eventually(t, "all are gone", keep.sync, func() bool {
		st := s.Stats()
		return st.Connections == 1 && st.Subscriptions == 0 && st.Chunks == 0 && st.Shared == 0
	})
	closed := s.ClosedConnections()
	if len(closed) != 21 {
		t.Fatalf("%d closed connections are remembered, want 21", len(closed))
	}
	for _, c := range closed {
		if c.Reason != "Client Closed" || c.NumSubs == 0 || len(c.Subs) > closedSubsMax {
			t.Errorf("record %+v", c)
		}
	}
}

func TestClosedRecordsAreBounded(t *testing.T) {
	r := closedRecords{max: 3}
	for id := uint64(1); id <= 5; id++ {
		r.add(ConnInfo{ID: id})
	}
	got := r.list()
	if len(got) != 3 || got[0].ID != 3 || got[2].ID != 5 || r.total != 5 {
		t.Errorf("kept %v of %d", got, r.total)
	}
}

func TestConnectionLimit(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.MaxConn = 2 })
	connect(t, s)
	second := connect(t, s)
	refused := dialRaw(t, s)
	refused.line()
	refused.expect("-ERR 'maximum connections exceeded'")
	if _, err := refused.r.ReadByte(); err != io.EOF {
		t.Errorf("after the refusal: %v", err)
	}
	_ = second.Close()
	eventually(t, "there is room again", func() {}, func() bool { return s.Stats().Connections == 1 })
	connect(t, s)
	if !log.has("maximum connections exceeded") {
		t.Error("nothing in the log")
	}
}

func dialRaw(t *testing.T, s *Server) *client {
	t.Helper()
	nc, err := netDial(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return newClient(t, nc)
}

func TestLimitsOfSubscriptions(t *testing.T) {
	s, _ := startServer(t, func(o *Options) { o.MaxSubs, o.MaxSubTokens = 2, 3 })
	c := connect(t, s)
	c.send("SUB a.b.c.d 1\r\nSUB a.b.c 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 2\r\nSUB c 3\r\nPUB c 0\r\n\r\n")
	c.expect(`-ERR 'Permissions Violation for Subscription to "a.b.c.d", too many tokens'`,
		"-ERR 'maximum subscriptions exceeded'", "MSG c 3 0", "")
}

func TestStaleConnection(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.PingInterval, o.MaxPingsOut = 20*time.Millisecond, 2 })
	c := dialRaw(t, s)
	c.line()
	c.send("CONNECT {\"verbose\":false}\r\n")
	c.expect("PING", "PING", "-ERR 'Stale Connection'")
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("after it: %v", err)
	}
	eventually(t, "the record is there", func() {}, func() bool { return len(s.ClosedConnections()) == 1 })
	if r := s.ClosedConnections()[0].Reason; r != "Stale Connection" {
		t.Errorf("reason %q", r)
	}
	if s.Stats().StaleConnections != 1 {
		t.Error("not counted")
	}
	_ = log
}

func TestSlowConsumerIsClosed(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.MaxPending = 2 << 20 })
	slow := connect(t, s)
	slow.send("SUB foo 1\r\n")
	slow.sync()
	pub := connect(t, s)
	other := connect(t, s)
	other.send("SUB bar 1\r\n")
	other.sync()
	message := fmt.Sprintf("PUB foo %d\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
	eventually(t, "the slow one is closed", func() { pub.send(message) }, func() bool { return s.Stats().SlowConsumers == 1 })
	pub.send("PUB bar 2\r\nok\r\n")
	other.expect("MSG bar 1 2", "ok")
	if !log.has("Slow Consumer Detected: MaxPending of 2097152 Exceeded") {
		t.Error("not in the log")
	}
}

func TestWriteDeadline(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.WriteDeadline = 50 * time.Millisecond })
	slow := connect(t, s)
	slow.send("SUB foo 1\r\n")
	slow.sync()
	pub := connect(t, s)
	message := fmt.Sprintf("PUB foo %d\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
	sent := 0
	eventually(t, "the slow one is closed", func() {
		if sent < 300 { // more than the sockets hold, less than max_pending
			sent++
			pub.send(message)
		}
	}, func() bool { return s.Stats().SlowConsumers == 1 })
	if !log.has("Slow Consumer Detected: WriteDeadline of 50ms exceeded with ") {
		t.Error("not in the log")
	}
}

// With the policy to retry, each deadline counts for the server and the account,
// and so does the one that ends the connection.
func TestLateWritesCount(t *testing.T) {
	s, log := startServer(t, func(o *Options) { o.WriteTimeout = "retry" })
	c := connect(t, s)
	onSession := func(f func(c *session)) { s.onLoops(func(w *worker) { w.each(f) }) }
	onSession(func(c *session) { c.Late(c.c); c.Late(c.c); c.Recovered(c.c, loop.Lag{}); c.Late(c.c) })
	c.sync()
	onSession(func(c *session) { c.c.Abort(loop.ErrWriteDeadline) })
	eventually(t, "the end counts", func() { time.Sleep(time.Millisecond) }, func() bool { return s.Stats().SlowConsumers == 4 })
	if n := exchangeOf(s.global).slow.Load(); n != 4 {
		t.Errorf("the account counts %d, want 4", n)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	said := ""
	for _, line := range log.lines {
		if _, rest, ok := strings.Cut(line, "Slow Consumer "); ok {
			said += rest[:1]
		}
	}
	if said != "DSRDS" { // Detected, State, Recovered, Detected, State
		t.Errorf("the log tells %s: %q", said, log.lines)
	}
}

func TestLameDuck(t *testing.T) {
	s, log := startServer(t, func(o *Options) {
		o.LameDuckGracePeriod, o.LameDuckDuration = 10*time.Millisecond, 50*time.Millisecond
	})
	c := dialRaw(t, s)
	c.line()
	c.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n")
	c.expect("PONG")
	c.line() // connect_info
	go s.LameDuck()
	if line := c.line(); !strings.Contains(line, `"ldm":true`) {
		t.Errorf("got %q", line)
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("then %v", err)
	}
	s.Wait()
	for _, want := range []string{"Entering lame duck mode", "Closing existing clients", "Server Exiting.."} {
		if !log.has(want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestRedact(t *testing.T) {
	check := func(in, want string) {
		t.Helper()
		if got := string(redact([]byte(in))); got != want {
			t.Errorf("redact(%s) = %s, want %s", in, got, want)
		}
	}
	check(`{"verbose":true}`, `{"verbose":true}`)
	check(`{"user":"me","pass":"s3","x":1}`, `{"user":"me","pass":"[REDACTED]","x":1}`)
	check(`{"PASS" : "s3" , "sig":"q","auth_token":"t"}`, `{"PASS" : "[REDACTED]" , "sig":"[REDACTED]","auth_token":"[REDACTED]"}`)
	check(`{"p\u0061ss":"s3"}`, `{"p\u0061ss":"[REDACTED]"}`)
	check(`{"pass":{"a":"s3"}}`, `{"pass":"[REDACTED]"}`)
	check(`{"pass":"s3"`, `[REDACTED]`)
	check(`pass=s3`, `[REDACTED]`)
	check(``, `[REDACTED]`)
}

func TestOptionsAreChecked(t *testing.T) {
	check := func(want string, change func(o *Options)) {
		t.Helper()
		o := DefaultOptions()
		o.NewEngine = nil
		change(&o)
		if _, err := New(o, new(quietLog)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("server name cannot contain spaces", func(o *Options) { o.ServerName = "a b" })
	check("max_payload (100) cannot be higher than max_pending (10)", func(o *Options) { o.MaxPayload, o.MaxPending = 100, 10 })
	check("lame duck grace period", func(o *Options) { o.LameDuckGracePeriod = time.Hour })
	check(`engine "io_uring" is not part of this build`, func(o *Options) { o.Engine = "io_uring" })
}
