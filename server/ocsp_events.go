package server

import (
	"crypto/x509"
	"time"

	"peregrine/certs"
)

// Subjects of events in the system account; a server stands for the verb.
const (
	ocspRejectOf = "$SYS.SERVER.%s.OCSP.PEER.CONN.REJECT"
	ocspLinkOf   = "$SYS.SERVER.%s.OCSP.PEER.LINK.INVALID"
)

// ocspCert is a certificate in an event.
type ocspCert struct {
	Subject     string `json:"subject,omitempty"`
	Issuer      string `json:"issuer,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Raw         []byte `json:"raw,omitempty"`
}

func ocspCertOf(c *x509.Certificate) *ocspCert {
	return &ocspCert{
		Subject: c.Subject.ToRDNSequence().String(), Issuer: c.Issuer.ToRDNSequence().String(),
		Fingerprint: certs.Fingerprint(c), Raw: c.Raw,
	}
}

// ocspEvent tells of a peer that is refused for its certificate. Field order is
// part of what users see.
type ocspEvent struct {
	typedEvent
	Kind   string      `json:"kind,omitempty"`
	Link   *ocspCert   `json:"link,omitempty"`
	Peer   *ocspCert   `json:"peer"`
	Server *ServerInfo `json:"server"`
	Reason string      `json:"reason"`
}

// ocspEvents publishes what certs has to tell in the system account.
type ocspEvents struct{ s *Server }

// LinkInvalid implements certs.Witness.
func (e ocspEvents) LinkInvalid(peer, link *x509.Certificate, reason string) {
	e.publish(ocspLinkOf, "ocsp_peer_link_invalid", &ocspEvent{Link: ocspCertOf(link), Peer: ocspCertOf(peer), Reason: reason})
}

// PeerRejected implements certs.Witness.
func (e ocspEvents) PeerRejected(peer *x509.Certificate, reason string) {
	e.publish(ocspRejectOf, "ocsp_peer_reject", &ocspEvent{Kind: "Client", Peer: ocspCertOf(peer), Reason: reason})
}

func (e ocspEvents) publish(form, kind string, event *ocspEvent) {
	sys, subject := e.s.systemAccount(), of(form, e.s.id)
	if sys == nil || !hears(sys, subject) {
		return
	}
	event.typedEvent = newTypedEvent(kind, time.Now())
	e.s.tell(sys, subject, func(i *ServerInfo) any { event.Server = i; return event })
}
