package server

import "peregrine/account"

// tally collects the counts of one read, so that the shared counters are
// touched once for it.
type tally struct{ inMsgs, inBytes, outMsgs, outBytes int64 }

// publishTally moves the tally to the counters of the worker, the account and
// the session. Only this loop writes them.
func (w *worker) publishTally(c *session) {
	t := &w.tally
	if t.inMsgs == 0 && t.outMsgs == 0 {
		return
	}
	account.Bump(&c.inMsgs, t.inMsgs)
	account.Bump(&c.inBytes, t.inBytes)
	w.flushTally(c.acc)
}

// flushTally moves the tally to the counters of the worker and of acc.
func (w *worker) flushTally(acc *account.Account[subscription]) {
	t := &w.tally
	for _, k := range [...]*account.Counters{w.counters, acc.Loop(w.index)} {
		account.Bump(&k.InMsgs, t.inMsgs)
		account.Bump(&k.InBytes, t.inBytes)
		account.Bump(&k.OutMsgs, t.outMsgs)
		account.Bump(&k.OutBytes, t.outBytes)
	}
	*t = tally{}
}
