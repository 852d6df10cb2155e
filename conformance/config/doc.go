// Package config compares what both servers say of configuration files: every
// file of config/testdata/corpus is given to both binaries with -t.
//
// Texts, places and digests must be the same; the files that are an exception
// are listed, with the reason, in config/testdata/exceptions.txt. What counts as
// the same is decided by peregrine/config/corpus, the one package of the product's
// module that these tests use. It knows nothing of the product.
//
// # Invariants
//
//	I1 binaries answer, not libraries: each answer is a process of its own
//	I2 the reference may answer differently each time where the keys of a map
//	   contradict each other: one answer that equals ours is enough
package config
