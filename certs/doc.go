// Package certs decides what a listener shows of itself with TLS and whom it
// trusts.
//
// # Words
//
// A staple is the word of an authority, signed and dated, that a certificate
// was not revoked; a server sends its own along. A responder is where such words
// come from (OCSP, RFC 6960). A link is a certificate of a chain together with
// its issuer. A pinned key is one of the only keys that peers may have.
//
// # Ownership
//
// Options do not change. A Stapler has a goroutine of its own per certificate,
// which asks responders and keeps files; handshakes read its last result. A
// Peers checks on the goroutine of the handshake and may wait for a responder,
// so it must not run on a loop. A Cache is shared by all.
//
// # Limits
//
// Answers of responders are read up to answerMax bytes. The cache holds
// cacheMax answers.
//
// # Failure
//
// A responder that does not answer, or answers what does not hold, is a reason
// to refuse a peer unless the options say otherwise. A staple that has run out
// fails handshakes, as clients that insist on one would.
package certs
