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
	itemFlush                  // the baton is free again: flush or finish the close
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
	next  atomic.Pointer[node]
	from  *Loop // nil: not from a loop
	items []item
	segs  []seg
}

var nodePool = sync.Pool{New: func() any { return new(node) }}

// mailbox is a queue of nodes with many senders and one receiver (Vyukov's
// intrusive MPSC queue). All senders share it, which gives more than a FIFO per
// pair: what happened before a post in any loop is received before it (I2).
type mailbox struct {
	head atomic.Pointer[node] // senders
	tail *node                // receiver
	stub node
}

func (m *mailbox) init() {
	m.head.Store(&m.stub)
	m.tail = &m.stub
}

// push appends n; any goroutine.
func (m *mailbox) push(n *node) {
	n.next.Store(nil)
	m.head.Swap(n).next.Store(n)
}

// idle reports that nothing is queued; receiver only.
func (m *mailbox) idle() bool { return m.head.Load() == m.tail && m.tail == &m.stub }

// pop returns the oldest node, or nil if there is none or its sender is still
// linking it, in which case the sender's doorbell follows.
func (m *mailbox) pop() *node {
	t := m.tail
	next := t.next.Load()
	if t == &m.stub {
		if next == nil {
			return nil
		}
		m.tail, t = next, next
		next = t.next.Load()
	}
	if next != nil {
		m.tail = next
		return t
	}
	if m.head.Load() != t {
		return nil
	}
	m.push(&m.stub)
	if next = t.next.Load(); next != nil {
		m.tail = next
		return t
	}
	return nil
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
	if l.bell.CompareAndSwap(false, true) {
		_ = l.engine.Wake()
	}
}

// Post runs fn on the loop after everything posted before by the same
// goroutine. It never blocks. It reports false if the loop has stopped.
// Any goroutine.
func (l *Loop) Post(fn func()) bool {
	if l.stopped.Load() {
		return false
	}
	n := nodePool.Get().(*node)
	n.items = append(n.items, item{kind: itemCall, fn: fn})
	l.mail.push(n)
	l.ring()
	return true
}

// PostFrom is Post for a caller that is on loop from: in order with the bytes
// that from has queued.
func (l *Loop) PostFrom(from *Loop, fn func()) {
	if from == l {
		n := nodePool.Get().(*node)
		n.items = append(n.items, item{kind: itemCall, fn: fn})
		l.mail.push(n)
		l.ring()
		return
	}
	n := from.post(l)
	n.items = append(n.items, item{kind: itemCall, fn: fn})
}

// drain handles what the mailbox holds. Nodes pushed while it runs are left
// for the next turn after drainMax of them.
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
