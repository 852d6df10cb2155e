package sublist

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// seed makes hashes unpredictable: subjects come from sockets, and a client that
// could choose colliding ones would turn every lookup into a scan.
var seed = maphash.MakeSeed()

// hashOf hashes a subject or token. The top bit is always set, which keeps
// hashes apart from the marks a cell may hold instead.
func hashOf(s string) uint64 { return maphash.String(seed, s) | 1<<63 }

// childHash hashes a token, itself hashed, below the node with that id.
func childHash(id uint32, token uint64) uint64 {
	hi, lo := bits.Mul64(token^uint64(id)<<32, 0x9e3779b97f4a7c15)
	return hi ^ lo | 1<<63
}

const (
	cellEmpty = 0 // ends a probe
	cellDead  = 1 // was used; a probe goes on
)

// cell is one place of a table. ptr is written before hash when it is filled,
// and hash before ptr when it is emptied, so that a reader who sees the hash
// finds either the value, nil, or a value of another key.
type cell[E any] struct {
	hash atomic.Uint64
	ptr  atomic.Pointer[E]
}

// table is an open-addressing hash table whose readers take no lock: values never
// move within an array of cells, and a larger array is published whole. Keys are
// compared by the caller, see each.
//
// Owned by the writer who holds the lock of the shard around it; cells may be
// read by anyone.
type table[E any] struct {
	cells atomic.Pointer[[]cell[E]]
	live  int // filled cells
	used  int // filled and dead cells
}

const minCells = 4

// candidates returns the cells to probe for a hash, or nil for an empty table.
// The walk starts at hash&(len-1) and ends at the first empty cell; there always
// is one, since used cells never exceed five eighths.
func (t *table[E]) candidates() []cell[E] {
	if p := t.cells.Load(); p != nil {
		return *p
	}
	return nil
}

// touch starts to bring the first cell for a hash into the processor's cache, for
// a probe soon to come. Nothing waits for the load.
func (t *table[E]) touch(hash uint64) {
	if cells := t.candidates(); cells != nil {
		cells[hash&uint64(len(cells)-1)].hash.Load()
	}
}

// insert adds a value whose key is not in the table yet.
func (t *table[E]) insert(hash uint64, e *E) {
	cells := t.candidates()
	if (t.used+1)*8 > len(cells)*5 {
		cells = t.rebuild(t.live + 1)
	}
	mask := uint64(len(cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		c := &cells[i]
		h := c.hash.Load()
		if h != cellEmpty && h != cellDead {
			continue
		}
		if h == cellEmpty {
			t.used++
		}
		t.live++
		c.ptr.Store(e)
		c.hash.Store(hash)
		return
	}
}

// remove takes e out; it must be in the table under hash.
func (t *table[E]) remove(hash uint64, e *E) {
	cells := t.candidates()
	mask := uint64(len(cells) - 1)
	i := hash & mask
	for cells[i].ptr.Load() != e {
		i = (i + 1) & mask
	}
	t.live--
	if cells[(i+1)&mask].hash.Load() != cellEmpty {
		cells[i].hash.Store(cellDead)
		cells[i].ptr.Store(nil)
	} else {
		t.empty(cells, i)
	}
	if t.live == 0 {
		t.cells.Store(nil)
		t.used = 0
	} else if len(cells) > minCells && t.live*8 < len(cells) {
		t.rebuild(t.live)
	}
}

// empty frees cell i, the last of its run, and the dead ones right before it, so
// that churn does not fill the table with dead cells.
func (t *table[E]) empty(cells []cell[E], i uint64) {
	mask := uint64(len(cells) - 1)
	for {
		cells[i].hash.Store(cellEmpty)
		cells[i].ptr.Store(nil)
		t.used--
		i = (i - 1) & mask
		if cells[i].hash.Load() != cellDead {
			return
		}
	}
}

// rebuild publishes a fresh array with room for n values and more. Readers of the
// old one still see every value that was in it.
func (t *table[E]) rebuild(n int) []cell[E] {
	size := minCells
	for n*5 > size*2 {
		size *= 2
	}
	cells := make([]cell[E], size)
	mask := uint64(size - 1)
	old := t.candidates()
	for k := range old {
		h := old[k].hash.Load()
		if h == cellEmpty || h == cellDead {
			continue
		}
		i := h & mask
		for cells[i].hash.Load() != cellEmpty {
			i = (i + 1) & mask
		}
		cells[i].ptr.Store(old[k].ptr.Load())
		cells[i].hash.Store(h)
	}
	t.used = t.live
	t.cells.Store(&cells)
	return cells
}

// each calls f for every value until f returns false, and reports whether all
// were visited. It sees everything that was there before the call and stays.
func (t *table[E]) each(f func(*E) bool) bool {
	cells := t.candidates()
	for i := range cells {
		if e := cells[i].ptr.Load(); e != nil && !f(e) {
			return false
		}
	}
	return true
}
