package server

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"

	"peregrine/account"
	"peregrine/codec"
	"peregrine/sublist"
)

// The server is a client of its own accounts: it publishes into them
// (publishInto) and listens in them (internalQueue.subscribe).
//
//	any goroutine ─ publishInto ─▶ loop of the account ─▶ its receivers
//	any loop ─ receive: copy ─▶ internalQueue ─▶ one goroutine ─▶ handlers

// internalMsg is a message that the server publishes, or one that reached an
// internal subscription. Whoever holds it owns all of it.
type internalMsg struct {
	subject string
	reply   string
	header  []byte // a whole header block, "NATS/1.0" to the empty line; nil: none
	payload []byte // without the header

	// Of a message received:
	acc  *account.Account[subscription] // the subscription's
	from *session                       // who published it; nil: the server itself. What its loop owns is not for handlers.
}

// Bounds of what was published and has not reached its loop yet.
const (
	internalPendingMsgs  = 64 << 10
	internalPendingBytes = 64 << 20
)

var (
	errInternalSubject = errors.New("server: not a subject to publish to")
	errInternalFull    = errors.New("server: too many internal messages are waiting")
	errInternalStopped = errors.New("server: not running")
)

// internalState is what the server keeps for its own messages.
type internalState struct {
	ready atomic.Bool  // the loops run
	msgs  atomic.Int64 // published, not delivered yet
	bytes atomic.Int64

	queues sync.WaitGroup // goroutines of internal queues
}

// publishInto publishes m in acc. It takes m over and never waits. Messages
// from one goroutine into one account are delivered in that order. done, if not
// nil, runs on a loop after the delivery and is told whether anybody took the
// message; it must not wait.
//
// Errors: a subject or reply that cannot be published to, the server not
// running, too many messages on their way. Nothing was published then, and done
// is not called.
func (s *Server) publishInto(acc *account.Account[subscription], m *internalMsg, done func(reached bool)) error {
	if !sublist.IsValidPublishSubject(m.subject) || m.reply != "" && !sublist.IsValidPublishSubject(m.reply) {
		return fmt.Errorf("%w: %q", errInternalSubject, m.subject)
	}
	in := &s.internal
	if !in.ready.Load() {
		return errInternalStopped
	}
	size := int64(len(m.subject) + len(m.reply) + len(m.header) + len(m.payload))
	if in.msgs.Add(1) > internalPendingMsgs || in.bytes.Add(size) > internalPendingBytes && in.msgs.Load() > 1 {
		in.release(size)
		return errInternalFull
	}
	w := s.workers[maphash.String(internalSeed, acc.Name)%uint64(len(s.workers))]
	posted := w.lp.Post(func() {
		reached := w.publishInternal(acc, m)
		in.release(size)
		if done != nil {
			done(reached)
		}
	})
	if !posted {
		in.release(size)
		return errInternalStopped
	}
	return nil
}

// internalSeed spreads accounts over loops, one loop for each: that is what
// keeps the order.
var internalSeed = maphash.MakeSeed()

func (in *internalState) release(size int64) {
	in.msgs.Add(-1)
	in.bytes.Add(-size)
}

// frame writes m as a client would have and returns it parsed.
func (m *internalMsg) frame() *codec.Frame {
	p := codec.Parser{MaxControlLine: math.MaxInt32, MaxPayload: -1, HeadersOK: true, Side: codec.ServerSide}
	var b []byte
	if m.header != nil {
		b = codec.AppendHPub(nil, []byte(m.subject), []byte(m.reply), m.header, m.payload)
	} else {
		b = codec.AppendPub(nil, []byte(m.subject), []byte(m.reply), m.payload)
	}
	f := new(codec.Frame)
	if n, err := p.Next(b, f); err != nil || n != len(b) {
		panic(fmt.Sprintf("server: internal message on %q is no frame: %v", m.subject, err))
	}
	if m.reply == "" {
		// The reference leaves the blank of an empty reply in the line.
		f.Reply, f.Tail = []byte{}, nil
	}
	return f
}

// publishInternal delivers m. It runs as a turn of its own, so w.msg and
// w.scratch are free.
func (w *worker) publishInternal(acc *account.Account[subscription], m *internalMsg) (reached bool) {
	f := m.frame()
	w.msg = message{Frame: f}
	r := w.cache.MatchInto(acc.Interest, f.Subject, &w.scratch)
	reached = w.deliverAll(&w.msg, r)
	w.msg = message{}
	w.flushTally(acc)
	return reached
}

