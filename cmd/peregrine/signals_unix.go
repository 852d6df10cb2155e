//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// signalMeanings are the signals this program answers. SIGQUIT is left to the Go
// runtime, which dumps goroutines.
var signalMeanings = map[os.Signal]action{
	syscall.SIGINT:  actionQuit,
	syscall.SIGTERM: actionTerm,
	syscall.SIGUSR1: actionReopen,
	syscall.SIGUSR2: actionLameDuck,
	syscall.SIGHUP:  actionReload,
}

// trapSignals delivers signals until the function it returns is called.
func trapSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 16)
	for sig := range signalMeanings {
		signal.Notify(c, sig)
	}
	return c, func() { signal.Stop(c) }
}
