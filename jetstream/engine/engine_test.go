package engine

import (
	"fmt"
	"testing"

	"peregrine/jetstream/store"
	"peregrine/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// on runs f on the shard's goroutine and waits for it.
func on(s *Shard, f func(*Shard)) {
	done := make(chan struct{})
	s.Do(func(s *Shard) { f(s); close(done) })
	<-done
}

// marks is an application that does nothing but tell what is durable.
type marks struct {
	s       *Shard
	durable chan Mark
	failed  chan error
}

func newMarks(s *Shard) *marks {
	return &marks{s: s, durable: make(chan Mark, 1), failed: make(chan error, 1)}
}

func (m *marks) Turn(int64) bool { return false }

func (m *marks) Durable(mark Mark) {
	select {
	case <-m.durable:
	default:
	}
	m.durable <- mark
}

func (m *marks) Failed(_ *Stream, _ *Consumer, err error) {
	select {
	case m.failed <- err:
	default:
	}
}

func (m *marks) wait(t testing.TB, mark Mark) {
	for {
		select {
		case d := <-m.durable:
			if d >= mark {
				return
			}
		case err := <-m.failed:
			t.Fatal(err)
		}
	}
}

// What was stored on a real disk, over several shards, is there again.
func TestRealDisk(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenDisk(dir, vfs.DiskOptions{})
	must(t, err)
	const streams, n = 6, 300
	apps := map[int]*marks{}
	open := func() *Engine {
		e, report, err := Open(fsys, Options{Shards: 2, Logf: t.Logf})
		must(t, err)
		if len(report.Broken)+len(report.Stores)+len(report.Quarantined)+report.Unknown > 0 {
			t.Fatalf("report %+v", report)
		}
		e.Start(func(s *Shard) App {
			apps[s.Index()] = newMarks(s)
			return apps[s.Index()]
		})
		return e
	}
	e := open()
	for i := range streams {
		s := e.Shards()[i%2]
		made := make(chan *Stream, 1)
		s.Do(func(s *Shard) {
			s.CreateStream(fmt.Appendf(nil, "stream %d", i), StreamOptions{}, func(st *Stream, err error) {
				if err != nil {
					t.Error(err)
				}
				made <- st
			})
		})
		st := <-made
		var mark Mark
		on(s, func(s *Shard) {
			for k := range n {
				m := store.Message{Time: int64(k), Subject: []byte("a.b"), Payload: fmt.Appendf(nil, "%d/%d", i, k)}
				if _, err := st.Messages.Append(&m); err != nil {
					t.Error(err)
				}
			}
			c, err := s.CreateConsumer(st, []byte("consumer"))
			if err == nil {
				err = c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Delivery: 7, Stream: 8}})
			}
			if err != nil {
				t.Error(err)
			}
			mark = s.Mark()
		})
		apps[s.Index()].wait(t, mark)
	}
	must(t, e.Close())
	e = open()
	defer e.Close()
	seen := map[string]bool{}
	for _, s := range e.Shards() {
		on(s, func(s *Shard) {
			s.Streams(func(st *Stream) {
				seen[string(st.Meta())] = true
				var i int
				fmt.Sscanf(string(st.Meta()), "stream %d", &i)
				var m store.Message
				for k := range n {
					if err := st.Messages.Load(store.Seq(k+1), &m); err != nil || string(m.Payload) != fmt.Sprintf("%d/%d", i, k) {
						t.Errorf("stream %d, %d: %q, %v", i, k, m.Payload, err)
					}
				}
				consumers := 0
				st.Consumers(func(c *Consumer) {
					consumers++
					if d := c.State.Delivered(); d.Delivery != 7 || string(c.Meta()) != "consumer" {
						t.Errorf("delivered %+v, %q", d, c.Meta())
					}
				})
				if consumers != 1 {
					t.Errorf("%d consumers", consumers)
				}
			})
		})
	}
	if len(seen) != streams {
		t.Errorf("streams %v", seen)
	}
}
