package server

import (
	"bytes"
	"sync/atomic"

	"peregrine/account"
)

// serviceImport takes what is published on an imported service and asks the
// exporting account. It is in the importer's interest.
//
//	importer                      exporter
//	PUB sum inbox ─▶ serviceImport ─▶ "add", reply _R_.…, to its subscribers
//	inbox ◀─ replyTable of the exporter ◀─ PUB _R_.…
type serviceImport struct {
	sub    subscription
	from   *exchange
	target atomic.Pointer[serviceTarget] // replaced when the import changes
}

// serviceTarget is where a service import leads. It is immutable.
type serviceTarget struct {
	im *account.ServiceImport
	to *exchange
}

// receive implements receiver. It is false if nobody got the request.
func (s *serviceImport) receive(w *worker, m *message, _ *subscription) bool {
	t := s.target.Load()
	h := s.enter(w, m, t)
	if h == nil {
		return false
	}
	export := t.im.Export
	var sample sampling
	if export.Latency != nil {
		sample = sampleRequest(w, export.Latency, m)
	}
	var waits replyKey
	switch {
	case len(m.Reply) == 0:
		if sample.on {
			t.to.reportBadRequest(t.im, m, sample)
		}
	case !bytes.HasPrefix(m.Reply, ackReply):
		// An acknowledgement keeps its subject: a consumer knows no other.
		waits = t.to.replies.expect(w, h, &awaited{
			asker: s.from, reply: m.Reply, export: export, share: t.im.Share, sample: sample, from: m.from,
		})
	}
	if m.trace != nil {
		h.markTraced(m, export.AllowTrace)
	}
	reached := w.cross(h, t.to)
	if !reached {
		waits.giveUp(noDelivery)
	} else if m.trace != nil && m.trace.only {
		waits.giveUp(complete) // nobody has been asked
	}
	w.leave(h)
	return reached
}

// enter makes of m what it is in the account of t, but for its reply; nil if it
// does not get there.
func (s *serviceImport) enter(w *worker, m *message, t *serviceTarget) *hop {
	if w.passed(t.im.Export) {
		return nil
	}
	h := w.enter(m, t.im.Export)
	if h == nil {
		return nil
	}
	h.subject = t.im.AppendSubject(h.subject[:0], m.Subject)
	h.frame.Subject, h.frame.Tail = h.subject, nil
	h.info = nextInfo(m, s.from, t)
	if m.hop != nil {
		h.traceDest = m.hop.traceDest
	}
	return h
}

// repeats implements receiver. A run has no replies; it must not have headers
// either, into which ours would have to be put one by one.
func (s *serviceImport) repeats(w *worker, m *message) bool {
	t := s.target.Load()
	if t.im.Export.Latency != nil || m.HeaderLen > 0 || t.to.acc.Mappings.Load() != nil {
		return false
	}
	h := s.enter(w, m, t)
	if h == nil {
		return true // nobody gets any
	}
	r := w.cache.MatchInto(t.to.acc.Interest, h.msg.Subject, &h.scratch)
	ok := len(r.Groups) == 0 && w.allRepeat(&h.msg, r)
	w.leave(h)
	return ok
}

func (s *serviceImport) receiveRun(w *worker, r *run) {
	t := s.target.Load()
	h := s.enter(w, &r.first, t)
	if h == nil {
		return
	}
	before := w.tally.own()
	to := w.cache.MatchInto(t.to.acc.Interest, h.msg.Subject, &h.scratch)
	n := h.runOf(r)
	n.several = len(to.Plain) > 1
	for _, sub := range to.Plain {
		w.deliverRun(n, sub)
	}
	n.end()
	w.attribute(t.to.acc, before)
	w.leave(h)
}

// cross delivers h's message, complete but for the mappings there, in the
// account of to.
func (w *worker) cross(h *hop, to *exchange) bool {
	m := &h.msg
	if ms := to.acc.Mappings.Load(); ms != nil {
		var changed bool
		if h.mapped, changed = ms.Map(h.mapped[:0], m.Subject, w.srv.options().ClusterName, nil); changed {
			m.Subject = h.mapped
		}
	}
	t := m.trace
	if t != nil && !h.crossTraced(w, to) {
		return false
	}
	before := w.tally.own()
	r := w.cache.MatchInto(to.acc.Interest, m.Subject, &h.scratch)
	if m.shared == nil && len(m.Payload) >= shareMin && len(r.Plain)+len(r.Groups) > 1 {
		m.share()
	}
	reached := w.deliverAll(m, r)
	if m.own {
		m.shared.Release()
	}
	w.attribute(to.acc, before)
	if t != nil {
		t.here = h.traced.before
	}
	return reached
}
