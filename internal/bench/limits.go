package bench

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNeedsProcess is returned by scenarios that look into the server's process
// when only its address is known.
var ErrNeedsProcess = errors.New("needs the server's process: give --pid, or let the benchmark start the server")

// ErrSkipped marks a scenario that this machine or this server cannot run; the
// text says why.
var ErrSkipped = errors.New("skipped")

// allowFiles makes sure that n connections fit under the limit of open files,
// raising the soft limit if that is allowed.
func (r *run) allowFiles(n int) error {
	need := uint64(n + 200)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	if lim.Cur >= need {
		return nil
	}
	if lim.Max < need {
		return fmt.Errorf("%w: %d connections need %d open files, the limit is %d", ErrSkipped, n, need, lim.Max)
	}
	lim.Cur = lim.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
}
