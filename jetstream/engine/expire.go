package engine

// expiryHeap is the streams that have something to expire, the earliest first.
type expiryHeap []*Stream

func (h expiryHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// up and down restore the order after the stream at i got another time.
func (h expiryHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].expiry <= h[i].expiry {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h expiryHeap) down(i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].expiry < h[least].expiry {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// set gives a stream a time, 0 for none.
func (h *expiryHeap) set(st *Stream, at int64) {
	old := st.expiry
	switch {
	case at == old:
		return
	case at == 0:
		h.remove(st)
		return
	case old == 0:
		st.heapIndex = len(*h)
		*h = append(*h, st)
	}
	st.expiry = at
	h.up(st.heapIndex)
	h.down(st.heapIndex)
}

func (h *expiryHeap) remove(st *Stream) {
	i, last := st.heapIndex, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	st.expiry = 0
	if i < last {
		h.up(i)
		h.down(i)
	}
}

const (
	expireBatch = 1000 // messages of one stream in one step
	expireRest  = 250e6
)

// schedule notes when something of a stream that changed expires next. Looking at
// the first message may read the disk, so that is done only when it has to.
func (s *Shard) schedule(st *Stream, now int64) {
	ttl, some := st.Messages.NextTTL()
	if st.expiry != 0 && !st.retimed {
		if some && ttl < st.expiry {
			s.timers.set(st, max(ttl, 1))
		}
		return
	}
	if !some && st.Messages.Limits().MaxAge <= 0 {
		s.timers.set(st, 0)
		return
	}
	s.reschedule(st, now)
}

func (s *Shard) reschedule(st *Stream, now int64) {
	at, some, err := st.Messages.NextExpiry()
	switch {
	case err != nil:
		at = now + 60e9 // the message is damaged: whoever reads it will be told
	case !some:
		at = 0
	default:
		at = max(at, 1)
	}
	s.timers.set(st, at)
}

// expire lets streams remove what is too old; it tells whether more is due.
func (s *Shard) expire(now int64) (more bool) {
	for budget := 16; len(s.timers) > 0 && s.timers[0].expiry <= now; budget-- {
		if budget == 0 {
			return true
		}
		st := s.timers[0]
		left, err := st.Messages.Expire(now, expireBatch)
		switch {
		case err != nil:
			s.timers.set(st, 0)
			s.assetFailed(&st.asset, err)
		case left:
			return true
		default:
			s.reschedule(st, now)
			if st.expiry != 0 && st.expiry <= now {
				s.timers.set(st, now+expireRest)
			}
		}
	}
	return false
}
