package loop

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckCPU reports an error if this process may not run on cpu.
func CheckCPU(cpu int) error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("reading the CPU affinity: %w", err)
	}
	if cpu < 0 || cpu >= 1024 || !set.IsSet(cpu) {
		return fmt.Errorf("CPU %d is not there, or this process may not use it (usable: %s)", cpu, cpuList(&set))
	}
	return nil
}

// pinThread binds the calling thread to cpu. The goroutine must be locked to it.
func pinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pinning to CPU %d: %w", cpu, err)
	}
	return nil
}

// cpuList writes a set as the kernel does: 0-3,8.
func cpuList(set *unix.CPUSet) string {
	s := ""
	for i := 0; i < 1024; i++ {
		if !set.IsSet(i) {
			continue
		}
		j := i
		for j+1 < 1024 && set.IsSet(j+1) {
			j++
		}
		if s != "" {
			s += ","
		}
		if s += fmt.Sprint(i); j > i {
			s += fmt.Sprintf("-%d", j)
		}
		i = j
	}
	return s
}
