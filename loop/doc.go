// Package loop runs connections on a few event loops.
//
// # Words
//
// A loop is one goroutine with one poller. A connection belongs to one loop
// for life. A turn is what one event causes: a read or a mailbox drain, the
// frames in it, their deliveries, and the flush that ends it. A chunk is a
// piece of outbound memory, a Shared a counted payload. Staging is output for
// another loop's connection, collected until the turn ends.
//
// # Ownership
//
// Parser, handler, outbound queue and timers of a connection are touched by
// its loop alone. What other loops may touch is in one block of Conn and is
// atomic. The right to write to the socket is a baton (see direct.go): the
// owner holds it whenever the outbound queue is not empty, any loop may take
// it while the socket is idle, and nobody gets it after the close.
//
// # Path of bytes
//
//	readable ─▶ ReadBuffer ─▶ Handler.Data ─▶ Loop.Queue(target) ─┐
//	                                                              ▼ end of turn
//	                     same loop: one writev ◀──────────────────┤
//	    other loop, socket idle: one write from here ◀────────────┤
//	    other loop, else: chunks change owner through the mailbox ┘
//
// # Invariants
//
//	I1  Bytes queued for one connection by one loop reach it in that order.
//	I2  What was posted to a mailbox before an event was seen by its loop is
//	    handled before that event's bytes are parsed. So a PONG that a client
//	    has received proves that earlier messages are ahead of later ones.
//	I3  The outbound queue of a connection is empty or its baton is held.
//	I4  A descriptor is closed only by the holder of the baton, who is the owner.
//	I5  At most one write per destination and turn.
//	I6  A producer over a limit stops being read; nothing it sent is dropped.
//
// # Limits and what full means
//
//	outbound queue  Limits.PendingMax: the connection is a slow consumer and is
//	                closed; from Limits.StallSoft on its producers are slowed
//	mailbox         mailboxMax nodes per pair of loops: the sending
//	                connection stops being read until half is drained
//	one read        readBufferSize bytes, bulkReadSize of large payloads; then
//	                other connections get their turn
//
// # TLS
//
// Conn.StartTLS puts crypto/tls between the socket and the handler; tls.go says
// how. Handshakes run on workers, records are opened and sealed on the loop.
//
// # Engines
//
// An Engine is a readiness or completion source for one loop: loop/epoll on Linux,
// loop/gnet everywhere. It says where bytes go before they are read and writes what it
// is given; it never sees a frame, so an io_uring engine can stand beside it.
package loop
