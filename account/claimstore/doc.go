// Package claimstore keeps the JWTs of accounts in a folder.
//
// # Words
//
// A token is an account's JWT, its key the account's public key, which is also
// the name of its file. The hash of a store tells whether two have the same
// tokens. A store that evicts is a cache: it makes room by the token that was
// longest unused.
//
// # Ownership
//
// A Store is safe for all goroutines; it reads and writes files, so no loop may
// call it. The folder belongs to one Store.
//
// # Invariants
//
//	I1  A name that is not a public account key touches no file.
//	I2  The file of a key holds one whole token, the old or the new one, after a
//	    crash too.
//	I3  Nothing outside of the folder is read or written, whatever is in it.
//
// # Format
//
// <dir>/<key>.jwt, the token and nothing else; <key>.jwt.deleted for a deleted
// account that was to be kept. The reference server reads and writes the same.
//
// # Failure
//
// What is in the folder but cannot be a token (another name, a link, too large)
// is left alone and not seen. Whether a token is genuine is for its reader to
// judge. A temporary file of a write that did not end is removed at Open.
package claimstore
