//go:build unix && !linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// findServers returns the ids of the processes that run under the name of this
// one, this one excluded.
func findServers() ([]int, error) {
	output, err := exec.Command("pgrep", "-x", filepath.Base(os.Args[0])).Output()
	var none *exec.ExitError // the status of pgrep when it finds nothing
	if err != nil && !errors.As(err, &none) {
		return nil, errNoLookup
	}
	var pids []int
	for _, word := range strings.Fields(string(output)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, errNoLookup
		}
		if pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
