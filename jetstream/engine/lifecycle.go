package engine

import (
	"encoding/binary"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
)

// create is a stream that is being made.
type create struct {
	id      ID
	meta    []byte
	options StreamOptions
	stream  *store.Stream
	err     error
}

// CreateStream makes a stream; meta, which is immutable from now on, is given to
// Options.Stream when it is opened again. done is called on the shard's goroutine,
// also for errors, maybe before CreateStream returns. The stream is there for good
// once the mark that done sees is durable.
func (s *Shard) CreateStream(meta []byte, o StreamOptions, done func(*Stream, error)) {
	if s.failed != nil || s.closing {
		err := s.failed
		if err == nil {
			err = ErrClosing
		}
		done(nil, err)
		return
	}
	c := &create{id: s.newID(), meta: meta, options: o}
	st := s.newStream(c.id, meta, o)
	c.options.Options.Log = &st.asset
	if o.Memory {
		st.Messages = store.NewMemory(c.options.Options)
		s.join(st)
		done(st, nil)
		return
	}
	s.submit(func() { c.stream, c.err = s.engine.makeStream(c) }, func() {
		if c.err == nil && s.failed != nil {
			c.err = s.failed
		}
		if c.err != nil {
			done(nil, c.err)
			return
		}
		st.Messages = c.stream
		st.own()
		s.join(st)
		s.put(&entry{id: c.id, meta: meta})
		done(st, nil)
	})
}

func (s *Shard) newID() ID { return s.engine.catalog.newID(s.index, len(s.engine.shards)) }

func (s *Shard) newStream(id ID, meta []byte, o StreamOptions) *Stream {
	st := &Stream{consumers: map[ID]*Consumer{}, cache: o.CacheBytes}
	if st.cache <= 0 {
		st.cache = 4 << 20
	}
	st.asset = asset{id: id, meta: meta, shard: s, kept: st, stream: st}
	return st
}

// own claims the asset's place in the log.
func (a *asset) own() { a.owner = a.shard.writer.Owner(commitlog.OwnerID(a.id)) }

// join makes a stream part of the shard.
func (s *Shard) join(st *Stream) {
	s.streams[st.id] = st
	st.rank = len(s.list)
	s.list = append(s.list, st)
}

// put changes the catalog.
func (s *Shard) put(e *entry) {
	s.note(catalogPut, appendEntry(nil, e))
	s.engine.catalog.put(e)
}

// note logs a change of the catalog, which is then made.
func (s *Shard) note(kind commitlog.Kind, body []byte) {
	s.add(s.engine.catalogOwner, kind, body, nil)
	s.engine.catalog.logged(s.index, s.mark)
	s.noted = s.mark
}

// CreateConsumer makes a consumer of a stream. It is there for good once the mark
// is durable. The consumer of a memory stream is in memory, too.
func (s *Shard) CreateConsumer(st *Stream, meta []byte) (*Consumer, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	c := &Consumer{stream: st}
	c.asset = asset{id: s.newID(), meta: meta, shard: s, kept: c}
	if st.owner == nil {
		c.State = store.NewMemoryConsumer(&c.asset)
	} else {
		c.State = store.NewConsumer(&c.asset, s.engine.consumerFiles(c.id, st.id, meta), consumerName(c.id))
		c.own()
		s.put(&entry{id: c.id, stream: st.id, meta: meta})
	}
	st.consumers[c.id] = c
	s.consumers[c.id] = c
	return c, nil
}

// UpdateStream changes a stream's meta.
func (s *Shard) UpdateStream(st *Stream, meta []byte) {
	st.meta = meta
	if st.owner != nil {
		s.put(&entry{id: st.id, meta: meta})
	}
}

// UpdateConsumer changes a consumer's meta.
func (s *Shard) UpdateConsumer(c *Consumer, meta []byte) {
	c.meta = meta
	if c.owner != nil {
		s.put(&entry{id: c.id, stream: c.stream.id, meta: meta})
	}
}

// DeleteStream deletes a stream with its consumers. It is gone at once for this
// process, and for good once the mark is durable; then its files are removed.
func (s *Shard) DeleteStream(st *Stream) {
	for _, c := range st.consumers {
		s.DeleteConsumer(c)
	}
	delete(s.streams, st.id)
	last := len(s.list) - 1
	s.list[st.rank] = s.list[last]
	s.list[st.rank].rank = st.rank
	s.list[last] = nil
	s.list = s.list[:last]
	if st.expiry != 0 {
		s.timers.remove(st)
	}
	s.remove(&st.asset, nil, func() error { return s.engine.removeStream(st.id) })
}

// DeleteConsumer deletes a consumer.
func (s *Shard) DeleteConsumer(c *Consumer) {
	delete(c.stream.consumers, c.id)
	delete(s.consumers, c.id)
	if c.owner != nil {
		c.stream.leaving++
	}
	s.remove(&c.asset, c.stream, func() error { return s.engine.removeConsumer(c.id, c.stream.id) })
}

// remove ends an asset: catalog and log are told, and when both have that for
// good and no job runs, its files go.
func (s *Shard) remove(a *asset, of *Stream, files func() error) {
	a.removed = true
	if a.owner == nil {
		a.kept.close()
		return
	}
	s.note(catalogDoom, appendID(nil, a.id))
	s.engine.catalog.doom(a.id)
	s.drop(a.owner)
	s.removals = append(s.removals, removal{a: a, mark: s.mark, files: files, of: of})
}

// drop ends an owner's records in the log.
func (s *Shard) drop(o *commitlog.Owner) {
	s.mark++
	s.batch().AddDrop(o)
}

// removal is a deleted asset whose files are still there.
type removal struct {
	a     *asset
	mark  Mark // of the records that say so
	files func() error
	of    *Stream // that a consumer is of
}

// clean removes the files of what is deleted for good.
func (s *Shard) clean() {
	left := s.removals[:0]
	for _, r := range s.removals {
		if r.a.busy || s.synced < r.mark || s.failed != nil || (r.a.stream != nil && r.a.stream.leaving > 0) {
			left = append(left, r)
			continue
		}
		r.a.kept.close()
		if r.a.noting {
			r.a.noting = false
			s.engine.noted()
		}
		var err error
		s.submit(func() { err = r.files() }, func() {
			r.a.owner.Release()
			if r.of != nil {
				r.of.leaving--
			}
			if err != nil {
				s.engine.options.Logf("engine: files of %d are left until the next start: %v", r.a.id, err)
				return
			}
			s.note(catalogGone, appendID(nil, r.a.id))
			s.engine.catalog.gone(r.a.id)
		})
	}
	clear(s.removals[len(left):])
	s.removals = left
}

func appendID(dst []byte, id ID) []byte { return binary.AppendUvarint(dst, uint64(id)) }
