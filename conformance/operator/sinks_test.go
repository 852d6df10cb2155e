package operator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// TestLogRotation compares names, first lines and how many files are kept.
func TestLogRotation(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		dir := t.TempDir()
		path := filepath.Join(dir, "server.log")
		conf := configFile(t, fmt.Sprintf("log_file: %q\nlog_size_limit: 2000\nlog_max_num: 3\ntrace: true\n", path))
		server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-c", conf)
		awaitInFile(t, server, path, "Server is ready", 1)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		address := regexp.MustCompile(`connections on (\S+)`).FindStringSubmatch(string(content))[1]
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 200 { // one PING is a line or two
			if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		harness.Poll(t, "a purge", func() bool {
			data, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(data), "Purged log file")
		})
		conn.Close()
		server.Stop()
		names, err := filepath.Glob(filepath.Join(dir, "server.log*"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var heads []string // all lines of a rotation
		for line := range strings.Lines(string(data)) {
			if strings.HasSuffix(line, "\r\n") {
				heads = append(heads, line)
			}
		}
		stamp := regexp.MustCompile(`\.\d{4}(\.\d\d){5}\.\d{9}`)
		outcome := fmt.Sprintf("%q\n%q\n", normalise(heads), names)
		outcome = strings.ReplaceAll(outcome, dir, "<dir>")
		outcome = strings.ReplaceAll(outcome, "<dir>/server", "server")
		return stamp.ReplaceAllString(outcome, ".<stamp>") + mode(t, path)
	})
}

// TestRemoteSyslog compares what reaches a syslog server in the same life, over
// each network.
func TestRemoteSyslog(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				address, next := syslogServer(t, network)
				server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-D", "-r", network+"://"+address)
				return syslogLife(t, server, next)
			})
		})
	}
}

// syslogServer listens, and returns its address and what waits for the next line.
func syslogServer(t *testing.T, network string) (address string, next func() (string, error)) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	if network == "udp" {
		conn, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		buf := make([]byte, 64<<10)
		return conn.LocalAddr().String(), func() (string, error) {
			_ = conn.SetReadDeadline(deadline)
			n, _, err := conn.ReadFrom(buf)
			return string(buf[:n]), err
		}
	}
	address = "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "log")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	if err := listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	var lines *bufio.Reader
	return listener.Addr().String(), func() (string, error) {
		if lines == nil {
			conn, err := listener.Accept()
			if err != nil {
				return "", err
			}
			t.Cleanup(func() { conn.Close() })
			_ = conn.SetReadDeadline(deadline)
			lines = bufio.NewReader(conn)
		}
		return lines.ReadString('\n')
	}
}

// TestLocalSyslog gives each server a machine of its own, as far as the socket of
// syslog goes, and compares what arrives there.
func TestLocalSyslog(t *testing.T) {
	t.Parallel()
	const ownRun = `mount --bind "$0" /run && exec "$@"`
	if _, err := os.Lstat("/dev/log"); err == nil {
		t.Skip("there is a syslog here, and the servers of a test would write to it")
	}
	if folder, err := filepath.EvalSymlinks("/var/run"); err != nil || folder != "/run" {
		t.Skip("/var/run is not /run here, so the socket cannot be put in its place")
	}
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", ownRun, t.TempDir(), "true").CombinedOutput(); err != nil {
		t.Skipf("this user may not mount in a name space of his own: %v, %s", err, out)
	}
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		dir := t.TempDir()
		conn, err := net.ListenPacket("unixgram", filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		server := harness.Run(t, seat, "unshare", "-rm", "sh", "-c", ownRun, dir,
			harness.Binary(t, seat), "-a", "127.0.0.1", "-p", "-1", "-D", "-s")
		buf := make([]byte, 64<<10)
		return syslogLife(t, server, func() (string, error) {
			n, _, err := conn.ReadFrom(buf)
			return string(buf[:n]), err
		})
	})
}

