//go:build !linux

package bench

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// poller tells which descriptors can be read, by poll(2): linear in their
// number, which is enough to try the benchmarks where epoll is missing.
type poller struct {
	mu     sync.Mutex
	fds    []unix.PollFd
	tokens []int
}

func newPoller() (*poller, error) { return &poller{}, nil }

func (p *poller) add(fd, token int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	p.tokens = append(p.tokens, token)
	return nil
}

func (p *poller) remove(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.fds {
		if p.fds[i].Fd == int32(fd) {
			p.fds[i].Fd = -1
		}
	}
}

// wait appends the tokens of readable descriptors to dst; none after ms
// milliseconds. A descriptor added meanwhile is seen by the next call, so the
// wait is kept short.
func (p *poller) wait(dst []int, ms int) ([]int, error) {
	p.mu.Lock()
	fds := append([]unix.PollFd(nil), p.fds...)
	tokens := p.tokens[:len(fds)]
	p.mu.Unlock()
	if _, err := unix.Poll(fds, min(ms, 10)); err != nil && err != unix.EINTR {
		return dst, os.NewSyscallError("poll", err)
	}
	for i := range fds {
		if fds[i].Revents != 0 {
			dst = append(dst, tokens[i])
		}
	}
	return dst, nil
}

func (p *poller) close() {}
