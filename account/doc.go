// Package account is who a connection acts for and what that may see.
//
// # Words
//
// An account is a name space of subjects: what one account publishes, only its
// own subscriptions match. The global account, $G, is where connections are
// that nobody has put elsewhere. A definition is what a configuration or a JWT
// says of an account; the account itself outlives it. A directory is all
// definitions and users of a configuration. An identity is who a client turned
// out to be; a denial, why it was not let in.
//
// # From CONNECT to identity
//
//	Client (what it said) ─▶ Directory.Decide ─▶ Identity | Denial
//	                                └─▶ Proof: a hash or a signature, off the loop
//
// A Book connects what definitions export, import and map: each import finds the
// export that covers it and allows it, or is a problem; what comes out are an
// account's links. A stream comes from an exporter to its importers, a request
// goes from an importer to the service of an exporter.
//
// # Ownership
//
// Users, definitions, directories and identities are immutable. An Account is
// shared by all loops. Its interest is safe for any goroutine; its counters are
// one slot a loop, each written by that loop alone. A Book has one owner; links
// are immutable.
//
// # Invariants
//
//	I1  A secret is in no error, no identity and no printed form of a Client.
//	I2  How long a refusal takes does not depend on whether the user exists.
//
// # Sources
//
// What is allowed, what counts as a cycle and the texts of errors: nats-server
// 2.15.2. Where several wildcard exports cover an import the reference takes one
// at random, here the first counts.
package account
