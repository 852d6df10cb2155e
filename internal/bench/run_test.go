package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func yieldNow() { runtime.Gosched() }

// Every kind of load runs to its end, with every delivery accounted for (I1).
func TestLoads(t *testing.T) {
	loads := map[string]func(*run) error{
		"publish only":  shape{groups: 1, pubs: 2, payload: 16}.run,
		"one to one":    shape{groups: 1, pubs: 1, subs: 1, payload: 16}.run,
		"too small":     shape{groups: 1, pubs: 1, subs: 1, payload: 4}.run,
		"mixed":         shape{groups: 1, pubs: 2, subs: 1, payload: 16, spread: 7}.run,
		"pairs":         shape{groups: 3, pubs: 1, subs: 1, payload: 128}.run,
		"fan-out":       shape{groups: 1, pubs: 2, subs: 5, payload: 64}.run,
		"queue":         shape{groups: 1, pubs: 2, subs: 3, queue: true, payload: 64}.run,
		"large":         shape{groups: 1, pubs: 1, subs: 1, payload: 512 << 10}.run,
		"request/reply": requests{pairs: 3, payload: 64}.run,
		"paced": pacedLoad{probe: paced{rate: 2000, burst: 1, payload: 64, subs: 2},
			background: []paced{{rate: 5000, burst: 10, payload: 32, subs: 1}}}.run,
		"storm": storm{dialers: 2}.run,
		"churn": churn{steady: shape{groups: 1, pubs: 1, subs: 1, payload: 32}, rate: 2000}.run,
	}
	for name, body := range loads {
		t.Run(name, func(t *testing.T) {
			for _, readers := range []int{1, 3} {
				o := quick()
				o.Readers = readers
				rate := "msgs_per_s"
				if name == "storm" {
					rate = "conns_per_s"
				}
				executeUntil(t, o, body, func(res Result) bool { return res.Values[rate] > 0 })
			}
		})
	}
}

func TestLatencyIsRecorded(t *testing.T) {
	res := executeUntil(t, quick(), requests{pairs: 2, payload: 64}.run, func(res Result) bool { return res.hist.TotalCount() > 0 })
	v := res.Values
	if res.hist.TotalCount() == 0 || v["lat_p50_us"] <= 0 || v["lat_p50_us"] > v["lat_p99_us"] || v["lat_p99_us"] > v["lat_max_us"] {
		t.Fatalf("%v", v)
	}
	if curve := latencyCurve([]Result{res, res}); len(curve) != len(curvePoints) {
		t.Fatalf("curve %v", curve)
	}
}

// I1, I2: a server that loses, repeats or hangs up is found out.
func TestMisbehavingServers(t *testing.T) {
	one := shape{groups: 1, pubs: 1, subs: 1, payload: 16}.run
	fails := func(name string, fake *fakeServer, body func(*run) error, want string) {
		t.Run(name, func(t *testing.T) {
			_, err := execute(startFake(t, fake), quick(), body)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
		})
	}
	fails("loses", &fakeServer{lose: 50}, one, "lost, repeated or out of order")
	fails("repeats", &fakeServer{repeat: 50}, one, "lost, repeated or out of order")
	fails("hangs up", &fakeServer{hangUp: 50}, one, "")
	fails("hangs up on a requester", &fakeServer{hangUp: 5}, requests{pairs: 1, payload: 64}.run, "")
	fails("repeats a reply", &fakeServer{repeat: 8}, requests{pairs: 1, payload: 64}.run, "")
}

// I4: a server that logs clients in and then says nothing is given up, with and
// without TLS.
func TestSilentServer(t *testing.T) {
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(certs.dir) })
	for name, body := range map[string]func(*run) error{
		"one to one": shape{groups: 1, pubs: 1, subs: 1, payload: 16}.run,
		"storm":      storm{dialers: 2}.run,
	} {
		for _, c := range []*certificates{nil, certs} {
			t.Run(fmt.Sprint(name, " tls=", c != nil), func(t *testing.T) {
				target := startFake(t, &fakeServer{pongs: 1, certs: c})
				if c != nil {
					target.TLS = c.client
				}
				o := quick()
				o.Patience, o.Duration = 200*time.Millisecond, time.Hour
				if _, err := execute(target, o, body); !errors.Is(err, errSilent) {
					t.Fatalf("got %v", err)
				}
			})
		}
	}
}

// I4: so is one that takes messages and delivers none: publishers wait for room in
// the window, where no deadline of a socket ends them.
func TestNothingArrives(t *testing.T) {
	o := quick()
	o.Patience, o.Duration = 200*time.Millisecond, time.Hour
	_, err := execute(startFake(t, &fakeServer{mute: true}), o, shape{groups: 1, pubs: 1, subs: 1, payload: 16}.run)
	if !errors.Is(err, errSilent) || !strings.Contains(err.Error(), "nothing has arrived for 200ms") {
		t.Fatalf("got %v", err)
	}
}

