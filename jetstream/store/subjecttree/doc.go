// Package subjecttree maps subjects to values and finds them by pattern.
//
// # Words
//
// A subject is a string; a pattern is a subject whose tokens may be the partial
// (`*`) or full (`>`) wildcard. The tree is an adaptive radix tree: an inner node
// has the bytes that all subjects below it share (prefix), the leaf of the subject
// that ends there, and children by their next byte in one of four sizes.
//
//	orders.eu.1, orders.eu.2, orders.us.1
//
//	["orders."] ─e─▶ ["u."] ─1─▶ orders.eu.1
//	             │          └2─▶ orders.eu.2
//	             └u─▶ orders.us.1
//
// # Ownership
//
// One goroutine owns a Tree. Values are reached by pointers into it, which are
// good until their subject is deleted.
//
// # Invariants
//
//	I1 Walks are in the byte order of subjects.
//	I2 A match visits a node only if some subject below it may match as far as the
//	   node's path tells: a literal pattern costs its own length.
//	I3 An inner node has two or more ways on; the tree does not depend on the
//	   order of insertions and deletions, except for the size of nodes.
//
// # Failure
//
// None: any bytes are a subject. Depth is bounded by the longest subject.
//
// # Sources
//
// Leis, Kemper, Neumann: The Adaptive Radix Tree, ICDE 2013.
package subjecttree
