package main

// action is what a signal asks for.
type action uint8

const (
	actionQuit     action = iota + 1 // stop now
	actionTerm                       // stop now, unless already leaving
	actionLameDuck                   // leave gently
	actionReopen                     // re-open the log file
	actionReload                     // read the configuration again
)
