package loop

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writev writes iov to a non-blocking socket. It bypasses the scheduler's
// bookkeeping (RawSyscall): the call cannot block. n < total comes with an
// error, ErrAgain if the socket is full.
func writev(fd int, iov [][]byte) (n int, err error) {
	var vecs [iovMax]unix.Iovec
	total, count := 0, 0
	for _, b := range iov {
		if len(b) == 0 {
			continue
		}
		vecs[count].Base = &b[0]
		vecs[count].SetLen(len(b))
		total += len(b)
		count++
	}
	if count == 0 {
		return 0, nil
	}
	for {
		var r uintptr
		var e unix.Errno
		if count == 1 {
			r, _, e = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(vecs[0].Base)), uintptr(total))
		} else {
			r, _, e = unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vecs[0])), uintptr(count))
		}
		switch {
		case e == unix.EINTR:
		case e == unix.EAGAIN:
			return 0, ErrAgain
		case e != 0:
			return 0, e
		case int(r) < total:
			return int(r), ErrAgain
		default:
			return int(r), nil
		}
	}
}

// read reads from a non-blocking socket like writev writes. n = 0 comes with
// an error, io.EOF when the peer has closed.
func read(fd int, b []byte) (n int, err error) {
	for {
		r, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case e == unix.EINTR:
		case e == unix.EAGAIN:
			return 0, ErrAgain
		case e != 0:
			return 0, e
		case r == 0:
			return 0, io.EOF
		default:
			return int(r), nil
		}
	}
}
