package main

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// readBytes is the buffer of a subscriber.
const readBytes = 128 << 10

// readAlone takes n bytes from one connection.
func readAlone(c net.Conn, n int64) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(struct{ io.Reader }{c}, n), make([]byte, readBytes))
	return err
}

// readTogether takes n bytes from each connection on one thread, which asks the
// kernel who has some.
func readTogether(conns []net.Conn, n int64) error {
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
			}
			if w.Revents = 0; missing[w.Fd] > 0 {
				rest = append(rest, w)
			}
		}
		waiting = rest
	}
	return nil
}
