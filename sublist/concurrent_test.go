package sublist

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"peregrine/internal/seeds"
)

// TestConcurrent proves I1 and I2 while writers and readers run together, once
// over many small sets and once over few that keep turning wide and narrow.
func TestConcurrent(t *testing.T) {
	t.Run("narrow", func(t *testing.T) {
		testConcurrent(t, 40, []string{"a.b.c", "a.b.*", "a.>", "*.b.c", ">", "a.*.c", "_INBOX.x.*", "a", "*"})
	})
	t.Run("wide", func(t *testing.T) {
		testConcurrent(t, 70, []string{"a.b.c", "a.b.*"})
	})
}

// testConcurrent has each writer own subscribers. A subscriber's state is set
// before and after each change, so a reader that sees it in, unchanged, before and
// after its match must find the subscriber, and must not if it sees it out.
func testConcurrent(t *testing.T, perWriter int, patterns []string) {
	const writers, readers = 3, 3
	rounds := 3000
	if raceEnabled {
		rounds = 600
	}
	r := seeds.Rand(t, 1)
	subjects := []string{"a.b.c", "a.b.d", "_INBOX.x.1", "a"}
	type tracked struct {
		sub
		state atomic.Int64 // 4k: in, 4k+2: out, odd: changing; k counts changes
	}
	l := New[tracked](Options{Shards: 2})
	all := make([]*tracked, writers*perWriter)
	for i := range all {
		all[i] = &tracked{sub: sub{id: i, subject: patterns[r.IntN(len(patterns))], loop: i % 3}}
		if i%5 == 0 {
			all[i].queue = fmt.Sprint("q", i%7)
		}
		all[i].state.Store(2)
	}
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for w := range writers {
		seed := r.Uint64()
		writing.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for range rounds {
				s := all[w*perWriter+r.IntN(perWriter)]
				if now := s.state.Load(); now%4 == 2 {
					s.state.Store(now + 1)
					if err := l.Insert(s.subject, s.queue, s.loop, 1, s); err != nil {
						t.Error(err)
					}
					s.state.Store(now + 2)
				} else {
					s.state.Store(now + 1)
					if !l.Remove(s.subject, s.queue, s) {
						t.Errorf("lost %v", &s.sub)
					}
					s.state.Store(now + 2)
				}
			}
		})
	}
	for range readers {
		seed := r.Uint64()
		reading.Go(func() {
			r := rand.New(rand.NewPCG(seed, 3))
			c := NewCache[tracked](CacheOptions{Entries: 64})
			var scratch Result[tracked]
			before := make([]int64, len(all))
			for !done.Load() {
				subject := subjects[r.IntN(len(subjects))]
				for i, s := range all {
					before[i] = s.state.Load()
				}
				var res *Result[tracked]
				switch r.IntN(3) {
				case 0:
					res = c.Match(l, []byte(subject))
				case 1:
					res = c.MatchInto(l, []byte(subject), &scratch)
				case 2:
					res = &scratch
					l.Match([]byte(subject), res)
				}
				found := map[*tracked]bool{}
				for _, s := range res.Plain {
					found[s] = true
				}
				for i := range res.Groups {
					for _, s := range res.Groups[i].Members {
						found[s] = true
					}
				}
				for i, s := range all {
					if s.state.Load() != before[i] || before[i]%2 != 0 {
						continue
					}
					want := before[i]%4 == 0 && SubsetMatch(subject, s.subject)
					if found[s] != want {
						t.Errorf("%q: %v found %v, want %v", subject, &s.sub, found[s], want)
						return
					}
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	in := 0
	for _, s := range all {
		if s.state.Load()%4 == 0 {
			in++
		}
	}
	if l.Count() != in {
		t.Errorf("count %d, want %d", l.Count(), in)
	}
}

// TestStaysFound has tables and tries grow, shrink and be pruned around subjects
// that stay: readers must find each of those, always (I1).
func TestStaysFound(t *testing.T) {
	rounds := 40
	if raceEnabled {
		rounds = 8
	}
	l := New[sub](Options{Shards: 1})
	type steady struct {
		publish []byte
		sub     *sub
	}
	var stay []steady
	for i := range 60 {
		s := &sub{id: i, subject: fmt.Sprintf("stay.%d.x", i)}
		switch i % 4 {
		case 1:
			s.subject = fmt.Sprintf("stay.%d.*", i)
		case 2:
			s.subject = fmt.Sprintf("*.%d.x", i)
		case 3:
			s.subject = fmt.Sprintf("stay.*.x.%d", i)
		}
		publish := strings.Replace(s.subject, "*", "stay", 1)
		stay = append(stay, steady{[]byte(publish), s})
		if err := s.insertInto(l); err != nil {
			t.Fatal(err)
		}
	}
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for w := range 2 {
		writing.Go(func() {
			var come []*sub
			for range rounds {
				for i := range 400 {
					s := &sub{subject: fmt.Sprintf("come.%d.%d", w, i)}
					switch i % 4 {
					case 1:
						s.subject += ".*"
					case 2:
						s.subject = fmt.Sprintf("stay.*.%d.%d", w, i)
					case 3:
						s.subject = fmt.Sprintf("*.*.%d.%d", w, i)
					}
					_ = s.insertInto(l)
					come = append(come, s)
				}
				for _, s := range come {
					if !l.Remove(s.subject, "", s) {
						t.Errorf("lost %v", s)
					}
				}
				come = come[:0]
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			c := NewCache[sub](CacheOptions{Entries: 128})
			var r Result[sub]
			for i := 0; !done.Load(); i++ {
				s := stay[i%len(stay)]
				l.Match(s.publish, &r)
				if cached := c.Match(l, s.publish); !slices.Contains(r.Plain, s.sub) || !slices.Contains(cached.Plain, s.sub) {
					t.Errorf("%v not found", s.sub)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	for _, s := range stay {
		l.Remove(s.sub.subject, "", s.sub)
	}
	checkBare(t, l)
}

// TestWatch proves I6.
func TestWatch(t *testing.T) {
	l := New[sub](Options{})
	var told []string
	watch := func(subject, queue string) *Watch {
		w, err := l.Watch(subject, queue, func(on bool) {
			told = append(told, fmt.Sprint(subject, " ", queue, " ", on))
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	check := func(want ...string) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		told = nil
	}
	plain := watch("a.b", "")
	check("a.b  false")
	group := watch("a.b", "q")
	check("a.b q false")

	add := func(s *sub) *sub { _ = s.insertInto(l); return s }
	drop := func(s *sub) { l.Remove(s.subject, s.queue, s) }
	add(&sub{subject: "a.*"})
	add(&sub{subject: "a.b", queue: "other"})
	check()
	s1 := add(&sub{subject: "a.b"})
	check("a.b  true")
	s2 := add(&sub{subject: "a.b"})
	add(s2)
	q1 := add(&sub{subject: "a.b", queue: "q"})
	check("a.b q true")
	drop(s1)
	drop(s1)
	check()
	again := watch("a.b", "")
	check("a.b  true")
	drop(s2)
	check("a.b  false", "a.b  false")
	if !again.Stop() || again.Stop() {
		t.Error("stop")
	}
	drop(q1)
	check("a.b q false")
	// Many members make the set wide; edges must stay right.
	var many []*sub
	for i := range 200 {
		many = append(many, add(&sub{id: i, subject: "a.b"}), add(&sub{id: i, subject: "a.b", queue: "q"}))
	}
	check("a.b  true", "a.b q true")
	for _, s := range many {
		drop(s)
	}
	check("a.b  false", "a.b q false")
	if !plain.Stop() || !group.Stop() {
		t.Error("stop")
	}
	add(&sub{subject: "a.b"})
	check()
	if _, err := l.Watch("a.*", "", func(bool) {}); err != ErrInvalidSubject {
		t.Error(err)
	}
	if _, err := l.Watch("a", "", nil); err != ErrNilWatch {
		t.Error(err)
	}
}

// TestWatchOrder lets two goroutines toggle interest: what a watch is told must
// alternate, one call at a time, and end with the state there is.
func TestWatchOrder(t *testing.T) {
	l := New[sub](Options{})
	var busy atomic.Int32
	last := true
	w, err := l.Watch("x", "", func(on bool) {
		if busy.Add(1) != 1 {
			t.Error("two calls at once")
		}
		if on == last {
			t.Error("told the same twice")
		}
		last = on
		busy.Add(-1)
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s := &sub{subject: "x"}
			for range 2000 {
				_ = s.insertInto(l)
				l.Remove("x", "", s)
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) != 0 || last {
		t.Errorf("pending %v, last %v", w.pending, last)
	}
}

func TestShardsFillCacheLines(t *testing.T) {
	if a, b := unsafe.Sizeof(literals[sub]{}), unsafe.Sizeof(wildShard[sub]{}); a != 64 || b != 64 {
		t.Errorf("shards take %d and %d bytes", a, b)
	}
	if n := unsafe.Sizeof(line[sub]{}); n != 192 {
		t.Errorf("a cache line takes %d bytes", n)
	}
}
