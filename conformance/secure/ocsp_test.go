package secure

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/ocsp"

	"peregrine/conformance/harness"
)

// responder answers for an authority.
type responder struct {
	*httptest.Server
	a *authority

	mu     sync.Mutex // guards the rest
	answer func(r *ocsp.Response) (signer *authority)
	raw    http.HandlerFunc // instead, if set
}

func newResponder(t *testing.T, a *authority) *responder {
	t.Helper()
	r := &responder{a: a}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

// say makes r answer so from here on.
func (r *responder) say(answer func(r *ocsp.Response) *authority) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.raw = answer, nil
}

func (r *responder) sayRaw(raw http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = raw
}

func (r *responder) serve(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	answer, raw := r.answer, r.raw
	r.mu.Unlock()
	if raw != nil {
		raw(w, q)
		return
	}
	der, err := io.ReadAll(q.Body)
	if q.Method == http.MethodGet {
		var text string
		if text, err = url.QueryUnescape(strings.TrimPrefix(q.URL.EscapedPath(), "/")); err == nil {
			der, err = base64.StdEncoding.DecodeString(text)
		}
	}
	var request *ocsp.Request
	if err == nil {
		request, err = ocsp.ParseRequest(der)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	template := &ocsp.Response{
		Status: ocsp.Good, SerialNumber: request.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}
	signer := r.a
	if answer != nil {
		signer = answer(template)
	}
	if signer != r.a {
		template.Certificate = signer.cert
	}
	b, err := ocsp.CreateResponse(r.a.cert, signer.cert, *template, signer.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b)
}

// state answers with a state.
func (r *responder) state(s int) func(*ocsp.Response) *authority {
	return func(a *ocsp.Response) *authority {
		a.Status, a.RevokedAt = s, time.Now().Add(-time.Hour)
		return r.a
	}
}

// ask makes certificates that r can be asked about, and must those that ask to
// be stapled.
func (r *responder) ask(c *x509.Certificate) { c.OCSPServer = []string{r.URL} }
func (r *responder) must(c *x509.Certificate) {
	r.ask(c)
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}})
}

// signerOf is somebody to whom a has given a certificate.
func (a *authority) signerOf(t *testing.T, change func(c *x509.Certificate)) *authority {
	t.Helper()
	return new(authority).become(a.issue(t, "signer", change))
}

// stapledAs writes down the staple that a client is shown.
func (s *seat) stapledAs(who string, a *authority) {
	s.t.Helper()
	sc := s.try(who, a.client(), "")
	if sc == nil {
		return
	}
	state := sc.ConnectionState()
	if len(state.OCSPResponse) == 0 {
		s.note("%s: no staple", who)
		return
	}
	answer, err := ocsp.ParseResponseForCert(state.OCSPResponse, state.PeerCertificates[0], a.cert)
	check(s.t, err)
	s.note("%s: staple %s", who, ocsp.ResponseStatus(answer.Status))
}

// TestStaples: what servers show of their certificates, by mode.
func TestStaples(t *testing.T) {
	a := newAuthority(t, "authority")
	r := newResponder(t, a)
	plain, must := a.issue(t, "plain", r.ask), a.issue(t, "must", r.must)
	for _, c := range []struct {
		mode string
		cert identity
		name string
	}{
		{"", plain, "plain"}, {"", must, "must"}, {"ocsp: true", must, "must"}, {"ocsp: false", must, "must"},
		{"ocsp { mode: auto }", plain, "plain"}, {"ocsp { mode: auto }", must, "must"},
		{"ocsp { mode: must }", plain, "plain"}, {"ocsp { mode: must }", must, "must"},
		{"ocsp { mode: always }", plain, "plain"}, {"ocsp { mode: always }", must, "must"},
		{"ocsp { mode: never }", plain, "plain"}, {"ocsp { mode: never }", must, "must"},
	} {
		states := []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown}
		if strings.Contains(c.mode, "never") || c.name == "plain" && !strings.Contains(c.mode, "always") {
			states = states[1:2] // nobody asks
		}
		for _, s := range states {
			t.Run(fmt.Sprint(c.mode, " ", c.name, " ", s), func(t *testing.T) {
				r.say(r.state(s))
				config := block(a, c.cert) + c.mode + "\nstore_dir: \"<folder>\"\n"
				harness.Compare(t, func(t *testing.T, which harness.Seat) string {
					return attempt(t, which, config, func(s *seat) {
						s.stapledAs("client", a)
						// That a certificate asks in vain is not told by the reference, which
						// has no log yet.
						s.note("stapling %d", s.Log.Count(`OCSP Stapling enabled for Client connections`))
					})
				})
			})
		}
	}
}

// attempt starts a server and lets fn look, or returns why it does not start.
func attempt(t *testing.T, which harness.Seat, config string, fn func(s *seat)) string {
	t.Helper()
	s := newSeat(t, config)
	s.Server = harness.Launch(t, which, "-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-D", "-c", s.file)
	if _, ok := s.Log.Await(`Server is ready$`, harness.Patience); !ok {
		return fmt.Sprintf("%d: %s", s.Exit(), lastLine(s.Server))
	}
	s.Addr = s.Await(`Listening for client connections on (\S+:\d+)$`)[1]
	s.Monitor = s.Await(`Starting http monitor on (\S+:\d+)$`)[1]
	fn(s)
	return s.out.String()
}

