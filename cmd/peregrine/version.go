package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"peregrine/server"
)

// ownVersion is Peregrine's version; builds from a repository add the revision.
const ownVersion = "0.1.0-dev"

// revisionLength is how much of a revision the reference shows.
const revisionLength = 7

// printVersion writes the line that scripts parse. The first two words are
// nats-server's.
func printVersion(w io.Writer) int {
	fmt.Fprintf(w, "%s: v%s (peregrine %s)\n", programName, server.Version, fullVersion())
	return 0
}

// fullVersion is ownVersion with the revision it was built from, if known.
func fullVersion() string {
	revision, modified := buildRevision()
	if revision == "" {
		return ownVersion
	}
	if modified {
		revision += ".dirty"
	}
	return ownVersion + "+" + revision
}

// buildRevision returns the first digits of the commit that the binary was built
// from, empty when the build did not record one.
func buildRevision() (revision string, modified bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", false
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(len(s.Value), revisionLength)]
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	return revision, modified
}
