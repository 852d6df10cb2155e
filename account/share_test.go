package account

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestSharedPermissions(t *testing.T) {
	made := []func() *Permissions{
		func() *Permissions { return &Permissions{Publish: &SubjectPermission{Allow: []string{"a", "b"}}} },
		func() *Permissions { return &Permissions{Publish: &SubjectPermission{Allow: []string{"ab"}}} },
		func() *Permissions { return &Permissions{Publish: &SubjectPermission{Deny: []string{"a", "b"}}} },
		func() *Permissions {
			return &Permissions{Publish: &SubjectPermission{Allow: []string{}, Deny: []string{"a", "b"}}}
		},
		func() *Permissions { return &Permissions{Subscribe: &SubjectPermission{Allow: []string{"a", "b"}}} },
		func() *Permissions {
			return &Permissions{Publish: &SubjectPermission{Allow: []string{"a", "b"}}, Responses: &ResponsePermission{MaxMsgs: 1, Expires: time.Second}}
		},
		func() *Permissions { return new(Permissions) },
	}
	var s Shared
	all := make([]*Permissions, len(made))
	for i, make := range made {
		all[i] = s.Of(make())
		for k, other := range all[:i] {
			if other == all[i] {
				t.Errorf("%d and %d are not equal, but the same", k, i)
			}
		}
	}
	for i, make := range made {
		if s.Of(make()) != all[i] {
			t.Errorf("%d is not shared", i)
		}
	}
	if s.Of(nil) != nil {
		t.Error("nil became something")
	}
	runtime.KeepAlive(all)
}

// What nobody has any more is forgotten.
func TestSharedForgets(t *testing.T) {
	var s Shared
	kept := s.Of(&Permissions{Publish: &SubjectPermission{Allow: []string{"kept"}}})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 1000 {
				s.Of(&Permissions{Publish: &SubjectPermission{Allow: []string{fmt.Sprint(g/2, i)}}}).Rules()
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(20 * time.Second); s.len() > 1; {
		if time.Now().After(deadline) {
			t.Fatalf("%d are kept", s.len())
		}
		runtime.GC()
		runtime.Gosched()
	}
	if s.Of(&Permissions{Publish: &SubjectPermission{Allow: []string{"kept"}}}) != kept {
		t.Error("what somebody has was forgotten")
	}
	runtime.KeepAlive(kept)
}
