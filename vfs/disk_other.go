//go:build unix && !linux

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// directFlag is the open mode that asks for direct I/O, 0 where there is none.
const directFlag = 0

func directWorks(*os.File) bool { return false }

func refusesDirect(error) bool { return false }

func clearDirect(int) error { return unix.ENOTSUP }

// fdatasync is fsync where the cheaper call is missing or weaker.
func fdatasync(fd int) error { return unix.Fsync(fd) }

func allocate(int, int64, int64) error { return unix.ENOTSUP }

func cannotAllocate(err error) bool { return errors.Is(err, unix.ENOTSUP) }