// A run that makes no progress is given up, and Ctrl-C does not wait for that.
func TestInterruptEndsARun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	target := startFake(t, &fakeServer{mute: true})
	s := &Scenario{Name: "test", run: func(r *run) error {
		time.AfterFunc(time.Millisecond, cancel)
		return shape{groups: 1, pubs: 1, subs: 1, payload: 16}.run(r)
	}}
	o := quick()
	o.Duration = time.Hour
	if _, err := runScenario(ctx, s, target, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestServerDiesDuringARun(t *testing.T) {
	b := &Bench{A: fakeCommand(t, "--exit", "2000"), Pairs: 1, Options: quick(), Progress: func(string) {}}
	b.Options.Duration = time.Hour // only the death ends it
	c := b.Compare(context.Background(), scenarioNamed("1to1-16"))
	if !errors.Is(c.Err, errDied) || !strings.Contains(c.Err.Error(), "has had enough") {
		t.Fatalf("got %v", c.Err)
	}
}

// I5: nothing is left running, whether a run ends or is interrupted.
func TestServersAreStopped(t *testing.T) {
	p, err := fakeCommand(t).start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	pid := p.PID
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("it should run: %v", err)
	}
	p.stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("it should be gone: %v", err)
	}
}

func TestServerThatRefusesToStart(t *testing.T) {
	_, err := fakeCommand(t, "--refuse").start(context.Background())
	if err == nil || !strings.Contains(err.Error(), "refuses to start") {
		t.Fatalf("got %v", err)
	}
	_, err = Command{Name: "none", Path: "/nonexistent/server"}.start(context.Background())
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

func TestPinnedServerSeesItsCPUsOnly(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no pinning here")
	}
	c := fakeCommand(t)
	c.CPUs = []int{0}
	p, err := c.start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/status")
	if err != nil || !strings.Contains(string(b), "Cpus_allowed_list:\t0\n") {
		t.Fatalf("%v\n%s", err, b)
	}
}

func TestNotANATSServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("220 mail ready\r\n"))
		}
	}()
	_, err = dial(&Target{Addr: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "not a NATS server") {
		t.Fatalf("got %v", err)
	}
}

// The relay moves what every kind of traffic needs.
func TestRelayCarriesAllTraffic(t *testing.T) {
	for _, s := range catalogue {
		if !s.Wire || s.Name == "fan1000-128" { // the latter takes seconds, and is fan100 again
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go serveRelay(l, 2)
			o := quick()
			o.Window = 1 << 20
			target := &Target{Name: "relay", Addr: l.Addr().String(), Wire: true}
			if _, err := runScenario(context.Background(), s, target, o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Each seat begins half of the pairs, and the seed decides which.
func TestOrderOfSeats(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		b := &Bench{Pairs: 7, Options: Options{Seed: seed}}
		text, second := "", 0
		for _, bFirst := range b.order("x") {
			text += strconv.FormatBool(bFirst)
			if bFirst {
				second++
			}
		}
		if second != 3 && second != 4 {
			t.Fatalf("seed %d: B begins %d of 7 pairs", seed, second)
		}
		if !slices.Equal(b.order("x"), b.order("x")) {
			t.Fatalf("seed %d gives two orders", seed)
		}
		seen[text] = true
	}
	if len(seen) < 40 { // there are 70
		t.Errorf("200 seeds give %d orders", len(seen))
	}
}

// Servers run in the order that was drawn, and figures go to the seat that made
// them.
func TestPairsFollowTheOrder(t *testing.T) {
	var ran string
	a, b := fakeCommand(t), fakeCommand(t)
	a.Name, b.Name = "A", "B"
	o := quick()
	o.Duration, o.Warmup = 10*time.Millisecond, 0
	bench := &Bench{A: a, B: b, Pairs: 4, Options: o, Progress: func(text string) { ran += text[len(text)-1:] }}
	c := bench.Compare(context.Background(), &Scenario{Name: "test", run: func(r *run) error {
		r.values["msgs_per_s"] = map[string]float64{"A": 1, "B": 2}[r.target.Name]
		return nil
	}})
	want := ""
	for _, bFirst := range bench.order("test") {
		want += map[bool]string{false: "AB", true: "BA"}[bFirst]
	}
	if c.Err != nil || ran != want || !strings.Contains(want, "AB") || !strings.Contains(want, "BA") {
		t.Fatalf("%v; ran %s, want %s", c.Err, ran, want)
	}
	if as, bs := column(c.A, "msgs_per_s"), column(c.B, "msgs_per_s"); slices.Max(as) != 1 || slices.Min(bs) != 2 {
		t.Errorf("A has %v, B has %v", as, bs)
	}
}
