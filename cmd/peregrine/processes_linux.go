package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// findServers returns the ids of the processes that run under the name of this
// one, this one excluded, and that are not sub-commands.
func findServers() ([]int, error) {
	own, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return nil, errNoLookup
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, errNoLookup
	}
	var pids []int
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ends meanwhile cannot be read any more.
		name, err := os.ReadFile(filepath.Join(folder, "comm"))
		if err != nil || !bytes.Equal(name, own) {
			continue
		}
		args, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err == nil && len(args) > 0 && !isSubCommand(args) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// isSubCommand reports whether a command line, each argument ended by a NUL,
// is that of something other than a server.
func isSubCommand(args []byte) bool {
	parts := bytes.Split(args, []byte{0})
	if len(parts) < 2 {
		return false
	}
	_, ok := commands[string(parts[1])]
	return ok
}
