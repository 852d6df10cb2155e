package loop

import (
	"math/bits"
	"time"
)

// Timer is one entry of a loop's wheel. The zero value is ready. It belongs to
// the loop that armed it.
type Timer struct {
	fn         func()
	at         int64
	prev, next *Timer
	w          *wheel
	slot       int
}

// Armed reports whether the timer will fire.
func (t *Timer) Armed() bool { return t.w != nil }

const wheelSlots = 512

// wheel is a hashed timing wheel (Varghese and Lauck, scheme 6): slot = expiry
// modulo size, entries of later rounds stay. A bitmap of used slots tells when
// to look next, so an idle wheel costs nothing.
type wheel struct {
	tick  int64 // ns
	now   int64 // ticks handled so far
	slots [wheelSlots]Timer
	used  [wheelSlots / 64]uint64
	count int
}

func (w *wheel) init(tick time.Duration, now int64) {
	w.tick = int64(tick)
	w.now = now / w.tick
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.next = s, s
	}
}

func (w *wheel) add(t *Timer, at int64) {
	due := max((at+w.tick-1)/w.tick, w.now+1)
	t.at, t.w, t.slot = due, w, int(due%wheelSlots)
	s := &w.slots[t.slot]
	t.prev, t.next = s.prev, s
	s.prev.next, s.prev = t, t
	w.used[t.slot/64] |= 1 << (t.slot % 64)
	w.count++
}

func (w *wheel) remove(t *Timer) {
	t.prev.next, t.next.prev = t.next, t.prev
	if s := &w.slots[t.slot]; s.next == s {
		w.used[t.slot/64] &^= 1 << (t.slot % 64)
	}
	t.prev, t.next, t.w = nil, nil, nil
	w.count--
}

// next returns when the next used slot comes round, in ns, or 0 if none is.
func (w *wheel) next() int64 {
	if w.count == 0 {
		return 0
	}
	start := int((w.now + 1) % wheelSlots)
	for i := 0; i < wheelSlots; {
		slot := (start + i) % wheelSlots
		word := w.used[slot/64] >> (slot % 64)
		if word != 0 {
			i += bits.TrailingZeros64(word)
			return (w.now + 1 + int64(i)) * w.tick
		}
		i += 64 - slot%64
	}
	return 0
}

// advance fires what is due at now, at most one round of slots.
func (w *wheel) advance(now int64) {
	to := now / w.tick
	if to-w.now > wheelSlots {
		// Every slot once is enough: due entries are found by their expiry.
		w.now = to - wheelSlots
	}
	for w.now < to {
		w.now++
		slot := int(w.now % wheelSlots)
		if w.used[slot/64]&(1<<(slot%64)) == 0 {
			continue
		}
		s := &w.slots[slot]
		for t := s.next; t != s; {
			next := t.next
			if t.at <= w.now {
				w.remove(t)
				t.fn()
				// fn may have changed the list: begin again, what fired is gone.
				next = s.next
			}
			t = next
		}
	}
}

const (
	fineTick   = 2 * time.Millisecond
	coarseTick = 256 * time.Millisecond
)

// AfterFunc arms t to run fn on this loop after d, replacing what it was armed
// for. Delays under a second are kept to a few milliseconds, longer ones to a
// quarter of a second, so that thousands of ping timers wake a loop four times
// a second at most. Owner only.
func (l *Loop) AfterFunc(t *Timer, d time.Duration, fn func()) {
	l.Cancel(t)
	t.fn = fn
	w := &l.fine
	if d >= time.Second {
		w = &l.coarse
	}
	at := l.now() + int64(d)
	w.add(t, at)
	l.scheduleWake()
}

// Cancel disarms t. Owner only.
func (l *Loop) Cancel(t *Timer) {
	if t.w != nil {
		t.w.remove(t)
	}
	t.fn = nil
}

// scheduleWake makes the runtime ring the bell when the next timer is due.
func (l *Loop) scheduleWake() {
	next := l.fine.next()
	if n := l.coarse.next(); n != 0 && (next == 0 || n < next) {
		next = n
	}
	if next == 0 || (l.wakeAt != 0 && l.wakeAt <= next) {
		return
	}
	l.wakeAt = next
	l.wakeTimer.Reset(time.Duration(max(next-l.now(), int64(time.Millisecond))))
}

func (l *Loop) runTimers() {
	now := l.now()
	if l.wakeAt == 0 || now < l.wakeAt {
		return
	}
	l.wakeAt = 0
	l.fine.advance(now)
	l.coarse.advance(now)
	l.scheduleWake()
}
