package server

import (
	"crypto/sha256"
	"slices"
	"sync"

	"peregrine/account"
)

// linking connects the accounts with each other. One change at a time.
type linking struct {
	mu   sync.Mutex // guards the rest
	book *account.Book
	// single are the accounts that were defined one by one, by name; a
	// configuration knows nothing of them.
	single map[string]*account.Definition
}

// plan returns the book of a configuration. Nothing has changed yet; the error
// is everything that is wrong with it.
func (k *linking) plan(o *Options) (*account.Book, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	book := account.NewBook(o.Activate)
	all := o.Directory.Definitions()
	given := o.Directory.Accounts()
	if err := account.Fold(book.Set(all...)); err != nil {
		return nil, err
	}
	for name, def := range k.single {
		if given[name] == nil {
			book.Set(def) // its problems were told when it was defined
		}
	}
	return book, nil
}

// linkAll puts a book into effect. All its accounts are alive.
func (s *Server) linkAll(book *account.Book) {
	k := &s.linking
	k.mu.Lock()
	defer k.mu.Unlock()
	k.book = book
	s.link()
}

// defineAccounts makes definitions hold that are in no directory, for accounts
// that exist or for new ones, and connects them. It returns what of them does
// not take effect. Any goroutine but a loop's.
func (s *Server) defineAccounts(defs ...*account.Definition) []*account.Problem {
	k := &s.linking
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.single == nil {
		k.single = make(map[string]*account.Definition)
	}
	for _, def := range defs {
		k.single[def.Name] = def
		s.accounts.define(def)
	}
	problems := k.book.Set(defs...)
	s.link()
	return problems
}

// link puts what changed in the book into effect, in all sessions when it
// returns. The lock is held.
func (s *Server) link() {
	k := &s.linking
	of := func(name string) *exchange { return exchangeOf(s.accounts.find(name)) }
	var changed []*liveAccount
	for _, name := range k.book.Touched() {
		a := s.accounts.find(name)
		if exchangeOf(a).connect(k.book.Links(name), of) {
			changed = append(changed, a)
		}
	}
	if len(changed) == 0 || !s.internal.ready.Load() {
		return
	}
	s.onLoops(func(w *worker) {
		w.each(func(c *session) {
			if slices.Contains(changed, c.acc) {
				c.renewShadows()
			}
		})
	})
}

// onLoops runs f on every loop and returns when all have done it, or the server
// stops. Not to be called on a loop.
func (s *Server) onLoops(f func(w *worker)) {
	done := make(chan struct{}, len(s.workers))
	posted := 0
	for _, w := range s.workers {
		if w.lp.Post(func() { f(w); done <- struct{}{} }) {
			posted++
		}
	}
	for range posted {
		select {
		case <-done:
		case <-s.quit:
			return
		}
	}
}

// nodeDigits is the length of a node's hash.
const nodeDigits = 8

// nodeOf returns the hash that other servers know a server of that name by.
func nodeOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	node := make([]byte, nodeDigits)
	for i := range node {
		node[i] = base62[sum[i]%62]
	}
	return string(node)
}
