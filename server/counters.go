package server

import "peregrine/account"

// tally collects the counts of one read, so that the shared counters are
// touched once for it.
type tally struct{ inMsgs, inBytes, outMsgs, outBytes int64 }

// publish moves the tally to the counters of the worker, the account and the
// session. Only this loop writes them.
func (w *worker) publishTally(c *session) {
	t := &w.tally
	if t.inMsgs == 0 && t.outMsgs == 0 {
		return
	}
	acc := c.acc.Loop(w.index)
	for _, k := range [...]*account.Counters{w.counters, acc} {
		account.Bump(&k.InMsgs, t.inMsgs)
		account.Bump(&k.InBytes, t.inBytes)
		account.Bump(&k.OutMsgs, t.outMsgs)
		account.Bump(&k.OutBytes, t.outBytes)
	}
	account.Bump(&c.inMsgs, t.inMsgs)
	account.Bump(&c.inBytes, t.inBytes)
	*t = tally{}
}
