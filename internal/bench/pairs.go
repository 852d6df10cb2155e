package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Bench is a whole set of measurements: which servers, how often, how long.
type Bench struct {
	A, B    Command // B.Path is empty: one-sided
	URL     *Target // instead of A: a server that runs already
	Pairs   int
	Ceiling bool // measure the relay too
	// WaitQuiet is how long to wait, before each pair, for other processes to
	// leave the machine alone.
	WaitQuiet time.Duration
	Options   Options
	Progress  func(string)
}

// Compare runs s on fresh servers of A and B in turn, pair by pair. Only one
// server exists at any moment.
func (b *Bench) Compare(ctx context.Context, s *Scenario) (c Comparison) {
	c.Scenario = s
	defer func() {
		if errors.Is(c.Err, ErrSkipped) {
			c.Skipped, c.Err = c.Err.Error(), nil
		}
	}()
	if c.Err = b.feasible(s); c.Err != nil {
		return c
	}
	if b.Ceiling && s.Wire {
		c.Err = b.aroundCeilings(ctx, &c)
	} else {
		c.Err = b.runPairs(ctx, &c)
	}
	return c
}

// aroundCeilings measures the relay before the pairs, on one thread and on one
// per core, and the better of the two once more after them.
func (b *Bench) aroundCeilings(ctx context.Context, c *Comparison) error {
	threads := 1
	if _, err := b.ceiling(ctx, c, threads); err != nil {
		return err
	}
	more, err := b.ceiling(ctx, c, runtime.NumCPU())
	if err != nil {
		return err
	}
	if more {
		threads = runtime.NumCPU()
	}
	if err := b.runPairs(ctx, c); err != nil {
		return err
	}
	_, err = b.ceiling(ctx, c, threads)
	return err
}

func (b *Bench) runPairs(ctx context.Context, c *Comparison) error {
	seats := b.seats()
	c.BFirst = b.order(c.Scenario.Name)
	for pair, bFirst := range c.BFirst {
		if err := b.awaitQuiet(ctx); err != nil {
			return err
		}
		for i := range seats {
			seat := i
			if bFirst {
				seat = len(seats) - 1 - i
			}
			b.Progress(fmt.Sprintf("%s  pair %d/%d  %s", c.Scenario.Name, pair+1, b.Pairs, seats[seat].Name))
			res, err := b.once(ctx, c.Scenario, seats[seat])
			if err != nil {
				return err
			}
			if seat == 0 {
				c.A = append(c.A, res)
			} else {
				c.B = append(c.B, res)
			}
		}
	}
	return nil
}

// order says for each pair whether B begins. Each seat begins half of the pairs,
// in an order drawn from the seed: whatever favours the first, or the second, or
// comes and goes at some rhythm, favours nobody.
func (b *Bench) order(scenario string) []bool {
	name := fnv.New64a()
	name.Write([]byte(scenario))
	rng := rand.New(rand.NewPCG(b.Options.Seed, name.Sum64()))
	first := make([]bool, b.Pairs)
	odd := rng.IntN(2) // who begins once more often, if the number is odd
	for i := range first {
		first[i] = (i+odd)%2 == 1
	}
	rng.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	return first
}

func (b *Bench) seats() []Command {
	switch {
	case b.URL != nil:
		return []Command{{Name: b.URL.Name}}
	case b.B.Path == "":
		return []Command{b.A}
	}
	return []Command{b.A, b.B}
}

// feasible says whether this set-up can run s at all.
func (b *Bench) feasible(s *Scenario) error {
	switch {
	case s.Later != "":
		return fmt.Errorf("%w: %s", ErrSkipped, s.Later)
	case s.Loops > runtime.NumCPU():
		return fmt.Errorf("%w: %d loops want %d cores, this machine has %d", ErrSkipped, s.Loops, s.Loops, runtime.NumCPU())
	case b.URL == nil:
		return nil
	case s.Loops > 0 || s.TLS || s.Config != "":
		return fmt.Errorf("%w: the scenario decides how the server is started, and --url names one that runs already", ErrSkipped)
	case s.Process && b.URL.PID == 0:
		return ErrNeedsProcess
	}
	return nil
}

// once runs s on a fresh server, or on the one that was given.
func (b *Bench) once(ctx context.Context, s *Scenario, c Command) (Result, error) {
	o := b.Options
	o.Duration = max(o.Duration, s.AtLeast)
	if b.URL != nil {
		return runScenario(ctx, s, b.URL, o)
	}
	if s.Loops > 0 {
		c = c.withLoops(s.Loops)
	}
	var extra []string
	var certs *certificates
	if s.TLS {
		var err error
		if certs, err = newCertificates(); err != nil {
			return Result{}, err
		}
		defer os.RemoveAll(certs.dir)
		extra = certs.args()
	}
	if s.Config != "" {
		path, err := writeConfig(s.Config)
		if err != nil {
			return Result{}, err
		}
		defer os.Remove(path)
		extra = append(extra, "-c", path)
	}
	p, err := c.start(ctx, extra...)
	if err != nil {
		if s.TLS && ctx.Err() == nil {
			err = fmt.Errorf("%w: %s does not start with TLS yet: %w", ErrSkipped, c.Name, err)
		}
		return Result{}, err
	}
	defer p.stop()
	if certs != nil {
		p.TLS = certs.client
	}
	return runScenario(ctx, s, &p.Target, o)
}

// withLoops gives the server n cores' worth of threads: Peregrine by its own
// flag, the reference by Go's variable.
func (c Command) withLoops(n int) Command {
	if c.Peregrine {
		c.Args = append(append([]string(nil), c.Args...), "--loops", strconv.Itoa(n))
		return c
	}
	c.Env = append(append([]string(nil), c.Env...), "GOMAXPROCS="+strconv.Itoa(n))
	return c
}

// ceiling runs s against the relay, which is this program again, with so many
// threads, and keeps the best of all such runs: what disturbs one only lowers it.
func (b *Bench) ceiling(ctx context.Context, c *Comparison, threads int) (better bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	b.Progress(c.Scenario.Name + "  ceiling")
	relay := Command{Name: "relay", Path: self, Lead: []string{"bench", relayVerb},
		Args: []string{"-threads", strconv.Itoa(threads)}, CPUs: b.A.CPUs}
	v, err := b.ceilingOnce(ctx, c.Scenario, relay)
	if err == nil && v["msgs_per_s"] > c.Ceiling["msgs_per_s"] {
		c.Ceiling, better = v, true
	}
	return better, err
}

func (b *Bench) ceilingOnce(ctx context.Context, s *Scenario, relay Command) (Values, error) {
	p, err := relay.start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	p.Wire = true
	o := b.Options
	o.Duration = min(o.Duration, 300*time.Millisecond)
	o.Warmup = min(o.Warmup, 150*time.Millisecond)
	res, err := runScenario(ctx, s, &p.Target, o)
	return res.Values, err
}
