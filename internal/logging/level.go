package logging

// level is the severity of one line.
type level uint8

const (
	levelNotice level = iota
	levelWarn
	levelError
	levelFatal
	levelDebug
	levelTrace
)

// label is how a level shows: between the time and the text, for sinks and
// terminals, and as a word in JSON.
type label struct{ plain, coloured, word string }

// Colours are those of the reference, so that people read both logs alike.
var labels = [...]label{
	levelNotice: {"[INF] ", "[\x1b[32mINF\x1b[0m] ", "info"},
	levelWarn:   {"[WRN] ", "[\x1b[0;93mWRN\x1b[0m] ", "warn"},
	levelError:  {"[ERR] ", "[\x1b[31mERR\x1b[0m] ", "error"},
	levelFatal:  {"[FTL] ", "[\x1b[31mFTL\x1b[0m] ", "fatal"},
	levelDebug:  {"[DBG] ", "[\x1b[36mDBG\x1b[0m] ", "debug"},
	levelTrace:  {"[TRC] ", "[\x1b[33mTRC\x1b[0m] ", "trace"},
}
