package loop

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// modelTimer is a timer and when it should fire, in ticks.
type modelTimer struct {
	Timer
	due   int64 // 0: not armed
	fired int
}

// TestWheelAgainstList arms, moves, cancels and fires random timers, some from
// their own and others' callbacks, and compares with a plain list.
func TestWheelAgainstList(t *testing.T) {
	first, last := uint64(1), uint64(25)
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	for seed := first; seed <= last; seed++ {
		wheelRun(t, seed)
	}
}

func wheelRun(t *testing.T, seed uint64) {
	const tick = 10
	r := rand.New(rand.NewPCG(seed, 2))
	w := &wheel{}
	w.init(tick, 0)
	timers := make([]*modelTimer, 30)
	for i := range timers {
		timers[i] = &modelTimer{}
	}
	var now int64
	var arm func(m *modelTimer, at int64)
	cancel := func(m *modelTimer) {
		if m.Armed() {
			w.remove(&m.Timer)
		}
		m.due = 0
	}
	arm = func(m *modelTimer, at int64) {
		cancel(m)
		m.due = max((at+tick-1)/tick, w.now+1)
		m.fn = func() {
			if m.due == 0 || m.due > w.now || m.Armed() {
				t.Fatalf("seed %d: fires at tick %d, due %d, armed %v", seed, w.now, m.due, m.Armed())
			}
			m.fired++
			m.due = 0
			switch r.IntN(4) {
			case 0:
				arm(m, now+int64(r.IntN(3*tick))) // itself, at once perhaps
			case 1:
				arm(timers[r.IntN(len(timers))], now+int64(r.IntN(2000*tick)))
			case 2:
				cancel(timers[r.IntN(len(timers))])
			}
		}
		w.add(&m.Timer, at)
	}
	for range 600 {
		switch r.IntN(4) {
		case 0:
			arm(timers[r.IntN(len(timers))], now+int64(r.IntN(1200*tick))-tick)
		case 1:
			cancel(timers[r.IntN(len(timers))])
		case 2:
			now += int64(r.IntN(30 * tick))
			w.advance(now)
		case 3:
			if r.IntN(10) == 0 {
				now += int64(r.IntN(1500 * tick)) // longer than a round
			}
			w.advance(now)
		}
		wheelCheck(t, seed, w, timers, now)
	}
}

func wheelCheck(t *testing.T, seed uint64, w *wheel, timers []*modelTimer, now int64) {
	t.Helper()
	armed, soonest := 0, int64(0)
	for _, m := range timers {
		if m.Armed() != (m.due != 0) {
			t.Fatalf("seed %d: armed %v, due %d", seed, m.Armed(), m.due)
		}
		if m.due == 0 {
			continue
		}
		armed++
		if w.now >= now/w.tick && m.due <= w.now {
			t.Fatalf("seed %d: due at tick %d, not fired at %d", seed, m.due, w.now)
		}
		if soonest == 0 || m.due < soonest {
			soonest = m.due
		}
	}
	if w.count != armed {
		t.Fatalf("seed %d: counts %d timers, there are %d", seed, w.count, armed)
	}
	next := w.next()
	if (next == 0) != (armed == 0) {
		t.Fatalf("seed %d: next is %d with %d timers", seed, next, armed)
	}
	if next > soonest*w.tick {
		t.Fatalf("seed %d: next look at %d, a timer is due at %d", seed, next, soonest*w.tick)
	}
}

// TestTimers: timers of a loop fire once, not before their time and at most
// two ticks after it, also when they are moved, and after long idleness.
func TestTimers(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		l := s.g.loops[0]
		s.sleep(time.Hour) // the wheels have stood still for many rounds
		for _, d := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 900 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Minute} {
			slack := 2 * fineTick
			if d >= time.Second {
				slack = 2 * coarseTick
			}
			var a, b, c Timer
			var at time.Duration
			fired := 0
			start := time.Now()
			s.turn(0, func(Events) {
				l.AfterFunc(&a, d, func() { fired++; at = time.Since(start) })
				l.AfterFunc(&b, d, func() { t.Errorf("%v: a cancelled timer fired", d) })
				l.AfterFunc(&c, d/2, func() { t.Errorf("%v: a moved timer fired early", d) })
				l.Cancel(&b)
				l.AfterFunc(&c, time.Hour, func() {})
			})
			for fired == 0 && time.Since(start) < d+time.Second {
				s.settle()
				s.sleep(max(time.Millisecond, d/1000))
			}
			if fired != 1 || at < d || at > d+d/1000+slack {
				t.Errorf("%v: fired %d times, after %v", d, fired, at)
			}
			s.turn(0, func(Events) { l.Cancel(&c) })
		}
	})
}

// TestTimerFromItself: a timer that arms itself in its callback goes on.
func TestTimerFromItself(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		l := s.g.loops[0]
		var again Timer
		n := 0
		var f func()
		f = func() {
			if n++; n < 10 {
				l.AfterFunc(&again, 0, f)
			}
		}
		s.turn(0, func(Events) { l.AfterFunc(&again, 0, f) })
		for range 100 {
			s.settle()
			s.sleep(fineTick)
		}
		if n != 10 {
			t.Errorf("fired %d times", n)
		}
	})
}

// TestIdleLoopSleeps: without timers nothing rings the bell.
func TestIdleLoopSleeps(t *testing.T) {
	simRun(t, 1, 1, 0, func(s *sim) {
		s.settle()
		s.sleep(time.Hour)
		synctest.Wait()
		if s.engines[0].woken.Load() {
			t.Error("woken without a reason")
		}
	})
}
