package server

import (
	"time"

	"peregrine/account"
)

// userInfoSubject is where clients ask who they are, in every account.
const userInfoSubject = "$SYS.REQ.USER.INFO"

// userInfo answers them.
type userInfo struct {
	User        string            `json:"user"`
	Account     string            `json:"account"`
	AccountName string            `json:"account_name,omitempty"`
	UserName    string            `json:"user_name,omitempty"`
	Permissions *shownPermissions `json:"permissions,omitempty"`
	Expires     time.Duration     `json:"expires,omitempty"`
}

// shownPermissions are permissions as users see them.
type shownPermissions struct {
	Publish   shownSubjects   `json:"publish"`
	Subscribe shownSubjects   `json:"subscribe"`
	Responses *shownResponses `json:"responses,omitempty"`
}

type shownSubjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

type shownResponses struct {
	Max int           `json:"max"`
	TTL time.Duration `json:"ttl"`
}

// listenForUserInfo lets the clients of an account ask who they are.
func (s *Server) listenForUserInfo(acc *liveAccount) {
	if s.systemAccount() == nil {
		return
	}
	if _, err := s.queues.info.subscribe(acc, userInfoSubject, "", s.onUserInfo); err != nil {
		s.log.Errorf("Error listening on %s in account %s: %v", userInfoSubject, acc.Name, err)
	}
}

// onUserInfo lets the client's loop answer, which knows who it is.
func (s *Server) onUserInfo(m *internalMsg) {
	c := m.from
	if c == nil || m.reply == "" {
		return
	}
	c.w.lp.Post(func() {
		if c.stage.closing {
			return
		}
		s.answer(m, c.userInfo(), nil)
	})
}

func (c *session) userInfo() *userInfo {
	out := &userInfo{Account: c.acc.Name, AccountName: c.w.srv.accountTag(c.acc.Name)}
	who := c.auth.who
	if who == nil {
		return out
	}
	out.User, out.UserName, out.Permissions = who.User, who.NameTag, shown(who.Permissions)
	if !who.Expires.IsZero() {
		out.Expires = time.Until(who.Expires).Truncate(time.Second)
	}
	return out
}

func shown(p *account.Permissions) *shownPermissions {
	if p == nil {
		return nil
	}
	out := new(shownPermissions)
	if s := p.Publish; s != nil {
		out.Publish = shownSubjects{s.Allow, s.Deny}
	}
	if s := p.Subscribe; s != nil {
		out.Subscribe = shownSubjects{s.Allow, s.Deny}
	}
	if r := p.Responses; r != nil {
		out.Responses = &shownResponses{r.MaxMsgs, r.Expires}
	}
	return out
}
