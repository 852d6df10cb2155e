// Command compare runs the benchmark on two servers: Peregrine as this working
// tree has it, and the reference as this module's go.mod names it.
//
//	compare [-a PATH] [-b PATH] [-base COMMIT|REPORT.json] [flags of peregrine bench]
//
// Binaries that are not named are built first. With -base COMMIT seat B is
// Peregrine of that commit.
package main

import (
	"fmt"
	"os"
	"strings"

	"peregrine/internal/bench"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bench" { // the generator starting itself
		os.Exit(bench.Main(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	own, rest := split(args, "a", "b", "base")
	dir, err := os.MkdirTemp("", "peregrine-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	more, err := servers(dir, own)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		return 1
	}
	return bench.Main(append(more, rest...), os.Stdout, os.Stderr)
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
