package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"peregrine/config"
)

const configUsage = `
Usage: peregrine config check <file>
       peregrine config show [-all] [options of the server]
       peregrine config explain <key>

check    Says all that stands against starting with a file: what -t says, options
         that do not go together, parts that this version does not have. Ends with
         status 0 if there is nothing, 1 otherwise.
show     Lists the options that a server started with the same command line would
         have, each with the place that set it; -all adds the defaults.
explain  Says what a key means, its values and its default, and what a reload does
         with it. A key is a name such as max_payload or a path such as
         cluster.pool_size.

`

// configCommand is the sub-command about configurations.
func configCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		rest := args[1:]
		switch {
		case args[0] == "check" && len(rest) == 1:
			return configCheck(rest[0], stdout)
		case args[0] == "explain" && len(rest) == 1:
			return configExplain(rest[0], stdout, stderr)
		case args[0] == "show":
			return configShow(rest, stdout, stderr)
		}
	}
	io.WriteString(stdout, configUsage)
	return 0
}

func configCheck(path string, stdout io.Writer) int {
	v := config.CheckFile(path, config.Env{})
	if v.Options != nil {
		v.Missing = missing(v.Options)
	}
	v.Write(stdout)
	if !v.OK() {
		return 1
	}
	fmt.Fprintf(stdout, "%s: fine (%s)\n", path, v.Options.Digest)
	return 0
}

func configExplain(key string, stdout, stderr io.Writer) int {
	if err := config.Explain(stdout, key); err != nil {
		return refuse(stderr, err)
	}
	return 0
}

func configShow(args []string, stdout, stderr io.Writer) int {
	isAll := func(arg string) bool { return arg == "-all" || arg == "--all" }
	all := slices.ContainsFunc(args, isAll)
	s, rest, err := parse(slices.DeleteFunc(slices.Clone(args), isAll))
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unrecognized command: %q", rest[0])
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return refuse(stderr, err)
	}
	o, _, err := s.merge()
	if err != nil {
		return refuse(stderr, err)
	}
	o.Show(stdout, all)
	// What is shown could not be started with: say so.
	if lines := missing(o); len(lines) > 0 {
		return refuse(stderr, errors.New(joinRefusals(lines)))
	}
	return 0
}
