package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cpuMax bounds CPU numbers, and so the size of a range.
const cpuMax = 1023

// ParseCPUs reads a list of CPUs such as "0,2-5", each named once. The order is
// kept: the first loop gets the first CPU.
func ParseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, errFirst := strconv.ParseUint(low, 10, 16)
		last, errLast := strconv.ParseUint(high, 10, 16)
		if errFirst != nil || errLast != nil || first > last || last > cpuMax {
			return nil, fmt.Errorf("%q: %q is neither a CPU from 0 to %d nor a range of them", list, part, cpuMax)
		}
		for cpu := int(first); cpu <= int(last); cpu++ {
			if slices.Contains(cpus, cpu) {
				return nil, fmt.Errorf("%q: CPU %d is named twice", list, cpu)
			}
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
