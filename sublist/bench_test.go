package sublist

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// manySubs is how many subscriptions the large benchmarks use.
var manySubs = 100_000

// TestBenchmarksRun runs every benchmark once, small, so that none rots.
func TestBenchmarksRun(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value.String()
	defer func(n int) {
		manySubs = n
		_ = flag.Set("test.benchtime", benchtime)
	}(manySubs)
	manySubs = 500
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []func(*testing.B){
		BenchmarkMatch, BenchmarkHit, BenchmarkReply, BenchmarkInsertRemove,
		BenchmarkRemoveBatch, BenchmarkWide, BenchmarkChurn, BenchmarkMemory,
	} {
		testing.Benchmark(f)
	}
}

// mixedPatterns makes n subscription subjects over four levels, about two thirds
// of them with wildcards, and as many published subjects to go with them.
func mixedPatterns(n int) (patterns []string, subjects [][]byte) {
	r := rand.New(rand.NewPCG(7, 7))
	token := func(k int) string { return fmt.Sprintf("t%d", r.IntN(k)) }
	for i := range n {
		a, b, c, d := token(100), token(100), token(100), token(1000)
		switch i % 6 {
		case 0, 1:
			patterns = append(patterns, a+"."+b+"."+c+"."+d)
		case 2:
			patterns = append(patterns, a+"."+b+".*."+d)
		case 3:
			patterns = append(patterns, a+".*."+c+"."+d)
		case 4:
			patterns = append(patterns, a+"."+b+"."+c+".>")
		case 5:
			patterns = append(patterns, fmt.Sprintf("_INBOX.%022d.*", i))
		}
		subjects = append(subjects, []byte(token(100)+"."+token(100)+"."+token(100)+"."+token(1000)))
	}
	return patterns, subjects
}

func fill(tb testing.TB, l *List[sub], patterns []string) []*sub {
	subs := make([]*sub, len(patterns))
	for i, p := range patterns {
		subs[i] = &sub{id: i, subject: p, loop: i % 4}
		if err := subs[i].insertInto(l); err != nil {
			tb.Fatal(err)
		}
	}
	return subs
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1000, manySubs} {
		patterns, subjects := mixedPatterns(n)
		l := New[sub](Options{})
		fill(b, l, patterns)
		b.Run(fmt.Sprintf("cold/subs=%d", n), func(b *testing.B) {
			var r Result[sub]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Match(subjects[i%len(subjects)], &r)
			}
		})
		b.Run(fmt.Sprintf("missing/subs=%d", n), func(b *testing.B) {
			c := NewCache[sub](CacheOptions{Entries: 256})
			var r Result[sub]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.MatchInto(l, subjects[i%len(subjects)], &r)
			}
		})
		b.Run(fmt.Sprintf("warm/subs=%d", n), func(b *testing.B) {
			c := NewCache[sub](CacheOptions{})
			k := min(n, 4096)
			for range 2 {
				for i := range k {
					c.Match(l, subjects[i])
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Match(l, subjects[i%k])
			}
		})
	}
}

// BenchmarkHit is one steady subject.
func BenchmarkHit(b *testing.B) {
	for _, subject := range []string{"orders.new", "orders.eu.created.1", "none.here"} {
		b.Run(subject, func(b *testing.B) {
			l := New[sub](Options{})
			fill(b, l, []string{"orders.new", "orders.eu.*.1", "other.>"})
			c := NewCache[sub](CacheOptions{})
			s := []byte(subject)
			b.ReportAllocs()
			for b.Loop() {
				c.Match(l, s)
			}
		})
	}
}

// BenchmarkReply is a request's reply: a subject seen once, under an inbox that
// one connection listens on, among many.
func BenchmarkReply(b *testing.B) {
	l := New[sub](Options{})
	var patterns []string
	for i := range max(100, manySubs/10) {
		patterns = append(patterns, fmt.Sprintf("_INBOX.%022d.*", i))
	}
	fill(b, l, patterns)
	c := NewCache[sub](CacheOptions{})
	var r Result[sub]
	s := []byte(fmt.Sprintf("_INBOX.%022d.%08d", 77, 0))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for k, x := 0, i; k < 8; k++ {
			s[len(s)-1-k] = byte('0' + x%10)
			x /= 10
		}
		if len(c.MatchInto(l, s, &r).Plain) != 1 {
			b.Fatal("no match")
		}
	}
}

