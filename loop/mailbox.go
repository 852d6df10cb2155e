package loop

import (
	"sync"
	"sync/atomic"
)

// mailboxMax is how many nodes one loop may have under way to another before
// the connections that cause them stop being read. A node is what one turn
// sends to one loop.
const mailboxMax = 512

type itemKind uint8

const (
	itemBytes  itemKind = iota // segs for conn
	itemRest                   // the rest of a cut write; the baton comes with it
	itemFlush                  // the baton comes back to the owner: flush or finish the close
	itemWait                   // producer waits until conn has drained
	itemResume                 // conn, a producer, may be read again
	itemCall
)

// item is one thing for the receiving loop to do.
type item struct {
	kind          itemKind
	conn          *Conn
	producer      *Conn
	lo, hi        int // its segments in node.segs
	msgs, payload int64
	fn            func()
}

// node is what one turn sends to one loop: items in order.
type node struct {
	next  *node
	from  *Loop // nil: not from a loop
	items []item
	segs  []seg
}

var nodePool = sync.Pool{New: func() any { return new(node) }}

// mailbox is a queue of nodes with many senders and one receiver: a stack that
// the receiver takes whole and turns round. All senders share it, which gives
// more than a FIFO per pair: what was posted before, by whichever loop, is
// received before (I2). A push is one compare-and-swap, so a sender that is
// interrupted hides nobody else's node.
type mailbox struct {
	head atomic.Pointer[node] // newest
	list *node                // taken and not yet handled, oldest first; receiver only
}

// push appends n; any goroutine.
func (m *mailbox) push(n *node) {
	for {
		n.next = m.head.Load()
		if m.head.CompareAndSwap(n.next, n) {
			return
		}
	}
}

// idle reports that nothing is queued; receiver only.
func (m *mailbox) idle() bool { return m.list == nil && m.head.Load() == nil }

// pop returns the oldest node, nil if there is none; receiver only.
func (m *mailbox) pop() *node {
	if m.list == nil {
		for n := m.head.Swap(nil); n != nil; {
			next := n.next
			n.next = m.list
			m.list = n
			n = next
		}
		if m.list == nil {
			return nil
		}
	}
	n := m.list
	m.list, n.next = n.next, nil
	return n
}

// link is one loop's view of another: the node it is filling for it.
type link struct {
	to      *Loop
	open    *node
	under   atomic.Int32 // nodes under way
	starved atomic.Bool  // from has paused connections because of under
}

// post returns the node that this turn is filling for loop to.
func (l *Loop) post(to *Loop) *node {
	k := l.links[to.index]
	if k.open == nil {
		k.open = nodePool.Get().(*node)
		k.open.from = l
		l.linksOpen = append(l.linksOpen, k)
	}
	return k.open
}

// sendNodes hands over what this turn has filled and rings the bells.
func (l *Loop) sendNodes() {
	for i, k := range l.linksOpen {
		n := k.open
		k.open = nil
		l.linksOpen[i] = nil
		under := k.under.Add(1)
		k.to.mail.push(n)
		k.to.ring()
		if under >= mailboxMax && l.current != nil {
			l.starve(k, l.current)
		}
	}
	l.linksOpen = l.linksOpen[:0]
}

// starve stops reading c until the receiver of k has caught up.
func (l *Loop) starve(k *link, c *Conn) {
	if c.pauses&pauseMailbox != 0 || c.closing {
		return
	}
	c.pause(pauseMailbox)
	l.starving = append(l.starving, c)
	k.starved.Store(true)
	if k.under.Load() < mailboxMax/2 { // it drained meanwhile and saw no flag
		l.feed(k)
	}
}

// feed resumes the connections that a full mailbox paused.
func (l *Loop) feed(k *link) {
	k.starved.Store(false)
	for i, c := range l.starving {
		c.resume(pauseMailbox)
		l.starving[i] = nil
	}
	l.starving = l.starving[:0]
}

// ring wakes the loop unless somebody has and it has not looked since.
func (l *Loop) ring() {
	if !l.bell.CompareAndSwap(false, true) {
		return
	}
	l.life.RLock()
	defer l.life.RUnlock()
	if !l.stopped {
		_ = l.engine.Wake()
	}
}

// Post runs fn on the loop after everything posted before by the same
// goroutine. It never blocks. It reports false if the loop has stopped.
// Any goroutine.
func (l *Loop) Post(fn func()) bool {
	l.life.RLock()
	stopped := l.stopped
	if !stopped {
		l.pushCall(fn)
	}
	l.life.RUnlock()
	if !stopped {
		l.ring()
	}
	return !stopped
}

func (l *Loop) pushCall(fn func()) {
	n := nodePool.Get().(*node)
	n.items = append(n.items, item{kind: itemCall, fn: fn})
	l.mail.push(n)
}

// PostFrom is Post for a caller that is on loop from: in order with the bytes
// that from has queued.
func (l *Loop) PostFrom(from *Loop, fn func()) {
	if from == l {
		l.pushCall(fn)
		l.ring()
		return
	}
	n := from.post(l)
	n.items = append(n.items, item{kind: itemCall, fn: fn})
}

// drain handles what the mailbox holds, drainMax nodes at most; the rest is
// for the next turn.
func (l *Loop) drain() {
	for range drainMax {
		n := l.mail.pop()
		if n == nil {
			return
		}
		l.receive(n)
		for i := range n.items {
			n.items[i] = item{}
		}
		clear(n.segs)
		n.items, n.segs = n.items[:0], n.segs[:0]
		if from := n.from; from != nil {
			k := from.links[l.index]
			if k.under.Add(-1) < mailboxMax/2 && k.starved.Load() && k.starved.CompareAndSwap(true, false) {
				from.Post(func() { from.feed(k) })
			}
		}
		n.from = nil
		if cap(n.items) <= 1024 {
			nodePool.Put(n)
		}
	}
	l.ring()
}

// drainMax bounds one drain. It is more than all loops may have under way to
// this one, so that I2 holds: it is reached only under a flood of Posts.
const drainMax = 1 << 14

func (l *Loop) receive(n *node) {
	for i := range n.items {
		it := &n.items[i]
		c := it.conn
		switch it.kind {
		case itemCall:
			it.fn()
		case itemBytes:
			c.receive(n.segs[it.lo:it.hi])
		case itemRest:
			c.receiveRest(n.segs[it.lo:it.hi])
		case itemFlush:
			c.gotBaton()
			if c.closing && c.out.empty() {
				l.finishClose(c)
			} else {
				l.markDirty(c)
			}
		case itemWait:
			l.addWaiter(c, it.producer)
		case itemResume:
			l.resumeProducer(c)
		}
	}
}
