//go:build !linux

package bench

import "time"

func pacingThread() func() { return func() {} }

// sleepUntil returns no earlier than at, in nanotime's units.
func sleepUntil(at int64) { time.Sleep(time.Duration(at - nanotime())) }
