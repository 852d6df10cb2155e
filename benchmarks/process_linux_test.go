package benchmarks

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait here; reaching it is a failure.
const patience = 60 * time.Second

// generator is a running "peregrine bench".
type generator struct {
	t       *testing.T
	cmd     *exec.Cmd
	temp    string // where it may keep files while it runs
	out     lockedBuffer
	done    chan struct{}
	running []server // every server seen so far
}

// server is a child of the generator.
type server struct{ pid, port int }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// generate starts the real binary; it is gone when the test ends.
func generate(t *testing.T, args ...string) *generator {
	t.Helper()
	g := &generator{t: t, temp: t.TempDir(), done: make(chan struct{})}
	g.cmd = exec.Command(binaries.peregrine, append([]string{"bench"}, args...)...)
	g.cmd.Env = append(os.Environ(), "TMPDIR="+g.temp, "PATH=/nonexistent")
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.out
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.cmd.Wait()
		close(g.done)
	}()
	t.Cleanup(func() {
		g.cmd.Process.Kill()
		<-g.done
	})
	return g
}

// await repeats look until it holds.
func (g *generator) await(what string, look func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !look(); {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not after %v; it said:\n%s", what, patience, g.out.String())
		}
		time.Sleep(2 * time.Millisecond) // the step between two looks
	}
}

// children notes the servers that the generator has started and are there now.
func (g *generator) children() (now []server) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // gone meanwhile
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // state, parent …
		if fields[1] != strconv.Itoa(g.cmd.Process.Pid) || fields[0] == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		words := strings.Split(string(line), "\x00")
		for i, w := range words[:len(words)-1] {
			if port, err := strconv.Atoi(words[i+1]); err == nil && w == "-p" {
				now = append(now, server{pid, port})
			}
		}
	}
	g.running = append(g.running, now...)
	return now
}

// exit waits for the end and checks code and words.
func (g *generator) exit(code int, words ...string) {
	g.t.Helper()
	g.await("the end", func() bool {
		select {
		case <-g.done:
			return true
		default:
			return false
		}
	})
	text := g.out.String()
	if got := g.cmd.ProcessState.ExitCode(); got != code {
		g.t.Errorf("exit code %d, want %d; it said:\n%s", got, code, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			g.t.Errorf("no word of %q in:\n%s", w, text)
		}
	}
}

// leavesNothing checks that no server lives, no port listens and no file is left.
func (g *generator) leavesNothing() {
	g.t.Helper()
	for _, s := range g.running {
		g.await("a server's end", func() bool { return errors.Is(syscall.Kill(s.pid, 0), syscall.ESRCH) })
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))); err == nil {
			c.Close()
			g.t.Errorf("port %d still listens", s.port)
		}
	}
	if left, err := os.ReadDir(g.temp); err != nil || len(left) > 0 {
		g.t.Errorf("files are left: %v %v", left, err)
	}
}

// Ctrl-C, at any moment: the exit code says so, and no process, port or file is
// left behind.
func TestInterruptLeavesNothing(t *testing.T) {
	t.Parallel()
	both := []string{"--reference", binaries.reference, "--pairs", "1", "--duration", "1h"}
	serves := func(program string) func(g *generator) bool {
		return func(g *generator) bool {
			for _, s := range g.children() {
				if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.pid)); exe == program {
					return true
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		name string
		args []string
		when func(g *generator) bool
		sig  syscall.Signal
	}{
		{"as a server starts", append(both, "--scenario", "1to1-16", "--no-ceiling"), func(g *generator) bool { return len(g.children()) > 0 }, syscall.SIGINT},
		{"during the ceiling", append(both, "--scenario", "fan100-128"), func(g *generator) bool { return len(g.children()) > 0 }, syscall.SIGINT},
		{"under load", append(both, "--scenario", "1to1-16", "--no-ceiling", "--server", binaries.reference), loaded, syscall.SIGINT},
		{"by SIGTERM", append(both, "--scenario", "rr1-64", "--no-ceiling"), loaded, syscall.SIGTERM},
		{"over TLS", append(both, "--scenario", "tls1to1-1k"), loaded, syscall.SIGINT},
		{"with a configuration", append(both, "--scenario", "imports-128"), loaded, syscall.SIGINT},
		{"in the other seat", []string{"--reference", binaries.reference, "--pairs", "1", "--scenario", "storm", "--duration", "2s", "--no-ceiling"},
			serves(binaries.reference), syscall.SIGINT},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := generate(t, c.args...)
			g.await("the moment", func() bool { return c.when(g) })
			g.cmd.Process.Signal(c.sig)
			g.exit(130, "interrupted; servers are stopped")
			g.leavesNothing()
		})
	}
}

