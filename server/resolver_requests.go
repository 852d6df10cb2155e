package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account/claimstore"
	"peregrine/account/operator"
)

// claimsStatus and claimsProblem are answers to requests about tokens.
type claimsStatus struct {
	Account string `json:"account,omitempty"`
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

type claimsProblem struct {
	Account     string `json:"account,omitempty"`
	Code        int    `json:"code"`
	Description string `json:"description,omitempty"`
}

// answerClaims tells the asker, and the log, what came of a request about the
// token of an account; name may be empty.
func (s *Server) answerClaims(m *internalMsg, name, message string, err error) {
	about := message
	if name != "" {
		about += " - " + name
	}
	if err == nil {
		s.log.Debugf("%s", about)
		s.answer(m, &claimsStatus{Account: name, Code: 200, Message: message}, nil)
		return
	}
	s.log.Errorf("%s - %s", about, err)
	s.answer(m, nil, &claimsProblem{Account: name, Code: 500, Description: fmt.Sprintf("%s - %v", message, err)})
}

// words of the answers differ between full resolvers and caches.
func (r *folderResolver) words() (updated, failed, invalid, na string) {
	if r.cache {
		return "jwt updated cache", "jwt update cache resulted in error", "jwt update cache validation failed", "n/a"
	}
	return "jwt updated", "jwt update resulted in error", "jwt validation failed", "n/a"
}

var errSubject = errors.New("subject does not match jwt content")

// onUpdateOf takes the token of the account that the subject names.
func (r *folderResolver) onUpdateOf(m *internalMsg) {
	s := r.c.srv
	_, failed, invalid, unknown := r.words()
	name := subjectAccount(m.subject)
	token := string(m.payload)
	c, err := operator.DecodeAccount(token)
	switch {
	case err != nil && r.cache:
		s.answerClaims(m, name, failed, err)
	case err != nil:
		s.answerClaims(m, unknown, failed, err)
	case !r.cache && operator.CheckPush(c) != nil:
		s.answerClaims(m, c.Subject, invalid, operator.CheckPush(c))
	case c.Subject != name:
		s.answerClaims(m, name, failed, errSubject)
	default:
		r.update(m, c, token)
	}
}

// onUpdate takes the token of the account that it is of.
func (r *folderResolver) onUpdate(m *internalMsg) {
	_, failed, _, unknown := r.words()
	token := string(m.payload)
	c, err := operator.DecodeAccount(token)
	if err != nil {
		r.c.srv.answerClaims(m, unknown, failed, err)
		return
	}
	r.update(m, c, token)
}

// update stores a token, which makes it hold for an account in use.
func (r *folderResolver) update(m *internalMsg, c *jwt.AccountClaims, token string) {
	s, name := r.c.srv, c.Subject
	updated, failed, invalid, _ := r.words()
	if err := r.c.trust().CheckIssuer(c); err != nil {
		s.answerClaims(m, name, failed, err)
		return
	}
	if r.cache && !r.c.known(name) {
		s.answerClaims(m, name, "jwt update cache skipped", nil)
		return
	}
	if err := operator.CheckPush(c); err != nil {
		s.answerClaims(m, name, invalid, err)
		return
	}
	changed, err := r.folder.Save(name, token)
	if err != nil {
		s.answerClaims(m, name, failed, err)
		return
	}
	if changed {
		r.changed(name)
	}
	s.answerClaims(m, name, updated, nil)
}

// onLookup tells another server a token, or that it is not here.
func (r *folderResolver) onLookup(m *internalMsg) {
	if m.reply == "" {
		return
	}
	s, name := r.c.srv, subjectAccount(m.subject)
	token, err := r.folder.Load(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Debugf("DirResolver - Could not find account %q", name)
	case err != nil:
		s.log.Errorf("DirResolver - Error looking up account %q: %v", name, err)
		return
	}
	r.tell(m, []byte(token))
}

func (r *folderResolver) tell(m *internalMsg, body []byte) {
	if err := r.c.srv.publishInto(m.acc, &internalMsg{subject: m.reply, payload: body}, nil); err != nil {
		r.c.srv.log.Errorf("DirResolver - Error answering: %v", err)
	}
}

// onPack tells another server all tokens, if it has others than this one; an
// empty message is the end.
func (r *folderResolver) onPack(m *internalMsg) {
	if m.reply == "" {
		return
	}
	s, hash := r.c.srv, r.folder.Hash()
	if bytes.Equal(m.payload, hash[:]) {
		r.tell(m, nil)
		s.log.Debugf("DirResolver - Pack request matches hash %x", hash)
		return
	}
	r.folder.Each(func(key, token string) bool {
		r.tell(m, []byte(key+"|"+token))
		return true
	})
	s.log.Debugf("DirResolver - Pack request hash %x - finished responding with hash %x", theirHash(m.payload), hash)
	r.tell(m, nil)
}

// theirHash is what is logged of a hash that somebody sent.
func theirHash(b []byte) []byte { return b[:min(len(b), 32)] }

// onMerge takes in what another server has.
func (r *folderResolver) onMerge(m *internalMsg) {
	log := r.c.srv.log
	if len(m.payload) == 0 {
		log.Debugf("DirResolver - Merging finished and resulting in: %x", r.folder.Hash())
		return
	}
	before := r.folder.Hash()
	changed, err := r.folder.Merge(string(m.payload))
	for _, name := range changed {
		r.changed(name)
	}
	if err != nil {
		log.Errorf("DirResolver - Merging resulted in error: %v", err)
		return
	}
	log.Debugf("DirResolver - Merging succeeded and changed %x to %x", before, r.folder.Hash())
}

// onList tells which accounts are here.
func (r *folderResolver) onList(m *internalMsg) {
	if m.reply == "" {
		return
	}
	names := make([]string, 0, 64)
	r.folder.Each(func(key, _ string) bool {
		names = append(names, key)
		return true
	})
	slices.Sort(names)
	r.c.srv.log.Debugf("list request responded with %d account ids", len(names))
	r.c.srv.tell(m.acc, m.reply, func(i *ServerInfo) any {
		return &struct {
			Data   []string    `json:"data"`
			Server *ServerInfo `json:"server"`
		}{names, i}
	})
}

// onDelete deletes accounts, if an operator says so.
func (r *folderResolver) onDelete(m *internalMsg) {
	s := r.c.srv
	by, names, err := r.deletion(string(m.payload))
	if err != nil {
		s.answerClaims(m, "", fmt.Sprintf("delete accounts request by %s failed", by), err)
		return
	}
	done := 0
	var failed []string
	for _, name := range names {
		was, err := r.folder.Delete(name)
		if err != nil {
			failed = append(failed, err.Error())
			continue
		}
		done++
		if was {
			r.c.remove(name)
		}
	}
	if len(failed) > 0 {
		s.answerClaims(m, "", fmt.Sprintf("deleted %d accounts, failed for %d", done, len(failed)), errors.New(strings.Join(failed, "\n")))
		return
	}
	s.answerClaims(m, "", fmt.Sprintf("deleted %d accounts", done), nil)
}

// deletion reads a request to delete accounts: who made it, and which.
func (r *folderResolver) deletion(token string) (by string, names []string, err error) {
	c, err := operator.DecodeGeneric(token)
	if err != nil {
		return "", nil, err
	}
	by = c.Subject
	switch {
	case r.folder.Deletes() == claimstore.NoDeletion:
		return by, nil, errors.New("delete must be enabled in server config")
	case c.Subject != c.Issuer:
		return by, nil, errors.New("not self signed")
	case !r.c.trust().MayDelete(c.Issuer):
		return by, nil, errors.New("not trusted")
	}
	list, ok := c.Data["accounts"].([]any)
	if !ok {
		return by, nil, errors.New("malformed request")
	}
	for _, one := range list {
		name, ok := one.(string)
		switch {
		case !ok || !nkeys.IsValidPublicAccountKey(name):
			return by, nil, errors.New("malformed request")
		case name == r.c.srv.directory().System():
			return by, nil, errors.New("not allowed to delete system account")
		}
		names = append(names, name)
	}
	return by, names, nil
}

// listenForUpdates takes tokens of accounts in use where no folder keeps them.
func (c *claims) listenForUpdates() error {
	s := c.srv
	sys := s.systemAccount()
	if sys == nil {
		return nil
	}
	for _, subject := range []string{claimsUpdateOf, claimsUpdateOfOld} {
		if _, err := s.queues.claims.subscribe(sys, subject, "", c.onUpdateOf); err != nil {
			return err
		}
	}
	return nil
}

func (c *claims) onUpdateOf(m *internalMsg) {
	s, name, token := c.srv, subjectAccount(m.subject), string(m.payload)
	if token == "" {
		s.answerClaims(m, name, "jwt update error", errors.New("request body is empty"))
		return
	}
	const failed = "jwt update resulted in error"
	claims, err := operator.DecodeAccount(token)
	switch {
	case err != nil:
		s.answerClaims(m, name, failed, err)
		return
	case claims.Subject != name:
		s.answerClaims(m, name, failed, errSubject)
		return
	}
	known, err := c.push(name, token)
	switch {
	case err != nil:
		s.answerClaims(m, name, failed, err)
	case !known:
		s.answerClaims(m, name, "jwt update skipped", nil)
	default:
		s.answerClaims(m, name, "jwt updated", nil)
	}
}
