// Package load puts servers under pressure and looks at what must still hold:
// every message delivered once and in its publisher's order, memory bounded,
// nothing left behind afterwards.
//
// Tests here run one after the other, because each wants the machine (and its
// descriptors) to itself. Those that cost seconds run in Peregrine's seat alone
// unless the reference's behaviour is the yardstick. SOAK=1 makes everything
// larger; SEED=n repeats a random run. Figures are logged, never asserted,
// except bounds on memory and counts.
//
// # Invariants
//
//	I1  per publisher and subscriber: sequence numbers arrive 0, 1, 2, … complete
//	I2  per queue group: each message once
//	I3  a receiver that stops reading costs at most its limit, and only itself
//	I4  connections, subscriptions and descriptors return to what they were
package load
