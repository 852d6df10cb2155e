// Package epoll is the engine on Linux's epoll, without a poller in between.
//
// # Words
//
// A look is an epoll_wait that does not wait. The engine is busy when it has
// moved busyBytes at once since it last waited.
//
// # Ownership
//
// An Engine belongs to the goroutine in Run; Wake alone is for others.
//
// # How it waits
//
//	event ─▶ look ─▶ nothing, several times ─▶ busy? ─yes─▶ wait a millisecond, P held
//	  ▲                                          │ no              │ nothing
//	  └──────────────────────────────────────────┴──▶ wait for ever, P given up
//
// A wait that Go's scheduler knows of costs more than the call: other threads
// wake to look for work, take the processor (P) meanwhile, and the loop queues
// for another one and goes on on another thread. Under load the next event is
// microseconds away, so the wait is kept from the scheduler. A garbage
// collection that begins meanwhile is not held up: its signal ends the wait. So
// that other goroutines need not wait for a loop, there should be one P more
// than there are loops.
//
// # Invariants
//
//	I1  Write interest is on exactly while the socket refused bytes.
//	I2  No event is reported for a descriptor after Remove.
//
// # Sources
//
// epoll(7), eventfd(2); docs/decisions has the figures.
package epoll
