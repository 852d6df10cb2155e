package bench

import (
	"sync"
	"sync/atomic"
)

// flow couples publishers to the deliveries they cause: it counts both, and
// keeps a publisher from running further ahead than window deliveries. So no
// server is ever pushed into dropping a subscriber for the generator's own
// slowness, and a run ends with sent equal to got.
type flow struct {
	sent   atomic.Uint64 // deliveries that are due
	_      [56]byte
	got    atomic.Uint64 // deliveries that have arrived
	_      [56]byte
	window uint64

	waiting atomic.Int32
	mu      sync.Mutex
	room    sync.Cond
	broken  bool // guarded by mu
}

func newFlow(window uint64) *flow {
	f := &flow{window: window}
	f.room.L = &f.mu
	return f
}

// claim announces n deliveries to come and waits until they fit; false means
// that the run is over. n may exceed the window when nothing is under way.
func (f *flow) claim(n uint64) bool {
	if sent := f.sent.Load(); sent+n-f.got.Load() > f.window && sent > f.got.Load() {
		f.mu.Lock()
		f.waiting.Add(1)
		for !f.broken && f.sent.Load()-f.got.Load() > f.window/2 {
			f.room.Wait()
		}
		f.waiting.Add(-1)
		broken := f.broken
		f.mu.Unlock()
		if broken {
			return false
		}
	}
	f.sent.Add(n)
	return true
}

// arrived counts n deliveries and wakes publishers once half the window is
// free.
func (f *flow) arrived(n uint64) {
	got := f.got.Add(n)
	if f.waiting.Load() > 0 && int64(f.sent.Load()-got) <= int64(f.window/2) {
		f.mu.Lock()
		f.room.Broadcast()
		f.mu.Unlock()
	}
}

// wreck releases everybody who waits.
func (f *flow) wreck() {
	f.mu.Lock()
	f.broken = true
	f.room.Broadcast()
	f.mu.Unlock()
}
