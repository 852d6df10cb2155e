package loop

import (
	"runtime"
	"sync"
	"testing"
)

// TestMailboxStress: many senders, one receiver; every node once, those of one
// sender in order.
func TestMailboxStress(t *testing.T) {
	const senders, each = 8, 20_000
	var m mailbox
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				m.push(&node{items: []item{{lo: i, hi: n}}})
			}
		})
	}
	var next [senders]int
	for got := 0; got < senders*each; {
		n := m.pop()
		if n == nil {
			runtime.Gosched()
			continue
		}
		from, seq := n.items[0].lo, n.items[0].hi
		if seq != next[from] {
			t.Fatalf("sender %d: node %d, want %d", from, seq, next[from])
		}
		next[from]++
		got++
	}
	wg.Wait()
	if !m.idle() || m.pop() != nil {
		t.Error("something is left")
	}
}

// TestMailboxOrderAcrossSenders: what one sender has pushed before another
// began is received first (I2).
func TestMailboxOrderAcrossSenders(t *testing.T) {
	var m mailbox
	const rounds = 5000
	for round := range rounds {
		var first, second sync.WaitGroup
		first.Go(func() { m.push(&node{items: []item{{lo: round, hi: 0}}}) })
		second.Go(func() {
			first.Wait()
			m.push(&node{items: []item{{lo: round, hi: 1}}})
		})
		for want := range 2 {
			n := m.pop()
			for n == nil {
				runtime.Gosched()
				n = m.pop()
			}
			if n.items[0].hi != want {
				t.Fatalf("round %d: the second comes first", round)
			}
		}
		second.Wait()
	}
}

// TestPostOrder: calls posted by one goroutine run in order, also when posted
// from calls, and a stopped loop says so.
func TestPostOrder(t *testing.T) {
	simRun(t, 2, 1, 0, func(s *sim) {
		a, b := s.g.loops[0], s.g.loops[1]
		var got []int
		for i := range 10 {
			a.Post(func() {
				got = append(got, i)
				a.PostFrom(a, func() { got = append(got, 100+i) })
				b.PostFrom(a, func() { got = append(got, 200+i) })
			})
		}
		s.wake(0)
		if len(got) < 10 || got[9] != 9 {
			t.Fatalf("calls ran as %v", got)
		}
		s.settle()
		if len(got) != 30 {
			t.Fatalf("%d of 30 calls ran", len(got))
		}
		for i := range 10 {
			for base := range 2 {
				if at := indexOf(got, 100*(base+1)+i); i > 0 && at < indexOf(got, 100*(base+1)+i-1) {
					t.Errorf("call %d of loop %d out of order: %v", i, base, got)
				}
			}
		}
		s.after = func() {
			if a.Post(func() { t.Error("ran after the stop") }) {
				t.Error("Post on a stopped loop reports success")
			}
		}
	})
}

func indexOf(list []int, v int) int {
	for i, x := range list {
		if x == v {
			return i
		}
	}
	return -1
}

// TestAnswerProvesOrder: when a client has the answer to its PING, what it
// published before is ahead of what anybody publishes afterwards (I2), and so
// it is when another client has what was published behind it.
func TestAnswerProvesOrder(t *testing.T) {
	for owner := range 3 {
		for asker := range 3 {
			for second := range 3 {
				simRun(t, 3, 1, 0, func(s *sim) { answerRun(t, s, owner, asker, second) })
			}
		}
	}
}

// answerRun: p publishes to sub and then to tell; whoever sees that on the
// wire makes another connection publish to sub.
func answerRun(t *testing.T, s *sim, owner, asker, second int) {
	sub, tell := s.adopt(owner, nil), s.adopt(asker, nil)
	p, other := s.adopt(0, nil), s.adopt(second, nil)
	tell.window = wide
	blocker := s.adopt((owner+1)%3, nil)
	blocker.feed(frame(0, 10, sub.index)) // the socket of sub is full: its owner has the baton
	s.settle()
	told, asked := false, false
	ask := func() {
		if told && !asked && !s.busy[second] {
			asked = true
			other.feed(frame(flagRefer, 20, sub.index))
		}
	}
	s.onWrite = func(_ int, k *simSock) {
		told = told || k == tell
		ask()
	}
	p.feed(append(frame(0, 30, sub.index), frame(0, 10, tell.index)...))
	s.settle()
	ask()
	var sizes []int
	sub.onRecord = func(payload int) { sizes = append(sizes, payload) }
	sub.window = wide
	s.settle()
	if len(sizes) != 3 || sizes[1] != 30 {
		t.Errorf("sub on %d, answer to %d, second publisher on %d: records of %v bytes arrive", owner, asker, second, sizes)
	}
}
