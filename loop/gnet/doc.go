// Package gnet is the engine on gnet's exported poller (epoll, kqueue).
//
// # Words
//
// Interest is what the poller is asked to report for a descriptor.
//
// # Ownership
//
// An Engine belongs to the goroutine in Run; Wake alone is for others.
//
// # Invariants
//
//	I1  Write interest is on exactly while the socket refused bytes.
//	I2  No event is reported for a descriptor after Remove.
//
// # Why the poller and not the engine
//
// gnet.Run has no call to pause reading, buffers output without bound and
// hides when a descriptor closes. The poller leaves all three to the loop.
// Its task queue carries only the doorbell, always at high priority, which is
// the one that keeps order.
package gnet
