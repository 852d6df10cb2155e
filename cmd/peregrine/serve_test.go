//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// actAsServer makes the test binary be the program, so that signals, exit
// statuses and files are tested on a process of their own.
const actAsServer = "PEREGRINE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(actAsServer) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program is what startChild runs.
var program = os.Args[0]

// patience bounds every wait, so that a broken server fails a test and does not
// hang it.
const patience = 2 * time.Minute

// collector keeps what is written to it and lets a test wait for more.
type collector struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed and replaced when text grows
}

func newCollector() *collector { return &collector{grown: make(chan struct{})} }

func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	close(c.grown)
	c.grown = make(chan struct{})
	return len(p), nil
}

func (c *collector) String() string {
	text, _ := c.now()
	return text
}

// now returns the text so far and what closes when there is more.
func (c *collector) now() (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.grown
}

// wait waits for text that matches and returns its groups.
func (c *collector) wait(t *testing.T, pattern string) []string {
	t.Helper()
	return c.waitWhile(t, pattern, nil)
}

// waitWhile is wait for a text that does not grow any more once ended is closed.
func (c *collector) waitWhile(t *testing.T, pattern string, ended <-chan struct{}) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for last := false; ; {
		text, grown := c.now()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		if last {
			t.Fatalf("no %s in:\n%s", pattern, text)
		}
		select {
		case <-grown:
		case <-ended:
			last = true
		case <-deadline:
			last = true
		}
	}
}

// child is a running server.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *collector    // its standard error
	ended chan struct{} // closed at its end, after its last words
}

func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{t: t, ended: make(chan struct{}), log: newCollector()}
	c.cmd = exec.Command(program, append([]string{"-a", "127.0.0.1", "-p", "-1"}, args...)...)
	c.cmd.Env = append(os.Environ(), actAsServer+"=1")
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// waitLog waits for a line that matches and returns its groups.
func (c *child) waitLog(pattern string) []string {
	c.t.Helper()
	return c.log.waitWhile(c.t, pattern, c.ended)
}

func (c *child) signal(sig os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// waitEnd waits for the process and returns its status and log.
func (c *child) waitEnd() (int, string) {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("the server does not end; log:\n%s", c.log)
	}
	return c.cmd.ProcessState.ExitCode(), c.log.String()
}

const listening = `Listening for client connections on (127\.0\.0\.1:\d+)\n`

// connect opens a client that has done CONNECT and PING.
func (c *child) connect(addr string) (net.Conn, *bufio.Reader) {
	c.t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n")
	r := bufio.NewReader(conn)
	for line := ""; line != "PONG\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			c.t.Fatal(err)
		}
	}
	return conn, r
}

func TestStartAndGracefulStop(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		pid := filepath.Join(t.TempDir(), "pid")
		c := startChild(t, "-D", "-P", pid, "-n", "srv")
		addr := c.waitLog(listening)[1]
		c.waitLog(`Server is ready\n`)
		content, err := os.ReadFile(pid)
		if err != nil || string(content) != strconv.Itoa(c.cmd.Process.Pid) {
			t.Errorf("pid file %q, %v", content, err)
		}
		if info, err := os.Stat(pid); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("pid file mode %v, %v", info.Mode(), err)
		}
		_, r := c.connect(addr)
		c.signal(sig)
		if rest, err := io.ReadAll(r); err != nil || strings.Contains(string(rest), "-ERR") {
			t.Errorf("the client saw %q, %v", rest, err)
		}
		status, log := c.waitEnd()
		if status != 0 {
			t.Errorf("%v: status %d", sig, status)
		}
		expectOrder(t, log, "[INF] Starting nats-server\n", "[INF]   Version:  2.15.2\n", "[INF]   Git:      [", "[DBG]   Go build: go",
			"[INF]   Name:     srv\n", "[INF]   ID:       N", "[INF] Listening for client", "[INF] Server is ready\n",
			" - Client connection created\n", fmt.Sprintf("[INF] Trapped %q signal\n", sig.String()), "[INF] Initiating Shutdown...\n",
			"Client connection closed: Server Shutdown\n", "[INF] Server Exiting..\n")
		if _, err := os.Stat(pid); err != nil {
			t.Errorf("the pid file went away: %v", err)
		}
	}
}

