//go:build race

package engine

// raced makes long tests take larger steps: under the race detector they are for
// races only.
const raced = true
