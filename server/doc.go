// Package server is where the folders meet: it turns connections into sessions
// and messages into deliveries.
//
// # Words
//
// A session is one client's side of the protocol. A worker is what the server
// keeps on one loop: its match cache, counters and sessions. A subscription is
// a session's interest; any loop may deliver to it.
//
// An exchange is what connects an account with others: its imports as receivers
// in its interest, its shadows in theirs, and the table of answers that its
// services owe. A hop is a message behind an account boundary.
//
// A trace is what is written down of one message whose headers ask for it. Such
// messages take a way of their own (publishTraced, deliverAllTraced); others are
// only looked at if they have headers.
//
// # Ownership
//
// A session and its worker belong to one loop. What other loops read of a
// session (its flags, its connection) is fixed or atomic; what they write of a
// subscription (how many messages it has had) is atomic. Server-wide lists are
// guarded by Server.mu, off the path of messages.
//
// # Path of a message
//
//	Data ─▶ Parser.Next ─▶ session.publish ─▶ Cache.Match ─▶ worker.deliver
//	                                                          └▶ Loop.Queue of each receiver
//
// # Path between accounts
//
//	interest of the importer ─▶ serviceImport ─▶ hop ─▶ interest of the exporter
//	interest of the exporter ─▶ shadow ─▶ hop ─▶ its owner, a session's subscription
//	PUB _R_.… in the exporter ─▶ replyTable ─▶ hop ─▶ interest of the asker
//
// All of it happens on the publisher's loop, so its order stays. A message passes
// no service twice and hopsMax boundaries at most. A request is a record in a
// table with a lock for each of its parts, held for a look-up; it is forgotten with
// its answer, its inbox, its time, or when there are too many.
//
// # Invariants
//
//	I1  A subscription gets at most its auto-unsubscribe maximum, whichever
//	    loops deliver to it.
//	I2  When a session ends, its subscriptions have left the interest.
//	I3  A verb that fails half-way changes nothing.
//
// # Sources
//
// The client protocol as nats-server 2.15 speaks it.
package server
