// Command compare runs the benchmark on two servers: Peregrine as this working
// tree has it, and the reference as this module's go.mod names it.
//
//	compare [-a PATH] [-b PATH] [-base COMMIT|REPORT.json] [-micro ROUNDS [-packages LIST]] [flags of peregrine bench]
//
// Binaries that are not named are built first. With -base COMMIT seat B is
// Peregrine of that commit and the run ends with a table of changes; -micro adds
// the micro-benchmarks of both trees, compared by benchstat: of all packages that
// have some, or of LIST, folders separated by blanks. With -base REPORT.json the
// run ends with the drift of the ratios since then.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"peregrine/internal/bench"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bench" { // the generator starting itself
		os.Exit(bench.Main(os.Args[2:], os.Stdout, os.Stderr))
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	own, rest := split(args, "a", "b", "base", "micro", "packages")
	rounds, err := microRounds(own["micro"])
	if err != nil {
		return 2, err
	}
	if rounds > 0 && (own["base"] == "" || strings.HasSuffix(own["base"], ".json")) {
		return 2, errors.New("-micro compares with a commit: give -base COMMIT too")
	}
	dir, err := os.MkdirTemp("", "peregrine-bench-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	seats, err := prepare(dir, own)
	if err != nil {
		return 1, err
	}
	if rounds > 0 {
		t := trees{base: seats.baseTree, fresh: seats.tree}
		if err := micro(os.Stdout, dir, t, rounds, strings.Fields(own["packages"])); err != nil {
			return 1, err
		}
		fmt.Println()
	}
	return bench.Main(append(seats.flags, rest...), os.Stdout, os.Stderr), nil
}

// split takes the named flags, in any of their spellings, out of args.
func split(args []string, names ...string) (own map[string]string, rest []string) {
	own = map[string]string{}
next:
	for i := 0; i < len(args); i++ {
		word, value, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		for _, name := range names {
			if word != name || !strings.HasPrefix(args[i], "-") {
				continue
			}
			if !joined && i+1 < len(args) {
				i++
				value = args[i]
			}
			own[name] = value
			continue next
		}
		rest = append(rest, args[i])
	}
	return own, rest
}
