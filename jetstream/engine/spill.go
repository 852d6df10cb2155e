package engine

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"peregrine/jetstream/commitlog"
	"peregrine/vfs"
)

// spill takes the records of what is broken, and of owners that nobody knows, out of
// the log: one stream that cannot be opened must not keep the log from forgetting.
// If that is not possible, on a full disk for example, the log keeps them.
func (p *opening) spill() error {
	err := p.spillAll()
	switch {
	case errors.Is(err, vfs.ErrCrashed):
		return err
	case err != nil:
		p.e.options.Logf("engine: log records of what cannot be opened stay in the log: %v", err)
		p.tails = nil
	}
	return nil
}

func (p *opening) spillAll() error {
	p.tails = map[ID]*tailWriter{}
	err := p.beginTails()
	if err == nil && len(p.tails) > 0 {
		err = p.e.log.Replay(0, 0, commitlog.Replay{Record: p.spillRecord, Damaged: p.spillDamage})
	}
	for _, id := range slices.Sorted(maps.Keys(p.tails)) {
		w := p.tails[id]
		if err != nil {
			w.f.Close()
			continue
		}
		if err = w.finish(); err != nil {
			continue
		}
		p.e.options.Logf("engine: %d log records of %d are set aside in %s", w.count, id, w.name)
		if p.e.catalog.find(id) == nil {
			p.report.Quarantined = append(p.report.Quarantined, w.name)
		}
	}
	return err
}

// beginTails makes a tail for each owner that has records and cannot have them.
func (p *opening) beginTails() error {
	for _, o := range p.report.Log.Owners {
		id := ID(o.Owner)
		if o.Owner == catalogOwner || p.e.find(id) != nil {
			continue
		}
		name := path.Join(quarantineDir, consumerName(id)+tailEnding)
		if x := p.e.catalog.find(id); x != nil {
			if x.doomed {
				continue
			}
			name = tailFile(id, x.stream)
			if x.stream != 0 {
				if _, err := p.e.fs.Stat(path.Dir(name)); err != nil {
					name = path.Join(quarantineDir, name) // its stream's folder is gone
				}
			}
		}
		w, err := newTail(p.e.fs, name, p.report.Log.Identity, id)
		if errors.Is(err, ErrCorrupt) {
			// What is there stays, for somebody to look at.
			p.e.options.Logf("%v", err)
			w, err = newTail(p.e.fs, fmt.Sprintf("%s.%d", name, p.report.Log.Epoch), p.report.Log.Identity, id)
		}
		if err != nil {
			return err
		}
		p.tails[id] = w
	}
	return nil
}

func (p *opening) spillRecord(r commitlog.Record) error {
	if w := p.tails[ID(r.Owner)]; w != nil && !r.Dropped {
		return w.add(tailItem{position: r.Position, kind: r.Kind, data: r.Data})
	}
	return nil
}

func (p *opening) spillDamage(d commitlog.Damage) error {
	for _, id := range slices.Sorted(maps.Keys(p.tails)) {
		if err := p.tails[id].add(tailItem{position: d.From, damageTo: d.To}); err != nil {
			return err
		}
	}
	return nil
}

// replayTail applies the tail of an asset that could not be opened earlier; p.mu is
// held.
func (p *opening) replayTail(a *asset, stream ID) {
	name := tailFile(a.id, stream)
	r, err := openTail(p.e.fs, name, p.e.catalog.identity, a.id)
	if r == nil && err == nil {
		return
	}
	if err == nil {
		defer r.f.Close()
		err = r.each(func(t tailItem) error { return p.applyTail(a, t) })
	}
	if err != nil {
		p.broken(a.id, err)
		p.forget(a)
		return
	}
	a.tailName = name
	p.e.options.Logf("engine: %d has its records of %s again", a.id, name)
}

func (p *opening) applyTail(a *asset, t tailItem) error {
	a.tail = max(a.tail, t.position)
	switch {
	case t.damageTo != 0:
		if a.stream != nil && a.position < t.damageTo {
			a.stream.Messages.LogDamaged()
			a.marked = 1
		}
		return nil
	case t.position < a.position:
		return nil
	}
	data, kind := t.data, t.kind
	if kind&kindSealed != 0 {
		kind &^= kindSealed
		opener := recordOpener{ring: p.e.ring}
		var err error
		if data, err = opener.open(commitlog.OwnerID(a.id), kind, data); err != nil {
			return err
		}
	}
	return p.apply(a, kind, data)
}

// removeTail removes the tail of an asset whose checkpoint holds what is in it. If
// that fails, or a crash undoes it, it is only read again.
func (s *Shard) removeTail(a *asset) {
	name := a.tailName
	a.tail, a.tailName = 0, ""
	var err error
	s.submit(func() { err = vfs.RemoveAll(s.engine.fs, name) }, func() {
		if err != nil {
			s.engine.options.Logf("engine: %s is left: %v", name, err)
		}
	})
}

// spillStopped takes the records of an asset that has stopped out of the log, if that
// has asked for room: it will not make a checkpoint any more. The next opening has
// them from its tail.
func (s *Shard) spillStopped(a *asset) {
	before, oldest := a.before, a.owner.Oldest()
	if oldest == 0 || oldest >= before {
		return
	}
	a.busy = true
	e, stream := s.engine, ID(0)
	if c := s.consumers[a.id]; c != nil {
		stream = c.stream.id
	}
	var err error
	s.submit(func() { err = e.tailOf(a.id, stream, oldest, before) }, func() {
		a.busy = false
		if err != nil {
			e.options.Logf("engine: log records of %d stay in the log: %v", a.id, err)
			return
		}
		if !a.removed {
			a.owner.Need(before)
			s.enqueue(a) // the log may have asked for more
		}
	})
}

// tailOf copies an owner's records to its tail: from the oldest that it needs, which
// holds the segments, to a position.
func (e *Engine) tailOf(id, stream ID, from, before commitlog.Position) error {
	w, err := newTail(e.fs, tailFile(id, stream), e.catalog.identity, id)
	if err != nil {
		return err
	}
	err = e.log.Replay(from, before, commitlog.Replay{Record: func(r commitlog.Record) error {
		if ID(r.Owner) != id || r.Position < from || r.Dropped {
			return nil
		}
		return w.add(tailItem{position: r.Position, kind: r.Kind, data: r.Data})
	}, Damaged: func(d commitlog.Damage) error {
		return w.add(tailItem{position: d.From, damageTo: d.To})
	}})
	if err != nil {
		w.f.Close()
		return err
	}
	return w.finish()
}
