package gnet

import (
	"errors"

	gerrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"

	"peregrine/loop"
)

// Engine implements loop.Engine.
type Engine struct {
	poller *netpoll.Poller
	ev     loop.Events
	fds    []interest // by descriptor
	chore  queue.Func
	end    error
}

// interest is what is registered for a descriptor.
type interest struct {
	known       bool
	read, write bool
}

// New opens a poller.
func New() (loop.Engine, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	e := &Engine{poller: p}
	e.chore = func(any) error {
		if err := e.ev.Woken(); err != nil {
			e.end = err
			return gerrors.ErrEngineShutdown
		}
		return nil
	}
	return e, nil
}

// Run implements loop.Engine.
func (e *Engine) Run(ev loop.Events) error {
	e.ev = ev
	err := e.poller.Polling(e.event)
	if errors.Is(err, gerrors.ErrEngineShutdown) && e.end != nil {
		return e.end
	}
	return err
}

func (e *Engine) event(fd int, event netpoll.IOEvent, flags netpoll.IOFlags) error {
	if fd >= len(e.fds) || !e.fds[fd].known {
		return nil
	}
	if netpoll.IsWriteEvent(event) && e.fds[fd].write {
		e.ev.Writable(fd)
	}
	// An error or a hang-up is what the next read returns, also on a paused
	// connection: level-triggered, it would be reported for ever.
	w := e.fds[fd]
	if broken := netpoll.IsErrorEvent(event, flags); !w.known || !(broken || w.read && netpoll.IsReadEvent(event)) {
		return nil
	}
	if b := e.ev.ReadBuffer(fd); b != nil {
		if n, err := loop.ReadFD(fd, b); err != loop.ErrAgain {
			e.ev.Received(fd, n, err)
		}
	}
	return nil
}

// Wake implements loop.Engine. Any goroutine.
func (e *Engine) Wake() error {
	return e.poller.Trigger(queue.HighPriority, e.chore, nil)
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

// set moves the registration of fd to (read, write) by the calls that the
// poller has: it can add and modify, but not take reading away from both.
func (e *Engine) set(fd int, read, write bool) (err error) {
	w := &e.fds[fd]
	if w.read == read && w.write == write {
		return nil
	}
	pa := netpoll.PollAttachment{FD: fd}
	registered := w.read || w.write
	switch {
	case !read && !write:
		err = e.poller.Delete(fd)
	case read && write && registered:
		err = e.poller.ModReadWrite(&pa, false)
	case read && write:
		err = e.poller.AddReadWrite(&pa, false)
	case read && registered:
		err = e.poller.ModRead(&pa, false)
	case read:
		err = e.poller.AddRead(&pa, false)
	default: // write only
		if registered {
			if err = e.poller.Delete(fd); err != nil {
				return err
			}
			*w = interest{known: w.known}
		}
		err = e.poller.AddWrite(&pa, false)
	}
	if err == nil {
		w.read, w.write = read, write
	}
	return err
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
func (e *Engine) Close() error { return e.poller.Close() }
