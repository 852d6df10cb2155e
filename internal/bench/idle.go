package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// idle is connections that hold one subscription each and then say nothing:
// what they cost in resident memory.
type idle struct{ conns int }

// dialers is how many connections are being made at one moment.
const dialers = 8

func (i idle) run(r *run) error {
	if err := r.allowFiles(i.conns); err != nil {
		return err
	}
	if r.target.PID == 0 {
		return ErrNeedsProcess
	}
	// One connection first: what the server allocates once is not counted.
	if _, err := r.dial(); err != nil {
		return err
	}
	before, err := r.settledMemory()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.dialMany(i.conns); err != nil {
		return err
	}
	r.values["conns_per_s"] = float64(i.conns) / time.Since(start).Seconds()
	after, err := r.settledMemory()
	if err != nil {
		return err
	}
	r.values["kib_per_conn"] = float64(after-before) / 1024 / float64(i.conns)
	r.recordMemory()
	return nil
}

// dialMany opens n connections, each with a subscription of its own, and
// leaves them to a reader thread.
func (r *run) dialMany(n int) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, dialers)
	opened := make([]*conn, n)
	for range dialers {
		all.Go(func() {
			for k := int(next.Add(1)) - 1; k < n && r.ctx.Err() == nil; k = int(next.Add(1)) - 1 {
				c, err := r.dial()
				if err == nil {
					opened[k] = c
					err = c.roundTrip(fmt.Appendf(nil, "SUB idle.%d 1\r\n", k))
				}
				if err != nil {
					errs <- fmt.Errorf("connection %d of %d: %w", k+1, n, err)
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	for _, c := range opened {
		if c == nil {
			return r.ctx.Err()
		}
		if err := r.watch(c, &frames{}); err != nil {
			return err
		}
	}
	return nil
}

// settledMemory reads the server's resident size until it has stopped moving:
// two readings 200 ms apart within 1 %, or 3 s.
func (r *run) settledMemory() (int64, error) {
	var last int64
	for range 15 {
		now, _, err := readMemory(r.target.PID)
		if err != nil {
			return 0, err
		}
		if diff := now - last; diff < now/100 && -diff < now/100 {
			return now, nil
		}
		last = now
		if err := r.pause(200 * time.Millisecond); err != nil {
			return 0, err
		}
	}
	return last, nil
}
