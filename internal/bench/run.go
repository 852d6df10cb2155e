package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Options say how long and how hard each run is.
type Options struct {
	Duration time.Duration // measured part of a run
	Warmup   time.Duration // before it
	Window   int           // bytes of deliveries under way, over all subscribers
	Readers  int           // reader threads
	Patience time.Duration // how long the server may stay silent
	Seed     uint64        // of random subjects and of the order of seats
}

// DefaultOptions are used where a caller has no wish.
func DefaultOptions() Options {
	return Options{
		Duration: 2 * time.Second,
		Warmup:   300 * time.Millisecond,
		Window:   16 << 20,
		Readers:  max(1, runtime.NumCPU()/4),
		Patience: defaultPatience,
		Seed:     1,
	}
}

// runtimeForLoad sets the Go runtime up for a generator whose threads sit in
// system calls most of the time: enough processors for all of them, so that
// none waits for another's, and rare collections.
func runtimeForLoad() {
	runtime.GOMAXPROCS(max(runtime.NumCPU(), 16))
	debug.SetGCPercent(400)
}

// run is one run of one scenario against one target: it owns the connections,
// the threads and the first error.
type run struct {
	Options
	target *Target
	values Values
	hist   *hdrhistogram.Histogram // of latencies, when the scenario has them

	ctx     context.Context
	cancel  context.CancelCauseFunc
	stop    atomic.Bool // publishers finish their block and leave
	readers []*reader
	dealt   int // round-robin over readers
	writers sync.WaitGroup

	mu    sync.Mutex
	conns []*conn
	flows []*flow
}

// runScenario drives s against t once. The error names what went wrong in the
// words of the first cause.
func runScenario(ctx context.Context, s *Scenario, t *Target, o Options) (Result, error) {
	own := *t
	own.Patience = o.Patience
	r := &run{Options: o, target: &own, values: Values{}}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.close()
	for range max(1, o.Readers) {
		rd, err := newReader(r.fail)
		if err != nil {
			return Result{}, err
		}
		r.readers = append(r.readers, rd)
	}
	finished := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { r.watchTarget(finished) })
	err := s.run(r)
	close(finished)
	watcher.Wait()
	if cause := context.Cause(r.ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s on %s: %w", s.Name, t.Name, r.explain(err))
	}
	return Result{Values: r.values, hist: r.hist}, nil
}

// watchTarget fails the run as soon as the server's process ends, and releases
// whoever waits inside a run that failed.
func (r *run) watchTarget(finished <-chan struct{}) {
	select {
	case <-r.target.exit: // nil when the process is not ours: never
		r.fail(errDied)
	case <-r.ctx.Done():
	case <-finished:
		return
	}
	r.wreck()
}

// exitLag is how long after a connection has ended the end of the server's
// process may be noticed, on a busy machine.
const exitLag = 3 * time.Second

var errDied = errors.New("the server ended during the run")

// explain adds what the server last said, if it has gone.
func (r *run) explain(err error) error {
	if r.target.exit == nil || errors.Is(err, context.Canceled) {
		return err
	}
	select {
	case <-r.target.exit:
	default:
		if !lost(err) {
			return err
		}
		select { // a reset is seen before the exit
		case <-r.target.exit:
		case <-time.After(exitLag):
			return err
		}
	}
	if errors.Is(err, errDied) {
		return fmt.Errorf("%w: %s", errDied, r.target.why())
	}
	return fmt.Errorf("%w (%w): %s", errDied, err, r.target.why())
}

// lost says that a connection has ended.
func lost(err error) bool {
	for _, e := range []error{errClosed, errUnreachable, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// fail ends the run with err, unless it has failed before.
func (r *run) fail(err error) { r.cancel(err) }

// wreck releases everyone who waits inside the run.
func (r *run) wreck() {
	r.stop.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		f.wreck()
	}
	for _, c := range r.conns {
		c.hangUp()
	}
}

func (r *run) close() {
	r.cancel(nil)
	r.wreck()
	r.writers.Wait()
	for _, rd := range r.readers {
		rd.close()
	}
	for _, c := range r.conns {
		c.close()
	}
}

// dial opens a connection that lives until the end of the run.
func (r *run) dial() (*conn, error) { return r.dialTo(r.target) }

// dialAs is dial for a user of the server's configuration.
func (r *run) dialAs(l login) (*conn, error) {
	t := *r.target
	t.login = l
	return r.dialTo(&t)
}

func (r *run) dialTo(t *Target) (*conn, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, context.Cause(r.ctx)
	}
	c, err := dial(t)
	if err != nil {
		return nil, err
	}
	if c.raw == nil {
		c.setTimeouts(r.Patience)
	}
	r.mu.Lock()
	r.conns = append(r.conns, c)
	r.mu.Unlock()
	return c, nil
}

// watch hands c to a reader thread.
func (r *run) watch(c *conn, f *frames) error {
	f.c = c
	if r.target.Wire {
		f.order = orderNone
	}
	rd := r.readers[r.dealt%len(r.readers)]
	r.dealt++
	return rd.watch(c, f)
}

// subscriber opens a connection, subscribes and hands it over.
func (r *run) subscriber(subs []byte, f *frames) (*conn, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	return c, r.listen(c, subs, f)
}

// listen subscribes c and hands it over.
func (r *run) listen(c *conn, subs []byte, f *frames) error {
	if err := c.roundTrip(subs); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return r.watch(c, f)
}

func (r *run) newFlow(window int) *flow {
	f := newFlow(uint64(max(window, 2)))
	r.mu.Lock()
	r.flows = append(r.flows, f)
	r.mu.Unlock()
	return f
}

// write starts a goroutine that owns a connection's write side.
func (r *run) write(body func() error) {
	r.writers.Add(1)
	go func() {
		defer r.writers.Done()
		if err := body(); err != nil && r.ctx.Err() == nil {
			r.fail(err)
		}
	}()
}

// pause sleeps, unless the run ends meanwhile.
func (r *run) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// settle stops the publishers and waits until everything they sent has
// arrived, so that a run ends with every delivery accounted for.
func (r *run) settle(flows ...*flow) error {
	r.stop.Store(true)
	total := func() (sent, got uint64) {
		for _, f := range flows {
			got += f.got.Load()
			sent += f.sent.Load()
		}
		return
	}
	written := make(chan struct{})
	go func() {
		r.writers.Wait()
		close(written)
	}()
	_, before := total()
	patience := time.Now().Add(r.Patience)
	for {
		sent, got := total()
		select {
		case <-written:
			if got == sent {
				return nil
			}
			if got > sent {
				return fmt.Errorf("%d deliveries of %d messages due: some were repeated", got, sent)
			}
		default:
		}
		if got != before {
			before, patience = got, time.Now().Add(r.Patience)
		}
		if time.Now().After(patience) {
			return fmt.Errorf("%d of %d deliveries never came", sent-got, sent)
		}
		if err := r.pause(2 * time.Millisecond); err != nil {
			return err
		}
	}
}
