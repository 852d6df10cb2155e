package bench

import (
	"sync"
	"sync/atomic"
	"time"
)

// storm is clients that connect, log in, subscribe, get one PONG and leave, as
// fast as dialers of them at a time can.
type storm struct{ dialers int }

func (s storm) run(r *run) error {
	var made atomic.Uint64
	var all sync.WaitGroup
	for range s.dialers {
		all.Go(func() {
			for !r.stop.Load() && r.ctx.Err() == nil {
				if err := r.visit(); err != nil {
					if r.ctx.Err() == nil {
						r.fail(err)
					}
					return
				}
				made.Add(1)
			}
		})
	}
	seen, count, err := s.observe(r, &made)
	r.stop.Store(true)
	all.Wait()
	if err != nil {
		return err
	}
	sec := seen.wall.Seconds()
	r.values["conns_per_s"] = float64(count) / sec
	r.recordShares(seen)
	r.recordMemory()
	if r.target.PID != 0 && count > 0 {
		r.values["cpu_us_per_conn"] = float64(seen.server.total()/time.Microsecond) / float64(count)
	}
	return nil
}

func (s storm) observe(r *run, made *atomic.Uint64) (span, uint64, error) {
	if err := r.pause(r.Warmup); err != nil {
		return span{}, 0, err
	}
	before := made.Load()
	seen, err := r.measure(r.Duration)
	return seen, made.Load() - before, err
}

// visit is the whole life of one short connection.
func (r *run) visit() error {
	c, err := dial(r.target)
	if err != nil {
		return err
	}
	defer c.close()
	return c.roundTrip([]byte("SUB storm 1\r\n"))
}
