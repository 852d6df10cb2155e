//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// signalWords are the commands of --signal.
var signalWords = map[string]syscall.Signal{
	"stop":   syscall.SIGKILL,
	"quit":   syscall.SIGINT,
	"term":   syscall.SIGTERM,
	"reopen": syscall.SIGUSR1,
	"reload": syscall.SIGHUP,
	"ldm":    syscall.SIGUSR2,
}

// sender sends signals to servers on this machine.
type sender struct {
	find func() ([]int, error) // process ids of the servers that run
	kill func(pid int, sig syscall.Signal) error
}

// sendSignal does what the value of --signal asks for.
func sendSignal(value string) error {
	return sender{find: findServers, kill: syscall.Kill}.send(value)
}

// send does what value asks for: a command, or "command=target" where target is a
// process id, the path of a file that has one, or the beginning of ids followed
// by an asterisk. Without a target there must be exactly one server.
func (s sender) send(value string) error {
	parts := strings.Split(value, "=")
	if len(parts) > 2 {
		return fmt.Errorf("invalid signal parameters: %v", parts[2:])
	}
	target := ""
	if len(parts) == 2 {
		target = readTarget(parts[1])
	}
	pids, err := s.targets(target)
	if err != nil {
		return err
	}
	sig, ok := signalWords[parts[0]]
	if !ok {
		return fmt.Errorf("unknown signal %q", parts[0])
	}
	var failures strings.Builder
	for _, pid := range pids {
		if err := s.kill(pid, sig); err != nil {
			fmt.Fprintf(&failures, "\nsignal %q %d: %s", parts[0], pid, err)
		}
	}
	if failures.Len() > 0 {
		return errors.New(failures.String())
	}
	return nil
}

// readTarget returns what the file that text names contains, else text.
func readTarget(text string) string {
	if content, err := os.ReadFile(text); err == nil {
		return strings.TrimSpace(string(content))
	}
	return text
}

// targets returns the processes that target means.
func (s sender) targets(target string) ([]int, error) {
	prefix, isPattern := strings.CutSuffix(target, "*")
	if prefix != "" {
		// Zero and negative ids are groups of processes, and not of servers.
		pid, err := strconv.Atoi(prefix)
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("invalid pid: %s", prefix)
		}
		if !isPattern {
			return []int{pid}, nil
		}
	}
	pids, err := s.find()
	if err != nil {
		return nil, err
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("no %s processes running", programName)
	}
	if len(pids) > 1 && !isPattern {
		list := fmt.Sprintf("multiple %s processes running:", programName)
		for _, pid := range pids {
			list += "\n" + strconv.Itoa(pid)
		}
		return nil, errors.New(list)
	}
	var matching []int
	for _, pid := range pids {
		if strings.HasPrefix(strconv.Itoa(pid), prefix) {
			matching = append(matching, pid)
		}
	}
	return matching, nil
}

// errNoLookup is the reference's text for a machine that does not tell what runs.
var errNoLookup = errors.New("unable to resolve pid, try providing one")
