// Package corpus compares what two servers say of a configuration file.
//
// # Words
//
// The corpus is the files of config/testdata/corpus; each has one thing to say,
// which its name tells. An outcome is what a server says of one with -t. Beside it,
// start has files that are refused at a start only, and reload.txt changes of a
// configuration while a server runs.
//
// # Use
//
// A test gives the files to nats-server -t and to Peregrine, as a library or as a
// binary, and lets Compare judge. It runs with the working directory
// config/testdata and the environment of Environ: files name others, and
// variables. The reference looks at the keys of a map in random order, so an
// outcome that differs is asked for again before it counts.
//
// # Invariants
//
//	I1 Compare forgives nothing but a place that the reference leaves out and the
//	   lines of a crash inside its checker.
package corpus
