package bench

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// paced is traffic at a fixed rate, whatever the server does: message i is due
// at start + i/rate, and its latency counts from then, so a stall is charged to
// every message it delayed (no coordinated omission).
type paced struct {
	rate    int // messages a second
	burst   int // that become due together; 1: evenly spread
	payload int
	subs    int // that receive everything
}

// pacedLoad is a scenario of paced groups: the first is the probe whose latency
// is reported, the others are background.
type pacedLoad struct {
	probe      paced
	background []paced
	// stuck is how many further subscribers of the probe's subject never read.
	stuck int
}

func (p pacedLoad) run(r *run) error {
	var flows []*flow
	var probe *pacedGroup
	for i, spec := range append([]paced{p.probe}, p.background...) {
		g, err := spec.open(r, fmt.Sprintf("paced.%02d", i))
		if err != nil {
			return err
		}
		if i == 0 {
			probe = g
		}
		flows = append(flows, g.flow)
		if err := r.stuckSubscribers(g.subject, p.stuck*(1-min(i, 1))); err != nil {
			return err
		}
		r.write(g.publish)
	}
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	probe.from.Store(nanotime())
	seen, err := r.measure(r.Duration, flows...)
	if err != nil {
		return err
	}
	probe.until.Store(nanotime())
	r.record(seen, float64(seen.total()), 0)
	if err := r.settle(flows...); err != nil {
		return err
	}
	all := newHistogram()
	for _, h := range probe.hists {
		all.Merge(h)
	}
	r.recordLatency(all)
	return nil
}

// stuckSubscribers subscribe and never read. The server may drop them.
func (r *run) stuckSubscribers(subject string, n int) error {
	for range n {
		c, err := r.dial()
		if err != nil {
			return err
		}
		if err := c.roundTrip([]byte("SUB " + subject + " 1\r\n")); err != nil {
			return err
		}
	}
	return nil
}

// pacedGroup is one publisher at a fixed rate with its subscribers.
type pacedGroup struct {
	paced
	r       *run
	c       *conn
	subject string
	flow    *flow
	start   int64 // when message 0 is due; fixed before publishing
	// Messages due in [from, until) are recorded; until 0 means no end.
	from, until atomic.Int64
	hists       []*hdrhistogram.Histogram // one per subscriber, owned by its reader
}

func (p paced) open(r *run, subject string) (*pacedGroup, error) {
	g := &pacedGroup{paced: p, r: r, subject: subject, flow: r.newFlow(1 << 30)}
	g.start = nanotime() + int64(50*time.Millisecond) + int64(p.subs)*int64(time.Millisecond)
	g.from.Store(1 << 62)
	for range p.subs {
		h := newHistogram()
		f := &frames{order: orderExactly, next: make([]uint64, 1), done: g.flow}
		f.on = func(_ []byte, _ uint64, now int64) {
			due := g.due(f.count - 1)
			until := g.until.Load()
			if due >= g.from.Load() && (until == 0 || due < until) {
				h.RecordValue(max(now-due, 1))
			}
		}
		g.hists = append(g.hists, h)
		if _, err := r.subscriber([]byte("SUB "+subject+" 1\r\n"), f); err != nil {
			return nil, err
		}
	}
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	c.writer = true
	g.c = c
	return g, r.watch(c, &frames{})
}

// due is when message i should leave.
func (g *pacedGroup) due(i uint64) int64 {
	i -= i % uint64(g.burst)
	return g.start + int64(i)*int64(time.Second)/int64(g.rate)
}

// publish sends what is due, as soon as it is. When it comes late, everything
// that has become due meanwhile goes in one write.
func (g *pacedGroup) publish() error {
	defer pacingThread()()
	p := publisher{r: g.r, c: g.c}
	b := newBlock(g.subject, "", g.payload, blockBytes, 1<<20)
	frame := len(b.bytes) / b.frames
	for !g.r.stop.Load() {
		sleepUntil(g.due(p.seq))
		n := 1
		for now := nanotime(); n < b.frames && g.due(p.seq+uint64(n)) <= now; {
			n++
		}
		g.flow.sent.Add(uint64(n * g.subs))
		p.block = &block{bytes: b.bytes[:n*frame], at: b.at[:n], frames: n}
		if err := p.writeBlock(); err != nil {
			return err
		}
	}
	return nil
}
