package monitor

import (
	"io"
	"net/http"
	"time"
)

// Bodies of parts that this server does not run. Scrapers ask for them whether
// or not the part is in use and take an error for a broken server, so these
// answer what the reference answers with the part switched off.

func (m *Monitor) serveRoutez(w http.ResponseWriter, _ *http.Request) error {
	id := m.source.Identity()
	return writeJSON(w, struct {
		ID     string    `json:"server_id"`
		Name   string    `json:"server_name"`
		Now    time.Time `json:"now"`
		Number int       `json:"num_routes"`
		Routes []block   `json:"routes"`
	}{ID: id.ID, Name: id.Name, Now: time.Now().UTC(), Routes: []block{}})
}

func (m *Monitor) serveGatewayz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, struct {
		ID       string    `json:"server_id"`
		Now      time.Time `json:"now"`
		Outbound block     `json:"outbound_gateways"`
		Inbound  block     `json:"inbound_gateways"`
	}{ID: m.source.Identity().ID, Now: time.Now().UTC()})
}

func (m *Monitor) serveLeafz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, struct {
		ID     string    `json:"server_id"`
		Now    time.Time `json:"now"`
		Number int       `json:"leafnodes"`
		Leafs  []block   `json:"leafs"`
	}{ID: m.source.Identity().ID, Now: time.Now().UTC(), Leafs: []block{}})
}

func (m *Monitor) serveIPQueuesz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, block{})
}

func (m *Monitor) serveRaftz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "No Raft nodes registered")
	return nil
}

// jsz is the body of /jsz without JetStream.
type jsz struct {
	Memory          int64 `json:"memory"`
	Storage         int64 `json:"storage"`
	ReservedMemory  int64 `json:"reserved_memory"`
	ReservedStorage int64 `json:"reserved_storage"`
	Accounts        int   `json:"accounts"`
	HAAssets        int   `json:"ha_assets"`
	API             struct {
		Level  int `json:"level"`
		Total  int `json:"total"`
		Errors int `json:"errors"`
	} `json:"api"`
	ID       string    `json:"server_id"`
	Now      time.Time `json:"now"`
	Disabled bool      `json:"disabled"`
	Config   struct {
		MaxMemory  int64 `json:"max_memory"`
		MaxStorage int64 `json:"max_storage"`
	} `json:"config"`
	Streams   int `json:"streams"`
	Consumers int `json:"consumers"`
	Messages  int `json:"messages"`
	Bytes     int `json:"bytes"`
	Total     int `json:"total"`
}

func (m *Monitor) serveJsz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, &jsz{ID: m.source.Identity().ID, Now: time.Now().UTC(), Disabled: true})
}
