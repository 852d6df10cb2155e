package main

import (
	"os"
	"strconv"
)

// pidFileMode keeps the file to its owner, as the reference does.
const pidFileMode = 0o600

// writePIDFile writes the process id, decimal, without a newline. The file stays
// when the server ends: scripts remove it.
func writePIDFile(path string) error {
	return os.WriteFile(path, strconv.AppendInt(nil, int64(os.Getpid()), 10), pidFileMode)
}
