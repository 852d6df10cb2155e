//go:build !linux

package bench

import (
	"errors"
	"time"
)

var errNoProc = errors.New("CPU and memory of another process are read from /proc, which this system lacks")

func readCPU(int) (CPU, error) { return CPU{}, errNoProc }

func readMemory(int) (now, peak int64, err error) { return 0, 0, errNoProc }

func machineCPU() (time.Duration, error) { return 0, errNoProc }
