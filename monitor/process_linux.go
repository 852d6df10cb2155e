package monitor

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processUsage returns the processor time used so far and the resident bytes.
// A figure that cannot be read is zero.
func processUsage() (used time.Duration, resident int64) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		used = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	// Pages: total, resident, shared, …
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return used, 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return used, 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return used, 0
	}
	return used, pages * int64(os.Getpagesize())
}
