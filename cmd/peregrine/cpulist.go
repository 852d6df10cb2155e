package main

import (
	"fmt"
	"strconv"
	"strings"
)

// cpuMax bounds the numbers of a CPU list, and so the size of a range.
const cpuMax = 1023

// parseCPUs reads a list such as "0,2-5". The order is kept: the first loop gets
// the first processor.
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	var seen [cpuMax + 1]bool
	for part := range strings.SplitSeq(list, ",") {
		first, last, err := parseCPURange(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", list, err)
		}
		for cpu := first; cpu <= last; cpu++ {
			if seen[cpu] {
				return nil, fmt.Errorf("%q: CPU %d is named twice", list, cpu)
			}
			seen[cpu] = true
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func parseCPURange(part string) (first, last int, err error) {
	from, to, isRange := strings.Cut(part, "-")
	if first, err = parseCPU(from); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return first, first, nil
	}
	if last, err = parseCPU(to); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("the range %s runs backwards", part)
	}
	return first, last, nil
}

func parseCPU(s string) (int, error) {
	if s == "" {
		return 0, fmt.Errorf("a CPU number is missing")
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n > cpuMax {
		return 0, fmt.Errorf("%q is no CPU number from 0 to %d", s, cpuMax)
	}
	return int(n), nil
}
