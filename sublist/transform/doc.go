// Package transform turns subjects into other subjects: account mappings, mapped
// imports, stream transforms and republishing.
//
// # Words
//
// A Transform has a source, a pattern that subjects are matched against, and a
// destination, whose tokens are text, placeholders (`$1`, `{{wildcard(1)}}`) or
// functions of the source's wildcard tokens. A strict transform uses placeholders
// only, and all of them, so it can be reversed. A mapping is a source with weighted
// destinations; Mappings is an account's list of them.
//
// # Ownership
//
// A Transform is immutable. Mappings is built by one goroutine and read-only, for
// any number, from then on. Randomness comes from the caller.
//
// # Invariants
//
//	I1 Parsing happens in New; Apply allocates only to grow its destination.
//	I2 Apply never panics, whatever the subject, matching or not.
//	I3 The weights of a mapping's alternatives reach 100, or the rest is loss.
//
// # Sources
//
// Behaviour and error texts: nats-server 2.15.2. What may surprise is kept, since
// it decides where messages go: placeholder 0 and below stand for the first token;
// split of a token that starts with the delimiter twice starts with a dot. Reverse
// differs on purpose: it inverts the order of placeholders, where the server copies
// it, which is the same unless three or more change places.
package transform
