package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// feeder is an application that changes streams as fast as it can and hands views of
// their messages to readers.
type feeder struct {
	s     *Shard
	r     *rand.Rand
	t     *testing.T
	views chan store.View
	left  int
	done  chan struct{}
}

func (f *feeder) Turn(now int64) bool {
	if f.left == 0 || len(f.s.list) < 2 {
		return false
	}
	f.s.Streams(func(st *Stream) {
		for range 4 {
			state, err := st.Messages.State()
			if err != nil {
				f.t.Error(err)
				return
			}
			m := store.Message{Time: now, Subject: fmt.Appendf(nil, "s.%d", f.r.IntN(9)), Payload: make([]byte, f.r.IntN(600))}
			if _, err := st.Messages.Append(&m); err != nil {
				f.t.Error(err)
				return
			}
			seq := state.First + store.Seq(f.r.Uint64N(uint64(state.Last-min(state.Last, state.First))+1))
			if f.r.IntN(3) == 0 {
				st.Messages.Remove(seq)
				continue
			}
			if v, err := st.Messages.View(seq); err == nil {
				select {
				case f.views <- v:
				default:
				}
			}
		}
	})
	if f.left--; f.left == 0 {
		close(f.done)
	}
	return true
}

func (f *feeder) Durable(Mark) {}

func (f *feeder) Failed(_ *Stream, _ *Consumer, err error) { f.t.Error(err) }

// Readers on goroutines of their own see what was stored, while shards append,
// remove and checkpoint, workers write, compact and merge blocks, and the scrubber
// reads.
func TestReadersBesideShards(t *testing.T) {
	turns := 400
	if testing.Short() {
		turns = 100
	}
	disk := vfs.NewMem()
	o := Options{Shards: 2, Workers: 3, ScrubRate: 64 << 20, ScrubRest: time.Millisecond,
		Log:     commitlog.Options{SegmentBytesMin: 64 << 10, SegmentBytesMax: 128 << 10, PressureBytes: 256 << 10},
		Damaged: func(d Damage) { t.Errorf("damage: %+v", d) }}
	e, _, err := Open(disk, o)
	must(t, err)
	views, readers := make(chan store.View, 256), make(chan uint64)
	var feeders []*feeder
	e.Start(func(s *Shard) App {
		f := &feeder{s: s, r: rand.New(rand.NewPCG(7, uint64(s.Index()))), t: t, views: views, left: turns, done: make(chan struct{})}
		feeders = append(feeders, f)
		return f
	})
	for _, s := range e.Shards() {
		s.Do(func(s *Shard) {
			for i := range 2 {
				o := StreamOptions{FlushBytes: 16 << 10, CacheBytes: 16 << 10, Compress: i == 1}
				o.Options.BlockBytes, o.Options.ChunkBytes = 32<<10, 4<<10
				s.CreateStream(nil, o, func(_ *Stream, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	for range 3 {
		go func() {
			var r store.Reader
			var m store.Message
			n := uint64(0)
			for v := range views {
				switch err := r.Load(&v, &m); {
				case err == nil:
					n++
				case !errors.Is(err, store.ErrNotFound):
					t.Error(err)
				}
			}
			readers <- n
		}()
	}
	for _, f := range feeders {
		<-f.done
	}
	must(t, e.Close())
	close(views)
	total := uint64(0)
	for range 3 {
		total += <-readers
	}
	if total == 0 {
		t.Error("nothing was read")
	}
	t.Logf("%d messages read", total)
}
