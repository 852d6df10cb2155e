package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary be started as the programs that tests need.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "bench":
			os.Exit(Main(os.Args[2:], os.Stdout, os.Stderr))
		case "fake-server":
			os.Exit(fakeMain(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// fakeServer is a NATS server just good enough for the generator, which can
// misbehave on request.
type fakeServer struct {
	addr string

	mu    sync.Mutex
	subs  map[string][]fakeSub
	turn  int
	count int
	// Applied to the count-th publish, from 1.
	lose, repeat, hangUp, exit int
	mute                       bool          // answers nothing after the handshake
	certs                      *certificates // wants TLS
	pongs                      int           // answers so many PINGs of a connection; 0: all
}

type fakeSub struct {
	w     *fakeConn
	sid   string
	queue bool
}

type fakeConn struct {
	net.Conn
	mu sync.Mutex
}

func (c *fakeConn) send(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Write(b)
}

// startFake serves until the test ends.
func startFake(t *testing.T, f *fakeServer) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go f.serve(l)
	return &Target{Name: "fake", Addr: l.Addr().String()}
}

func (f *fakeServer) serve(l net.Listener) {
	f.subs = map[string][]fakeSub{}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go f.client(&fakeConn{Conn: c})
	}
}

func (f *fakeServer) client(c *fakeConn) {
	defer c.Close()
	c.send([]byte(`INFO {"version":"fake"} ` + "\r\n"))
	if f.certs != nil {
		pair, err := tls.LoadX509KeyPair(f.certs.certFile(), f.certs.keyFile())
		if err != nil {
			panic(err)
		}
		c.Conn = tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	pings := 0
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		switch words[0] {
		case "PING":
			if pings++; f.pongs == 0 || pings <= f.pongs {
				c.send([]byte("PONG\r\n"))
			}
		case "SUB":
			f.mu.Lock()
			f.subs[words[1]] = append(f.subs[words[1]], fakeSub{c, words[len(words)-1], len(words) == 4})
			f.mu.Unlock()
		case "PUB":
			size, _ := strconv.Atoi(words[len(words)-1])
			payload := make([]byte, size+2)
			if _, err := io.ReadFull(in, payload); err != nil {
				return
			}
			if !f.publish(words, payload) {
				return
			}
		}
	}
}

// publish delivers; false ends the publisher's connection.
func (f *fakeServer) publish(words []string, payload []byte) bool {
	f.mu.Lock()
	f.count++
	n, subs := f.count, f.subs[words[1]]
	if len(subs) == 0 {
		subs = f.subs[words[1][:strings.LastIndexByte(words[1], '.')+1]+"*"]
	}
	if len(subs) > 0 && subs[0].queue {
		f.turn++
		i := f.turn % len(subs)
		subs = subs[i : i+1]
	}
	f.mu.Unlock()
	switch n {
	case f.exit:
		fmt.Fprintln(os.Stderr, "the fake server has had enough")
		os.Exit(3)
	case f.hangUp:
		return false
	case f.lose:
		return true
	}
	if f.mute {
		return true
	}
	for _, s := range subs {
		rest := strings.Join(append([]string{s.sid}, words[2:]...), " ")
		b := append([]byte("MSG "+words[1]+" "+rest+"\r\n"), payload...)
		s.w.send(b)
		if n == f.repeat {
			s.w.send(b)
		}
	}
	return true
}

// fakeMain serves at -a HOST -p PORT; --exit N ends it at the N-th publish,
// --refuse and --tls end it at once.
func fakeMain(args []string) int {
	f := &fakeServer{}
	host, port := "", ""
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-a":
			i++
			host = args[i]
		case "-p":
			i++
			port = args[i]
		case "--exit":
			i++
			f.exit, _ = strconv.Atoi(args[i])
		case "--refuse", "--tls":
			fmt.Fprintln(os.Stderr, "the fake server refuses to start")
			return 1
		case "--version":
			fmt.Println("fake-server: v1")
			return 0
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	f.serve(l)
	return 0
}

// fakeCommand starts the fake as a process.
func fakeCommand(t *testing.T, args ...string) Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Name: "fake", Path: self, Lead: []string{"fake-server"}, Args: args}
}

// quick are options for runs whose figures nobody reads.
func quick() Options {
	o := DefaultOptions()
	o.Window = 128 << 10
	o.Duration, o.Warmup = 40*time.Millisecond, 60*time.Millisecond
	return o
}

// execute runs body as a scenario.
func execute(t *Target, o Options, body func(*run) error) (Result, error) {
	return runScenario(context.Background(), &Scenario{Name: "test", run: body}, t, o)
}

// executeUntil runs body, and longer each time, until something has happened: on
// a busy machine a short run can be over before anything is counted.
func executeUntil(t *testing.T, o Options, body func(*run) error, happened func(Result) bool) Result {
	t.Helper()
	for {
		res, err := execute(startFake(t, &fakeServer{}), o, body)
		if err != nil {
			t.Fatal(err)
		}
		if happened(res) {
			return res
		}
		if o.Duration *= 2; o.Duration > 10*time.Second {
			t.Fatalf("nothing happened: %v", res.Values)
		}
	}
}

// command runs Main and returns what it said.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}
