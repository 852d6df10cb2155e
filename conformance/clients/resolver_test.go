package clients

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// asking writes down what a connection's requests are answered.
type asking struct {
	nc  *nats.Conn
	out strings.Builder
}

func (a *asking) ask(what, subject, body string) {
	m, err := a.nc.Request(subject, []byte(body), harness.Patience)
	fmt.Fprintf(&a.out, "%s: %s\n", what, answerOf(m, err))
}

// note writes down something else.
func (a *asking) note(format string, args ...any) { fmt.Fprintf(&a.out, format+"\n", args...) }

func claimsOf(name, what string) string { return "$SYS.REQ.ACCOUNT." + name + ".CLAIMS." + what }

// tokenServer gives tokens of accounts away and counts how often.
type tokenServer struct {
	mu     sync.Mutex
	tokens map[string]string
	asked  map[string]int
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/accounts/")
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		return
	}
	s.asked[name]++
	token, ok := s.tokens[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, token)
}

func TestURLResolver(t *testing.T) {
	r := newRealm(t)
	stranger, _ := key(t, nkeys.CreateOperator)
	unknown, _ := key(t, nkeys.CreateAccount)
	foreign, foreignKey := key(t, nkeys.CreateAccount)
	garbage, garbageKey := key(t, nkeys.CreateAccount)
	swapped, swappedKey := key(t, nkeys.CreateAccount)
	old, oldKey := key(t, nkeys.CreateAccount)
	expired := jwt.NewAccountClaims(oldKey)
	expired.Expires = time.Now().Unix() - 100
	tokens := map[string]string{
		r.sysKey: r.sysToken, r.accKey: r.accountToken(),
		foreignKey: encode(t, jwt.NewAccountClaims(foreignKey), stranger),
		garbageKey: "garbage", swappedKey: r.accountToken(), oldKey: encode(t, expired, r.op),
	}
	r.account.Limits.Subs = 1
	fewer := r.accountToken()
	other := encode(t, jwt.NewAccountClaims(foreignKey), r.op)
	customer, sysUser := r.user(r.acc, nil), r.user(r.sys, nil)
	refusals := map[string]nats.Option{
		"unknown": r.user(unknown, nil), "foreign": r.user(foreign, nil), "garbage": r.user(garbage, nil),
		"swapped": r.user(swapped, nil), "expired": r.user(old, nil),
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		ts := &tokenServer{tokens: tokens, asked: make(map[string]int)}
		web := httptest.NewServer(ts)
		defer web.Close()
		s := r.start(t, seat, fmt.Sprintf("resolver: URL(%s/accounts/)", web.URL))
		a := &asking{nc: connect(t, s, sysUser)}
		a.note("customer: %s", outcome(s, customer))
		a.note("customer again: %s", outcome(s, customer))
		for _, name := range []string{"expired", "foreign", "garbage", "swapped", "unknown"} {
			a.note("%s: %s", name, outcome(s, refusals[name]))
		}
		a.ask("update", claimsOf(r.accKey, "UPDATE"), fewer)
		a.note("fewer: %s", outcome(s, customer))
		a.ask("update nobody", claimsOf(foreignKey, "UPDATE"), other)
		a.ask("update empty", claimsOf(r.accKey, "UPDATE"), "")
		a.ask("update garbage", claimsOf(r.accKey, "UPDATE"), "x.y.z")
		a.ask("update wrong", claimsOf(foreignKey, "UPDATE"), fewer)
		ts.mu.Lock()
		a.note("asked once: %v", ts.asked[r.accKey] == 1)
		ts.mu.Unlock()
		return a.out.String()
	})
}

// TestURLResolverTLS asks a server with TLS, whose authority is known or not.
func TestURLResolverTLS(t *testing.T) {
	r := newRealm(t)
	customer := r.user(r.acc, nil)
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("known ", known), func(t *testing.T) {
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				ts := &tokenServer{tokens: map[string]string{r.sysKey: r.sysToken, r.accKey: r.accountToken()}, asked: make(map[string]int)}
				web := httptest.NewUnstartedServer(ts)
				web.Config.ErrorLog = log.New(io.Discard, "", 0)
				web.StartTLS()
				defer web.Close()
				dir := t.TempDir()
				ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.conf")
				rewrite(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})))
				config := fmt.Sprintf("operator: %q\nsystem_account: %s\nauthorization { timeout: 60 }\nresolver: URL(%s/accounts/)\n", r.opToken, r.sysKey, web.URL)
				if known {
					config += fmt.Sprintf("resolver_tls { ca_file: %q }", ca)
				}
				rewrite(t, file, config)
				if known {
					return outcome(harness.Start(t, seat, "-c", file), customer)
				}
				s := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-c", file)
				code := s.Exit()
				return fmt.Sprint(code, strings.ReplaceAll(s.Log.Tail(1), web.Listener.Addr().String(), "HOST"))
			})
		})
	}
}

