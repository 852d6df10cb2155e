//go:build !linux

package loop

import (
	"errors"
	"runtime"
)

var errNoPinning = errors.New("pinning to CPUs is not supported on " + runtime.GOOS)

// CheckCPU reports that this system cannot pin.
func CheckCPU(int) error { return errNoPinning }

func pinThread(int) error { return errNoPinning }
