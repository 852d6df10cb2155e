package operator

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"peregrine/conformance/harness"
)

// TestSignals compares log and exit code for each signal, without clients.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR2} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				server := harness.Start(t, seat)
				server.Signal(signal)
				code := server.Exit()
				return append(server.Log.Lines(), fmt.Sprint("exit code ", code))
			})
		})
	}
}

// TestSignalQuit is left to the Go runtime: a dump and exit code 2.
func TestSignalQuit(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat)
		server.Signal(syscall.SIGQUIT)
		return fmt.Sprintln(server.Exit(), server.Log.Count(`^SIGQUIT: quit$`), server.Log.Count(`^goroutine \d+`) > 0)
	})
}

// TestSignalReopenWithoutFile is refused, and the server goes on.
func TestSignalReopenWithoutFile(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		server := harness.Start(t, seat)
		server.Signal(syscall.SIGUSR1)
		server.Await(`re-open ignored`)
		server.Stop()
		return server.Log.Lines()
	})
}

// TestSignalsWithClient compares the log with a client present; in lame duck
// mode SIGTERM and a second SIGUSR2 change nothing, SIGINT ends it.
func TestSignalsWithClient(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]syscall.Signal{
		"interrupt":           {syscall.SIGINT},
		"terminate":           {syscall.SIGTERM},
		"lame duck terminate": {syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT},
		"lame duck twice":     {syscall.SIGUSR2, syscall.SIGUSR2, syscall.SIGINT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				server := harness.Start(t, seat)
				conn, err := net.Dial("tcp", server.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				// INFO alone does not mean that the server counts the client.
				if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
					t.Fatal(err)
				}
				awaitText(t, conn, "PONG\r\n")
				for i, signal := range signals {
					if i > 0 {
						server.Await(`Entering lame duck mode`)
						server.AwaitCount(`Trapped ".*" signal$`, i)
					}
					server.Signal(signal)
				}
				code := server.Exit()
				return append(server.Log.Lines(), fmt.Sprint("exit code ", code))
			})
		})
	}
}

// TestLameDuckToTheEnd compares a lame duck that nobody cuts short: what clients
// are told and when they are closed, the log in its order, which files are left,
// and that the process ends by itself.
func TestLameDuckToTheEnd(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		dir := t.TempDir()
		conf := configFile(t, fmt.Sprintf("lame_duck_duration: \"30s\", lame_duck_grace_period: \"1s\"\npid_file: %q, ports_file_dir: %q\n",
			filepath.Join(dir, "pid"), dir))
		server := harness.Start(t, seat, "-D", "-c", conf)
		var conns []net.Conn
		for range 3 {
			conn, err := net.Dial("tcp", server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n"); err != nil {
				t.Fatal(err)
			}
			awaitText(t, conn, "PONG\r\n")
			conns = append(conns, conn)
		}
		server.Signal(syscall.SIGUSR2)
		for _, conn := range conns {
			awaitText(t, conn, `"ldm":true`)
		}
		if conn, err := net.Dial("tcp", server.Addr); err == nil {
			conn.Close()
			t.Error("a lame duck accepts a connection")
		}
		for i, conn := range conns {
			if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), "-ERR") {
				t.Errorf("client %d: %q, %v", i, rest, err)
			}
		}
		code := server.Exit()
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		// With the last client gone the shutdown may be faster than its own lines.
		lines := slices.DeleteFunc(server.Log.Lines(), func(line string) bool { return !strings.Contains(line, "[INF]") })
		return append(withoutSystemAccount(lines), fmt.Sprint("closed by the shutdown ", server.Log.Count(`connection closed: Server Shutdown`)),
			fmt.Sprint("exit code ", code), fmt.Sprint("left ", len(left), strings.ReplaceAll(strings.Join(left, " "), dir, "")))
	})
}
