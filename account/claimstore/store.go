package claimstore

import (
	"container/list"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"peregrine/account/operator"
)

// Deletion says what becomes of the file of a deleted account.
type Deletion int

// Accounts cannot be deleted, their files are renamed, or removed.
const (
	NoDeletion Deletion = iota
	Rename
	Remove
)

// Options of a store.
type Options struct {
	Dir   string // made if it is not there
	Limit int64  // tokens; 0 is no limit
	Evict bool   // at the limit, drop the least recently used; else refuse
	// TTL is how long a token stays after it was last used. 0: until it expires
	// by itself.
	TTL      time.Duration
	Deletion Deletion
	Now      func() time.Time // nil is time.Now
}

var (
	errKey    = errors.New("invalid public key")
	errFull   = errors.New("jwt store is full")
	errToken  = errors.New("invalid JWT")
	errDelete = errors.New("store is not set up to for delete")
)

// Store is a folder of tokens.
type Store struct {
	o    Options
	root *os.Root

	mu    sync.Mutex // guards the rest and the files
	items map[string]*item
	used  *list.List // of *item, least recently used first
	hash  [sha256.Size]byte
}

// item is one token that is there.
type item struct {
	key     string
	hash    [sha256.Size]byte
	expires time.Time // zero is never
	used    *list.Element
}

// Open reads what is in the folder.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dir == "" {
		return nil, errors.New("path is not specified")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("claimstore: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("claimstore: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("claimstore: %w", err)
	}
	o.Dir = dir
	s := &Store{o: o, root: root}
	s.clear()
	if _, err := s.scan(); err != nil {
		root.Close()
		return nil, fmt.Errorf("claimstore: %w", err)
	}
	return s, nil
}

// Close ends the use of the folder.
func (s *Store) Close() error { return s.root.Close() }

// Dir returns the folder's absolute path.
func (s *Store) Dir() string { return s.o.Dir }

// Deletes tells what becomes of deleted accounts.
func (s *Store) Deletes() Deletion { return s.o.Deletion }

func (s *Store) clear() {
	s.items, s.used, s.hash = make(map[string]*item), list.New(), [sha256.Size]byte{}
}

const suffix = ".jwt"

// keyLen is the length of a key. The library takes longer ones, too.
const keyLen = 56

// fileOf returns the file of a key, "" for what is no key (I1).
func fileOf(key string) string {
	if len(key) != keyLen || !nkeys.IsValidPublicAccountKey(key) {
		return ""
	}
	return key + suffix
}

// scan takes in the tokens of the folder and returns their keys.
func (s *Store) scan() (keys []string, err error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if isTemporary(e.Name()) {
			_ = s.root.Remove(e.Name())
			continue
		}
		key, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || fileOf(key) == "" || !e.Type().IsRegular() {
			continue
		}
		if token, err := s.read(e.Name()); err == nil && token != "" {
			s.track(key, token)
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Hash tells the state of the whole store: the XOR of the SHA-256 of its tokens.
func (s *Store) Hash() [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hash
}

// Keys returns the accounts that are there, in no order.
func (s *Store) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(s.items))
	for k := range s.items {
		keys = append(keys, k)
	}
	return keys
}

// Load returns the token of an account; fs.ErrNotExist if there is none.
func (s *Store) Load(key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fileOf(key)
	if name == "" {
		return "", errKey
	}
	token, err := s.read(name)
	if err != nil {
		return "", err
	}
	s.touch(key)
	return token, nil
}

// Save puts a token in and reports whether that changed anything.
func (s *Store) Save(key, token string) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save(key, token)
}

