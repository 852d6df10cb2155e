package bench

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// pacingThread prepares the calling goroutine for sleepUntil: its thread gets
// the kernel's finest timer slack. The returned function undoes the lock.
func pacingThread() func() {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return runtime.UnlockOSThread
}

// sleepUntil returns no earlier than at, in nanotime's units.
func sleepUntil(at int64) {
	for d := at - nanotime(); d > 0; d = at - nanotime() {
		ts := unix.NsecToTimespec(d)
		unix.Nanosleep(&ts, nil)
	}
}