var syslogShapes = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+ \S+ `), "<time> <host> "},
	{regexp.MustCompile(`>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d `), "><time> "}, // on this machine
	{regexp.MustCompile(`[^ ]+\[\d+\]:`), "<program>[<pid>]:"},
}

// syslogLife ends the server when it is ready and returns what it said.
func syslogLife(t *testing.T, server *harness.Server, next func() (string, error)) (lines []string) {
	t.Helper()
	for stopping := false; ; {
		line, err := next()
		if err != nil {
			t.Fatal(err, lines)
		}
		line = strings.TrimSpace(line)
		for _, s := range syslogShapes {
			line = s.pattern.ReplaceAllString(line, s.name)
		}
		lines = append(lines, line)
		if strings.HasSuffix(line, "Server is ready") && !stopping {
			stopping = true
			server.Signal(os.Interrupt)
		}
		if strings.HasSuffix(line, "Server Exiting..") {
			return withoutSystemAccount(lines)
		}
	}
}

// TestNoSyslog compares the ends of servers whose syslog cannot be.
func TestNoSyslog(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"scheme": "http://localhost:1", "socket": "unix:///no/such/socket"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-r", url))
				last := stderr[len(stderr)-1]
				return fmt.Sprint(code, stdout, last[strings.Index(last, "error "):])
			})
		})
	}
}

// TestTracedLength compares traces of payloads that are cut.
func TestTracedLength(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		server := harness.Start(t, seat, "-V", "--max_traced_msg_len", "5")
		conn, err := net.Dial("tcp", server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false}\r\nSUB foo 1\r\nPUB foo 8\r\na\"bcdefg\r\nPUB foo 5\r\n12345\r\nPING\r\n"); err != nil {
			t.Fatal(err)
		}
		awaitText(t, conn, "PONG\r\n")
		conn.Close()
		server.Stop()
		return slices.DeleteFunc(server.Log.Lines(), func(line string) bool { return !strings.Contains(line, "MSG_PAYLOAD") })
	})
}

// TestTracedHeaders compares traces that show no payloads, of receivers with and
// without headers.
func TestTracedHeaders(t *testing.T) {
	t.Parallel()
	conf := configFile(t, "trace_headers: true\n")
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		server := harness.Start(t, seat, "-c", conf)
		const message = " 21 26\r\nNATS/1.0\r\nName: a\r\n\r\nhello\r\n"
		for _, text := range []string{
			"CONNECT {\"verbose\":false}\r\nSUB bar 1\r\nPUB nobody 5\r\nhello\r\n",
			"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB foo 1\r\nPUB foo 5\r\nhello\r\n" +
				"HPUB foo" + message + "HPUB bar" + message + "HPUB foo 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
		} {
			conn, err := net.Dial("tcp", server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, text+"PING\r\n"); err != nil {
				t.Fatal(err)
			}
			awaitText(t, conn, "PONG\r\n")
		}
		server.Stop()
		lines := slices.DeleteFunc(server.Log.Lines(), func(line string) bool { return !strings.Contains(line, "[TRC]") })
		if seat == harness.Peregrine && strings.Contains(strings.Join(lines, "\n"), "hello") {
			t.Errorf("a payload is in the log: %q", lines)
		}
		return lines
	})
}

// TestPortsFile compares name, content, permissions and that it goes away.
func TestPortsFile(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		dir := t.TempDir()
		server := harness.Start(t, seat, "-m", "-1", "--profile", "-1", "--ports_file_dir", dir)
		path := ""
		harness.Poll(t, "a ports file", func() bool {
			names, err := filepath.Glob(filepath.Join(dir, "*.ports"))
			if err != nil || len(names) != 1 {
				return false
			}
			data, err := os.ReadFile(names[0])
			path = names[0]
			return err == nil && strings.HasSuffix(string(data), "}")
		})
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%s_%d.ports", filepath.Base(harness.Binary(t, seat)), server.PID()); filepath.Base(path) != want {
			t.Errorf("name %s, want %s", path, want)
		}
		var ports map[string][]string
		if err := json.Unmarshal(data, &ports); err != nil {
			t.Fatal(err)
		}
		if len(ports["nats"]) != 1 || ports["nats"][0] != "nats://"+server.Addr || ports["monitoring"][0] != "http://"+server.Monitor {
			t.Errorf("%s", data)
		}
		outcome := regexp.MustCompile(`:\d+"`).ReplaceAllString(string(data), `:<port>"`) + " mode " + mode(t, path)
		code := server.Stop()
		left, err := os.ReadDir(dir)
		return fmt.Sprintln(outcome, code, len(left), err)
	})
}

// TestPortsFileImpossible does not keep a server from starting.
func TestPortsFileImpossible(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, seat harness.Seat) {
		server := harness.Start(t, seat, "--ports_file_dir", filepath.Join(t.TempDir(), "no", "such"))
		server.Await(`\[ERR\] Error writing ports file \(.*\.ports\): open .*no such file or directory$`)
		if code := server.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}
