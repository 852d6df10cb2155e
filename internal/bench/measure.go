package bench

import (
	"context"
	"fmt"
	"time"
)

// snapshot is what a moment looks like from outside the server.
type snapshot struct {
	at       time.Time
	server   CPU
	self     CPU
	machine  time.Duration // of all processes; 0: unknown
	progress []uint64
}

func (r *run) snapshot(flows []*flow) (snapshot, error) {
	s := snapshot{at: time.Now(), self: selfCPU()}
	if r.target.PID != 0 {
		var err error
		if s.server, err = readCPU(r.target.PID); err != nil {
			return s, err
		}
		s.machine, _ = machineCPU()
	}
	for _, f := range flows {
		s.progress = append(s.progress, f.got.Load())
	}
	return s, nil
}

// span is the difference of two snapshots.
type span struct {
	wall   time.Duration
	server CPU
	self   CPU
	others time.Duration // CPU of everybody else
	got    []uint64      // by flow
}

func (a snapshot) until(b snapshot) span {
	s := span{wall: b.at.Sub(a.at), server: b.server.minus(a.server), self: b.self.minus(a.self)}
	s.others = max(0, b.machine-a.machine-s.server.total()-s.self.total())
	for i := range a.progress {
		s.got = append(s.got, b.progress[i]-a.progress[i])
	}
	return s
}

func (s span) total() (n uint64) {
	for _, g := range s.got {
		n += g
	}
	return n
}

// measure observes flows for d of steady state.
func (r *run) measure(d time.Duration, flows ...*flow) (span, error) {
	before, err := r.snapshot(flows)
	if err != nil {
		return span{}, err
	}
	if err := r.observe(d, flows); err != nil {
		return span{}, err
	}
	after, err := r.snapshot(flows)
	return before.until(after), err
}

// observe waits for d, unless nothing at all arrives for as long as the server may
// stay silent: publishers may be waiting for room in the window, not for the
// server's socket. Looks are counted, so that time in which this process too was
// stopped is not.
func (r *run) observe(d time.Duration, flows []*flow) error {
	const looks = 8
	end := time.Now().Add(d)
	var last uint64
	for silent := 0; ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := r.pause(min(left, r.Patience/looks)); err != nil {
			return err
		}
		var got uint64
		for _, f := range flows {
			got += f.got.Load()
		}
		if silent++; got != last || len(flows) == 0 {
			last, silent = got, 0
		}
		if silent > looks {
			return fmt.Errorf("%w: nothing has arrived for %v", errSilent, r.Patience)
		}
	}
}

// record stores the figures every loaded run has: messages is how many were
// handled in s.
func (r *run) record(s span, messages float64, frameBytes int) {
	sec := s.wall.Seconds()
	v := r.values
	v["msgs_per_s"] = messages / sec
	if frameBytes > 0 {
		v["mb_per_s"] = messages * float64(frameBytes) / sec / 1e6
	}
	r.recordShares(s)
	r.recordMemory()
	if r.target.PID == 0 || messages == 0 {
		return
	}
	micros := func(d time.Duration) float64 { return float64(d) / 1e3 / messages }
	v["cpu_us_per_msg"] = micros(s.server.total())
	v["cpu_user_us_per_msg"] = micros(s.server.User)
	v["cpu_sys_us_per_msg"] = micros(s.server.Sys)
	if cpu := s.server.total().Seconds(); cpu > 0 {
		v["msgs_per_cpu_s"] = messages / cpu
	}
}

// recordShares stores who had how much of the machine.
func (r *run) recordShares(s span) {
	sec := s.wall.Seconds()
	r.values["generator_cores"] = s.self.total().Seconds() / sec
	if r.target.PID != 0 {
		r.values["server_cores"] = s.server.total().Seconds() / sec
		r.values[othersCores] = s.others.Seconds() / sec
	}
}

func (r *run) recordMemory() {
	if r.target.PID == 0 {
		return
	}
	if _, peak, err := readMemory(r.target.PID); err == nil {
		r.values["rss_peak_mb"] = float64(peak) / (1 << 20)
	}
}

// quietLook is how long the machine is watched before it counts as quiet.
const quietLook = 250 * time.Millisecond

// awaitQuiet returns when other processes have used less than disturbedCores
// for a moment, or when waiting has taken too long: the report then shows it.
func (b *Bench) awaitQuiet(ctx context.Context) error {
	deadline := time.Now().Add(b.WaitQuiet)
	for time.Now().Before(deadline) {
		before, err := machineCPU()
		if err != nil {
			return nil // it cannot be known here
		}
		self := selfCPU().total()
		select {
		case <-time.After(quietLook):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := machineCPU()
		if err != nil {
			return nil
		}
		others := after - before - (selfCPU().total() - self)
		if others.Seconds() < disturbedCores*quietLook.Seconds() {
			return nil
		}
		b.Progress("waiting for the machine to calm down")
	}
	return nil
}
