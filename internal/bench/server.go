package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Target is a server under load.
type Target struct {
	Name string // seat name in reports
	Addr string // host:port
	PID  int    // 0: unknown, no figures about the process
	TLS  *tls.Config
	// Wire marks the bare relay that ceilings are measured against: it
	// forwards bytes without looking, so stamps mean nothing.
	Wire  bool
	login login
	// Patience is how long it may stay silent; 0: defaultPatience.
	Patience time.Duration
	exit     <-chan struct{} // closed when a process of ours has ended; else nil
	why      func() string   // what it said last
}

func (t *Target) patience() time.Duration {
	if t.Patience > 0 {
		return t.Patience
	}
	return defaultPatience
}

// Command is how to start a server.
type Command struct {
	Name      string // seat name in reports
	Path      string
	Lead      []string // arguments before the listen address
	Args      []string // arguments after it
	Env       []string // added to the environment
	CPUs      []int    // pin to these; empty: all
	Peregrine bool     // takes Peregrine's own flags
	Version   string   // as --version prints it
}

// process is a started server.
type process struct {
	Target
	cmd  *exec.Cmd
	done chan struct{}
	tail *tailBuffer
}

// startTimeout is how long a server may take until it greets a client.
const startTimeout = 10 * time.Second

// start runs c on a free loopback port and returns once it greets clients.
func (c Command) start(ctx context.Context, extra ...string) (*process, error) {
	var err error
	for range 3 { // the port may be taken between choosing and listening
		var p *process
		if p, err = c.startOnce(ctx, extra); err == nil {
			return p, nil
		}
		if ctx.Err() != nil || errors.Is(err, exec.ErrNotFound) {
			break
		}
	}
	return nil, err
}

func (c Command) startOnce(ctx context.Context, extra []string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := slices.Concat(c.Lead, []string{"-a", "127.0.0.1", "-p", strconv.Itoa(port)}, c.Args, extra)
	cmd := exec.Command(c.Path, args...)
	cmd.Env = append(os.Environ(), c.Env...)
	tail := &tailBuffer{}
	cmd.Stdout, cmd.Stderr = tail, tail
	dieWithParent(cmd)
	if err := onCPUs(c.CPUs, cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{}), tail: tail}
	p.Target = Target{
		Name: c.Name, PID: cmd.Process.Pid, exit: p.done, why: tail.last,
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	if err := p.awaitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) awaitReady(ctx context.Context) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	for {
		if c, err := net.DialTimeout("tcp", p.Addr, time.Second); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", p.Name, p.tail.last())
		case <-deadline.C:
			return fmt.Errorf("%s does not listen on %s after %v: %s", p.Name, p.Addr, startTimeout, p.tail.last())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the server, politely first, and waits until it is gone.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tailBuffer keeps the last 4 KiB that a server wrote.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if drop := len(t.b) - 4096; drop > 0 {
		t.b = append(t.b[:0], t.b[drop:]...)
	}
	return len(b), nil
}

// last returns the final lines, for an error message.
func (t *tailBuffer) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	if len(lines[0]) == 0 {
		return "it wrote nothing"
	}
	return string(bytes.Join(lines, []byte(" | ")))
}

// identify asks the binary who it is.
func (c *Command) identify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.Path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", c.Path, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	c.Version = line
	c.Peregrine = strings.Contains(line, "peregrine")
	if c.Name == "" {
		c.Name = "nats-server"
		if c.Peregrine {
			c.Name = "peregrine"
		}
	}
	return nil
}
