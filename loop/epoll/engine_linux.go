package epoll

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"peregrine/loop"
)

const (
	// looks is how often nothing must be found before the engine waits.
	looks = 3
	// busyBytes is what one read or write moves when there is load: then the
	// next event is near.
	busyBytes = 16 << 10
	// busyWaits is how many waits that makes the engine busy for.
	busyWaits = 64
	// busyWait bounds a wait that the scheduler does not know of, in
	// milliseconds.
	busyWait = 1

	eventsMin = 128
	eventsMax = 4096
)

// Engine implements loop.Engine.
type Engine struct {
	poll   int // epoll
	bell   int // eventfd, edge-triggered: it is never read
	ev     loop.Events
	fds    []interest // by descriptor
	events []unix.EpollEvent
	busy   int // waits until the engine is not busy any more
}

// interest is what is registered for a descriptor.
type interest struct {
	known       bool
	read, write bool
}

// New opens an epoll instance and its bell.
func New() (loop.Engine, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(poll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &Engine{poll: poll, bell: bell, events: make([]unix.EpollEvent, eventsMin)}
	err = unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Fd: int32(bell), Events: unix.EPOLLIN | unix.EPOLLET})
	if err != nil {
		_ = e.Close()
		return nil, os.NewSyscallError("epoll_ctl add", err)
	}
	return e, nil
}

// Run implements loop.Engine.
func (e *Engine) Run(ev loop.Events) error {
	e.ev = ev
	for {
		n, err := e.wait()
		if err != nil {
			return os.NewSyscallError("epoll_wait", err)
		}
		woken := false
		for i := range n {
			at := &e.events[i]
			if int(at.Fd) == e.bell {
				woken = true
			} else {
				e.event(int(at.Fd), at.Events)
			}
		}
		if woken {
			if err := ev.Woken(); err != nil {
				return err
			}
		}
		if n == len(e.events) && n < eventsMax {
			e.events = make([]unix.EpollEvent, 2*n)
		}
	}
}

// wait returns when there are events; doc.go says how.
func (e *Engine) wait() (n int, err error) {
	for range looks {
		if n, err = e.look(0); n > 0 || err != nil {
			return n, err
		}
	}
	if e.busy > 0 {
		e.busy--
		if n, err = e.look(busyWait); n > 0 || err != nil {
			return n, err
		}
		e.busy = 0
	}
	for {
		n, err = unix.EpollWait(e.poll, e.events, -1)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// look is epoll_wait for at most ms milliseconds, behind the scheduler's back.
// A signal ends it with nothing found.
func (e *Engine) look(ms int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.poll), uintptr(unsafe.Pointer(&e.events[0])),
		uintptr(len(e.events)), uintptr(ms), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

func (e *Engine) event(fd int, what uint32) {
	if fd >= len(e.fds) || !e.fds[fd].known {
		return
	}
	const broken = unix.EPOLLERR | unix.EPOLLHUP
	if what&(unix.EPOLLOUT|broken) != 0 && e.fds[fd].write {
		e.ev.Writable(fd)
	}
	// An error or a hang-up is what the next read returns, also on a paused
	// connection: level-triggered, it would be reported for ever.
	w := e.fds[fd]
	if !w.known || what&broken == 0 && !(w.read && what&unix.EPOLLIN != 0) {
		return
	}
	if b := e.ev.ReadBuffer(fd); b != nil {
		n, err := loop.ReadFD(fd, b)
		if err == loop.ErrAgain {
			return
		}
		e.note(n)
		e.ev.Received(fd, n, err)
	}
}

// note takes down that n bytes have moved.
func (e *Engine) note(n int) {
	if n >= busyBytes {
		e.busy = busyWaits
	}
}

// Wake implements loop.Engine. Any goroutine.
func (e *Engine) Wake() error {
	one := uint64(1)
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(e.bell), uintptr(unsafe.Pointer(&one)), 8)
		switch errno {
		case 0, unix.EAGAIN: // a full counter has rung
			return nil
		case unix.EINTR:
		default:
			return os.NewSyscallError("write", errno)
		}
	}
}

// Add implements loop.Engine.
func (e *Engine) Add(fd int) error {
	for fd >= len(e.fds) {
		e.fds = append(e.fds, make([]interest, max(64, len(e.fds)))...)
	}
	e.fds[fd] = interest{known: true}
	if err := e.set(fd, true, false); err != nil {
		e.fds[fd] = interest{}
		return err
	}
	return nil
}

// set makes (read, write) what is registered for fd. Nothing wanted is nothing
// registered: else a broken connection would be reported for ever.
func (e *Engine) set(fd int, read, write bool) error {
	w := &e.fds[fd]
	if w.read == read && w.write == write {
		return nil
	}
	op, name := unix.EPOLL_CTL_MOD, "epoll_ctl mod"
	switch {
	case !read && !write:
		op, name = unix.EPOLL_CTL_DEL, "epoll_ctl del"
	case !w.read && !w.write:
		op, name = unix.EPOLL_CTL_ADD, "epoll_ctl add"
	}
	ev := unix.EpollEvent{Fd: int32(fd)}
	if read {
		ev.Events |= unix.EPOLLIN
	}
	if write {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(e.poll, op, fd, &ev); err != nil {
		return os.NewSyscallError(name, err)
	}
	w.read, w.write = read, write
	return nil
}

// Remove implements loop.Engine.
func (e *Engine) Remove(fd int) error {
	err := e.set(fd, false, false)
	e.fds[fd] = interest{}
	return err
}

// Pause implements loop.Engine.
func (e *Engine) Pause(fd int) error { return e.set(fd, false, e.fds[fd].write) }

// Resume implements loop.Engine.
func (e *Engine) Resume(fd int) error { return e.set(fd, true, e.fds[fd].write) }

// Write implements loop.Engine.
func (e *Engine) Write(fd int, iov [][]byte) (int, error) {
	n, err := loop.WriteFD(fd, iov)
	e.note(n)
	if fd >= len(e.fds) || !e.fds[fd].known {
		return n, err // refused before it was added: its last bytes go out or not
	}
	if w := e.fds[fd]; (err == loop.ErrAgain) != w.write {
		if serr := e.set(fd, w.read, !w.write); serr != nil && (err == nil || err == loop.ErrAgain) {
			err = serr
		}
	}
	return n, err
}

// Close implements loop.Engine.
func (e *Engine) Close() error { return errors.Join(unix.Close(e.bell), unix.Close(e.poll)) }