// SaveIfNewer is Save for a token from elsewhere: it must be one of that
// account, and an older one than that which is there changes nothing.
func (s *Store) SaveIfNewer(key, token string) (changed bool, err error) {
	name := fileOf(key)
	if name == "" {
		return false, errKey
	}
	c, err := operator.DecodeGeneric(token)
	switch {
	case err != nil:
		return false, err
	case c.Subject != key:
		return false, errors.New("jwt subject nkey and provided nkey do not match")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if existing, err := s.read(name); err == nil {
		old, err := operator.DecodeGeneric(existing)
		if err == nil && (old.ID == c.ID || old.IssuedAt > c.IssuedAt) {
			return false, nil
		}
	}
	return s.save(key, token)
}

// save is Save with the lock held.
func (s *Store) save(key, token string) (changed bool, err error) {
	name := fileOf(key)
	switch {
	case name == "":
		return false, errKey
	case token == "" || len(token) > operator.TokenMax:
		return false, errToken
	}
	if it := s.items[key]; it != nil {
		s.touch(key)
		if it.hash == sha256.Sum256([]byte(token)) {
			return false, nil
		}
	} else if s.o.Limit > 0 && int64(len(s.items)) >= s.o.Limit {
		if err := s.makeRoom(); err != nil {
			return false, err
		}
	}
	if err := s.write(name, token); err != nil {
		return false, err
	}
	s.track(key, token)
	return true, nil
}

func (s *Store) makeRoom() error {
	if !s.o.Evict || s.used.Len() == 0 {
		return errFull
	}
	oldest := s.used.Front().Value.(*item)
	if err := s.root.Remove(oldest.key + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.untrack(oldest)
	return nil
}

// Delete takes an account out and reports whether it was there.
func (s *Store) Delete(key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fileOf(key)
	var err error
	switch {
	case name == "":
		return false, errKey
	case s.o.Deletion == Rename:
		err = s.root.Rename(name, name+".deleted")
	case s.o.Deletion == Remove:
		err = s.root.Remove(name)
	default:
		return false, errDelete
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if it := s.items[key]; it != nil {
		s.untrack(it)
	}
	return true, s.syncDir()
}

// Each calls f for every token that has not expired, until f returns false. The
// store can be used meanwhile.
func (s *Store) Each(f func(key, token string) bool) {
	for _, key := range s.Keys() {
		s.mu.Lock()
		token, err := s.read(key + suffix)
		s.mu.Unlock()
		if err != nil || token == "" {
			continue
		}
		if c, err := operator.DecodeGeneric(token); err == nil && c.Expires > 0 && c.Expires < s.o.Now().Unix() {
			continue
		}
		if !f(key, token) {
			return
		}
	}
}

// Merge takes in tokens from elsewhere, lines of "key|token". It returns the
// keys whose tokens are new, up to the first line that is not right.
func (s *Store) Merge(pack string) (changed []string, err error) {
	for line := range strings.SplitSeq(pack, "\n") {
		if line == "" {
			continue
		}
		key, token, ok := strings.Cut(line, "|")
		switch {
		case !ok || strings.Contains(token, "|"):
			return changed, errors.New("line in package didn't contain 2 entries")
		case fileOf(key) == "":
			return changed, errors.New("key to merge is not a valid public account key")
		}
		isNew, err := s.SaveIfNewer(key, token)
		if err != nil {
			return changed, err
		}
		if isNew {
			changed = append(changed, key)
		}
	}
	return changed, nil
}

// Expire removes what has had its time and returns how many that were.
func (s *Store) Expire() (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	for _, it := range s.items {
		if it.expires.IsZero() || it.expires.After(now) {
			continue
		}
		if err := s.root.Remove(it.key + suffix); err == nil || errors.Is(err, fs.ErrNotExist) {
			s.untrack(it)
			removed++
		}
	}
	return removed
}

// Interval returns how often Expire should be called.
func (s *Store) Interval() time.Duration {
	if d := s.o.TTL / 2; d > 0 && d < time.Minute {
		return d
	}
	return time.Minute
}

// Reload reads the folder anew. It returns the keys whose tokens may be others
// than before: a cache may have dropped one that is in use.
func (s *Store) Reload() (changed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.items
	s.clear()
	keys, err := s.scan()
	for _, key := range keys {
		if was := old[key]; s.o.Evict && was == nil || was != nil && was.hash != s.items[key].hash {
			changed = append(changed, key)
		}
	}
	return changed, err
}

// track remembers a token that is in its file.
func (s *Store) track(key, token string) {
	it := s.items[key]
	if it == nil {
		it = &item{key: key}
		it.used = s.used.PushBack(it)
		s.items[key] = it
	} else {
		s.mix(it.hash)
	}
	it.hash, it.expires = sha256.Sum256([]byte(token)), time.Time{}
	s.mix(it.hash)
	if s.o.TTL > 0 {
		it.expires = s.o.Now().Add(s.o.TTL)
	} else if c, err := operator.DecodeGeneric(token); err == nil && c.Expires > 0 {
		it.expires = time.Unix(c.Expires, 0)
	}
}

// touch notes that a token was used.
func (s *Store) touch(key string) {
	it := s.items[key]
	if it == nil {
		return
	}
	if s.o.TTL > 0 {
		it.expires = s.o.Now().Add(s.o.TTL)
	}
	s.used.MoveToBack(it.used)
}

func (s *Store) untrack(it *item) {
	s.mix(it.hash)
	s.used.Remove(it.used)
	delete(s.items, it.key)
}

func (s *Store) mix(h [sha256.Size]byte) {
	for i := range h {
		s.hash[i] ^= h[i]
	}
}
