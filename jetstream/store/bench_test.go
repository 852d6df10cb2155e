package store

import (
	"fmt"
	"runtime"
	"testing"

	"peregrine/vfs"
)

func message(n, subjects int) *Message {
	m := &Message{Payload: make([]byte, n)}
	m.Subject = fmt.Appendf(nil, "orders.%d", subjects)
	return m
}

// discardLog takes everything.
type discardLog struct{ n uint64 }

func (l *discardLog) Append(uint8, []byte, []byte) { l.n++ }
func (l *discardLog) End() uint64                  { return l.n }
func (l *discardLog) Committed() uint64            { return l.n }
func (l *discardLog) Need(uint64)                  {}

func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"memory", "file"} {
		b.Run(kind, func(b *testing.B) {
			o := Options{Limits: Limits{MaxMsgs: 200_000}, Log: &discardLog{}}
			s := NewMemory(o)
			if kind == "file" {
				fsys, err := vfs.OpenDisk(b.TempDir(), vfs.DiskOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if s, _, err = Open(o, Files{FS: fsys, Dir: "s"}); err != nil {
					b.Fatal(err)
				}
				defer s.Close()
			}
			m := message(128, 1)
			b.ReportAllocs()
			for b.Loop() {
				m.Time++
				if _, err := s.Append(m); err != nil {
					b.Fatal(err)
				}
				if j := s.Work(); j != nil {
					j.Run()
					s.Finish(j)
				}
			}
		})
	}
}

func BenchmarkAppendSubjects(b *testing.B) {
	s := NewMemory(Options{Limits: Limits{MaxMsgsPerSubject: 3}})
	var subjects [10_000][]byte
	for i := range subjects {
		subjects[i] = fmt.Appendf(nil, "orders.%d.new", i)
	}
	m := message(128, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Time++
		m.Subject = subjects[i*7919%len(subjects)]
		if _, err := s.Append(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadNext(b *testing.B) {
	s := NewMemory(Options{})
	for i := range 100_000 {
		s.Append(message(128, i%10))
	}
	for name, f := range map[string]Filter{"all": {}, "one in ten": NewFilter("orders.3"), "pattern": NewFilter("orders.*")} {
		b.Run(name, func(b *testing.B) {
			var m Message
			next := Seq(1)
			b.ReportAllocs()
			for b.Loop() {
				if s.LoadNext(f, next, &m) != nil {
					next = 1
					continue
				}
				next = m.Seq + 1
			}
		})
	}
}

// A restart of a stream with many messages, after a checkpoint.
func BenchmarkOpen(b *testing.B) {
	fsys, err := vfs.OpenDisk(b.TempDir(), vfs.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	f := Files{FS: fsys, Dir: "s"}
	s, _, err := Open(Options{}, f)
	if err != nil {
		b.Fatal(err)
	}
	const n = 200_000
	for i := range n {
		s.Append(message(128, i%20_000))
	}
	s.Checkpoint()
	for j := s.Work(); j != nil; j = s.Work() {
		j.Run()
		s.Finish(j)
	}
	s.Close()
	for b.Loop() {
		s, _, err := Open(Options{}, f)
		if err != nil {
			b.Fatal(err)
		}
		if st, err := s.State(); err != nil || st.Msgs != n {
			b.Fatal(st, err)
		}
		s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/msg")
}

func TestAllocations(t *testing.T) {
	s := NewMemory(Options{Limits: Limits{MaxMsgs: 1000}, Log: &discardLog{}})
	m := message(128, 1)
	appends := testing.AllocsPerRun(20_000, func() {
		if _, err := s.Append(m); err != nil {
			t.Fatal(err)
		}
	})
	if appends > 0.5 {
		t.Errorf("%v allocations per append", appends)
	}
	var out Message
	f := NewFilter("orders.1")
	if n := testing.AllocsPerRun(1000, func() {
		if s.LoadNext(f, s.first, &out) != nil || s.Load(s.last, &out) != nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations per load", n)
	}
}

// An idle stream in files, with messages and trimmed, is small.
func TestIdleMemory(t *testing.T) {
	const n = 200
	fsys := vfs.NewMem()
	streams := make([]*Stream, n)
	for i := range streams {
		s, _, err := Open(Options{}, Files{FS: fsys, Dir: fmt.Sprintf("s%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 20 {
			s.Append(message(128, k%4))
		}
		s.Checkpoint()
		for j := s.Work(); j != nil; j = s.Work() {
			j.Run()
			s.Finish(j)
		}
		streams[i] = s
		s.Trim(0)
		s.Trim(0)
	}
	heap := func() uint64 {
		var st runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&st)
		return st.HeapAlloc
	}
	with := heap()
	for _, s := range streams {
		s.Close()
	}
	streams = nil
	per := int(with-heap()) / n
	t.Logf("%d bytes per idle stream", per)
	if per > 8<<10 {
		t.Errorf("%d bytes per idle stream, want ≤ 8192", per)
	}
	runtime.KeepAlive(fsys)
}
