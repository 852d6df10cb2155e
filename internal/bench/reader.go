package bench

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// readBytes is the size of a reader thread's buffer: large enough that a
// saturated connection costs few system calls, small enough for the L2 cache.
const readBytes = 256 << 10

// wakeToken is the poller's name for the wake pipe.
const wakeToken = 1<<31 - 1

// reader is one thread that reads every connection it watches, whoever they
// belong to: one wake-up serves all that have data, as in a client built on an
// event loop. One reader serves hundreds of connections.
type reader struct {
	poll *poller
	wake [2]int // a pipe: a byte in it ends the thread
	stop atomic.Bool
	done sync.WaitGroup
	fail func(error)

	mu    sync.Mutex
	conns []*conn // by poller token
}

func newReader(fail func(error)) (*reader, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	r := &reader{poll: p, fail: fail}
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil {
		p.close()
		return nil, os.NewSyscallError("pipe", err)
	}
	unix.CloseOnExec(ends[0])
	unix.CloseOnExec(ends[1])
	r.wake = ends
	if err := p.add(r.wake[0], wakeToken); err != nil {
		return nil, err
	}
	r.done.Add(1)
	go r.run()
	return r, nil
}

// watch hands c's read side over; feed is called on the reader's thread.
func (r *reader) watch(c *conn, f feeder) error {
	c.feed = f
	if c.raw != nil {
		r.done.Add(1)
		go r.readTLS(c)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
	return r.poll.add(c.fd, len(r.conns)-1)
}

func (r *reader) run() {
	defer r.done.Done()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, readBytes)
	var ready []int
	for !r.stop.Load() {
		var err error
		ready, err = r.poll.wait(ready[:0], 1000)
		if err != nil {
			r.fail(err)
			return
		}
		for _, token := range ready {
			if token == wakeToken {
				return
			}
			r.mu.Lock()
			c := r.conns[token]
			r.mu.Unlock()
			if err := r.readOnce(c, buf); err != nil {
				r.poll.remove(c.fd)
				if !c.closing.Load() {
					r.fail(err)
				}
			}
		}
	}
}

func (r *reader) readOnce(c *conn, buf []byte) error {
	n, err := c.read(buf)
	if err != nil {
		return err
	}
	if n == 0 {
		return errClosed
	}
	return c.feed.feed(buf[:n], nanotime())
}

func (r *reader) readTLS(c *conn) {
	defer r.done.Done()
	buf := make([]byte, readBytes)
	for {
		n, err := c.read(buf)
		if err == nil {
			err = c.feed.feed(buf[:n], nanotime())
		}
		if err != nil {
			if !c.closing.Load() {
				r.fail(fmt.Errorf("read: %w", err))
			}
			return
		}
	}
}

// close ends the thread. Connections must have been hung up.
func (r *reader) close() {
	r.stop.Store(true)
	unix.Write(r.wake[1], []byte{0})
	r.done.Wait()
	r.poll.close()
	unix.Close(r.wake[0])
	unix.Close(r.wake[1])
}
