package vfs

import (
	"runtime"
	"runtime/debug"
)

// Guard runs read, which touches mapped memory, and turns a fault on a page that
// the file no longer has into ErrFault instead of the end of the process. Other
// panics pass. Only the calling goroutine is guarded.
func Guard(read func()) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		switch r := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = ErrFault
		default:
			panic(r)
		}
	}()
	read()
	return nil
}
