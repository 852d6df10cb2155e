package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"peregrine/config"
)

// errNoCheckFile is the reference's text for -t without a file.
const errNoCheckFile = "must specify [-c, --config] option to check configuration file syntax"

// readFile reads the configuration file, if there is one. Warnings are no error.
func (s *settings) readFile() (*config.Options, []config.Problem, error) {
	if s.configFile == "" {
		return config.New(), nil, nil
	}
	return config.Load(s.configFile, config.Env{})
}

// checkFile does what -t asks for: it looks at the file alone, and a warning
// counts as an error.
func (s *settings) checkFile(stderr io.Writer) int {
	if s.configFile == "" {
		return refuse(stderr, errors.New(errNoCheckFile))
	}
	o, warnings, err := s.readFile()
	if err == nil && len(warnings) > 0 {
		err = &config.Problems{Warnings: warnings}
	}
	if err != nil {
		return refuse(stderr, err)
	}
	fmt.Fprintf(stderr, "%s: configuration file %s is valid (%s)\n", programName, o.File, o.Digest)
	return 0
}

// load makes the configuration to run with. What this version cannot do is
// refused.
func (s *settings) load() (*config.Options, []config.Problem, error) {
	o, warnings, err := s.merge()
	if err != nil {
		return nil, warnings, err
	}
	if lines := missing(o); len(lines) > 0 {
		return nil, warnings, errors.New(joinRefusals(lines))
	}
	return o, warnings, nil
}

// merge makes a configuration of the file, the flags on top of it, and defaults
// for the rest.
func (s *settings) merge() (*config.Options, []config.Problem, error) {
	o, warnings, err := s.readFile()
	if err != nil {
		return nil, warnings, err
	}
	if err := o.ApplyFlags(s.flags, config.Env{}); err != nil {
		return nil, warnings, err
	}
	if err := o.Complete(); err != nil {
		return nil, warnings, err
	}
	return o, warnings, nil
}

// joinRefusals makes one message of several, each of which refuse would begin
// with the name of the program.
func joinRefusals(lines []string) string { return strings.Join(lines, "\n"+programName+": ") }

// missing lists what o asks for and this version cannot do.
func missing(o *config.Options) []string { return append(o.Missing(), missingAccess(o)...) }
