package server

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"peregrine/account"
)

// latencyType is the type of a service's measurement.
const latencyType = "io.nats.server.metric.v1.service_latency"

// serviceLatency is how long a request took, as it is published in the account
// of the service. Times are in nanoseconds.
type serviceLatency struct {
	Type        string              `json:"type"`
	ID          string              `json:"id"`
	Time        time.Time           `json:"timestamp"`
	Status      int                 `json:"status"`
	Description string              `json:"description,omitempty"`
	Requestor   *clientInfo         `json:"requestor,omitempty"`
	Responder   *clientInfo         `json:"responder,omitempty"`
	Header      map[string][]string `json:"header,omitempty"`
	Start       time.Time           `json:"start"`
	Service     time.Duration       `json:"service"` // from the request's delivery to the answer, without the responder's way
	System      time.Duration       `json:"system"`  // in the server
	Total       time.Duration       `json:"total"`   // for the requestor
}

// reportAnswer publishes how long the answer to p took, which from gives. On
// from's loop.
func (x *exchange) reportAnswer(p *pendingReply, from *session) {
	now := time.Now()
	took := now.Sub(p.sample.started)
	v := &serviceLatency{Status: 200, Requestor: p.sample.requestor()}
	var asked, answers time.Duration
	if v.Requestor != nil {
		asked = v.Requestor.RTT
	}
	if from != nil {
		v.Responder = from.clientInfo(true)
		answers = v.Responder.RTT
	}
	v.Service, v.Total = max(took-answers, 0), asked+took
	if answers > 0 {
		v.System = time.Since(now)
		v.Total += v.System
	}
	x.report(p.export, &p.sample, v)
}

// reportLoss publishes that p gets no answer. Any goroutine.
func (x *exchange) reportLoss(p *pendingReply, why lostReason) {
	v := &serviceLatency{Requestor: p.sample.requestor()}
	switch why {
	case noDelivery:
		v.Status, v.Description = 503, "Service Unavailable"
	case timedOut:
		v.Status, v.Description = 504, "Service Timeout"
	case interestLost:
		v.Status, v.Description = 408, "Request Timeout"
	}
	x.report(p.export, &p.sample, v)
}

// reportBadRequest publishes that m asks without a subject to answer on.
func (x *exchange) reportBadRequest(im *account.ServiceImport, m *message, s sampling) {
	s.begin(m.from, im.Share)
	x.report(im.Export, &s, &serviceLatency{Status: 400, Description: "Bad Request", Requestor: s.requestor()})
}

// report completes v and publishes it.
func (x *exchange) report(export *account.ServiceExport, s *sampling, v *serviceLatency) {
	if export.Latency == nil {
		return
	}
	start := s.started
	if v.Requestor != nil {
		start = start.Add(-v.Requestor.RTT)
	}
	v.Type, v.ID, v.Time = latencyType, newEventID(), time.Now().UTC()
	v.Start, v.Header = start.UTC(), s.header
	text, err := json.Marshal(v)
	if err == nil {
		err = x.srv.publishInto(x.acc, &internalMsg{subject: export.Latency.Subject, payload: text}, nil)
	}
	if err != nil {
		x.srv.log.Debugf("Latency of service %q of account %q not published: %v", export.Subject, x.acc.Name, err)
	}
}

// eventDigits is the length of an event's id.
const eventDigits = 22

// newEventID returns an id that no other event has.
func newEventID() string {
	b := make([]byte, 0, eventDigits)
	for len(b) < eventDigits {
		b = randomDigits(b, min(10, eventDigits-len(b)), rand.Uint64())
	}
	return string(b)
}
