package sublist

import (
	"errors"
	"sync"
)

// ErrNilWatch says that a watch was asked for without a function to call.
var ErrNilWatch = errors.New("sublist: nil watch function")

// interestKey is what a watch looks at: plain subscriptions to exactly this
// subject, or members of one queue group on it.
type interestKey struct{ subject, queue string }

// Watch tells of interest in one literal subject as it appears and goes. Its
// function is called in the order of the changes, by one goroutine at a time and
// with no lock of the list held.
type Watch struct {
	key  interestKey
	call func(interested bool)
	stop func() bool

	mu      sync.Mutex // guards the rest
	pending []bool     // changes not told yet
	telling bool       // some goroutine is in deliver
	stopped bool
}

// Stop ends the watch and reports whether it was still on. A call already under
// way may finish after Stop returns; no other follows.
func (w *Watch) Stop() bool { return w.stop() }

// Watch registers call to be told when the first subscription to exactly subject
// (in queue group queue, or plain when queue is empty) arrives, and when the last
// one goes. Wildcard subscriptions that match subject do not count. call is told
// the present state before Watch returns, unless another goroutine is telling it.
//
// Errors: ErrInvalidSubject when subject has a wildcard token, ErrNilWatch.
func (l *List[T]) Watch(subject, queue string, call func(interested bool)) (*Watch, error) {
	if HasWildcard(subject) {
		return nil, ErrInvalidSubject
	}
	if call == nil {
		return nil, ErrNilWatch
	}
	hash := hashOf(subject)
	sh := l.literals(hash)
	w := &Watch{key: interestKey{subject, queue}, call: call}
	w.stop = func() bool { return sh.unwatch(w) }

	sh.mu.Lock()
	if sh.watches == nil {
		sh.watches = make(map[interestKey][]*Watch)
	}
	sh.watches[w.key] = append(sh.watches[w.key], w)
	w.pending = append(w.pending, sh.interested(hash, w.key))
	sh.mu.Unlock()
	w.deliver()
	return w, nil
}

// interested looks for a member that a watch would count. The caller holds mu.
func (l *literals[T]) interested(hash uint64, key interestKey) bool {
	e := l.find(hash, key.subject)
	if e == nil {
		return false
	}
	found := false
	if s := e.set.Load(); s != nil {
		s.each(func(queue string, _ *T) bool {
			found = queue == key.queue
			return !found
		})
	}
	return found
}

func (l *literals[T]) unwatch(w *Watch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	on := l.watches[w.key]
	for i, other := range on {
		if other != w {
			continue
		}
		// A copy: tell may have handed the old slice out.
		if len(on) == 1 {
			delete(l.watches, w.key)
		} else {
			rest := append([]*Watch(nil), on[:i]...)
			l.watches[w.key] = append(rest, on[i+1:]...)
		}
		w.mu.Lock()
		w.stopped, w.pending = true, nil
		w.mu.Unlock()
		return true
	}
	return false
}

// tell queues an appearance or disappearance at the watches that look for it and
// returns them, for deliver once mu, which the caller holds, is released.
func (l *literals[T]) tell(c change, subject, queue string, interested bool) []*Watch {
	if !c.edge || len(l.watches) == 0 {
		return nil
	}
	on := l.watches[interestKey{subject, queue}]
	for _, w := range on {
		w.mu.Lock()
		w.pending = append(w.pending, interested)
		w.mu.Unlock()
	}
	return on[:len(on):len(on)]
}

func deliver(watches []*Watch) {
	for _, w := range watches {
		w.deliver()
	}
}

// deliver tells what is pending, unless another goroutine does already: then that
// one goes on with it, which keeps the order.
func (w *Watch) deliver() {
	w.mu.Lock()
	if w.telling {
		w.mu.Unlock()
		return
	}
	w.telling = true
	for len(w.pending) > 0 && !w.stopped {
		now := w.pending[0]
		w.pending = w.pending[1:]
		w.mu.Unlock()
		w.call(now)
		w.mu.Lock()
	}
	w.telling = false
	w.mu.Unlock()
}