// TestResolverReload goes from one web server to another, and to a list in the
// configuration.
func TestResolverReload(t *testing.T) {
	r := newRealm(t)
	next, nextKey := key(t, nkeys.CreateAccount)
	last, lastKey := key(t, nkeys.CreateAccount)
	users := []nats.Option{r.user(r.acc, nil), r.user(next, nil), r.user(last, nil)}
	tokens := []string{r.accountToken(), encode(t, jwt.NewAccountClaims(nextKey), r.op), encode(t, jwt.NewAccountClaims(lastKey), r.op)}
	names := []string{r.accKey, nextKey, lastKey}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		base := fmt.Sprintf("operator: %q\nsystem_account: %s\nauthorization { timeout: 60 }\n", r.opToken, r.sysKey)
		var configs []string
		for i := range 2 {
			web := httptest.NewServer(&tokenServer{tokens: map[string]string{r.sysKey: r.sysToken, names[i]: tokens[i]}, asked: make(map[string]int)})
			defer web.Close()
			configs = append(configs, base+fmt.Sprintf("resolver: URL(%s/accounts/)", web.URL))
		}
		configs = append(configs, base+fmt.Sprintf("resolver: MEMORY\nresolver_preload { %s: %q, %s: %q }", r.sysKey, r.sysToken, lastKey, tokens[2]))
		file := filepath.Join(t.TempDir(), "server.conf")
		rewrite(t, file, configs[0])
		s := harness.Start(t, seat, "-c", file)
		var out strings.Builder
		see := func() {
			for i, o := range users {
				fmt.Fprintf(&out, "%d: %s\n", i, outcome(s, o))
			}
		}
		see()
		for i, config := range configs[1:] {
			rewrite(t, file, config)
			s.Signal(syscall.SIGHUP)
			s.AwaitCount("Reloaded server configuration", i+1)
			see()
		}
		return out.String()
	})
}

// TestURLResolverPassword keeps the password of the URL out of what is said.
func TestURLResolverPassword(t *testing.T) {
	r := newRealm(t)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		web := httptest.NewServer(http.HandlerFunc(http.NotFound))
		defer web.Close()
		file := filepath.Join(t.TempDir(), "server.conf")
		url := strings.Replace(web.URL, "//", "//me:secret@", 1)
		config := fmt.Sprintf("operator: %q\nsystem_account: %s\nresolver: URL(%s/accounts/)", r.opToken, r.sysKey, url)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-c", file)
		code := s.Exit()
		return fmt.Sprint(code, strings.ReplaceAll(s.Log.Tail(1), web.Listener.Addr().String(), "HOST"))
	})
}

