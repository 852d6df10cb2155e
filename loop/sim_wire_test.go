package loop

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Frames that a peer sends. Shape, little-endian: length u32 of the whole |
// flags u8 | targets u8 | blank u16 | target u16 … | payload.
const (
	flagRefer  = 1 << iota // payload by reference
	flagClose              // then close the first target
	flagAbort              // then abort the first target
	flagPosted             // queue it from a call on the target's loop
	flagLend               // payload from the read buffer
	flagHold               // then take nothing until resumed

	frameHead = 8
)

// pattern is what payloads are made of.
var pattern = func() (b [4099]byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}()

func frame(flags byte, payload int, targets ...int) []byte {
	b := make([]byte, frameHead, frameHead+2*len(targets)+payload)
	b[4], b[5] = flags, byte(len(targets))
	for _, t := range targets {
		b = binary.LittleEndian.AppendUint16(b, uint16(t))
	}
	for n := payload; n > 0; n -= len(pattern) {
		b = append(b, pattern[:min(n, len(pattern))]...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// simHandler delivers frames as records.
type simHandler struct {
	k      *simSock
	closed int
	err    error
	must   uint32 // records of its own loop that were queued when Close was called
	polite bool

	secured   int
	secureErr error
	held      bool // flagHold: takes nothing

	late int
	lags []Lag
}

// Late implements Lagging.
func (h *simHandler) Late(*Conn) { h.late++ }

// Recovered implements Lagging.
func (h *simHandler) Recovered(_ *Conn, l Lag) { h.lags = append(h.lags, l) }

// Secured implements SecureHandler.
func (h *simHandler) Secured(c *Conn, err error) {
	h.secured++
	h.secureErr = err
}

func (h *simHandler) opened() bool { return h.k.conn.h != nil }

// Data implements Handler.
func (h *simHandler) Data(c *Conn, b []byte, sh *Shared) (consumed, need int) {
	s := h.k.s
	if h.closed > 0 {
		s.fail("conn %d: Data after Closed", h.k.index)
	}
	for {
		rest := b[consumed:]
		if h.held {
			return consumed, 0
		}
		if len(rest) < 4 {
			return consumed, 0
		}
		n := int(binary.LittleEndian.Uint32(rest))
		if n < frameHead || n > 64<<20 {
			s.fail("conn %d: damaged input", h.k.index)
			c.Abort(io.ErrUnexpectedEOF)
			return len(b), 0
		}
		if len(rest) < n {
			return consumed, n
		}
		h.handle(c.loop, rest[:n], sh)
		if consumed += n; rest[4]&flagHold != 0 {
			h.held = true
			c.PauseReading(true)
		}
		if c.closing {
			return len(b), 0
		}
	}
}

func (h *simHandler) handle(l *Loop, f []byte, sh *Shared) {
	s := h.k.s
	flags, count := f[4], int(f[5])
	targets, payload := f[frameHead:frameHead+2*count], f[frameHead+2*count:]
	own := false
	if flags&flagRefer != 0 && sh == nil {
		sh, own = NewShared(len(payload)), true
		copy(sh.Bytes(), payload)
		payload = sh.Bytes()
	}
	for i := range count {
		to := s.socks[binary.LittleEndian.Uint16(targets[2*i:])]
		if flags&flagPosted != 0 {
			p := append([]byte(nil), payload...)
			to.conn.loop.PostFrom(l, func() { s.record(to.conn.loop, to, p, nil, 0) })
			continue
		}
		s.record(l, to, payload, sh, flags)
	}
	if own {
		sh.Release()
	}
	if flags&(flagClose|flagAbort) != 0 && count > 0 {
		to := s.socks[binary.LittleEndian.Uint16(targets)]
		if to.conn.loop == l {
			to.end(flags)
		} else {
			to.conn.loop.PostFrom(l, func() { to.end(flags) })
		}
	}
}

func (k *simSock) end(flags byte) {
	if flags&flagAbort != 0 {
		k.conn.Abort(io.ErrClosedPipe)
		return
	}
	if !k.conn.closing && k.handler != nil {
		k.handler.polite, k.handler.must = true, k.s.seq[k.conn.loop.index][k.index]
	}
	k.conn.Close(io.ErrClosedPipe)
}

// Closed implements Handler.
func (h *simHandler) Closed(c *Conn, err error) {
	h.closed++
	h.err = err
	if h.polite && !c.aborted && h.k.next[c.loop.index] < h.must && !h.k.broken {
		h.k.s.fail("conn %d: closed politely, but %d of %d records arrived", h.k.index, h.k.next[c.loop.index], h.must)
	}
}

// Records that a peer receives. Shape, little-endian: target u16 | loop u16 |
// seq u32 | length u32 | crc u32 of the payload | payload. seq counts what one
// loop queued for one target.
const recordHead = 16

func (s *sim) record(l *Loop, to *simSock, payload []byte, sh *Shared, flags byte) {
	q := l.Queue(to.conn, recordHead+len(payload))
	if q == nil {
		return
	}
	var head [recordHead]byte
	binary.LittleEndian.PutUint16(head[0:], uint16(to.index))
	binary.LittleEndian.PutUint16(head[2:], uint16(l.index))
	binary.LittleEndian.PutUint32(head[4:], s.seq[l.index][to.index])
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[12:], crc32.ChecksumIEEE(payload))
	s.seq[l.index][to.index]++
	q.Msgs++
	q.Payload += int64(len(payload))
	if flags&(flagRefer|flagLend) != 0 && len(payload) > 0 {
		l.Commit(q, append(l.Reserve(q, recordHead), head[:]...))
		if sh != nil {
			l.AppendShared(q, sh, payload)
		} else {
			l.Lend(q, payload)
		}
		return
	}
	b := append(l.Reserve(q, recordHead+len(payload)), head[:]...)
	l.Commit(q, append(b, payload...))
}

// parse checks what the peer has received: its own records, each whole, in the
// order in which every loop queued them (I1).
func (k *simSock) parse() {
	for len(k.got) >= recordHead {
		b := k.got
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < recordHead+n {
			return
		}
		target, from := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		seq := binary.LittleEndian.Uint32(b[4:])
		switch {
		case target != k.index:
			panic(fmt.Sprintf("conn %d received a record for %d", k.index, target))
		case from >= len(k.next) || seq != k.next[from]:
			panic(fmt.Sprintf("conn %d: record %d of loop %d arrives, %d is next (I1)", k.index, seq, from, k.next[from]))
		case crc32.ChecksumIEEE(b[recordHead:recordHead+n]) != binary.LittleEndian.Uint32(b[12:]):
			panic(fmt.Sprintf("conn %d: record %d of loop %d is damaged", k.index, seq, from))
		}
		k.next[from]++
		if k.onRecord != nil {
			k.onRecord(n)
		}
		k.got = k.got[recordHead+n:]
	}
}

// arrived reports whether the peer has everything that was queued for it.
func (k *simSock) arrived() bool {
	for l := range k.next {
		if k.next[l] != k.s.seq[l][k.index] {
			return false
		}
	}
	return len(k.got) == 0
}
