// Package proxyproto reads the header by which a proxy tells where a connection
// comes from: the PROXY protocol, versions 1 and 2.
//
// Version 1 is a line of text, version 2 a block of bytes:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 56324 4222 CR LF
//
//	signature 12 | version and command 1 | family and transport 1 | length u16, big-endian |
//	addresses (INET 12, INET6 36) | more, which is skipped
//
// Parse is a pure function of the bytes so far: a header is never taken in
// part, so it cannot be smuggled in behind another or cut by a read.
//
// Source: haproxy, doc/proxy-protocol.txt. Texts of errors are the reference's.
package proxyproto
