package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// Messages whose control lines repeat, taken as runs, reach every kind of
// receiver as if each had come alone: whole, in order, as often as allowed.
func TestRunsAreMessages(t *testing.T) {
	for _, change := range []func(o *Options){
		nil,
		func(o *Options) { o.Loops = 1 },
		func(o *Options) { o.MaxPending, o.MaxPayload = 4<<10, 1<<10 }, // always near the limit
	} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { testRuns(t, seed, change) })
		}
	}
}

type runReceiver struct {
	*client
	matches func(subject string) bool
	sid     string
	max     int
	headers bool
	want    strings.Builder
	got     int
}

func testRuns(t *testing.T, seed uint64, change func(o *Options)) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s, _ := startServer(t, change)
	small := s.options().MaxPending < 1<<20
	pub := connect(t, s)
	all := func(string) bool { return true }
	receivers := []*runReceiver{
		{matches: func(s string) bool { return s == "run.a" }, sid: "1", headers: true},
		{matches: all, sid: "22", headers: true},
		{matches: all, sid: "w", headers: false},
		{matches: func(s string) bool { return s == "run.b" }, sid: "m", max: 50 + rng.IntN(200), headers: true},
	}
	subjects := []string{"run.a", "run.>", "run.*", "run.b"}
	for i, r := range receivers {
		r.client = connect(t, s)
		r.send(fmt.Sprintf(`CONNECT {"verbose":false,"headers":%t,"no_responders":false}`+"\r\n", r.headers))
		r.send(fmt.Sprintf("SUB %s %s\r\n", subjects[i], r.sid))
		if r.max > 0 {
			r.send(fmt.Sprintf("UNSUB %s %d\r\n", r.sid, r.max))
		}
		r.sync()
	}
	var in strings.Builder
	line, left, number := "", 0, 0
	messages := 4000
	if small {
		messages = 400
	}
	var subject, payload string
	var header bool
	flush := func() {
		pub.send(in.String())
		in.Reset()
		pub.sync()
		for _, r := range receivers {
			want := r.want.String()
			r.want.Reset()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(r.r, got); err != nil || string(got) != want {
				t.Fatalf("seed %d: receiver %s, %v: got %.200q, want %.200q", seed, r.sid, err, got, want)
			}
		}
	}
	for range messages {
		if left == 0 {
			left = 1 + rng.IntN(1<<rng.IntN(8))
			subject = []string{"run.a", "run.b", "run.c"}[rng.IntN(3)]
			header = rng.IntN(3) == 0
			size := 6 + rng.IntN(60)
			payload = strings.Repeat("x", size-6)
			line = fmt.Sprintf("PUB %s %d\r\n", subject, size)
			if header {
				line = fmt.Sprintf("HPUB %s 12 %d\r\n", subject, 12+size)
			}
		}
		left--
		number++
		body := fmt.Sprintf("%06d%s", number, payload)
		in.WriteString(line)
		if header {
			in.WriteString("NATS/1.0\r\n\r\n")
		}
		in.WriteString(body + "\r\n")
		for _, r := range receivers {
			if !r.matches(subject) || r.max > 0 && r.got == r.max {
				continue
			}
			r.got++
			switch {
			case header && r.headers:
				fmt.Fprintf(&r.want, "HMSG %s %s 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", subject, r.sid, 12+len(body), body)
			default:
				fmt.Fprintf(&r.want, "MSG %s %s %d\r\n%s\r\n", subject, r.sid, len(body), body)
			}
		}
		if small && in.Len() > 512 || in.Len() > 20000+rng.IntN(30000) {
			flush()
		}
	}
	flush()
	for _, r := range receivers {
		r.sync() // and nothing more
	}
}
