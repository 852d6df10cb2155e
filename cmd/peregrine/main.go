package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// programName starts every message that is not a log line. Scripts match on it.
const programName = "nats-server"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run does what args ask for and returns the exit status. Secrets in args are
// overwritten: pages for debugging show the program's arguments.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(args[1:], stdout, stderr)
		}
	}
	s, rest, err := parse(args)
	if err != nil {
		fmt.Fprintln(stderr, err)
		printUsage(stdout)
		return 0
	}
	redactArguments(args)
	switch {
	case s.version:
		return printVersion(stdout)
	case s.help:
		return printUsage(stdout)
	case s.helpTLS:
		return printTLSHelp(stdout)
	}
	if len(rest) > 0 {
		switch strings.ToLower(rest[0]) {
		case "version":
			return printVersion(stdout)
		case "help":
			return printUsage(stdout)
		}
		return refuse(stderr, fmt.Errorf("unrecognized command: %q", rest[0]))
	}
	if err := s.check(); err != nil {
		return refuse(stderr, err)
	}
	switch {
	case s.signal != "":
		if err := sendSignal(s.signal); err != nil {
			return refuse(stderr, err)
		}
		return 0
	case s.checkOnly:
		return s.checkFile(stderr)
	}
	return serve(s, stderr)
}

// refuse reports why the program does not start.
func refuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "%s: %v\n", programName, err)
	return 1
}
