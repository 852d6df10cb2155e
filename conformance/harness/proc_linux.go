package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// endWithParent asks the kernel to kill the server when the test process dies.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// RSS is the resident memory in bytes.
func (s *Server) RSS() int64 { return s.statusBytes("VmRSS:") }

// PeakRSS is the largest resident memory since the start, in bytes.
func (s *Server) PeakRSS() int64 { return s.statusBytes("VmHWM:") }

func (s *Server) statusBytes(key string) int64 {
	s.tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		s.tb.Fatalf("%s: %v\n%s", s.Seat, err, s.Log.Tail(30))
	}
	for line := range bytes.Lines(data) {
		rest, found := bytes.CutPrefix(line, []byte(key))
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
		if err != nil {
			s.tb.Fatalf("%s: %s: %v", s.Seat, key, err)
		}
		return kib << 10
	}
	s.tb.Fatalf("%s: no %s in /proc status", s.Seat, key)
	return 0
}

// FDs is the number of open descriptors.
func (s *Server) FDs() int {
	s.tb.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		s.tb.Fatalf("%s: %v\n%s", s.Seat, err, s.Log.Tail(30))
	}
	return len(entries)
}