// jwtFiles lists the folder of a resolver.
func jwtFiles(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

// others makes three more accounts: their keys, their tokens and a user of each.
func (r *realm) others() (keys, tokens []string, users []nats.Option) {
	for range 3 {
		kp, pub := key(r.t, nkeys.CreateAccount)
		keys, tokens = append(keys, pub), append(tokens, encode(r.t, jwt.NewAccountClaims(pub), r.op))
		users = append(users, r.user(kp, nil))
	}
	return keys, tokens, users
}

func TestCacheResolver(t *testing.T) {
	r := newRealm(t)
	keys, tokens, users := r.others()
	first := r.accountToken()
	r.account.Limits.Subs = 1
	fewer := r.accountToken()
	customer, sysUser := r.user(r.acc, nil), r.user(r.sys, nil)
	g := jwt.NewGenericClaims(r.opKey())
	g.Data["accounts"] = []string{r.accKey}
	deletion := encode(t, g, r.op)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		dir := t.TempDir()
		for name, token := range map[string]string{r.accKey: first, keys[0]: tokens[0]} {
			if err := os.WriteFile(filepath.Join(dir, name+".jwt"), []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := r.start(t, seat, fmt.Sprintf("resolver { type: cache, dir: %q, limit: 4, ttl: 1h, timeout: 200ms }\nresolver_preload { %s: %q }", dir, r.sysKey, r.sysToken))
		a := &asking{nc: connect(t, s, sysUser)}
		a.note("customer: %s", outcome(s, customer))
		a.note("other: %s", outcome(s, users[0]))
		a.note("not there: %s", outcome(s, users[1]))
		a.ask("update nobody", "$SYS.REQ.CLAIMS.UPDATE", tokens[1])
		a.ask("update", "$SYS.REQ.CLAIMS.UPDATE", fewer)
		a.ask("update of", claimsOf(r.accKey, "UPDATE"), fewer)
		a.ask("update wrong", claimsOf(keys[0], "UPDATE"), fewer)
		a.ask("update garbage", "$SYS.REQ.CLAIMS.UPDATE", "x")
		a.note("fewer: %s", outcome(s, customer))
		a.ask("lookup", claimsOf(r.accKey, "LOOKUP"), "")
		a.ask("list", "$SYS.REQ.CLAIMS.LIST", "")
		a.ask("delete", "$SYS.REQ.CLAIMS.DELETE", deletion)
		a.note("files: %s", jwtFiles(t, dir))
		return sortList(a.out.String())
	})
}

// opKey returns the operator's public key.
func (r *realm) opKey() string {
	pub, err := r.op.PublicKey()
	if err != nil {
		r.t.Fatal(err)
	}
	return pub
}

func TestFullResolverFolder(t *testing.T) {
	r := newRealm(t)
	keys, tokens, users := r.others()
	customer, sysUser := r.user(r.acc, nil), r.user(r.sys, nil)
	first := r.accountToken()
	deletion := func(names ...string) string {
		g := jwt.NewGenericClaims(r.opKey())
		g.Data["accounts"] = names
		return encode(t, g, r.op)
	}
	bad := jwt.NewGenericClaims(r.opKey())
	bad.Data["accounts"] = []any{1, "x"}
	requests := [][3]string{
		{"one too many", "$SYS.REQ.CLAIMS.UPDATE", tokens[2]},
		{"the same again", "$SYS.REQ.CLAIMS.UPDATE", tokens[0]},
		{"delete malformed", "$SYS.REQ.CLAIMS.DELETE", encode(t, bad, r.op)},
		{"delete nobody", "$SYS.REQ.CLAIMS.DELETE", deletion(keys[2])},
		{"delete two", "$SYS.REQ.CLAIMS.DELETE", deletion(keys[0], keys[2])},
		{"delete none", "$SYS.REQ.CLAIMS.DELETE", deletion()},
		{"room", "$SYS.REQ.CLAIMS.UPDATE", tokens[2]},
		{"list", "$SYS.REQ.CLAIMS.LIST", ""},
	}
	for _, how := range []string{"allow_delete: true", "allow_delete: true, hard_delete: true", "allow_delete: false"} {
		t.Run(how, func(t *testing.T) {
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, keys[0]+".jwt"), []byte(tokens[0]), 0o600); err != nil {
					t.Fatal(err)
				}
				s := r.start(t, seat, fmt.Sprintf("resolver { type: full, dir: %q, limit: 3, timeout: 200ms, interval: 1h, %s }\nresolver_preload { %s: %q }", dir, how, r.sysKey, r.sysToken))
				a := &asking{nc: connect(t, s, sysUser)}
				a.note("there: %s", outcome(s, users[0]))
				a.note("not there: %s", outcome(s, customer))
				a.ask("update", "$SYS.REQ.CLAIMS.UPDATE", first)
				a.note("now there: %s", outcome(s, customer))
				for _, q := range requests {
					a.ask(q[0], q[1], q[2])
				}
				a.note("deleted or not: %s", outcome(s, users[0]))
				a.note("files: %s", jwtFiles(t, dir))
				return sortList(a.out.String())
			})
		})
	}
}

// TestFullResolverPack asks for all tokens as another server does.
func TestFullResolverPack(t *testing.T) {
	r := newRealm(t)
	token, sysUser := r.accountToken(), r.user(r.sys, nil)
	var same [sha256.Size]byte
	for _, one := range []string{token, r.sysToken} {
		sum := sha256.Sum256([]byte(one))
		for i := range same {
			same[i] ^= sum[i]
		}
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		s := r.start(t, seat, fmt.Sprintf("resolver { type: full, dir: %q, interval: 1h }\nresolver_preload { %s: %q, %s: %q }", t.TempDir(), r.sysKey, r.sysToken, r.accKey, token))
		nc := connect(t, s, sysUser)
		var out strings.Builder
		for _, hash := range []string{"", "wrong", string(same[:]), strings.Repeat("x", 32)} {
			inbox := nats.NewInbox()
			sub := subscribe(t, nc, inbox)
			if err := nc.PublishRequest("$SYS.REQ.CLAIMS.PACK", inbox, []byte(hash)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for {
				m := next(t, sub)
				if len(m.Data) == 0 {
					break
				}
				got = append(got, string(m.Data))
			}
			sort.Strings(got)
			fmt.Fprintf(&out, "%x: %d %s\n", hash, len(got), strings.Join(got, "\n"))
		}
		return out.String()
	})
}
