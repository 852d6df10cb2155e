package bench

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// churn is saturated one-to-one traffic beside a neighbour that, rate times a
// second, subscribes to an inbox never used before, sends a request, gets the
// reply and unsubscribes. Slices with and without the neighbour alternate.
type churn struct {
	steady shape
	rate   int // requests a second
}

const churnSlices = 4 // pairs of slices in a run

func (ch churn) run(r *run) error {
	steady, err := ch.steady.group(r, 0)
	if err != nil {
		return err
	}
	n := &neighbour{r: r, flow: r.newFlow(1 << 20), rate: ch.rate}
	if err := n.open(); err != nil {
		return err
	}
	r.write(n.run)
	n.active.Store(true) // warmed up too
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	var with, without span
	for range churnSlices {
		for _, active := range []bool{false, true} {
			n.active.Store(active)
			if err := r.pause(20 * time.Millisecond); err != nil {
				return err
			}
			seen, err := r.measure(r.Duration/churnSlices/2, steady, n.flow)
			if err != nil {
				return err
			}
			if active {
				with = with.plus(seen)
			} else {
				without = without.plus(seen)
			}
		}
	}
	r.record(with, float64(with.got[0]), ch.steady.deliveryBytes())
	if quiet := float64(without.got[0]) / without.wall.Seconds(); quiet > 0 {
		r.values["loss_pct"] = 100 * (1 - r.values["msgs_per_s"]/quiet)
	}
	r.values["churn_per_s"] = float64(with.got[1]) / with.wall.Seconds()
	return r.settle(steady, n.flow)
}

func (s span) plus(t span) span {
	if s.got == nil {
		s.got = make([]uint64, len(t.got))
	}
	s.wall += t.wall
	s.others += t.others
	s.server = CPU{User: s.server.User + t.server.User, Sys: s.server.Sys + t.server.Sys}
	s.self = CPU{User: s.self.User + t.self.User, Sys: s.self.Sys + t.self.Sys}
	for i := range t.got {
		s.got[i] += t.got[i]
	}
	return s
}

// neighbour makes requests with an inbox each, as clients without a shared
// inbox do.
type neighbour struct {
	r      *run
	flow   *flow
	rate   int
	active atomic.Bool

	c        *conn
	answered atomic.Uint64 // replies so far; written by the reader thread
}

// inboxFormat makes names of one width that differ early, as real ones do.
const inboxFormat = "_INBOX.%016x"

func inboxName(dst []byte, n uint64) []byte {
	return fmt.Appendf(dst, inboxFormat, n*0x9e3779b97f4a7c15)
}

func (n *neighbour) open() error {
	rc, err := n.r.dial()
	if err != nil {
		return err
	}
	responder := &frames{}
	var answer []byte
	responder.on = func(line []byte, _ uint64, _ int64) {
		reply := lineReply(line)
		answer = pubFrame(answer[:0], string(reply), "", 16)
		if err := rc.write(answer); err != nil {
			n.r.fail(err)
		}
	}
	if err := n.r.listen(rc, []byte("SUB churn.service 1\r\n"), responder); err != nil {
		return err
	}
	if n.c, err = n.r.dial(); err != nil {
		return err
	}
	n.c.writer = true
	in := &frames{done: n.flow}
	in.on = func([]byte, uint64, int64) { n.answered.Add(1) }
	return n.r.watch(n.c, in)
}

// lineReply returns the reply subject of "MSG subject sid reply size".
func lineReply(line []byte) []byte {
	start, field := 0, 0
	for i, b := range line {
		if b != ' ' {
			continue
		}
		if field == 3 {
			return line[start:i]
		}
		field++
		start = i + 1
	}
	return nil
}

// run paces requests by intended times. A slow server gets them in bursts, not
// fewer of them.
func (n *neighbour) run() error {
	defer pacingThread()()
	interval := int64(time.Second) / int64(n.rate)
	next := nanotime()
	var asked, dropped uint64
	var out []byte
	const firstSID = 10_000_000 // one width
	for !n.r.stop.Load() {
		next += interval
		sleepUntil(next)
		out = out[:0]
		for answered := n.answered.Load(); dropped < answered; dropped++ {
			out = append(out, "UNSUB "...)
			out = strconv.AppendUint(out, firstSID+dropped, 10)
			out = append(out, "\r\n"...)
		}
		if n.active.Load() {
			out = append(out, "SUB "...)
			out = inboxName(out, asked)
			out = append(out, ' ')
			out = strconv.AppendUint(out, firstSID+asked, 10)
			out = append(out, "\r\nPUB churn.service "...)
			out = inboxName(out, asked)
			out = append(out, " 16\r\n0123456789abcdef\r\n"...)
			asked++
			n.flow.sent.Add(1)
		}
		if n.c.pongDue.Swap(false) {
			out = append(out, "PONG\r\n"...)
		}
		if len(out) == 0 {
			continue
		}
		if err := n.c.write(out); err != nil {
			return err
		}
	}
	return nil
}
