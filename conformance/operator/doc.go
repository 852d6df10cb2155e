// Package operator compares what operators and their scripts see: flags, exit
// codes, output, signals, files, log lines and monitoring.
//
// Log lines are compared after the values that change between starts were given
// names. Peregrine may say more than the reference does, so its log must contain
// the reference's lines, in order; see missingLines.
package operator
