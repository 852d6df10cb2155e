package server

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"peregrine/account/claimstore"
)

// Subjects of the system account about the tokens of accounts.
const (
	claimsUpdateOf    = "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE"
	claimsUpdateOfOld = "$SYS.ACCOUNT.*.CLAIMS.UPDATE"
	claimsUpdate      = "$SYS.REQ.CLAIMS.UPDATE"
	claimsLookup      = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"
	claimsPack        = "$SYS.REQ.CLAIMS.PACK"
	claimsList        = "$SYS.REQ.CLAIMS.LIST"
	claimsDelete      = "$SYS.REQ.CLAIMS.DELETE"
)

// subjectAccount returns the account that a subject names.
func subjectAccount(subject string) string {
	at := 3
	if strings.HasPrefix(subject, "$SYS.ACCOUNT.") {
		at = 2
	}
	parts := strings.Split(subject, ".")
	if at >= len(parts) {
		return ""
	}
	return parts[at]
}

// folderResolver keeps tokens in a folder and asks other servers for the rest:
// all tokens (a full one), or those of accounts that are in use (a cache).
type folderResolver struct {
	c       *claims
	folder  *claimstore.Store
	cache   bool
	timeout time.Duration
	every   time.Duration // between comparisons with others; of a full one
}

func newFolderResolver(c *claims, o ResolverOptions) (*folderResolver, error) {
	r := &folderResolver{c: c, cache: o.Kind == CacheResolver, timeout: o.Timeout, every: o.Interval}
	so := claimstore.Options{Dir: o.Dir, Limit: o.Limit, Deletion: o.Deletion}
	if r.cache {
		so.Evict, so.TTL, so.Deletion = true, o.TTL, claimstore.Remove
		if so.Limit <= 0 {
			so.Limit = cacheLimit
		}
	}
	if r.timeout <= 0 {
		r.timeout = fetchTimeout
	}
	if r.every <= 0 {
		r.every = time.Minute
	}
	var err error
	r.folder, err = claimstore.Open(so)
	return r, err
}

func (r *folderResolver) store(name, token string) error {
	changed, err := r.folder.SaveIfNewer(name, token)
	if changed {
		r.changed(name)
	}
	return err
}

// changed makes a stored token hold for an account that is in use.
func (r *folderResolver) changed(name string) {
	if !r.c.known(name) {
		return
	}
	log := r.c.srv.log
	token, err := r.folder.Load(name)
	if err != nil {
		log.Errorf("DirResolver - Update got error on load: %v", err)
		return
	}
	if _, err := r.c.push(name, token); err != nil {
		if r.cache {
			log.Errorf("DirResolver - Update resulted in error %v", err)
		} else {
			log.Errorf("DirResolver - Update for account %q resulted in error %v", name, err)
		}
	}
}

// fetch looks into the folder, then asks the other servers.
func (r *folderResolver) fetch(name string) (string, error) {
	token, err := r.folder.Load(name)
	if err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.c.srv.log.Errorf("DirResolver - Error reading the token of account %q: %v", name, err)
	}
	s := r.c.srv
	sys := s.systemAccount()
	if sys == nil || !s.internal.ready.Load() {
		return "", err
	}
	if token, err = r.askOthers(sys, name); err != nil {
		return "", err
	}
	// It is judged by whoever wanted it.
	if _, err := r.folder.SaveIfNewer(name, token); err != nil {
		return "", err
	}
	return token, nil
}

// askOthers asks the servers that have all tokens.
func (r *folderResolver) askOthers(sys *liveAccount, name string) (string, error) {
	s := r.c.srv
	got := make(chan string, 1)
	give := func(token string) {
		select {
		case got <- token:
		default:
		}
	}
	subject := strings.Replace(claimsLookup, "*", name, 1)
	cancel, err := s.queues.answers.ask(sys, &internalMsg{subject: subject},
		func(m *internalMsg) { give(string(m.payload)) }, func() { give("") })
	if err != nil {
		return "", err
	}
	defer cancel()
	late := time.NewTimer(r.timeout)
	defer late.Stop()
	select {
	case token := <-got:
		if token == "" {
			return "", errors.New("account jwt not found")
		}
		return token, nil
	case <-late.C:
		return "", errors.New("fetching jwt timed out")
	case <-s.quit:
		return "", errors.New("fetching jwt failed due to shutdown")
	}
}

func (r *folderResolver) start() error {
	s := r.c.srv
	if !r.c.trust().HasOperator() {
		return errNoOperator
	}
	sys := s.systemAccount()
	if sys == nil {
		return errors.New("no system account")
	}
	updates := s.queues.claims
	listen := func(q *internalQueue, subject, group string, handle func(*internalMsg)) error {
		_, err := q.subscribe(sys, subject, group, handle)
		return err
	}
	err := errors.Join(
		listen(updates, claimsUpdateOf, "", r.onUpdateOf),
		listen(updates, claimsUpdateOfOld, "", r.onUpdateOf),
		listen(updates, claimsUpdate, "", r.onUpdate),
		listen(updates, claimsList, "", r.onList),
		listen(updates, claimsDelete, "", r.onDelete),
	)
	if r.cache {
		s.log.Noticef("Managing some jwt in exclusive directory %s", r.folder.Dir())
		s.internal.queues.Go(func() { r.keep(nil, "") })
		return err
	}
	inbox := newInbox()
	err = errors.Join(err,
		// Whoever takes an update in may have to look an account up.
		listen(s.queues.lookups, claimsLookup, "", r.onLookup),
		listen(s.queues.lookups, claimsPack, "responder", r.onPack),
		listen(updates, inbox, "", r.onMerge),
	)
	s.log.Noticef("Managing all jwt in exclusive directory %s", r.folder.Dir())
	s.internal.queues.Go(func() { r.keep(sys, inbox) })
	return err
}

// keep lets tokens expire, and, of a full resolver, asks others whether they
// have the same ones.
func (r *folderResolver) keep(sys *liveAccount, inbox string) {
	s := r.c.srv
	expire := time.NewTicker(r.folder.Interval())
	defer expire.Stop()
	var compare <-chan time.Time
	if sys != nil {
		t := time.NewTicker(r.every)
		defer t.Stop()
		compare = t.C
	}
	for {
		select {
		case <-s.quit:
			return
		case <-expire.C:
			r.folder.Expire()
		case <-compare:
			hash := r.folder.Hash()
			s.log.Debugf("DirResolver - Checking store state: %x", hash)
			_ = s.publishInto(sys, &internalMsg{subject: claimsPack, reply: inbox, payload: hash[:]}, nil)
		}
	}
}

func (r *folderResolver) reload() {
	changed, err := r.folder.Reload()
	if err != nil {
		r.c.srv.log.Errorf("DirResolver - Error reading %s: %v", r.folder.Dir(), err)
	}
	for _, name := range changed {
		r.changed(name)
	}
}

func (r *folderResolver) close() { _ = r.folder.Close() }
