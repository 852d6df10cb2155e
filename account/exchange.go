package account

import (
	"time"

	"peregrine/sublist/transform"
)

// Export offers a subject, which may have wildcards. Among exports of the same
// kind and subject the last one counts.
type Export struct {
	Service bool // else a stream
	Subject string

	// Who may import it: everybody, unless one of these says otherwise.
	Accounts      []string
	TokenPosition int  // of the token, from 1, that must be the importer's name; 0 is none
	TokenRequired bool // the import needs an activation token

	// Revocations are the activation tokens that do not count any more: by
	// importer ("*" is all), Unix seconds up to which they were issued.
	Revocations map[string]int64

	// Of services.
	Response   Response
	Threshold  time.Duration // 0 is DefaultThreshold
	Latency    *Latency      // nil: not measured
	AllowTrace bool
}

// Response is how a service answers a request.
type Response uint8

// Singleton services send one message, streamed ones any number, chunked ones
// any number of which the last is empty.
const (
	Singleton Response = iota
	Streamed
	Chunked
)

// String returns the name that monitoring shows.
func (r Response) String() string {
	switch r {
	case Streamed:
		return "Streamed"
	case Chunked:
		return "Chunked"
	}
	return "Singleton"
}

// DefaultThreshold is the time a service has to answer unless its export says
// otherwise.
const DefaultThreshold = 2 * time.Minute

// Latency says how a service is measured.
type Latency struct {
	Subject  string // of the account with the service
	Sampling int    // percent of the requests; 0: those whose headers ask for it
}

// Import takes a subject that another account exports.
type Import struct {
	Service bool // else a stream
	Account string
	Subject string // there
	Local   string // here; "" is the same. It may have placeholders such as $1
	Prefix  string // of Local, of streams; instead of Local
	Token   string // activation token, for exports that need one

	Share      bool // tell the service about the client
	AllowTrace bool // of streams
}

// Mapping publishes what is published on Source on other subjects.
type Mapping struct {
	Source       string
	Destinations []transform.Destination
}

// kind returns the word of messages for what is exchanged.
func kind(service bool) string {
	if service {
		return "service"
	}
	return "stream"
}
