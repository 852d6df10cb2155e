package account

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
	"weak"
)

// Shared makes equal permissions the same, so that they are compiled and kept
// once for all who have them. It holds on to none: what nobody has any more is
// forgotten. It is safe for all goroutines; the zero value is ready.
type Shared struct {
	mu   sync.Mutex // guards all
	kept map[permissionKey]weak.Pointer[Permissions]
}

// permissionKey stands for what permissions say.
type permissionKey [sha256.Size]byte

// Of returns permissions that are equal to p: p itself, or some that somebody
// has already.
func (s *Shared) Of(p *Permissions) *Permissions {
	if p == nil {
		return nil
	}
	key := p.key()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.kept[key].Value(); known != nil {
		if known.Equal(p) {
			return known
		}
		return p
	}
	if s.kept == nil {
		s.kept = make(map[permissionKey]weak.Pointer[Permissions])
	}
	s.kept[key] = weak.Make(p)
	runtime.AddCleanup(p, s.forget, key)
	return p
}

// forget drops a key of permissions that are gone, unless others took it since.
func (s *Shared) forget(key permissionKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.kept[key]; ok && w.Value() == nil {
		delete(s.kept, key)
	}
}

// len counts what is kept.
func (s *Shared) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// key writes down p such that different permissions differ.
func (p *Permissions) key() permissionKey {
	h := sha256.New()
	var n [8]byte
	number := func(v uint64) {
		binary.LittleEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	list := func(all []string) {
		if all == nil {
			number(0)
			return
		}
		number(uint64(len(all)) + 1)
		for _, one := range all {
			number(uint64(len(one)))
			h.Write([]byte(one))
		}
	}
	for _, s := range []*SubjectPermission{p.Publish, p.Subscribe} {
		if s == nil {
			number(0)
			continue
		}
		number(1)
		list(s.Allow)
		list(s.Deny)
	}
	if r := p.Responses; r != nil {
		number(uint64(r.MaxMsgs))
		number(uint64(r.Expires))
	}
	return permissionKey(h.Sum(nil))
}
