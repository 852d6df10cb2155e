package main

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// readBytes is the buffer of a subscriber.
const readBytes = 256 << 10

// window bounds the bytes of deliveries under way. A limit of 0 is no bound.
type window struct {
	limit int64
	mu    sync.Mutex // guards the rest
	room  sync.Cond
	under int64
	over  bool // nobody reads any more
}

func newWindow(limit int64) *window {
	w := &window{limit: limit}
	w.room.L = &w.mu
	return w
}

// add waits until n more bytes fit; once half of the window is free, not sooner.
func (w *window) add(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit > 0 && w.under+n > w.limit {
		for w.under > w.limit/2 && !w.over {
			w.room.Wait()
		}
	}
	w.under += n
}

// done says that n bytes have arrived.
func (w *window) done(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under -= n; w.under <= w.limit/2 {
		w.room.Broadcast()
	}
}

// end releases who waits, with the outcome of a reader: after an error nothing
// will arrive.
func (w *window) end(err error) error {
	if err != nil {
		w.mu.Lock()
		w.over = true
		w.room.Broadcast()
		w.mu.Unlock()
	}
	return err
}

// readAlone takes n bytes from one connection.
func readAlone(c net.Conn, n int64, under *window) error {
	buf := make([]byte, readBytes)
	for n > 0 {
		k, err := c.Read(buf)
		under.done(int64(k))
		if n -= int64(k); err != nil {
			return err
		}
	}
	return nil
}

// readTogether takes n bytes from each connection on one thread, which asks the
// kernel who has some.
func readTogether(conns []net.Conn, n int64, under *window) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var waiting []unix.PollFd
	missing := make(map[int32]int64)
	for _, c := range conns {
		p, err := newPlain(c)
		if err != nil {
			return err
		}
		defer p.close()
		waiting = append(waiting, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
		missing[int32(p.fd)] = n
	}
	buf := make([]byte, readBytes)
	for len(waiting) > 0 {
		switch k, err := unix.Poll(waiting, int(2*time.Minute/time.Millisecond)); {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case k == 0:
			return fmt.Errorf("no message for two minutes")
		}
		rest := waiting[:0]
		for _, w := range waiting {
			if w.Revents != 0 {
				k, err := unix.Read(int(w.Fd), buf)
				switch {
				case err == unix.EINTR:
				case err != nil:
					return err
				case k == 0:
					return io.ErrUnexpectedEOF
				}
				missing[w.Fd] -= int64(max(0, k))
				under.done(int64(max(0, k)))
			}
			if w.Revents = 0; missing[w.Fd] > 0 {
				rest = append(rest, w)
			}
		}
		waiting = rest
	}
	return nil
}