func BenchmarkInsertRemove(b *testing.B) {
	for _, n := range []int{1, manySubs} {
		b.Run(fmt.Sprintf("unique/subs=%d", n), func(b *testing.B) {
			l := New[sub](Options{})
			patterns, _ := mixedPatterns(n)
			fill(b, l, patterns)
			s := &sub{subject: "some.inbox.subject"}
			b.ReportAllocs()
			for b.Loop() {
				_ = s.insertInto(l)
				l.Remove(s.subject, "", s)
			}
		})
		b.Run(fmt.Sprintf("inbox/subs=%d", n), func(b *testing.B) {
			l := New[sub](Options{})
			patterns, _ := mixedPatterns(n)
			fill(b, l, patterns)
			s := &sub{subject: "_INBOX.abcdefghijklmnopqrstuv.*"}
			b.ReportAllocs()
			for b.Loop() {
				_ = s.insertInto(l)
				l.Remove(s.subject, "", s)
			}
		})
		b.Run(fmt.Sprintf("same/subs=%d", n), func(b *testing.B) {
			l := New[sub](Options{})
			for range n {
				_ = (&sub{subject: "all"}).insertInto(l)
			}
			s := &sub{subject: "all"}
			b.ReportAllocs()
			for b.Loop() {
				_ = s.insertInto(l)
				l.Remove(s.subject, "", s)
			}
		})
	}
}

// BenchmarkRemoveBatch is the close of a connection with many subscriptions.
func BenchmarkRemoveBatch(b *testing.B) {
	patterns, _ := mixedPatterns(manySubs)
	for b.Loop() {
		b.StopTimer()
		l := New[sub](Options{})
		batch := make([]Subscription[sub], 0, len(patterns))
		for _, s := range fill(b, l, patterns) {
			batch = append(batch, Subscription[sub]{Subject: s.subject, Sub: s})
		}
		b.StartTimer()
		if n := l.RemoveBatch(batch); n != len(batch) {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(patterns)), "ns/sub")
}

// BenchmarkWide is a match on a subject with many subscribers right after one of
// them came or went.
func BenchmarkWide(b *testing.B) {
	for _, n := range []int{manySubs / 100, manySubs / 10} {
		b.Run(fmt.Sprintf("subs=%d", n), func(b *testing.B) {
			l := New[sub](Options{})
			for i := range n {
				_ = (&sub{subject: "all", loop: i % 4}).insertInto(l)
			}
			c := NewCache[sub](CacheOptions{})
			s := &sub{subject: "all"}
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 {
					_ = s.insertInto(l)
				} else {
					l.Remove("all", "", s)
				}
				c.Match(l, []byte("all"))
			}
		})
	}
}

// BenchmarkChurn is a steady subject beside inboxes that come and go: each round
// one inbox pattern and one literal are subscribed to and left, and the steady
// subject is matched ten times.
func BenchmarkChurn(b *testing.B) {
	l := New[sub](Options{})
	fill(b, l, []string{"orders.new", "orders.*"})
	c := NewCache[sub](CacheOptions{})
	subject := []byte("orders.new")
	in := make([]*sub, 4096)
	for i := range in {
		in[i] = &sub{subject: fmt.Sprintf("_INBOX.%d.*", i)}
		if i%2 == 0 {
			in[i].subject = fmt.Sprintf("_INBOX.%d.x", i)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := in[i&4095]
		_ = s.insertInto(l)
		for range 10 {
			c.Match(l, subject)
		}
		l.Remove(s.subject, "", s)
	}
	b.ReportMetric(float64(c.matches-c.hits)/float64(c.matches), "misses/match")
}

// BenchmarkMemory reports bytes per subscription beyond the caller's own: the
// subject string and the subscriber.
func BenchmarkMemory(b *testing.B) {
	kinds := map[string]func(int) string{
		"literal":  func(i int) string { return fmt.Sprintf("orders.%d.created", i) },
		"inbox":    func(i int) string { return fmt.Sprintf("_INBOX.%022d.*", i) },
		"wildcard": func(i int) string { return fmt.Sprintf("orders.*.item.%d", i) },
		"same":     func(int) string { return "orders.created" },
	}
	for name, subject := range kinds {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n := manySubs
				subs := make([]*sub, n)
				for i := range subs {
					subs[i] = &sub{subject: subject(i), loop: i % 2}
				}
				before := heap()
				l := New[sub](Options{})
				for _, s := range subs {
					_ = s.insertInto(l)
				}
				b.ReportMetric((float64(heap())-float64(before))/float64(n), "B/sub")
				runtime.KeepAlive(l)
				runtime.KeepAlive(subs)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
