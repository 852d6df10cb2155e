package bench

import (
	"fmt"
	"strconv"
)

// A publisher writes blockBytes at once, the buffer of a stock client, and
// largeBlockBytes of messages that are largeMessage bytes or more: one of them
// per system call would cost the generator more than the server under test.
const (
	blockBytes      = 32 << 10
	largeBlockBytes = 128 << 10
	largeMessage    = 4 << 10
)

// shape is a saturating load: groups of publishers and subscribers, each group
// on a subject of its own.
type shape struct {
	groups  int
	pubs    int // per group
	subs    int // per group; each receives everything unless queue is set
	queue   bool
	payload int
	spread  int // how many subjects a publisher takes in turn; 0: one
}

// ackBlocks is how many blocks a publisher without subscribers writes between
// two PINGs; the PONG is its proof that they were processed.
const ackBlocks = 8

func (s shape) run(r *run) error {
	var flows []*flow
	for g := range s.groups {
		f, err := s.group(r, g)
		if err != nil {
			return err
		}
		flows = append(flows, f)
	}
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	seen, err := r.measure(r.Duration, flows...)
	if err != nil {
		return err
	}
	perUnit := 1
	if s.subs == 0 {
		perUnit = ackBlocks * s.block(r, 0).frames
	}
	r.record(seen, float64(seen.total())*float64(perUnit), s.deliveryBytes())
	return r.settle(flows...)
}

// subjects are what a group publishes to.
func (s shape) subjects(group int) (all []string) {
	if s.spread == 0 {
		return []string{fmt.Sprintf("bench.%02d", group)}
	}
	for i := range s.spread {
		all = append(all, fmt.Sprintf("bench.%02d.%03d", group, i))
	}
	return all
}

// interest is what a group subscribes to.
func (s shape) interest(group int) string {
	if s.spread == 0 {
		return s.subjects(group)[0]
	}
	return fmt.Sprintf("bench.%02d.*", group)
}

func (s shape) block(r *run, group int) *block {
	size := blockBytes
	if s.payload >= largeMessage {
		size = largeBlockBytes
	}
	return newMixedBlock(s.subjects(group), "", s.payload, size, max(1, s.windowPerSub(r.Window)/4))
}

// deliveryBytes is the size of one message as a subscriber (or, without one,
// the server) receives it.
func (s shape) deliveryBytes() int {
	return len("MSG ") + len(s.subjects(0)[0]) + len(" 1 ") + len(strconv.Itoa(s.payload)) + 4 + s.payload
}

// windowPerSub is the window of total bytes in messages per subscriber.
func (s shape) windowPerSub(total int) int {
	return max(2, total/s.deliveryBytes()/max(1, s.groups*s.subs))
}

// group opens one group's connections and starts its publishers.
func (s shape) group(r *run, g int) (*flow, error) {
	window := s.windowPerSub(r.Window) * max(1, s.copies())
	if s.subs == 0 {
		window = max(4, r.Window/(ackBlocks*len(s.block(r, g).bytes))/s.groups)
	}
	f := r.newFlow(window)
	for range s.subs {
		if err := s.subscribe(r, g, f); err != nil {
			return nil, err
		}
	}
	for p := range s.pubs {
		c, err := r.dial()
		if err != nil {
			return nil, err
		}
		c.writer = true
		in := &frames{}
		if s.subs == 0 {
			in.pong = func() { f.arrived(1) }
		}
		if err := r.watch(c, in); err != nil {
			return nil, err
		}
		p := &publisher{r: r, c: c, flow: f, id: p, block: s.block(r, g), copies: uint64(s.copies())}
		if s.subs == 0 {
			r.write(p.publishAcked)
		} else {
			r.write(p.publish)
		}
	}
	return f, nil
}

// copies is how often a message of this shape is delivered.
func (s shape) copies() int {
	if s.queue {
		return 1
	}
	return s.subs
}

func (s shape) subscribe(r *run, g int, f *flow) error {
	sub, want := "SUB "+s.interest(g)+" 1\r\n", orderExactly
	if s.queue {
		sub, want = "SUB "+s.interest(g)+" workers 1\r\n", orderRising
	}
	if s.payload < stampBytes {
		want = orderNone
	}
	_, err := r.subscriber([]byte(sub), &frames{order: want, next: make([]uint64, s.pubs), done: f})
	return err
}

// publisher owns one connection's write side.
type publisher struct {
	r      *run
	c      *conn
	flow   *flow
	id     int
	seq    uint64
	block  *block
	copies uint64 // deliveries per message
	mute   bool   // no PONGs, so that the server keeps the round trip time it has
}

// publish writes blocks as fast as the server and the window allow.
func (p *publisher) publish() error {
	for !p.r.stop.Load() {
		if !p.flow.claim(uint64(p.block.frames) * p.copies) {
			return nil
		}
		if err := p.writeBlock(); err != nil {
			return err
		}
	}
	return nil
}

// publishAcked counts a unit of ackBlocks blocks when the server has answered
// the PING behind them.
func (p *publisher) publishAcked() error {
	for !p.r.stop.Load() {
		if !p.flow.claim(1) {
			return nil
		}
		for range ackBlocks {
			if err := p.writeBlock(); err != nil {
				return err
			}
		}
		if err := p.c.write([]byte("PING\r\n")); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) writeBlock() error {
	p.block.stampFrom(stamp(p.id, p.seq))
	p.seq += uint64(p.block.frames)
	if p.c.pongDue.Swap(false) && !p.mute {
		if err := p.c.write([]byte("PONG\r\n")); err != nil {
			return err
		}
	}
	return p.c.write(p.block.bytes)
}
