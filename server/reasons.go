package server

import (
	"errors"
	"io"

	"peregrine/loop"
)

// Reason is why a connection was closed, as connz and events show it.
type Reason uint8

// The reasons that exist so far; others come with their subsystems.
const (
	ClientClosed Reason = iota + 1
	SlowConsumerPendingBytes
	SlowConsumerWriteDeadline
	WriteError
	ReadError
	ParseError
	StaleConnection
	ProtocolViolation
	BadClientProtocolVersion
	AuthenticationTimeout
	AuthenticationFailure
	AuthenticationExpired
	TLSHandshakeError
	CredentialsRevoked
	ProxyNotTrusted
	ProxyRequired
	MissingAccount
	MaxAccountConnectionsExceeded
	MaxSubscriptionsExceeded
	MaxConnectionsExceeded
	MaxPayloadExceeded
	MaxControlLineExceeded
	ServerShutdown
	NoRespondersRequiresHeaders
)

var reasonTexts = [...]string{
	ClientClosed:                  "Client Closed",
	SlowConsumerPendingBytes:      "Slow Consumer (Pending Bytes)",
	SlowConsumerWriteDeadline:     "Slow Consumer (Write Deadline)",
	WriteError:                    "Write Error",
	ReadError:                     "Read Error",
	ParseError:                    "Parse Error",
	StaleConnection:               "Stale Connection",
	ProtocolViolation:             "Protocol Violation",
	BadClientProtocolVersion:      "Bad Client Protocol Version",
	AuthenticationTimeout:         "Authentication Timeout",
	AuthenticationFailure:         "Authentication Failure",
	AuthenticationExpired:         "Authentication Expired",
	TLSHandshakeError:             "TLS Handshake Failure",
	CredentialsRevoked:            "Credentials Revoked",
	ProxyNotTrusted:               "Proxy Not Trusted",
	ProxyRequired:                 "Proxy Required",
	MissingAccount:                "Missing Account",
	MaxAccountConnectionsExceeded: "Maximum Account Connections Exceeded",
	MaxSubscriptionsExceeded:      "Maximum Subscriptions Exceeded",
	MaxConnectionsExceeded:        "Maximum Connections Exceeded",
	MaxPayloadExceeded:            "Maximum Message Payload Exceeded",
	MaxControlLineExceeded:        "Maximum Control Line Exceeded",
	ServerShutdown:                "Server Shutdown",
	NoRespondersRequiresHeaders:   "No Responders Requires Headers",
}

// String returns the text that users see.
func (r Reason) String() string {
	if int(r) < len(reasonTexts) && reasonTexts[r] != "" {
		return reasonTexts[r]
	}
	return "Unknown State"
}

// Error makes a Reason what Conn.Close is given and Closed gets back.
func (r Reason) Error() string { return r.String() }

// reasonOf tells why the loop closed a connection.
func reasonOf(err error, writing bool) Reason {
	var r Reason
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, io.EOF):
		return ClientClosed
	case errors.Is(err, loop.ErrPendingExceeded):
		return SlowConsumerPendingBytes
	case errors.Is(err, loop.ErrWriteDeadline):
		return SlowConsumerWriteDeadline
	case errors.Is(err, loop.ErrStopped):
		return ServerShutdown
	case writing:
		return WriteError
	}
	return ReadError
}

// Texts of -ERR lines.
const (
	errMaxConnections        = "maximum connections exceeded"
	errMaxSubscriptions      = "maximum subscriptions exceeded"
	errAuthorization         = "Authorization Violation"
	errAuthTimeout           = "Authentication Timeout"
	errAuthExpired           = "User Authentication Expired"
	errAccountExpired        = "Account Authentication Expired"
	errAuthRevoked           = "User Authentication Revoked"
	errMaxAccountConnections = "maximum account active connections exceeded"
	errInvalidPublish        = "Invalid Publish Subject"
	errInvalidSubject        = "Invalid Subject"
	errStale                 = "Stale Connection"
	errClientProtocol        = "invalid client protocol"
	errNoRespondersHeader    = "no responders requires headers support"
)
