package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPU is processor time, split as the kernel splits it.
type CPU struct{ User, Sys time.Duration }

func (c CPU) total() time.Duration { return c.User + c.Sys }

func (c CPU) minus(d CPU) CPU { return CPU{User: c.User - d.User, Sys: c.Sys - d.Sys} }

// selfCPU is what this process has used.
func selfCPU() CPU {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return CPU{}
	}
	return CPU{User: time.Duration(u.Utime.Nano()), Sys: time.Duration(u.Stime.Nano())}
}
