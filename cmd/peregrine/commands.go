package main

import (
	"io"
	"slices"

	"peregrine/internal/bench"
)

// commands are the words that, as the first argument, make the program something
// other than a server.
var commands = map[string]func(args []string, stdout, stderr io.Writer) int{
	"bench":       bench.Main,
	"config":      configCommand,
	"healthcheck": healthcheck,
	"passwd":      passwd,
	"store":       storeCommand,
}

func commandNames() []string {
	names := []string{"help", "version"}
	for name := range commands {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
