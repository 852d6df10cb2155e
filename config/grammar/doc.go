// Package grammar reads the configuration language of nats-server into a tree.
//
// # Words
//
// A file is a sequence of keys with values. A value is a string, a bool, an
// integer, a float, a time, a list or a map; a map is keys with values again. A
// reference ($NAME as a whole value) stands for the value of an earlier key in
// the enclosing maps, innermost first, else for a variable of the environment,
// whose text is read as a value. "include FILE" puts the keys of another file
// in its place.
//
// # Ownership
//
// Parse returns a tree that nothing here keeps. References share the lists and
// maps they stand for, so a tree is to be read, not changed.
//
// # Invariants
//
//	I1 Every value knows the file, line and column that the reference server
//	   names for it: those of its key in a map, its own in a list.
//	I2 The same bytes, files and variables give the same tree, in file order.
//	I3 Whatever the bytes are, Parse ends with a tree or an error, within Limits.
//	I4 Digest depends on keys and values alone, and is the reference's.
//
// # Positions
//
// Lines count from 1. Columns count bytes, from 0 on the first line and from 1 on
// the others. A list or map inside a list has the place behind its closing
// bracket, a quoted string the place behind its opening quote, a string with
// escapes a place that is off by the bytes its escapes save. All of this is what
// the reference says too, and scripts read it.
//
// # Oddities kept
//
// A server that refuses what the other accepts is no replacement, so the grammar
// has its lexer's habits. The ones that surprise: an integer directly before "]"
// swallows it; "key }" inside a map gives the key the map itself as value;
// a number with an unknown suffix such as 1kbb sets nothing; a NUL byte counts as
// the end of the file at some places and of a value at others; a quote that opens
// at the very end of a file ends it in silence; a stray "/" before a key of a map
// or behind a value is dropped.
//
// # Failure
//
// Errors are *Error: the text the reference prints, and the place. Not in the
// reference, which would run until memory ends: files that include themselves,
// and Limits on bytes, depth and number of values.
//
// # Sources
//
// The running nats-server 2.15.2, compared value by value and error by error on
// the corpus in config/testdata and on random input.
package grammar
