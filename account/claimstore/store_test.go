package claimstore

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account/operator"
)

var operatorPair = sync.OnceValue(func() nkeys.KeyPair { kp, _ := nkeys.CreateOperator(); return kp })

func newKey(t testing.TB) string {
	t.Helper()
	kp, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	key, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// token makes an account's token; name makes it differ from others.
func token(t testing.TB, key, name string, expires int64) string {
	t.Helper()
	c := jwt.NewAccountClaims(key)
	c.Name, c.Expires = name, expires
	out, err := c.Encode(operatorPair())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *Store) mustSave(t testing.TB, key, token string, want bool) {
	t.Helper()
	changed, err := s.Save(key, token)
	if err != nil || changed != want {
		t.Fatalf("saving: changed %v, %v; want %v", changed, err, want)
	}
}

func TestSaveLoadReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	s := open(t, Options{Dir: dir})
	a, b := newKey(t), newKey(t)
	ta, tb := token(t, a, "a", 0), token(t, b, "b", 0)
	s.mustSave(t, a, ta, true)
	s.mustSave(t, a, ta, false)
	s.mustSave(t, b, tb, true)
	hash := s.Hash()
	x, y := sha256.Sum256([]byte(ta)), sha256.Sum256([]byte(tb))
	for i := range x {
		x[i] ^= y[i]
	}
	if hash != x {
		t.Error("the hash is not that of both tokens")
	}
	if got, err := s.Load(a); err != nil || got != ta {
		t.Errorf("loaded %q, %v", got, err)
	}
	if _, err := s.Load(newKey(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
	again := open(t, Options{Dir: dir})
	if again.Hash() != hash || len(again.Keys()) != 2 {
		t.Errorf("reopened: %d tokens", len(again.Keys()))
	}
	info, err := os.Stat(filepath.Join(dir, a+".jwt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	// A new token takes the place of the old one, in the hash too.
	s.mustSave(t, a, token(t, a, "other", 0), true)
	s.mustSave(t, a, ta, true)
	if s.Hash() != hash {
		t.Error("the hash is not that of the tokens that are there")
	}
}

func TestNamesThatAreNoKeysTouchNothing(t *testing.T) {
	s := open(t, Options{Deletion: Remove})
	user, _ := nkeys.CreateUser()
	userKey, _ := user.PublicKey()
	good := newKey(t)
	for _, name := range []string{
		"", ".", "..", "/", "../../etc/passwd", "A", good + "/../x", good + "\x00", "./" + good,
		good[:55], good + "A", strings.ToLower(good), userKey, strings.Repeat("A", 1<<20),
	} {
		if _, err := s.Save(name, token(t, good, "", 0)); err == nil {
			t.Errorf("%.60q was saved", name)
		}
		if _, err := s.SaveIfNewer(name, token(t, good, "", 0)); err == nil {
			t.Errorf("%.60q was saved if newer", name)
		}
		if _, err := s.Load(name); err == nil {
			t.Errorf("%.60q was loaded", name)
		}
		if _, err := s.Delete(name); err == nil {
			t.Errorf("%.60q was deleted", name)
		}
		if _, err := s.Merge(name + "|" + token(t, good, "", 0)); err == nil && name != "" {
			t.Errorf("%.60q was merged", name)
		}
	}
	if entries, err := os.ReadDir(s.Dir()); err != nil || len(entries) != 0 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

func TestHostileFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	linked, piped, folder, huge, empty, good, garbage := newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t)
	write(filepath.Join(outside, "secret"), "eyJ secret")
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, linked+".jwt")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, piped+".jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, folder+".jwt"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, huge+".jwt"), strings.Repeat("x", operator.TokenMax+1))
	write(filepath.Join(dir, empty+".jwt"), "")
	write(filepath.Join(dir, "README.jwt"), "not a key")
	write(filepath.Join(dir, "\xff\xfe|\n.jwt"), "not a name")
	write(filepath.Join(dir, ".writing-0123456789abcdef.tmp"), "half a tok")
	write(filepath.Join(dir, garbage+".jwt"), "garbage")
	write(filepath.Join(dir, good+".jwt"), token(t, good, "good", 0))

	s := open(t, Options{Dir: dir, Deletion: Remove})
	keys := s.Keys()
	slices.Sort(keys)
	want := []string{good, garbage}
	slices.Sort(want)
	if !slices.Equal(keys, want) {
		t.Errorf("seen: %q, want %q", keys, want)
	}
	for _, key := range []string{linked, piped, folder, huge} {
		if got, err := s.Load(key); err == nil {
			t.Errorf("loaded %.20q", got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".writing-0123456789abcdef.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file: %v", err)
	}
	// Writing replaces the link, not what it points at.
	s.mustSave(t, linked, token(t, linked, "", 0), true)
	if b, _ := os.ReadFile(filepath.Join(outside, "secret")); string(b) != "eyJ secret" {
		t.Errorf("outside of the folder: %q", b)
	}
	// Garbage is replaced by a token from elsewhere.
	if changed, err := s.SaveIfNewer(garbage, token(t, garbage, "", 0)); err != nil || !changed {
		t.Errorf("instead of garbage: %v, %v", changed, err)
	}
}

func TestLimit(t *testing.T) {
	s := open(t, Options{Limit: 2})
	a, b, c := newKey(t), newKey(t), newKey(t)
	s.mustSave(t, a, token(t, a, "", 0), true)
	s.mustSave(t, b, token(t, b, "", 0), true)
	if _, err := s.Save(c, token(t, c, "", 0)); err == nil || err.Error() != "jwt store is full" {
		t.Errorf("a third of two: %v", err)
	}
	s.mustSave(t, a, token(t, a, "changed", 0), true)

	cache := open(t, Options{Limit: 2, Evict: true})
	cache.mustSave(t, a, token(t, a, "", 0), true)
	cache.mustSave(t, b, token(t, b, "", 0), true)
	if _, err := cache.Load(a); err != nil {
		t.Fatal(err)
	}
	cache.mustSave(t, c, token(t, c, "", 0), true)
	if _, err := cache.Load(b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the least recently used: %v", err)
	}
	if _, err := cache.Load(a); err != nil {
		t.Errorf("the one used since: %v", err)
	}
}

func TestDelete(t *testing.T) {
	key := newKey(t)
	none := open(t, Options{})
	none.mustSave(t, key, token(t, key, "", 0), true)
	if _, err := none.Delete(key); err == nil {
		t.Error("deleted although that is not allowed")
	}
	for _, how := range []Deletion{Rename, Remove} {
		s := open(t, Options{Deletion: how})
		s.mustSave(t, key, token(t, key, "", 0), true)
		if was, err := s.Delete(key); err != nil || !was {
			t.Errorf("%v: %v, %v", how, was, err)
		}
		if was, err := s.Delete(key); err != nil || was {
			t.Errorf("%v again: %v, %v", how, was, err)
		}
		if s.Hash() != [sha256.Size]byte{} {
			t.Error("the hash still has it")
		}
		_, err := os.Stat(filepath.Join(s.Dir(), key+".jwt.deleted"))
		if (err == nil) != (how == Rename) {
			t.Errorf("%v: kept file: %v", how, err)
		}
		if again := open(t, Options{Dir: s.Dir()}); len(again.Keys()) != 0 {
			t.Errorf("%v: %q after reopening", how, again.Keys())
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	s := open(t, Options{Now: clock})
	a, b := newKey(t), newKey(t)
	s.mustSave(t, a, token(t, a, "", now.Unix()+10), true)
	s.mustSave(t, b, token(t, b, "", 0), true)
	if s.Expire() != 0 {
		t.Error("expired before its time")
	}
	now = now.Add(11 * time.Second)
	var left []string
	s.Each(func(key, _ string) bool { left = append(left, key); return true })
	if !slices.Equal(left, []string{b}) {
		t.Errorf("offered to others: %q, want %q", left, b)
	}
	if s.Expire() != 1 || len(s.Keys()) != 1 {
		t.Errorf("left: %q", s.Keys())
	}

	// With a time to live, use counts.
	s = open(t, Options{Now: clock, TTL: time.Minute})
	s.mustSave(t, a, token(t, a, "", 0), true)
	s.mustSave(t, b, token(t, b, "", 0), true)
	now = now.Add(50 * time.Second)
	if _, err := s.Load(a); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	if s.Expire() != 1 || !slices.Equal(s.Keys(), []string{a}) {
		t.Errorf("left: %q, want %q", s.Keys(), a)
	}
	if s.Interval() != 30*time.Second {
		t.Errorf("looked at every %v", s.Interval())
	}
}

func TestMerge(t *testing.T) {
	s := open(t, Options{})
	a, b := newKey(t), newKey(t)
	old, err := encodeAt(a, 100)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := encodeAt(a, 200)
	if err != nil {
		t.Fatal(err)
	}
	tb := token(t, b, "", 0)
	changed, err := s.Merge(a + "|" + newer + "\n\n" + b + "|" + tb + "\n")
	if err != nil || !slices.Equal(changed, []string{a, b}) {
		t.Errorf("changed %q, %v", changed, err)
	}
	if changed, err = s.Merge(a + "|" + old); err != nil || len(changed) != 0 {
		t.Errorf("by an older one: %q, %v", changed, err)
	}
	if got, _ := s.Load(a); got != newer {
		t.Error("an older token replaced a newer one")
	}
	for _, bad := range []string{"x", a + "|" + tb, a + "|x|y", a + "|", "x|" + tb, a + "|" + newer + "|"} {
		if changed, err := s.Merge(bad); err == nil || len(changed) != 0 {
			t.Errorf("%.30q: %q, %v", bad, changed, err)
		}
	}
}

// encodeAt makes a token that was issued at a Unix time.
func encodeAt(key string, iat int64) (string, error) {
	pub, err := operatorPair().PublicKey()
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString
	signed := text([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + text(fmt.Appendf(nil,
		`{"jti":"%d","iat":%d,"iss":%q,"sub":%q,"nats":{"type":"account","version":2}}`, iat, iat, pub, key))
	sig, err := operatorPair().Sign([]byte(signed))
	return signed + "." + text(sig), err
}

func TestReload(t *testing.T) {
	s := open(t, Options{})
	a, b, c := newKey(t), newKey(t), newKey(t)
	s.mustSave(t, a, token(t, a, "", 0), true)
	s.mustSave(t, b, token(t, b, "", 0), true)
	for _, key := range []string{b, c} {
		if err := os.WriteFile(filepath.Join(s.Dir(), key+".jwt"), []byte(token(t, key, "from outside", 0)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed, err := s.Reload()
	if err != nil || !slices.Equal(changed, []string{b}) {
		t.Errorf("changed %q, %v, want %q", changed, err, b)
	}
	if len(s.Keys()) != 3 {
		t.Errorf("%d tokens", len(s.Keys()))
	}
}

func TestManyGoroutines(t *testing.T) {
	s := open(t, Options{Limit: 8, Evict: true})
	keys := make([]string, 16)
	tokens := make([]string, len(keys))
	for i := range keys {
		keys[i] = newKey(t)
		tokens[i] = token(t, keys[i], fmt.Sprint(i), 0)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				k := (i*7 + g) % len(keys)
				if _, err := s.Save(keys[k], tokens[k]); err != nil {
					t.Error(err)
				}
				if got, err := s.Load(keys[(k+1)%len(keys)]); err == nil && got != tokens[(k+1)%len(keys)] {
					t.Errorf("a token of another account: %.40q", got)
				}
				s.Each(func(string, string) bool { return false })
			}
		})
	}
	wg.Wait()
	if n := len(s.Keys()); n > 8 {
		t.Errorf("%d tokens in a cache for 8", n)
	}
	if fresh := open(t, Options{Dir: s.Dir()}); fresh.Hash() != s.Hash() {
		t.Error("what is remembered is not what is in the folder")
	}
}
