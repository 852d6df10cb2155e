package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// scrubber has the files of a shard read in the background, a piece at a time, so
// slowly that nobody notices. What it finds is fenced by the store, remembered by a
// checkpoint, logged and told to Options.Damaged.
type scrubber struct {
	at      int64 // when the next piece is due, Unix nanoseconds; 0: look now
	round   []*asset
	next    int // in round
	scrub   *store.Scrub
	running bool
}

// scrubLater is how long an asset that has other work is waited for.
const scrubLater = int64(50 * time.Millisecond)

// scrub starts the next piece if it is due.
func (s *Shard) scrub(now int64) {
	c := &s.scrubs
	o := &s.engine.options
	if o.ScrubRate < 0 || s.closing || s.failed != nil || c.running || now < c.at {
		return
	}
	if c.round == nil {
		s.beginRound(now)
		return
	}
	for ; c.next < len(c.round); c.next++ {
		a := c.round[c.next]
		if c.scrub == nil {
			c.scrub = &store.Scrub{}
		}
		if !a.removed {
			if a.busy || s.running >= o.Workers {
				c.at = now + scrubLater
				return
			}
			if j := a.kept.scrub(c.scrub); j != nil {
				s.scrubPiece(a, j, now)
				return
			}
		}
		c.scrub = nil
	}
	clear(c.round)
	c.round, c.next = nil, 0
	c.at = now + int64(o.ScrubRest)
}

// beginRound lists what there is to read. The first round begins after a rest, too:
// an opening has just read much of it.
func (s *Shard) beginRound(now int64) {
	c := &s.scrubs
	if c.at == 0 {
		c.at = now + int64(s.engine.options.ScrubRest)
		return
	}
	c.round = []*asset{}
	for _, st := range s.list {
		if st.owner != nil {
			c.round = append(c.round, &st.asset)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.consumers)) {
		if a := &s.consumers[id].asset; a.owner != nil {
			c.round = append(c.round, a)
		}
	}
	s.scrubCatalog()
}

// scrubPiece runs a piece on a worker. The next one is due when the rate allows.
func (s *Shard) scrubPiece(a *asset, j *store.Job, now int64) {
	c := &s.scrubs
	sc, before := c.scrub, c.scrub.Bytes
	a.busy, c.running = true, true
	s.submit(j.Run, func() {
		c.running = false
		damage, lost := len(sc.Damage), len(sc.Lost)
		s.done(a, j)
		rate := max(s.engine.options.ScrubRate/int64(len(s.engine.shards)), 1)
		c.at = now + (sc.Bytes-before)*int64(time.Second)/rate
		if len(sc.Damage) == damage || a.removed {
			return
		}
		s.enqueue(a) // it is stale
		s.engine.options.Damaged(Damage{a.id, sc.Damage[damage:], sc.Lost[lost:]})
	})
}

// scrubCatalog looks at both copies of the catalog, which is the first shard's
// business. A bad one is written again.
func (s *Shard) scrubCatalog() {
	e := s.engine
	if s.index != 0 || s.keeping || s.kept != nil {
		return
	}
	s.keeping = true // nobody writes meanwhile
	generation := e.catalog.written()
	var damage []error
	s.submit(func() {
		for _, name := range catalogNames {
			b, err := vfs.ReadFile(e.fs, name, catalogMax)
			found, ring := newCatalog(), *e.ring
			if err == nil {
				err = found.decode(b, &ring)
			}
			if err == nil && found.generation != generation {
				err = fmt.Errorf("it is of writing %d, not %d: %w", found.generation, generation, ErrCorrupt)
			}
			if err != nil {
				damage = append(damage, fmt.Errorf("engine: %s: %w", name, err))
			}
		}
	}, func() {
		s.keeping = false
		if len(damage) == 0 {
			return
		}
		e.options.Logf("engine: scrub: %v", errors.Join(damage...))
		e.catalog.touch()
		e.options.Damaged(Damage{Errors: damage})
	})
}
