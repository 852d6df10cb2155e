package storebench

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// publisher is an application on a shard that appends with a window.
type publisher struct {
	shard   *engine.Shard
	streams []*engine.Stream
	next    int // stream
	message store.Message
	subject func(i int) []byte // nil: the message's own

	window int
	total  int // messages to append, or until stopped
	sent   int
	sync   int // of sent, durable
	marks  []engine.Mark
	done   chan error
	began  time.Time     // of the newest turn that appended one message
	took   time.Duration // until it was durable
}

// sentMax is how many messages one turn appends.
const sentMax = 256

// Turn implements engine.App.
func (p *publisher) Turn(now int64) bool {
	n := min(sentMax, p.total-p.sent, p.window-(p.sent-p.sync))
	if n == 1 {
		p.began = time.Now()
	}
	for range n {
		p.message.Time = now
		if p.subject != nil {
			p.message.Subject = p.subject(p.sent)
		}
		st := p.streams[p.next]
		if p.next++; p.next == len(p.streams) {
			p.next = 0
		}
		if _, err := st.Messages.Append(&p.message); err != nil {
			p.finish(err)
			return false
		}
		p.marks[p.sent%len(p.marks)] = p.shard.Mark()
		p.sent++
	}
	return n == sentMax
}

// Durable implements engine.App.
func (p *publisher) Durable(m engine.Mark) {
	for p.sync < p.sent && p.marks[p.sync%len(p.marks)] <= m {
		p.sync++
	}
	if p.total > 0 && p.sync == p.total {
		p.took = time.Since(p.began)
		p.finish(nil)
	}
}

// Failed implements engine.App.
func (p *publisher) Failed(_ *engine.Stream, _ *engine.Consumer, err error) { p.finish(err) }

func (p *publisher) finish(err error) {
	p.total = 0
	select {
	case p.done <- err:
	default:
	}
}

// rig is an engine with one shard and a publisher on it.
type rig struct {
	engine *engine.Engine
	report *engine.Report
	p      *publisher
}

// options are those of an engine with one shard, as a server would have.
func options() engine.Options {
	return engine.Options{}
}

func newRig(fsys vfs.FS, streams int, o engine.StreamOptions) (*rig, error) {
	e, report, err := engine.Open(fsys, options())
	if err != nil {
		return nil, err
	}
	r := &rig{engine: e, report: report}
	e.Start(func(s *engine.Shard) engine.App {
		r.p = &publisher{shard: s, done: make(chan error, 1)}
		return r.p
	})
	made := make(chan error, streams)
	r.on(func() {
		for range streams {
			r.p.shard.CreateStream(nil, o, func(st *engine.Stream, err error) {
				r.p.streams = append(r.p.streams, st)
				made <- err
			})
		}
	})
	for range streams {
		if err := <-made; err != nil {
			return nil, err
		}
	}
	return r, nil
}

// on runs f on the shard and waits.
func (r *rig) on(f func()) {
	done := make(chan struct{})
	r.engine.Shards()[0].Do(func(*engine.Shard) { f(); close(done) })
	<-done
}

// publish appends n messages of size bytes and waits until all are durable.
func (r *rig) publish(n, window, size int) (cost, error) {
	before := measureCost()
	if err := r.start(n, window, size); err != nil {
		return cost{}, err
	}
	return measureCost().since(before), nil
}

// one appends one message and returns the time that it took on the shard.
func (r *rig) one() (time.Duration, error) {
	err := r.start(1, 1, smallBytes)
	return r.p.took, err
}

// start is publish without the measuring.
func (r *rig) start(n, window, size int) error {
	r.on(func() {
		p := r.p
		p.window, p.sent, p.sync, p.total = window, 0, 0, n
		if len(p.marks) != window {
			p.marks = make([]engine.Mark, window)
		}
		if len(p.message.Payload) != size {
			p.message.Payload = noise(size)
		}
		if p.message.Subject == nil {
			p.message.Subject = []byte("orders.new.eu")
		}
		p.shard.Ring()
	})
	return <-r.p.done
}

// noise is bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// cost is what something took.
type cost struct {
	wall    time.Duration
	cpu     time.Duration // of the process, the kernel's part included
	mallocs uint64
	heap    uint64 // bytes allocated

	at time.Time
}

func measureCost() cost {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail with these arguments
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cost{cpu: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), mallocs: m.Mallocs, heap: m.TotalAlloc, at: time.Now()}
}

func (c cost) since(b cost) cost {
	return cost{wall: c.at.Sub(b.at), cpu: c.cpu - b.cpu, mallocs: c.mallocs - b.mallocs, heap: c.heap - b.heap}
}

// per is the cost of one of n as a note.
func (c cost) per(n int) string {
	return fmt.Sprintf("%.3f µs CPU, %.4f allocations, %.0f B allocated per message",
		float64(c.cpu.Nanoseconds())/float64(n)/1e3, float64(c.mallocs)/float64(n), float64(c.heap)/float64(n))
}

func (c cost) rate(n int) float64 { return float64(n) / c.wall.Seconds() }
