package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// poller tells which descriptors can be read (level-triggered epoll).
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) add(fd, token int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(token)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev))
}

func (p *poller) remove(fd int) { unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wait appends the tokens of readable descriptors to dst; none after ms
// milliseconds.
func (p *poller) wait(dst []int, ms int) ([]int, error) {
	n, err := unix.EpollWait(p.fd, p.events[:], ms)
	if err != nil && err != unix.EINTR {
		return dst, os.NewSyscallError("epoll_wait", err)
	}
	for i := range max(n, 0) {
		dst = append(dst, int(p.events[i].Fd))
	}
	return dst, nil
}

func (p *poller) close() { unix.Close(p.fd) }
