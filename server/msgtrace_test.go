package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"peregrine/account"
	"peregrine/codec"
)

// hpub writes a message with one header line, always of the same length.
func hpub(subject, key, value, body string) string {
	head := "NATS/1.0\r\n" + key + ": " + value + "\r\n\r\n"
	return fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(head), len(head)+len(body), head, body)
}

// Among messages of one control line, just those that ask for it are traced, and
// all arrive in order.
func TestTracesWithinARun(t *testing.T) {
	s, _ := startServer(t, nil)
	for round := range 4 { // over the same and over other loops
		pub, sub, traces := connect(t, s), connect(t, s), connect(t, s)
		pub.send(`CONNECT {"verbose":false,"pedantic":false,"headers":true}` + "\r\n") // else there are no runs
		pub.sync()
		subject := fmt.Sprintf("x.%d", round)
		sub.send("SUB " + subject + " 1\r\n")
		sub.sync()
		to := fmt.Sprintf("traces.%d", round)
		traces.send("SUB " + to + " 1\r\n")
		traces.sync()
		rng := rand.New(rand.NewPCG(1, 2))
		var in strings.Builder
		asked := 0
		const count = 2000
		for i := range count {
			key := "Xats-Trace-Dest"
			if rng.IntN(20) == 0 {
				key, asked = "Nats-Trace-Dest", asked+1
			}
			in.WriteString(hpub(subject, key, to, fmt.Sprintf("%06d", i)))
		}
		go pub.send(in.String())
		for i := range count {
			for line := ""; line != fmt.Sprintf("%06d", i); line = sub.line() {
				if strings.HasPrefix(line, "MSG") {
					t.Fatalf("message %d is %q", i, line)
				}
			}
		}
		for i := range asked {
			if line := traces.line(); !strings.HasPrefix(line, "MSG "+to+" 1  ") {
				t.Fatalf("trace %d is %q", i, line)
			}
			var v struct {
				Request struct{ MsgSize int }
				Events  []struct{ Type string }
			}
			if err := json.Unmarshal([]byte(traces.line()), &v); err != nil {
				t.Fatal(err)
			}
			if len(v.Events) != 2 || v.Events[0].Type != "in" || v.Events[1].Type != "eg" {
				t.Fatalf("events %+v", v.Events)
			}
		}
		traces.sync()
	}
}

// Without a system account nobody is sent traces; the messages go on.
func TestTracesNeedASystemAccount(t *testing.T) {
	s, _ := startServer(t, withUsers(t, account.Contents{NoSystem: true}))
	c := connect(t, s)
	c.send("SUB > 1\r\n" + hpub("x", "Nats-Trace-Dest", "traces", "body"))
	for line := ""; line != "body"; {
		line = c.line()
	}
	c.sync()
}

// A flood of traces costs no more memory than the queue's bounds.
func TestTraceQueueIsBounded(t *testing.T) {
	s, log := startServer(t, nil)
	q := &traceQueue{srv: s, in: make(chan *msgTrace, 4)}
	small := &msgTrace{dest: "d", events: make([]any, 1)}
	for range 10 {
		q.send(small)
	}
	if len(q.in) != 4 || q.dropped.Load() != 6 || q.events.Load() != 4 {
		t.Errorf("%d wait, %d lost, %d events", len(q.in), q.dropped.Load(), q.events.Load())
	}
	if !log.has("Too many message traces are waiting, 4 lost so far") {
		t.Error("the log does not say so")
	}
	// One that is larger than all may be goes alone.
	q = &traceQueue{srv: s, in: make(chan *msgTrace, 4)}
	large := &msgTrace{dest: "d", events: make([]any, traceEventsMax+1)}
	q.send(large)
	q.send(large)
	q.send(small)
	if len(q.in) != 1 || q.dropped.Load() != 2 || q.events.Load() != traceEventsMax+1 {
		t.Errorf("%d wait, %d lost, %d events", len(q.in), q.dropped.Load(), q.events.Load())
	}
}

func FuzzTraceHeaders(f *testing.F) {
	for _, text := range []string{
		"", "Nats-Trace-Dest: a\r\n", "Nats-Trace-Dest:a\r\n", "Nats-Trace-Dest:\r\n", "Nats-Trace-Dest: \t a \t\r\n", "x\r\nNats-Trace-Dest: a\r\n",
		"Nats-Trace-Dest : a\r\n", "nats-trace-dest: a\r\n", "Nats-Trace-Dest: trace disabled\r\n", "a: b\r\nNats-Trace-Dest: a\r\nNats-Trace-Dest: b\r\n",
		"traceparent: a-b-c-01\r\n", "TRACEPARENT:a-b-c-01\r\n", "traceparent: a-b-c-00\r\n", "traceparent: 01\r\n", "a: b\nNats-Trace-Dest: a\r\n",
		": a\r\nNats-Trace-Dest: a\r\n", "Nats-Trace-Dest: a", "Nats-Trace-Dest: a\n", "Nats-Trace-Only: 1\r\n",
	} {
		f.Add([]byte("NATS/1.0\r\n" + text + "\r\n"))
		f.Add([]byte("NATS/1.0\r\n" + text))
		f.Add([]byte("NATS/1.0 503\r\n" + text + "\r\n"))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		lines, external := traceHeaders(block)
		if lines == nil {
			return
		}
		if !asksForTrace(block) {
			t.Fatalf("%q asks for a trace, but nobody looks", block)
		}
		if _, asked := lines[traceDestHeader]; asked == external {
			t.Fatalf("%q has a destination: %v, external: %v", block, asked, external)
		}
		// What is changed for receivers asks for no trace.
		frame := &codec.Frame{Payload: block, HeaderLen: len(block)}
		if off := withHeader(frame, traceDestHeader, traceOff); codec.HeaderCheck(block) == nil {
			if again, _ := traceHeaders(off.Header()); again != nil {
				t.Fatalf("%q with the trace turned off is %q", block, off.Header())
			}
		}
	})
}

// Of a message that is too large the trace says so, and hostile numbers in its
// line do no harm.
func TestTracesOfOversizedMessages(t *testing.T) {
	s, _ := startServer(t, nil)
	traces := connect(t, s)
	traces.send("SUB traces 1\r\n")
	traces.sync()
	const head = "NATS/1.0\r\nNats-Trace-Dest: traces\r\n"
	for _, sizes := range []string{"37 99999999", "36 99999999", "20000000 20000000", "1 99999999", "0 99999999"} {
		c := connect(t, s)
		c.send("HPUB x " + sizes + "\r\n" + head)
		c.expect("-ERR 'Maximum Payload Violation'")
		if sizes[0] != '3' && sizes[0] != '2' {
			continue // no header has come
		}
		traces.line()
		if got := traces.line(); !strings.Contains(got, `"subj":"x","error":"maximum payload exceeded"`) {
			t.Errorf("%s: the trace is %s", sizes, got)
		}
	}
	traces.sync()
}
