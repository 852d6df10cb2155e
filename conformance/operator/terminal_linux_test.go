package operator

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peregrine/conformance/harness"
)

// terminal returns the two ends of a new terminal.
func terminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { near.Close() })
	fd := int(near.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

// TestColours compares the log on a terminal. Tests that read a pipe see that
// there are no colours there.
func TestColours(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		near, far := terminal(t)
		cmd := exec.Command(harness.Binary(t, seat), "-a", "127.0.0.1", "-p", "-1", "-DV", "-T=false")
		cmd.Stderr = far
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		far.Close()
		// Reads of a terminal do not end by themselves when nobody writes.
		stop := time.AfterFunc(harness.Patience, func() { _ = cmd.Process.Kill() })
		defer stop.Stop()
		var lines []string
		for in := bufio.NewReader(near); ; {
			line, err := in.ReadString('\n')
			if err != nil { // EIO: the server was the last at the far end
				break
			}
			lines = append(lines, strings.TrimRight(line, "\r\n"))
			if strings.HasSuffix(lines[len(lines)-1], "Server is ready") {
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := <-ended; err != nil {
			t.Errorf("%v\n%s", err, strings.Join(lines, "\n"))
		}
		if !strings.HasSuffix(strings.Join(lines, "\n"), "Server Exiting..") {
			t.Errorf("the log is cut: %q", lines)
		}
		plain := regexp.MustCompile(`^\[\d+\] \[[A-Z]{3}\]`)
		if i := slices.IndexFunc(lines, plain.MatchString); i >= 0 {
			t.Errorf("a line without colours: %q", lines[i])
		}
		return withoutSystemAccount(lines)
	})
}
