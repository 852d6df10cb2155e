package operator

import (
	"fmt"
	"io"
	"net"
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
						awaitTrapped(t, server, i)
					}
					server.Signal(signal)
				}
				code := server.Exit()
				return append(server.Log.Lines(), fmt.Sprint("exit code ", code))
			})
		})
	}
}

// awaitTrapped waits until the server has logged count signals.
func awaitTrapped(t *testing.T, server *harness.Server, count int) {
	t.Helper()
	harness.Poll(t, fmt.Sprint(count, " signals in the log"), func() bool {
		return server.Log.Count(`Trapped ".*" signal$`) >= count
	})
}