// loaded says that a server has used a tenth of a second of CPU.
func loaded(g *generator) bool {
	for _, s := range g.children() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		if user+system >= 10 {
			return true
		}
	}
	return false
}

// Even a generator that is killed takes its servers along.
func TestKilledGeneratorTakesItsServersAlong(t *testing.T) {
	t.Parallel()
	g := generate(t, "--scenario", "1to1-16", "--duration", "1h", "--no-ceiling", "--pairs", "1")
	g.await("load", func() bool { return loaded(g) })
	g.cmd.Process.Kill()
	g.exit(-1)
	g.leavesNothing()
}

// A server that dies, or stops answering, ends the run with its name and a code.
func TestServerDiesOrHangs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario string
		sig      syscall.Signal
		words    string
	}{
		{"1to1-16", syscall.SIGKILL, "the server ended during the run"},
		{"rr16-64", syscall.SIGKILL, "the server ended during the run"},
		{"pub128", syscall.SIGTERM, "the server ended during the run"},
		{"lat10k-128", syscall.SIGKILL, "the server ended during the run"},
		{"tls1to1-1k", syscall.SIGKILL, "the server ended during the run"},
		{"storm", syscall.SIGKILL, "the server ended during the run"},
		{"1to1-128", syscall.SIGSTOP, "1to1-128 on peregrine: "},
		{"tls1to1-128", syscall.SIGSTOP, "tls1to1-128 on peregrine: "},
		{"rr1-64", syscall.SIGSTOP, "nothing has arrived for 1s"},
	} {
		t.Run(fmt.Sprint(c.scenario, " ", c.sig), func(t *testing.T) {
			t.Parallel()
			args := []string{"--scenario", c.scenario, "--duration", "1h", "--no-ceiling", "--pairs", "1"}
			if c.sig == syscall.SIGSTOP {
				args = append(args, "--patience", "1s")
			}
			g := generate(t, args...)
			g.await("load", func() bool { return loaded(g) })
			for _, s := range g.children() {
				if err := syscall.Kill(s.pid, c.sig); err != nil {
					t.Error(err)
				}
			}
			g.exit(1, "FAILED: ", c.words)
			g.leavesNothing()
		})
	}
}

// Servers that are not ours: one that dies, one that wants a password, one that
// never says a word.
func TestForeignServers(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, args ...string) (pid int, url string) {
		t.Helper()
		cmd := exec.Command(binaries.peregrine, append([]string{"-a", "127.0.0.1", "-p", "-1"}, args...)...)
		log := &lockedBuffer{}
		cmd.Stderr = log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		var port string
		(&generator{t: t}).await("listening", func() bool {
			_, after, found := strings.Cut(log.String(), "Listening for client connections on 127.0.0.1:")
			port, _, _ = strings.Cut(after, "\n")
			return found && strings.Contains(log.String(), "Server is ready")
		})
		return cmd.Process.Pid, "nats://127.0.0.1:" + port
	}
	t.Run("dies", func(t *testing.T) {
		t.Parallel()
		pid, url := serve(t)
		g := generate(t, "--url", url, "--pid", strconv.Itoa(pid), "--scenario", "1to1-16,rr1-64", "--duration", "1h", "--pairs", "1", "--no-ceiling")
		g.await("the run", func() bool { return strings.Contains(g.out.String(), "pair 1/1") })
		syscall.Kill(pid, syscall.SIGKILL)
		g.exit(1, "FAILED: 1to1-16 on ", "FAILED: ")
	})
	t.Run("wants a password", func(t *testing.T) {
		t.Parallel()
		_, url := serve(t, "--user", "u", "--pass", "p")
		generate(t, "--url", url, "--scenario", "1to1-16").exit(2, "Authorization Violation")
	})
	t.Run("is mute", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		generate(t, "--url", l.Addr().String(), "--scenario", "1to1-16", "--patience", "200ms").exit(2, "timed out waiting for the server")
	})
}
