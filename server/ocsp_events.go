package server

import (
	"crypto/x509"
	"time"

	"peregrine/certs"
)

// Subjects of events in the system account, in front of and behind the server's
// ID, and their types.
const (
	ocspSubject       = "$SYS.SERVER."
	ocspRejectSubject = ".OCSP.PEER.CONN.REJECT"
	ocspLinkSubject   = ".OCSP.PEER.LINK.INVALID"
	ocspRejectType    = "io.nats.server.advisory.v1.ocsp_peer_reject"
	ocspLinkType      = "io.nats.server.advisory.v1.ocsp_peer_link_invalid"
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
	Type   string      `json:"type"`
	ID     string      `json:"id"`
	Time   time.Time   `json:"timestamp"`
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
	e.publish(ocspLinkSubject, &ocspEvent{Type: ocspLinkType, Link: ocspCertOf(link), Peer: ocspCertOf(peer), Reason: reason})
}

// PeerRejected implements certs.Witness.
func (e ocspEvents) PeerRejected(peer *x509.Certificate, reason string) {
	e.publish(ocspRejectSubject, &ocspEvent{Type: ocspRejectType, Kind: "Client", Peer: ocspCertOf(peer), Reason: reason})
}

func (e ocspEvents) publish(subject string, event *ocspEvent) {
	sys := e.s.systemAccount()
	if sys == nil {
		return
	}
	event.ID, event.Time = newEventID(), time.Now().UTC()
	if subject = ocspSubject + e.s.id + subject; hears(sys, subject) {
		e.s.tell(sys, subject, func(i *ServerInfo) any { event.Server = i; return event })
	}
}
