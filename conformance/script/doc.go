// Package script plays raw-protocol scripts against a server and writes down
// what came back.
//
// # Words
//
// A script is a list of steps on named connections. Playing it gives a
// transcript: the bytes received, step by step, and how connections ended.
// Scripts say no expectations; two transcripts are compared instead.
//
// # Language
//
// One step per line; lines that begin with # are comments. BYTES run to the end
// of the line and take Go escapes (\r \n \t \x00 \u00e9 \\). A blank at the end
// is written \x20.
//
//	flags ARGS…          more arguments for the server
//	config               the indented lines that follow are a configuration file
//	pings                PINGs of the server belong to the transcript; without
//	                     this they are left out, because a slow run sees them
//	reload               the indented lines that follow become the configuration
//	                     file of the running server, which is told to read it
//	open NAME            dial, and read one line: the INFO
//	dial NAME            dial only
//	send NAME BYTES      one write
//	answer NAME BYTES    one write, where <reply> is the subject that the service
//	                     request which NAME read last is to be answered on
//	repeat NAME N BYTES  BYTES N times, in large writes
//	cut NAME N,N BYTES   pieces cut at these offsets, each read by the server
//	                     before the next is sent
//	drip NAME BYTES      the same, byte by byte
//	splits NAME BYTES    BYTES once per possible cut, a sync after each
//	sign NAME USER BYTES one write, with <sig> or <padded> replaced by the
//	                     signature of the last nonce with USER's key; <nkey:USER>
//	                     is that user's public key, in a configuration too
//	sync NAME            send PING, read through PONG
//	line NAME [N]        read N lines
//	sorted NAME N        read N deliveries, written down in the order of their
//	                     bytes: for matches whose order is nobody's promise
//	until NAME BYTES     read through BYTES
//	eof NAME [maybe]     read until the server closes. maybe: bytes sent just
//	                     before may be lost, because the server closed with
//	                     input unread and TCP then resets the connection
//	shut NAME            end our sending side
//	reset NAME           close with a TCP reset; what came and was not read is left out
//	signal NAME          send the server a signal: HUP USR1 USR2 INT TERM
//	logs N PATTERN       read on in the server's log until N lines match
//
// # Order
//
// Only what a script orders is ordered. A message from a to b is awaited with
// until b; that nothing else came is shown by a later message of a, never by
// silence.
//
// # Invariants
//
//	I1  a byte received appears in the transcript exactly once, in order
//	I2  a reset and an orderly close look alike
//	I3  a step that can never be satisfied ends the run with an error
package script