// TestStapleAnswers: answers that no server staples.
func TestStapleAnswers(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	r := newResponder(t, a)
	must := a.issue(t, "must", r.must)
	signs := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate, anybody, stranger := a.signerOf(t, signs), a.signerOf(t, nil), other.signerOf(t, signs)
	for name, set := range map[string]func(){
		"delegate": func() { r.say(func(*ocsp.Response) *authority { return delegate }) },
		"anybody":  func() { r.say(func(*ocsp.Response) *authority { return anybody }) },
		"stranger": func() { r.say(func(*ocsp.Response) *authority { return stranger }) },
		"stale": func() {
			r.say(func(q *ocsp.Response) *authority { q.NextUpdate = time.Now().Add(-time.Minute); return a })
		},
		"another": func() {
			r.say(func(q *ocsp.Response) *authority { q.SerialNumber.SetInt64(77); return a })
		},
		"garbage": func() { r.sayRaw(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }) },
		"error":   func() { r.sayRaw(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }) },
	} {
		t.Run(name, func(t *testing.T) {
			set()
			config := block(a, must) + "ocsp { mode: must }\n"
			harness.Compare(t, func(t *testing.T, which harness.Seat) string {
				out := attempt(t, which, config, func(s *seat) { s.stapledAs("client", a) })
				// Which URL and HTTP status are told in words of their own.
				out, _, _ = strings.Cut(out, ": non-ok http status")
				out, _, _ = strings.Cut(out, ": bad OCSP responder http status")
				return urls.ReplaceAllString(out, "URL")
			})
		})
	}
}

// TestStapleReload: another mode and another certificate under connections.
func TestStapleReload(t *testing.T) {
	a := newAuthority(t, "authority")
	r := newResponder(t, a)
	plain, must := a.issue(t, "plain", r.ask), a.issue(t, "must", r.must)
	compare(t, block(a, plain), func(s *seat) {
		kept := s.try("kept", a.client(), "")
		for _, config := range []string{
			block(a, must), block(a, must) + "ocsp: false\n", block(a, plain) + "ocsp { mode: always }\n", block(a, plain),
			block(a, must) + fmt.Sprintf("ocsp { mode: must, url: %q }\n", r.URL+"/"),
		} {
			s.reload(config)
			s.stapledAs("client", a)
			s.note("%s", kept.ping())
		}
	})
}

// TestStapleFiles: a server that has asked once starts without a responder.
func TestStapleFiles(t *testing.T) {
	a := newAuthority(t, "authority")
	r := newResponder(t, a)
	must := a.issue(t, "must", r.must)
	inTurn(t, block(a, must)+"store_dir: \"<folder>\"\n", func(s *seat) {
		s.stapledAs("first", a)
		s.Signal(syscall.SIGINT)
		s.Exit()
		r.sayRaw(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) })
		s.Server = harness.Start(s.t, s.Seat, "-c", s.file)
		s.stapledAs("second", a)
		r.say(nil)
	})
}

// TestPeers: clients whose certificates were revoked, or of which nothing is
// known, with every option.
func TestPeers(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	r := newResponder(t, a)
	server, quiet := a.issue(t, "server", nil), a.issue(t, "quiet", nil)
	peer := a.issue(t, "peer", r.ask)
	signs := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate, anybody, stranger := a.signerOf(t, signs), a.signerOf(t, nil), other.signerOf(t, signs)
	answers := []struct {
		name string
		set  func()
	}{
		{"good", func() { r.say(nil) }},
		{"unknown", func() { r.say(r.state(ocsp.Unknown)) }},
		{"revoked", func() { r.say(r.state(ocsp.Revoked)) }},
		{"by a delegate", func() { r.say(func(*ocsp.Response) *authority { return delegate }) }},
		{"by anybody", func() { r.say(func(*ocsp.Response) *authority { return anybody }) }},
		{"by a stranger", func() { r.say(func(*ocsp.Response) *authority { return stranger }) }},
		{"stale", func() {
			r.say(func(q *ocsp.Response) *authority { q.NextUpdate = time.Now().Add(-time.Hour); return a })
		}},
		{"of the future", func() {
			r.say(func(q *ocsp.Response) *authority { q.ThisUpdate = time.Now().Add(time.Hour); return a })
		}},
		{"without end", func() {
			r.say(func(q *ocsp.Response) *authority { q.NextUpdate = time.Time{}; return a })
		}},
		{"about another", func() {
			r.say(func(q *ocsp.Response) *authority { q.SerialNumber.SetInt64(77); return a })
		}},
		{"garbage", func() { r.sayRaw(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }) }},
		{"an error", func() { r.sayRaw(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }) }},
		{"nothing", func() { r.sayRaw(func(http.ResponseWriter, *http.Request) {}) }},
	}
	for _, more := range []string{
		"ocsp_peer: true", "ocsp_peer { verify: true, warn_only: true }", "ocsp_peer { verify: true, unknown_is_good: true }",
		"ocsp_peer { verify: true, allow_when_ca_unreachable: true, ca_timeout: 5 }", "ocsp_peer { verify: false }",
	} {
		t.Run(more, func(t *testing.T) {
			config := block(a, server, "verify: true", "timeout: 20", more) + `
ocsp_cache: false
accounts { SYS { users: [ {user: s, password: s} ] }, A { users: [ {user: a, password: a} ] } }
system_account: SYS
no_auth_user: a
`
			inTurn(t, config, func(s *seat) {
				events := s.events(a, quiet)
				for _, c := range answers {
					c.set()
					s.note("# %s", c.name)
					ok := s.letIn(a.client(peer))
					s.note("let in %v", ok)
					if !ok {
						s.note("%s\n%s", events(), events())
					}
				}
				s.fields("varz", s.get("/varz"), "tls_ocsp_peer_verify", "ocsp_peer_cache")
				s.Stop() // the log is complete then
				s.words()
			})
		})
	}
}

