package server

import "peregrine/account"

// tally collects the counts of one read, so that the shared counters are
// touched once for it.
type tally struct {
	inMsgs, inBytes, outMsgs, outBytes int64
	abroad                             counted // of what went out, what other accounts have been told of
}

// counted is a number of messages and of their bytes.
type counted struct{ msgs, bytes int64 }

// own returns what went out and is no other account's yet.
func (t *tally) own() counted {
	return counted{t.outMsgs - t.abroad.msgs, t.outBytes - t.abroad.bytes}
}

// attribute makes what went out since before was read acc's.
func (w *worker) attribute(acc *account.Account[subscription], before counted) {
	t := &w.tally
	now := t.own()
	k, d := acc.Loop(w.index), counted{now.msgs - before.msgs, now.bytes - before.bytes}
	account.Bump(&k.OutMsgs, d.msgs)
	account.Bump(&k.OutBytes, d.bytes)
	t.abroad.msgs += d.msgs
	t.abroad.bytes += d.bytes
}

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
	own := t.own()
	account.Bump(&w.counters.OutMsgs, t.abroad.msgs)
	account.Bump(&w.counters.OutBytes, t.abroad.bytes)
	for _, k := range [...]*account.Counters{w.counters, acc.Loop(w.index)} {
		account.Bump(&k.InMsgs, t.inMsgs)
		account.Bump(&k.InBytes, t.inBytes)
		account.Bump(&k.OutMsgs, own.msgs)
		account.Bump(&k.OutBytes, own.bytes)
	}
	*t = tally{}
}
