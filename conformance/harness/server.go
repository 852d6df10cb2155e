package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience turns a hang into a failure. It is generous because machines that
// run these tests may be busy or stand still for a while; nothing waits that long
// when all is well.
const Patience = 2 * time.Minute

// Server is one server process. Addr is its client address, Monitor its HTTP
// address or empty.
type Server struct {
	Seat    Seat
	Addr    string
	Monitor string
	Log     *Log // standard error
	Output  *Log // standard output

	tb     testing.TB
	cmd    *exec.Cmd
	exited chan struct{} // closed after code is set
	code   int

	mu       sync.Mutex
	expected bool // someone asked for the end
}

// ConfigFile returns the path that -c gave, empty if none.
func (s *Server) ConfigFile() string {
	if i := slices.Index(s.cmd.Args, "-c"); i >= 0 && i+1 < len(s.cmd.Args) {
		return s.cmd.Args[i+1]
	}
	return ""
}

// Start runs the seat's server on a free loopback port with the flags added,
// and returns when it listens. Later flags win, so a test may give its own -p.
// The server is ended at the end of the test.
func Start(tb testing.TB, seat Seat, flags ...string) *Server {
	tb.Helper()
	s, err := TryStart(tb, seat, flags...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TryStart is Start for tests that can do something about a failure.
func TryStart(tb testing.TB, seat Seat, flags ...string) (*Server, error) {
	tb.Helper()
	s := Launch(tb, seat, append([]string{"-a", "127.0.0.1", "-p", "-1"}, flags...)...)
	match, ok := s.Log.Await(`Listening for client connections on (\S+:\d+)$`, Patience)
	if !ok {
		s.Kill()
		return nil, fmt.Errorf("%s does not listen: %s\n%s", seat, s.Log.Tail(20), s.Output.Tail(20))
	}
	s.Addr = match[1]
	if _, ok := s.Log.Await(`Server is ready$`, Patience); !ok {
		s.Kill()
		return nil, fmt.Errorf("%s is never ready: %s", seat, s.Log.Tail(20))
	}
	for _, line := range s.Log.Lines() {
		if m := monitorLine.FindStringSubmatch(line); m != nil {
			s.Monitor = m[1]
		}
	}
	return s, nil
}

// Launch runs the seat's binary with exactly these arguments and does not wait
// for anything.
func Launch(tb testing.TB, seat Seat, args ...string) *Server {
	tb.Helper()
	return Run(tb, seat, append([]string{Binary(tb, seat)}, args...)...)
}

// Run is Launch for a command of the test's own that becomes the seat's server:
// a copy of the binary, or one that does something first.
func Run(tb testing.TB, seat Seat, command ...string) *Server {
	tb.Helper()
	s := &Server{Seat: seat, Log: newLog(), Output: newLog(), tb: tb, exited: make(chan struct{})}
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Env = append(os.Environ(), "NO_COLOR=1")
	endWithParent(s.cmd)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := startProcess(s.cmd); err != nil {
		tb.Fatalf("%s: start %s: %v", seat, command[0], err)
	}
	tb.Cleanup(s.cleanup)

	var readers sync.WaitGroup
	readers.Go(func() { s.Log.consume(stderr) })
	readers.Go(func() { s.Output.consume(stdout) })
	go func() {
		readers.Wait() // Wait closes the pipes, so read them to the end first
		_ = s.cmd.Wait()
		s.code = s.cmd.ProcessState.ExitCode()
		close(s.exited)
	}()
	return s
}

// startProcess starts cmd on a thread that lives as long as this process: the
// parent-death signal is tied to the thread that forked, not to the process.
func startProcess(cmd *exec.Cmd) error {
	forkerOnce.Do(func() {
		go func() {
			runtime.LockOSThread()
			for job := range forkJobs {
				job.done <- job.cmd.Start()
			}
		}()
	})
	job := forkJob{cmd: cmd, done: make(chan error, 1)}
	forkJobs <- job
	return <-job.done
}

type forkJob struct {
	cmd  *exec.Cmd
	done chan error
}

var (
	forkerOnce sync.Once
	forkJobs   = make(chan forkJob)
)

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// URL is the address in the form clients take.
func (s *Server) URL() string { return "nats://" + s.Addr }

// Port is the client port.
func (s *Server) Port() int {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// Signal sends sig; after any but SIGUSR1 and SIGHUP the server may end. A server
// that has gone is not an error: the test finds out by its exit code.
func (s *Server) Signal(sig os.Signal) {
	if sig != syscall.SIGUSR1 && sig != syscall.SIGHUP {
		s.expectEnd()
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Errorf("%s: signal %v: %v", s.Seat, sig, err)
	}
}

// Exit waits for the process to end by itself and returns its exit code, −1
// when a signal killed it. It fails the test after Patience.
func (s *Server) Exit() int {
	s.tb.Helper()
	s.expectEnd()
	select {
	case <-s.exited:
		return s.code
	case <-time.After(Patience):
		s.tb.Fatalf("%s did not exit\n%s", s.Seat, s.Log.Tail(20))
		return 0
	}
}

// Exited is closed when the process has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Stop ends the server in the graceful way and returns its exit code.
func (s *Server) Stop() int {
	s.tb.Helper()
	s.Signal(os.Interrupt)
	return s.Exit()
}

// Kill ends the process at once and waits until it has gone.
func (s *Server) Kill() {
	s.expectEnd()
	_ = s.cmd.Process.Kill() // fails only when it has gone already
	<-s.exited
}

func (s *Server) expectEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected = true
}

func (s *Server) cleanup() {
	s.mu.Lock()
	expected := s.expected
	s.mu.Unlock()
	select {
	case <-s.exited:
		if !expected {
			s.tb.Errorf("%s died by itself, exit code %d\n%s", s.Seat, s.code, s.Log.Tail(60))
		}
	default:
		s.Kill()
	}
	if s.tb.Failed() {
		s.tb.Logf("%s log, newest lines:\n%s", s.Seat, s.Log.Tail(30))
	}
}

// AwaitCount waits until n lines of the log match pattern, and fails the test
// after Patience.
func (s *Server) AwaitCount(pattern string, n int) {
	s.tb.Helper()
	Poll(s.tb, fmt.Sprintf("%s: %d log lines that match %q", s.Seat, n, pattern), func() bool { return s.Log.Count(pattern) >= n })
}

// Await is Log.Await that fails the test.
func (s *Server) Await(pattern string) []string {
	s.tb.Helper()
	match, ok := s.Log.Await(pattern, Patience)
	if !ok {
		s.tb.Fatalf("%s: no log line matches %q\n%s", s.Seat, pattern, s.Log.Tail(30))
	}
	return match
}