// letIn tells whether a client gets through.
func (s *seat) letIn(c *tls.Config) bool {
	s.t.Helper()
	nc := s.dial()
	_, err := readLine(nc)
	check(s.t, err)
	sc := tls.Client(nc, c)
	if err := sc.Handshake(); err != nil {
		s.t.Fatal(err) // with TLS 1.3 the client is content first
	}
	_, _ = io.WriteString(sc, "CONNECT {\"verbose\":false}\r\nPING\r\n")
	line, err := readLine(sc)
	if err != nil {
		s.note("%s", plain(err))
		return false
	}
	return line == "PONG\r\n"
}

// words writes down what the log says about answers.
func (s *seat) words() {
	s.t.Helper()
	for _, line := range s.Log.Lines() {
		mark := level(line)
		if mark == "[DBG]" || mark == "[INF]" || !strings.Contains(line, "OCSP") || strings.Contains(line, "handshake") {
			continue
		}
		line, _, _ = strings.Cut(line, ": %!s(<nil>)") // the reference on an empty answer
		line, _, _ = strings.Cut(line, ": exhausted OCSP responders: empty answer")
		_, line, _ = strings.Cut(line, mark)
		s.note("%s%s", mark, urls.ReplaceAllString(line, "URL"))
	}
}

// events listens to what the system account is told of certificates. The
// function returns the next event.
func (s *seat) events(a *authority, id identity) func() string {
	s.t.Helper()
	nc, err := nats.Connect(s.URL(), nats.Timeout(harness.Patience), nats.UserInfo("s", "s"), nats.RootCAs(a.file), nats.ClientCert(id.cert, id.key))
	check(s.t, err)
	s.t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync("$SYS.SERVER.*.OCSP.>")
	check(s.t, err)
	check(s.t, nc.FlushTimeout(harness.Patience))
	return func() string {
		m, err := sub.NextMsg(harness.Patience)
		check(s.t, err)
		var event map[string]any
		check(s.t, json.Unmarshal(m.Data, &event))
		about, _ := event["server"].(map[string]any)
		if id, _ := event["id"].(string); id == "" || about["id"] != strings.Split(m.Subject, ".")[2] {
			s.t.Errorf("%s", m.Data)
		}
		delete(event, "id")
		delete(event, "timestamp")
		delete(about, "feature_flags")
		event["server"] = slices.Sorted(maps.Keys(about))
		b, err := json.Marshal(event)
		check(s.t, err)
		return strings.Join(strings.Split(m.Subject, ".")[3:], ".") + " " + string(b)
	}
}

// TestPeerCache: what monitoring shows of answers that are kept.
func TestPeerCache(t *testing.T) {
	a := newAuthority(t, "authority")
	r := newResponder(t, a)
	server, one, two := a.issue(t, "server", nil), a.issue(t, "one", r.ask), a.issue(t, "two", r.ask)
	for _, cache := range []string{"", "ocsp_cache: true", "ocsp_cache: false", "ocsp_cache { type: none }", "ocsp_cache { type: local, preserve_revoked: true, save_interval: 1 }"} {
		t.Run(cache, func(t *testing.T) {
			config := block(a, server, "verify: true", "timeout: 20", "ocsp_peer: true") + strings.Replace(cache, "type: local", `type: local, local_store: "<folder>"`, 1)
			if cache == "" || cache == "ocsp_cache: true" {
				t.Chdir(t.TempDir()) // the reference's cache is in the working directory
			}
			inTurn(t, config, func(s *seat) {
				r.say(nil)
				s.note("%v", s.letIn(a.client(one)))
				s.note("%v", s.letIn(a.client(one)))
				r.say(r.state(ocsp.Revoked))
				s.note("%v", s.letIn(a.client(two)))
				s.note("%v", s.letIn(a.client(two)))
				s.note("%v", s.letIn(a.client(one)))
				s.fields("varz", s.get("/varz"), "tls_ocsp_peer_verify", "ocsp_peer_cache")
			})
		})
	}
}
