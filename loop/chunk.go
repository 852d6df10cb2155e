package loop

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Chunk sizes. A queue starts small, so that a reply costs little memory, and
// grows by a factor of eight, so that a flood costs few segments.
var chunkSizes = [...]int{1 << 10, 8 << 10, 64 << 10}

const (
	chunkClasses = len(chunkSizes)
	chunkMax     = 64 << 10
	// chunkSpare is how many free chunks of a class a loop keeps for itself.
	chunkSpare = 64
)

// chunk is outbound memory. It is owned by one loop, then, through a mailbox,
// by another; bytes below len(buf) never change once queued.
type chunk struct {
	buf   []byte
	segs  int32 // how many segments of its queue are in it
	class int8  // index into chunkSizes; -1: made to measure, not pooled
}

var chunkPools [chunkClasses]sync.Pool

// chunksLive counts chunks outside the pools. It proves that nothing leaks.
var chunksLive atomic.Int64

// chunkStore is one loop's free chunks. sync.Pool behind it evens out what
// travels from loop to loop.
type chunkStore struct {
	free [chunkClasses][]*chunk
	live int64 // taken minus returned since the last publish
}

func (s *chunkStore) get(class int) *chunk {
	s.live++
	if l := s.free[class]; len(l) > 0 {
		c := l[len(l)-1]
		s.free[class] = l[:len(l)-1]
		return c
	}
	if c, _ := chunkPools[class].Get().(*chunk); c != nil {
		return c
	}
	return &chunk{buf: make([]byte, 0, chunkSizes[class]), class: int8(class)}
}

// getSized returns a chunk with room for n bytes, at least of class.
func (s *chunkStore) getSized(n, class int) *chunk {
	for class < chunkClasses && chunkSizes[class] < n {
		class++
	}
	if class >= chunkClasses {
		s.live++
		return &chunk{buf: make([]byte, 0, n), class: -1}
	}
	return s.get(class)
}

func (s *chunkStore) put(c *chunk) {
	s.live--
	if c.class < 0 {
		return
	}
	scribble(c.buf)
	c.buf = c.buf[:0]
	if l := s.free[c.class]; len(l) < chunkSpare {
		s.free[c.class] = append(l, c)
		return
	}
	chunkPools[c.class].Put(c)
}

// publish adds what this loop holds to the process-wide count.
func (s *chunkStore) publish() {
	if s.live != 0 {
		chunksLive.Add(s.live)
		s.live = 0
	}
}

// Shared is an immutable counted buffer: a payload that is referenced by
// several queues instead of being copied into each.
type Shared struct {
	buf  []byte
	refs atomic.Int32
	pool *sync.Pool // where the last reference puts it; nil: nowhere
}

const (
	sharedMinBits = 12
	sharedClasses = 12 // 4 KiB … 8 MiB
)

var (
	sharedPools [sharedClasses]sync.Pool
	sharedLive  atomic.Int64
)

// NewShared returns a buffer of n bytes with one reference, held by the caller.
// Its content is undefined.
func NewShared(n int) *Shared {
	sharedLive.Add(1)
	class := max(bits.Len(uint(n-1)), sharedMinBits) - sharedMinBits
	if n <= 0 {
		class = 0
	}
	if class >= sharedClasses {
		return newShared(nil, n, n)
	}
	return newShared(&sharedPools[class], n, 1<<(class+sharedMinBits))
}

// newShared takes a buffer from pool, whose buffers have room for size bytes, or
// makes one.
func newShared(pool *sync.Pool, n, size int) *Shared {
	var s *Shared
	if pool != nil {
		s, _ = pool.Get().(*Shared)
	}
	if s == nil {
		s = &Shared{buf: make([]byte, size), pool: pool}
	}
	s.buf = s.buf[:n]
	s.refs.Store(1)
	return s
}

// Bytes returns the content. Only the creator may change it, and only before a
// second reference exists.
func (s *Shared) Bytes() []byte { return s.buf }

// Retain adds a reference.
func (s *Shared) Retain() { s.refs.Add(1) }

// Release drops a reference; the last one returns the memory.
func (s *Shared) Release() {
	switch n := s.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("loop: Shared released twice")
	}
	sharedLive.Add(-1)
	if s.pool != nil {
		scribble(s.buf)
		s.pool.Put(s)
	}
}

// BuffersInUse reports how many chunks and shared payloads are held. Both are
// zero when every queue is empty. Loops publish their share when they go idle.
func BuffersInUse() (chunks, shared int64) {
	return chunksLive.Load(), sharedLive.Load()
}
