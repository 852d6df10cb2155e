package server

import (
	"crypto/rand"
	"time"
)

// ServerInfo is who answers a request in the system account. Field order is part
// of what users see.
type ServerInfo struct {
	Name         string            `json:"name"`
	Host         string            `json:"host"`
	ID           string            `json:"id"`
	Cluster      string            `json:"cluster,omitempty"`
	Domain       string            `json:"domain,omitempty"`
	Version      string            `json:"ver"`
	Tags         []string          `json:"tags,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	FeatureFlags map[string]bool   `json:"feature_flags,omitempty"`
	JetStream    bool              `json:"jetstream"`
	Flags        uint64            `json:"flags"`
	Seq          uint64            `json:"seq"`
	Time         time.Time         `json:"time"`
}

// serverInfo is this server's, with the next sequence of its system messages.
// The flags are about JetStream.
func (s *Server) serverInfo() *ServerInfo {
	o := s.options()
	return &ServerInfo{
		Name: o.ServerName, Host: s.info.Load().Host, ID: s.id, Version: Version,
		Tags: o.Tags, Metadata: o.Metadata, FeatureFlags: o.FeatureFlags,
		Seq: s.sysSeq.Add(1), Time: time.Now().UTC(),
	}
}

// sysReply is the envelope of answers.
type sysReply struct {
	Server *ServerInfo `json:"server"`
	Data   any         `json:"data,omitempty"`
	Error  any         `json:"error,omitempty"`
}

// answer sends an envelope to the one who asked in acc. Without a reply subject
// nobody is told.
func (s *Server) answer(m *internalMsg, data, problem any) {
	if m.reply == "" {
		return
	}
	s.tell(m.acc, m.reply, func(i *ServerInfo) any { return &sysReply{Server: i, Data: data, Error: problem} })
}

// newInbox returns a subject that nobody else listens to.
func newInbox() string { return "$SYS._INBOX." + rand.Text()[:8] + "." + rand.Text() }

// ask publishes m in acc; handle is called for each answer until cancel is.
// nobody is called, perhaps, if there was nobody to ask.
func (q *internalQueue) ask(acc *liveAccount, m *internalMsg, handle func(*internalMsg), nobody func()) (cancel func(), err error) {
	m.reply = newInbox()
	sub, err := q.subscribe(acc, m.reply, "", handle)
	if err != nil {
		return nil, err
	}
	err = q.srv.publishInto(acc, m, func(reached bool) {
		if !reached && nobody != nil {
			nobody()
		}
	})
	if err != nil {
		sub.close()
		return nil, err
	}
	return sub.close, nil
}

// systemAccount returns the system account, nil if there is none.
func (s *Server) systemAccount() *liveAccount {
	name := s.directory().System()
	if name == "" {
		return nil
	}
	return s.accounts.find(name)
}
