package server

import (
	"math/rand/v2"
	"sync/atomic"

	"peregrine/account"
)

// exchange is what the server keeps of one account to connect it with others.
// It lives as long as the account.
type exchange struct {
	srv *Server
	acc *account.Account[subscription]

	// What is in effect, replaced by connect.
	links   atomic.Pointer[account.Links]
	sources atomic.Pointer[[]streamSource]
	// services are the receivers in the account's interest. Owned by connect's
	// caller.
	services []*serviceImport

	ownSubs, ownUnsubs atomic.Uint64 // of the server itself, since the start

	slow      atomic.Int64 // how often a connection was found not to read fast enough
	connsTold atomic.Int64 // when the number of connections was told last, Unix nanoseconds

	replies replyTable // requests that the account's services have to answer
	waiting waitIndex  // requests of the account, by the subject that waits
}

func newExchange(srv *Server, acc *account.Account[subscription]) *exchange {
	x := &exchange{srv: srv, acc: acc}
	x.replies.init(x)
	return x
}

// exchangeOf returns the server's part of an account.
func exchangeOf(acc *account.Account[subscription]) *exchange { return acc.Local.(*exchange) }

// streams returns the stream imports in effect.
func (x *exchange) streams() []streamSource {
	if s := x.sources.Load(); s != nil {
		return *s
	}
	return nil
}

// connect puts links into effect; of tells where the accounts in them are. What
// stays as it was is not touched, and what only leads elsewhere is switched in
// one step, so that nothing is missed under traffic. It reports whether the
// sessions of the account have to look at their stream imports again. One caller
// at a time.
func (x *exchange) connect(links *account.Links, of func(name string) *exchange) (streamsChanged bool) {
	x.links.Store(links)
	x.acc.Mappings.Store(links.Mappings)
	x.connectServices(links, of)

	sources := make([]streamSource, 0, len(links.Streams))
	for _, im := range links.Streams {
		source := streamSource{im: im, from: of(im.Account)}
		for _, known := range x.streams() {
			if known.from == source.from && known.im.Same(im) {
				source.im = known.im
			}
		}
		sources = append(sources, source)
	}
	streamsChanged = !sameSources(sources, x.streams())
	if streamsChanged {
		x.sources.Store(&sources)
	}
	return streamsChanged
}

func sameSources(a, b []streamSource) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// connectServices replaces the receivers of service imports.
func (x *exchange) connectServices(links *account.Links, of func(name string) *exchange) {
	old := x.services
	x.services = make([]*serviceImport, 0, len(links.Services))
	for _, im := range links.Services {
		target := &serviceTarget{im: im, to: of(im.Account)}
		if s := takeService(&old, im); s != nil {
			s.target.Store(target)
			x.services = append(x.services, s)
			continue
		}
		s := &serviceImport{from: x}
		s.target.Store(target)
		s.sub.via, s.sub.subject = s, im.Local
		if err := x.acc.Interest.Insert(im.Local, "", 0, 1, &s.sub); err != nil {
			// The book refuses such subjects.
			x.srv.log.Errorf("Service import %q of account %q: %v", im.Local, x.acc.Name, err)
			continue
		}
		x.services = append(x.services, s)
	}
	for _, s := range old {
		x.acc.Interest.Remove(s.sub.subject, "", &s.sub)
	}
}

// takeService takes the receiver that im can go on with out of the list.
func takeService(list *[]*serviceImport, im *account.ServiceImport) *serviceImport {
	for i, s := range *list {
		if known := s.target.Load().im; known.Account == im.Account && known.Local == im.Local {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			return s
		}
	}
	return nil
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomDigits appends n random digits of base 62, n ≤ 10.
func randomDigits(dst []byte, n int, random uint64) []byte {
	for range n {
		dst = append(dst, base62[random%62])
		random /= 62
	}
	return dst
}

func newReplyPrefix() string {
	return string(append(randomDigits([]byte("_R_."), 6, rand.Uint64()), '.'))
}