func expectOrder(t *testing.T, log string, parts ...string) {
	t.Helper()
	rest := log
	for _, part := range parts {
		i := strings.Index(rest, part)
		if i < 0 {
			t.Errorf("%q is missing, or out of order, in\n%s", part, log)
			return
		}
		rest = rest[i+len(part):]
	}
}

// INT cuts a lame duck short, TERM does not.
func TestLameDuckSignals(t *testing.T) {
	c := startChild(t)
	addr := c.waitLog(listening)[1]
	_, r := c.connect(addr)
	c.signal(syscall.SIGUSR2)
	c.waitLog(`Trapped "user defined signal 2" signal\n`)
	c.waitLog(`Entering lame duck mode, stop accepting new clients\n`)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "INFO ") && strings.Contains(line, `"ldm":true`) {
			break
		}
	}
	c.signal(syscall.SIGTERM)
	c.waitLog(`Trapped "terminated" signal\n`)
	c.signal(syscall.SIGUSR2)
	c.signal(syscall.SIGINT)
	status, log := c.waitEnd()
	if status != 0 {
		t.Errorf("status %d", status)
	}
	expectOrder(t, log, `Trapped "terminated" signal`, `Trapped "interrupt" signal`, "Initiating Shutdown...", "Server Exiting..")
	if strings.Count(log, "Entering lame duck mode") != 1 || strings.Count(log, "Initiating Shutdown") != 1 {
		t.Error(log)
	}
}

func TestLameDuckWithoutClients(t *testing.T) {
	c := startChild(t)
	c.waitLog(`Server is ready\n`)
	c.signal(syscall.SIGUSR2)
	if status, log := c.waitEnd(); status != 0 || !strings.Contains(log, "Server Exiting..\n") {
		t.Errorf("status %d\n%s", status, log)
	}
}

// The log file is a named pipe here, so that the test can wait for lines.
func TestLogFileSignals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	first := logPipe(t, path)
	c := startChild(t, "-l", path)
	first.wait(t, `Server is ready\n`)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	second := logPipe(t, path)
	c.signal(syscall.SIGUSR1)
	second.wait(t, `^\[\d+\] .* \[INF\] File log re-opened\n`)
	c.signal(syscall.SIGHUP)
	second.wait(t, `\[ERR\] Failed to reload server configuration: can only reload config when a file is provided using -c or --config\n`)
	c.signal(syscall.SIGINT)
	if status, log := c.waitEnd(); status != 0 || log != "" {
		t.Errorf("status %d, standard error %q", status, log)
	}
	second.wait(t, `Server Exiting..\n$`)
	first.wait(t, `\[INF\] Trapped "user defined signal 1" signal\n$`)
}

// logPipe makes a named pipe at path and collects what is written to it.
func logPipe(t *testing.T, path string) *collector {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, so that it neither waits for a writer nor ends without one.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c := newCollector()
	go func() { _, _ = io.Copy(c, f) }()
	return c
}

func TestReopenWithoutFile(t *testing.T) {
	c := startChild(t, "-T=false")
	c.waitLog(`^\[\d+\] \[INF\] Starting nats-server\n`)
	c.waitLog(`Server is ready\n`)
	c.signal(syscall.SIGUSR1)
	c.waitLog(`\[INF\] File log re-open ignored, not a file logger\n`)
	c.signal(syscall.SIGTERM)
	c.waitEnd()
}

func TestFatalStartErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	check := func(want string, args ...string) {
		t.Helper()
		c := startChild(t, args...)
		if status, log := c.waitEnd(); status != 1 || !strings.Contains(log, want) {
			t.Errorf("%v: status %d, want %q in\n%s", args, status, want, log)
		}
	}
	inUse := "bind: address already in use"
	check("[FTL] Error listening on port: "+taken+`, "listen tcp `+taken+": "+inUse, "-p", port)
	check("[FTL] Can't start monitoring: can't listen to the monitor port: listen tcp "+taken+": "+inUse, "-m", port)
	check("[FTL] error starting profiler: listen tcp "+taken+": "+inUse, "--profile", port)
	check("[FTL] Could not write pidfile: open /no/such/dir/pid: no such file or directory", "-P", "/no/such/dir/pid")
	check("nats-server: server name cannot contain spaces\n", "-n", "a b")
}

// The monitor shows what the clients of a real server did.
func TestMonitoringOfARealServer(t *testing.T) {
	c := startChild(t, "-m", "-1", "--profile", "-1", "--loops", "1")
	addr := c.waitLog(listening)[1]
	web := "http://" + c.waitLog(`Starting http monitor on (127\.0\.0\.1:\d+)\n`)[1]
	profile := "http://127.0.0.1:" + c.waitLog(`profiling port: (\d+)\n`)[1]
	conn, r := c.connect(addr)
	fmt.Fprint(conn, "SUB foo 1\r\nSUB bar q 2\r\nPUB foo 2\r\nhi\r\nPING\r\n")
	for line := ""; line != "PONG\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	var varz struct {
		Connections   int `json:"connections"`
		Subscriptions int `json:"subscriptions"`
		InMsgs        int `json:"in_msgs"`
		OutMsgs       int `json:"out_msgs"`
		InBytes       int `json:"in_bytes"`
		Peregrine     struct {
			Loops []any `json:"loops"`
		} `json:"peregrine"`
	}
	fetchJSON(t, web+"/varz", &varz)
	if varz.Connections != 1 || varz.Subscriptions != 2 || varz.InMsgs != 1 || varz.OutMsgs != 1 || varz.InBytes != 2 || len(varz.Peregrine.Loops) != 1 {
		t.Errorf("%+v", varz)
	}
	var connz struct {
		Connections []struct {
			Subjects []string `json:"subscriptions_list"`
		} `json:"connections"`
	}
	fetchJSON(t, web+"/connz?subs=1", &connz)
	if len(connz.Connections) != 1 || len(connz.Connections[0].Subjects) != 2 {
		t.Errorf("%+v", connz)
	}
	if body := fetch(t, profile+"/debug/pprof/goroutine?debug=1"); !strings.Contains(body, "goroutine profile") {
		t.Error(body)
	}
	c.signal(syscall.SIGTERM)
	c.waitEnd()
}

// --pin-cpus shows in the log and in /varz.
func TestPinnedLoops(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("pinning exists on Linux only")
	}
	// Which processors there are is in the refusal of one that is not there.
	refused := startChild(t, "--pin-cpus", "1023")
	cpu := refused.waitLog(`CPU 1023 is not there.*usable: (\d+)`)[1]
	if status, _ := refused.waitEnd(); status != 1 {
		t.Errorf("status %d", status)
	}
	c := startChild(t, "--pin-cpus", cpu, "-m", "-1")
	c.waitLog(`\[INF\]   Loop 0:   CPU ` + cpu + `\n`)
	web := "http://" + c.waitLog(`Starting http monitor on (127\.0\.0\.1:\d+)\n`)[1]
	c.waitLog(`Server is ready\n`)
	var varz struct {
		Peregrine struct {
			Loops []struct {
				CPU int `json:"cpu"`
			} `json:"loops"`
		} `json:"peregrine"`
	}
	fetchJSON(t, web+"/varz", &varz)
	if loops := varz.Peregrine.Loops; len(loops) != 1 || strconv.Itoa(loops[0].CPU) != cpu {
		t.Errorf("%+v", loops)
	}
	c.signal(syscall.SIGINT)
	c.waitEnd()
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(url, resp.StatusCode, err)
	}
	return string(body)
}

func fetchJSON(t *testing.T, url string, v any) {
	t.Helper()
	body := fetch(t, url)
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%s: %v\n%s", url, err, body)
	}
}
