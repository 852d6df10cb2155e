package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// directFlag is the open mode that asks for direct I/O, 0 where there is none.
const directFlag = unix.O_DIRECT

// directWorks tells whether f takes transfers aligned to BlockSize. Kernels that
// cannot say are believed until a transfer fails.
func directWorks(f *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return true
	}
	return st.Dio_offset_align != 0 && st.Dio_offset_align <= BlockSize && st.Dio_mem_align <= BlockSize
}

func refusesDirect(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// clearDirect turns direct I/O off for an open descriptor.
func clearDirect(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_DIRECT)
	return err
}

func fdatasync(fd int) error { return unix.Fdatasync(fd) }

func allocate(fd int, off, n int64) error {
	for {
		if err := unix.Fallocate(fd, 0, off, n); err != unix.EINTR {
			return err
		}
	}
}

func cannotAllocate(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}
