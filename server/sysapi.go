package server

import (
	"crypto/rand"
	"encoding/json"
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

// capabilities are the flags of ServerInfo: stream snapshots in binary form and
// raft traffic outside of the system account are understood.
const capabilities = 1<<1 | 1<<2

// serverInfo is this server's, with the next sequence of its system messages.
func (s *Server) serverInfo() *ServerInfo {
	return &ServerInfo{
		Name: s.options().ServerName, Host: s.info.Load().Host, ID: s.id, Version: Version,
		Flags: capabilities, Seq: s.sysSeq.Add(1), Time: time.Now().UTC(),
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
	s.publishJSON(m.acc, m.reply, &sysReply{Server: s.serverInfo(), Data: data, Error: problem})
}

// publishJSON publishes v in acc.
func (s *Server) publishJSON(acc *liveAccount, subject string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Errorf("Error encoding a system message on %q: %v", subject, err)
		return
	}
	if err := s.publishInto(acc, &internalMsg{subject: subject, payload: b}, nil); err != nil {
		s.log.Warnf("Error publishing a system message: %v", err)
	}
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
