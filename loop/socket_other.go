//go:build !linux

package loop

import (
	"io"

	gio "github.com/panjf2000/gnet/v2/pkg/io"
	"golang.org/x/sys/unix"
)

func writev(fd int, iov [][]byte) (n int, err error) {
	total := 0
	for _, b := range iov {
		total += len(b)
	}
	for {
		n, err = gio.Writev(fd, iov)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, ErrAgain
		case err != nil:
			return 0, err
		case n < total:
			return n, ErrAgain
		default:
			return n, nil
		}
	}
}

func read(fd int, b []byte) (n int, err error) {
	for {
		n, err = unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, ErrAgain
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
