// Package secure compares what clients see of TLS in both servers: handshakes
// that succeed and that do not, whom certificates make them, what monitoring
// shows of it, and staples and refusals that come from an OCSP responder.
//
// Certificates and the responder are made by the tests. A test is one function
// that runs in each seat and writes down what it saw; the two are compared.
package secure
