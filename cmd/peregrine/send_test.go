//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// sent is what a sender did.
func sent(t *testing.T, value string, running []int) (signals []string, err error) {
	t.Helper()
	s := sender{
		find: func() ([]int, error) { return running, nil },
		kill: func(pid int, sig syscall.Signal) error {
			signals = append(signals, fmt.Sprint(pid, " ", sig))
			if pid >= 900 {
				return syscall.ESRCH
			}
			return nil
		},
	}
	err = s.send(value)
	return signals, err
}

func TestSend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file, []byte("77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(value string, running []int, want ...string) {
		t.Helper()
		if got, err := sent(t, value, running); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", value, got, err, want)
		}
	}
	check("stop=5", nil, "5 killed")
	check("quit=5", nil, "5 interrupt")
	check("term=5", nil, "5 terminated")
	check("reload=5", nil, "5 hangup")
	check("reopen=5", nil, "5 user defined signal 1")
	check("ldm=5", nil, "5 user defined signal 2")
	check("ldm="+file, nil, "77 user defined signal 2")
	check("quit", []int{8}, "8 interrupt")
	check("quit=", []int{8}, "8 interrupt")
	check("quit=*", []int{8, 19}, "8 interrupt", "19 interrupt")
	check("quit=1*", []int{1, 12, 8, 19}, "1 interrupt", "12 interrupt", "19 interrupt")
	check("quit=3*", []int{8, 19})

	fails := func(value string, running []int, want string) {
		t.Helper()
		if _, err := sent(t, value, running); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
	fails("quit", nil, "no nats-server processes running")
	fails("quit=1*", nil, "no nats-server processes running")
	fails("quit", []int{8, 19}, "multiple nats-server processes running:\n8\n19")
	fails("quit=abc", nil, "invalid pid: abc")
	fails("quit=abc*", nil, "invalid pid: abc")
	fails("quit=0", nil, "invalid pid: 0")
	fails("stop=-1", nil, "invalid pid: -1")
	fails("foo=5", nil, `unknown signal "foo"`)
	fails("foo", []int{8}, `unknown signal "foo"`)
	fails("a=b=c=d", nil, "invalid signal parameters: [c d]")
	fails("reload=999", nil, "\nsignal \"reload\" 999: no such process")
	fails("reload=9*", []int{901, 902}, "\nsignal \"reload\" 901: no such process\nsignal \"reload\" 902: no such process")
	s := sender{find: func() ([]int, error) { return nil, errNoLookup }}
	if err := s.send("quit"); !errors.Is(err, errNoLookup) {
		t.Error(err)
	}
}

// Signals by name reach the one server that runs under the name of the sender,
// which here is one that nothing else on the machine has.
func TestSignalByName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pg"+strconv.Itoa(os.Getpid()))
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	program = name
	t.Cleanup(func() { program = os.Args[0] })
	send := func(value string) (int, string) {
		cmd := exec.Command(name, "--signal", value)
		cmd.Env = append(os.Environ(), actAsServer+"=1")
		out, err := cmd.CombinedOutput()
		var status *exec.ExitError
		if err != nil && !errors.As(err, &status) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	expectSent := func(value string, status int, output string) {
		t.Helper()
		if code, out := send(value); code != status || out != output {
			t.Errorf("%s: status %d, %q; want %d, %q", value, code, out, status, output)
		}
	}
	expectSent("quit", 1, "nats-server: no nats-server processes running\n")
	c := startChild(t)
	c.waitLog(`Server is ready\n`)
	expectSent("reopen", 0, "")
	c.waitLog(`File log re-open ignored`)
	other := startChild(t)
	other.waitLog(`Server is ready\n`)
	ids := []int{c.cmd.Process.Pid, other.cmd.Process.Pid}
	slices.Sort(ids)
	expectSent("quit", 1, fmt.Sprintf("nats-server: multiple nats-server processes running:\n%d\n%d\n", ids[0], ids[1]))
	expectSent("quit="+strconv.Itoa(other.cmd.Process.Pid), 0, "")
	if status, _ := other.waitEnd(); status != 0 {
		t.Errorf("status %d", status)
	}
	expectSent("stop=*", 0, "")
	if status, log := c.waitEnd(); status != -1 || strings.Contains(log, "Exiting") {
		t.Errorf("status %d, log %s", status, log)
	}
}
