package server

import (
	"encoding/json"

	"peregrine/codec"
)

// Info is the JSON of an INFO line to a client. Field order is part of what
// users see.
type Info struct {
	ID            string   `json:"server_id"`
	Name          string   `json:"server_name"`
	Version       string   `json:"version"`
	Proto         int      `json:"proto"`
	GitCommit     string   `json:"git_commit,omitempty"`
	Go            string   `json:"go"`
	Host          string   `json:"host"`
	Port          int      `json:"port"`
	Headers       bool     `json:"headers"`
	AuthRequired  bool     `json:"auth_required,omitempty"`
	TLSRequired   bool     `json:"tls_required,omitempty"`
	TLSVerify     bool     `json:"tls_verify,omitempty"`
	TLSAvailable  bool     `json:"tls_available,omitempty"`
	MaxPayload    int32    `json:"max_payload"`
	JetStream     bool     `json:"jetstream,omitempty"`
	ClientID      uint64   `json:"client_id,omitempty"`
	ClientIP      string   `json:"client_ip,omitempty"`
	Nonce         string   `json:"nonce,omitempty"`
	Cluster       string   `json:"cluster,omitempty"`
	Domain        string   `json:"domain,omitempty"`
	ConnectURLs   []string `json:"connect_urls,omitempty"`
	LameDuck      bool     `json:"ldm,omitempty"`
	ConnectInfo   bool     `json:"connect_info,omitempty"`
	RemoteAccount string   `json:"remote_account,omitempty"`
	IsSystem      bool     `json:"acc_is_sys,omitempty"`
	APILevel      int      `json:"api_lvl,omitempty"`
	XKey          string   `json:"xkey,omitempty"`
}

// jsAPILevel is the JetStream API level of the compatible version.
const jsAPILevel = 5

// infoFor returns the server's INFO for one client. Any goroutine.
func (s *Server) infoFor(c *session) Info {
	info := *s.info.Load()
	info.ClientID = c.c.ID()
	info.ClientIP = c.peer.Addr().String()
	info.AuthRequired = s.authRequired()
	return info
}

// sendInfo queues an INFO line.
func (c *session) sendInfo(info Info) {
	b, err := json.Marshal(info)
	if err != nil {
		c.errorf("INFO: %v", err)
		return
	}
	c.send(codec.AppendInfo(make([]byte, 0, len(b)+16), b))
}
