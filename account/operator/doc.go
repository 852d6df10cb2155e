// Package operator judges JWTs: which accounts operators vouch for, and who the
// users of those accounts are.
//
// # Words
//
// An operator signs accounts, an account signs users and activations. A signing
// key signs in place of the key that named it. A scope is a signing key of an
// account whose users all get its template, filled in with what their JWTs say.
// A bearer token is a user JWT that needs no proof that the key is there.
//
//	operator key ─┬▶ account JWT ─┬▶ user JWT ──▶ account.Identity
//	 signing keys ┘   signing keys ┤
//	                        scopes ┘
//
// # Ownership
//
// Everything here is computed from its arguments, the time included. Trust,
// Account and what they return are immutable.
//
// # Limits
//
// A token is measured before anything is decoded (TokenMax). What a template
// becomes is bounded (expansionsMax).
//
// # Failure
//
// What a client is denied for is an *account.Denial whose detail is the
// reference's log line; no part of a token is in an error.
//
// # Sources
//
// Order of the checks, texts and templates: nats-server 2.15.2. Two differences:
// a token has one spelling only (base64 with bits to spare set, or with line
// ends, is refused), and what a name or tag puts into a template is not searched
// for templates again.
package operator
