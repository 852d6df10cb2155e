package server

import (
	"peregrine/account"
	"peregrine/codec"
	"peregrine/sublist"
)

// hopsMax bounds the account boundaries that one message may pass, one after
// the other. Where there is one more, nobody is reached.
const hopsMax = 64

// hop is a message on the far side of an account boundary, with the room it
// takes there. A worker has one for each depth.
type hop struct {
	frame   codec.Frame
	msg     message
	scratch sublist.Result[subscription]

	// Rooms of what is new in the frame.
	subject, mapped, reply, headers []byte

	export  *account.ServiceExport // of the boundary, nil if it is a stream's
	crossed bool                   // a request or an answer: no stream takes it
	info    requestInfo            // what a request says of who asks
	head    []byte                 // the header block with info, once it was needed
	run     run                    // of messages such as msg

	traced    tracedHop // of a message that is traced
	traceDest string    // where receivers are told that traces go; empty: as it was
}

// enter takes the next hop for what m becomes; nil if there is none left. The
// caller fills it in, delivers h.msg and leaves.
func (w *worker) enter(m *message, export *account.ServiceExport) *hop {
	if w.depth == hopsMax {
		return nil
	}
	if w.depth == len(w.hops) {
		w.hops = append(w.hops, new(hop))
	}
	h := w.hops[w.depth]
	w.depth++
	h.frame = *m.Frame
	h.msg = message{Frame: &h.frame, from: m.from, shared: m.shared, hop: h, trace: m.trace}
	h.export, h.crossed, h.info, h.head, h.traceDest = export, export != nil, requestInfo{}, nil, ""
	return h
}

// roomMax bounds what a hop keeps of a long subject or header.
const roomMax = 4 << 10

// leave gives h, the last one entered, back.
func (w *worker) leave(h *hop) {
	w.depth--
	h.msg, h.export, h.head = message{}, nil, nil
	for _, room := range [...]*[]byte{&h.subject, &h.mapped, &h.reply, &h.headers} {
		if cap(*room) > roomMax {
			*room = nil
		}
	}
}

// runOf returns r as it is here. The caller ends it before it leaves.
func (h *hop) runOf(r *run) *run {
	n := &h.run
	n.first, n.bytes, n.frames, n.frame, n.several = h.msg, r.bytes, r.frames, r.frame, false
	return n
}

// crossed tells whether m is a request or an answer that came from another
// account.
func (m *message) crossed() bool { return m.hop != nil && m.hop.crossed }

// passed tells whether the message is on its way through export already.
func (w *worker) passed(export *account.ServiceExport) bool {
	for _, h := range w.hops[:w.depth] {
		if h.export == export {
			return true
		}
	}
	return false
}
