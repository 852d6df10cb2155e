// Package account is who a connection acts for and what that may see.
//
// # Words
//
// An account is a name space of subjects: what one account publishes, only its
// own subscriptions match. The global account, $G, is where connections are
// that nobody has put elsewhere.
//
// # Ownership
//
// An Account is shared by all loops. Its interest is safe for any goroutine;
// its counters are one slot a loop, each written by that loop alone.
package account
