package sublist

import "sync/atomic"

// lane is a growing array of places whose readers take no lock. A value stays at
// its place until it is taken out or the lane is packed, so adding and removing
// never copy the rest. Readers scan and skip empty places; whoever is there from
// before a scan to its end is seen.
//
// Written under the lock of the shard around it.
type lane[E any] struct {
	places atomic.Pointer[[]atomic.Pointer[E]]
	live   atomic.Int32 // filled places
	next   uint32       // places from here on were never used
	free   []uint32     // places below next that are empty
}

const minPlaces = 16

// all returns the places to scan; empty ones hold nil.
func (l *lane[E]) all() []atomic.Pointer[E] {
	if p := l.places.Load(); p != nil {
		return *p
	}
	return nil
}

// add stores e and returns its place.
func (l *lane[E]) add(e *E) uint32 {
	l.live.Add(1)
	if n := len(l.free); n > 0 {
		at := l.free[n-1]
		l.free = l.free[:n-1]
		(*l.places.Load())[at].Store(e)
		return at
	}
	places := l.all()
	at := l.next
	l.next++
	if int(at) == len(places) {
		grown := make([]atomic.Pointer[E], max(minPlaces, 2*len(places)))
		for i := range places {
			grown[i].Store(places[i].Load())
		}
		grown[at].Store(e)
		l.places.Store(&grown)
		return at
	}
	places[at].Store(e)
	return at
}

// set replaces what is at a place.
func (l *lane[E]) set(at uint32, e *E) { (*l.places.Load())[at].Store(e) }

// clear empties a place.
func (l *lane[E]) clear(at uint32) {
	(*l.places.Load())[at].Store(nil)
	l.free = append(l.free, at)
	l.live.Add(-1)
}

// pack moves the values together when most places are empty, and tells where
// each went.
func (l *lane[E]) pack(moved func(e *E, at uint32)) {
	old := *l.places.Load()
	live := int(l.live.Load())
	if len(old) <= 4*minPlaces || live*4 > len(old) {
		return
	}
	packed := make([]atomic.Pointer[E], max(minPlaces, 2*live))
	l.next, l.free = 0, nil
	for i := range old {
		if e := old[i].Load(); e != nil {
			packed[l.next].Store(e)
			moved(e, l.next)
			l.next++
		}
	}
	l.places.Store(&packed)
}

// each calls f for every value until f returns false, and reports whether all
// were visited.
func (l *lane[E]) each(f func(*E) bool) bool {
	places := l.all()
	for i := range places {
		if e := places[i].Load(); e != nil && !f(e) {
			return false
		}
	}
	return true
}