// internalQueue is where messages for internal subscriptions wait: in the order
// of their arrival, for one goroutine, which runs the handlers. Handlers may
// wait for files or other goroutines; what is slow gets a queue of its own.
//
// When it is full, a new message is not taken: its publisher learns that there
// are no responders, and the queue's dropped count grows.
type internalQueue struct {
	srv      *Server
	name     string // for the log
	in       chan internalDelivery
	bytes    atomic.Int64
	bytesMax int64
	dropped  atomic.Int64
}

type internalDelivery struct {
	msg  *internalMsg
	sub  *internalSub
	size int64
}

// newInternalQueue starts a queue for at most msgsMax messages of together
// bytesMax bytes. It ends with the server. Not to be called once Shutdown may
// have begun.
func (s *Server) newInternalQueue(name string, msgsMax int, bytesMax int64) *internalQueue {
	q := &internalQueue{srv: s, name: name, in: make(chan internalDelivery, msgsMax), bytesMax: bytesMax}
	s.internal.queues.Go(q.run)
	return q
}

func (q *internalQueue) run() {
	for {
		select {
		case d := <-q.in:
			q.bytes.Add(-d.size)
			if !d.sub.sub.closed.Load() {
				d.sub.handle(d.msg)
			}
		case <-q.srv.quit:
			return
		}
	}
}

// internalSub is one internal subscription; it is the receiver of its
// subscription.
type internalSub struct {
	q      *internalQueue
	acc    *account.Account[subscription]
	sub    subscription
	handle func(m *internalMsg)
}

// subscribe listens in acc, in a queue group unless group is empty. handle runs
// on q's goroutine and owns its message; it gives up when the server quits. Any
// goroutine.
//
// Errors: a subject that cannot be subscribed to.
func (q *internalQueue) subscribe(acc *account.Account[subscription], subject, group string, handle func(m *internalMsg)) (*internalSub, error) {
	s := &internalSub{q: q, acc: acc, handle: handle}
	s.sub.via, s.sub.subject, s.sub.queue = s, subject, group
	if err := acc.Interest.Insert(subject, group, 0, 1, &s.sub); err != nil {
		return nil, err
	}
	exchangeOf(acc).ownSubs.Add(1)
	return s, nil
}

// close ends the subscription. Messages that wait for its handler are dropped;
// one that the handler has may still be at work.
func (s *internalSub) close() {
	if !s.sub.closed.Swap(true) {
		s.acc.Interest.Remove(s.sub.subject, s.sub.queue, &s.sub)
		exchangeOf(s.acc).ownUnsubs.Add(1)
	}
}

// receive implements receiver.
func (s *internalSub) receive(_ *worker, m *message, sub *subscription) bool {
	if sub.closed.Load() {
		return false
	}
	q := s.q
	size := int64(len(m.Subject) + len(m.Reply) + len(m.Payload))
	// An empty queue takes a message of any size.
	if n := q.bytes.Add(size); n > q.bytesMax && n != size {
		return q.full(size, m)
	}
	select {
	case q.in <- internalDelivery{msg: s.take(m), sub: s, size: size}:
		return true
	default:
		return q.full(size, m)
	}
}

// repeats implements receiver: each message is another one for the handler.
func (s *internalSub) repeats(*worker, *message) bool { return false }

func (s *internalSub) receiveRun(*worker, *run) {}

func (q *internalQueue) full(size int64, m *message) bool {
	q.bytes.Add(-size)
	if n := q.dropped.Add(1); n&(n-1) == 0 { // 1, 2, 4, …: the log is not to be flooded
		q.srv.log.Warnf("Internal queue %s is full, %d messages dropped so far, the last on %q", q.name, n, m.Subject)
	}
	return false
}

// take copies a borrowed message.
func (s *internalSub) take(m *message) *internalMsg {
	own := &internalMsg{subject: string(m.Subject), reply: string(m.Reply), acc: s.acc, from: m.from}
	head, body := m.split()
	own.header, own.payload = bytes.Clone(head), append([]byte(nil), body...)
	return own
}
