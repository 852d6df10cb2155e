package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"peregrine/jetstream/commitlog"
	"peregrine/vfs"
)

// record replays one record of the log.
func (p *opening) record(r commitlog.Record) error {
	p.largest = max(p.largest, ID(r.Owner))
	if r.Dropped {
		delete(p.unknown, r.Owner)
		return nil
	}
	data := r.Data
	kind := r.Kind
	if kind&kindSealed != 0 {
		var err error
		kind &^= kindSealed
		if data, err = p.opener.open(r.Owner, kind, data); err != nil {
			return err
		}
	}
	if r.Owner == catalogOwner {
		return p.change(r.Position, kind, data)
	}
	id := ID(r.Owner)
	a := p.e.find(id)
	if a == nil {
		if x := p.e.catalog.find(id); x == nil {
			p.unknown[r.Owner]++
		}
		return nil
	}
	if r.Position < a.position || r.Position <= a.tail {
		return nil
	}
	if err := p.apply(a, kind, data); err != nil {
		p.broken(id, fmt.Errorf("engine: replay at %v: %w", r.Position, err))
		p.forget(a)
	}
	return nil
}

// apply replays one record of an asset.
func (p *opening) apply(a *asset, kind commitlog.Kind, data []byte) (err error) {
	if a.stream != nil {
		err = a.stream.Messages.Replay(uint8(kind), data)
	} else {
		err = a.shard.consumers[a.id].State.Replay(uint8(kind), data)
	}
	if err == nil {
		p.report.Replayed++
		a.marked = 1 // something is not in the checkpoint
	}
	return err
}

// forget takes an asset out of the engine that cannot be used, and the consumers
// of a stream with it.
func (p *opening) forget(a *asset) {
	if a.shard.consumers[a.id] == nil {
		for id := range a.stream.consumers {
			p.broken(id, fmt.Errorf("engine: its stream %d is broken: %w", a.id, ErrCorrupt))
		}
	}
	p.leave(a)
}

// leave takes an asset out of the engine, and the consumers of a stream with it.
func (p *opening) leave(a *asset) {
	if c := a.shard.consumers[a.id]; c != nil {
		delete(c.stream.consumers, a.id)
		delete(a.shard.consumers, a.id)
		p.report.Consumers--
		return
	}
	st := a.stream
	for id := range st.consumers {
		delete(a.shard.consumers, id)
		p.report.Consumers--
	}
	clear(st.consumers)
	delete(a.shard.streams, a.id)
	a.shard.list = slices.DeleteFunc(a.shard.list, func(other *Stream) bool { return other == st })
	for i, other := range a.shard.list {
		other.rank = i
	}
	st.Messages.Close()
	p.report.Streams--
}

// change replays a change of the catalog.
func (p *opening) change(at commitlog.Position, kind commitlog.Kind, data []byte) error {
	if at < p.e.catalog.position {
		return nil
	}
	fresh, ok := p.e.catalog.replay(kind, data)
	if !ok {
		return fmt.Errorf("engine: change of the catalog at %v: %w", at, ErrCorrupt)
	}
	switch {
	case fresh != nil && fresh.stream == 0:
		p.openStream(fresh)
	case fresh != nil:
		p.openConsumer(fresh)
	}
	if err := p.report.Broken[idOf(fresh)]; errors.Is(err, vfs.ErrCrashed) {
		return err
	}
	if kind == catalogPut {
		p.updateMeta(data)
		return nil
	}
	if id, n := binary.Uvarint(data); n > 0 {
		p.mend(ID(id))
		if a := p.e.find(ID(id)); a != nil {
			p.leave(a)
		}
	}
	return nil
}

func idOf(x *entry) ID {
	if x == nil {
		return 0
	}
	return x.id
}

// updateMeta gives an open asset the meta of a replayed entry.
func (p *opening) updateMeta(data []byte) {
	if x, _ := entryOf(data); x != nil {
		if a := p.e.find(x.id); a != nil {
			a.meta = x.meta
		}
	}
}

// damage replays a range of the log that cannot be read: streams whose checkpoint
// does not hold it may have lost something there.
func (p *opening) damage(d commitlog.Damage) error {
	for _, s := range p.e.shards {
		for _, st := range s.list {
			if st.position < d.To {
				st.Messages.LogDamaged()
				st.noting = true
				st.marked = 1
			}
		}
	}
	return nil
}
