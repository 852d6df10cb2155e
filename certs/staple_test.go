package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// shown is what a client is shown by a side that listens with c.
func shown(t *testing.T, c *tls.Config, name string) (staple []byte, leaf *x509.Certificate, err error) {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(far, c).Handshake() }()
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	err = client.Handshake()
	if e := <-done; err == nil {
		err = e
	}
	state := client.ConnectionState()
	_, _ = near.Close(), far.Close()
	if err != nil {
		return nil, nil, err
	}
	return state.OCSPResponse, state.PeerCertificates[0], nil
}

// plugged starts a stapler and returns the configuration that uses it.
func plugged(t *testing.T, s StapleOptions, o *Options, d *diary) (*Stapler, *tls.Config) {
	t.Helper()
	st, err := NewStapler(s, o, d)
	check(t, err)
	c := o.Config()
	if st != nil {
		st.Plug(c)
		st.Run()
	}
	return st, c
}

// TestStapleModes: which certificates are stapled, and which states keep a
// server from starting.
func TestStapleModes(t *testing.T) {
	a := newAuthority(t, "authority")
	usual, must := a.issue("usual", asked), a.issue("must", stapled)
	for _, c := range []struct {
		mode  string
		must  bool
		state int
		want  string // "staple", "none" or the error
	}{
		{"", false, ocsp.Good, "none"},
		{"auto", false, ocsp.Good, "none"},
		{"must", false, ocsp.Revoked, "none"},
		{"always", false, ocsp.Good, "staple"},
		{"never", false, ocsp.Good, "none"},
		{"", true, ocsp.Good, "staple"},
		{"auto", true, ocsp.Good, "staple"},
		{"auto", true, ocsp.Revoked, "staple"},
		{"auto", true, ocsp.Unknown, "staple"},
		{"must", true, ocsp.Good, "staple"},
		{"must", true, ocsp.Revoked, "found existing OCSP status for certificate at 'cert.pem': revoked"},
		{"must", true, ocsp.Unknown, "found existing OCSP status for certificate at 'cert.pem': unknown"},
		{"always", false, ocsp.Revoked, "found existing OCSP status for certificate at 'cert.pem': revoked"},
		{"always", true, ocsp.Unknown, "found existing OCSP status for certificate at 'cert.pem': unknown"},
		{"never", true, ocsp.Revoked, "none"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, d := newResponder(t, a), new(diary)
			r.set(state(c.state))
			cert := usual
			if c.must {
				cert = must
			}
			o := &Options{Certificates: []tls.Certificate{cert}, CertFile: "cert.pem", Authorities: []*x509.Certificate{a.cert}}
			s := StapleOptions{Mode: c.mode, Kind: "Client", transport: r}
			st, err := NewStapler(s, o, d)
			if err != nil {
				if err.Error() != c.want {
					t.Errorf("%+v: %v", c, err)
				}
				return
			}
			st.Close()
			st, config := plugged(t, s, o, d)
			defer st.Close()
			staple, _, err := shown(t, config, "")
			check(t, err)
			if got := map[bool]string{true: "staple", false: "none"}[len(staple) > 0]; got != c.want {
				t.Errorf("%+v: %s", c, got)
			}
			if len(staple) > 0 {
				answer, err := ocsp.ParseResponseForCert(staple, cert.Leaf, a.cert)
				if err != nil || answer.Status != c.state {
					t.Errorf("%+v: shown %+v, %v", c, answer, err)
				}
			}
			if c.mode == "never" && c.must != d.has("has MustStaple but OCSP is disabled") {
				t.Errorf("%+v: %q", c, d.lines)
			}
		})
	}
}

// TestStapleAnswers: answers that cannot be shown keep a server from starting.
func TestStapleAnswers(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	cert := a.issue("server", stapled)
	for name, c := range map[string]struct {
		set  func(r *responder)
		want string // "": it starts
	}{
		"good":           {func(r *responder) { r.set(nil) }, ""},
		"without end":    {func(r *responder) { r.set(times(-time.Hour, 0)) }, ""},
		"by a delegate":  {func(r *responder) { r.set(by(a.signer("delegate", signs))) }, ""},
		"by no delegate": {func(r *responder) { r.set(by(a.signer("anybody"))) }, "missing authorization by CA to act as OCSP signer"},
		"by a stranger":  {func(r *responder) { r.set(by(other.signer("delegate", signs))) }, "bad OCSP signature"},
		"stale":          {func(r *responder) { r.set(times(-time.Hour, -time.Second)) }, "invalid ocsp NextUpdate, is past time: "},
		"of the future":  {func(r *responder) { r.set(times(2*time.Second, time.Hour)) }, "invalid ocsp ThisUpdate, is future time: "},
		"about another":  {func(r *responder) { r.set(about(77)) }, "no response matching the supplied certificate"},
		"garbage":        {func(r *responder) { r.replace(says(200, []byte("<html>"))) }, "asn1: "},
		"empty":          {func(r *responder) { r.replace(says(200, nil)) }, "asn1: "},
		"try later":      {func(r *responder) { r.replace(says(200, ocsp.TryLaterErrorResponse)) }, "try later"},
		"server error":   {func(r *responder) { r.replace(says(503, nil)) }, "bad OCSP responder http status: [503]"},
		"endless":        {func(r *responder) { r.replace(endless) }, errTooLong.Error()},
		"late":           {func(r *responder) { r.replace(late) }, "context deadline exceeded"},
		"slow":           {func(r *responder) { r.replace(slowBody) }, "context deadline exceeded"},
		"down":           {func(r *responder) { r.replace(down) }, "connection refused"},
		"redirects":      {func(r *responder) { r.replace(around) }, "stopped after 10 redirects"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, d := newResponder(t, a), new(diary)
			c.set(r)
			folder := t.TempDir()
			o := &Options{Certificates: []tls.Certificate{cert}, CertFile: "cert.pem", Authorities: []*x509.Certificate{a.cert}}
			begun := time.Now()
			st, err := NewStapler(StapleOptions{Kind: "Client", Folder: folder, transport: r}, o, d)
			if took := time.Since(begun); took > 2*stapleTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
			files, e := os.ReadDir(filepath.Join(folder, stapleFolder))
			check(t, e)
			if c.want == "" {
				if err != nil || len(files) != 1 {
					t.Errorf("%s: %v, %d files", name, err, len(files))
				}
				return
			}
			if err == nil || st != nil || len(files) != 0 || !strings.HasPrefix(err.Error(), "bad OCSP status update for certificate at 'cert.pem': exhausted ocsp servers: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s; %d files", name, err, c.want, len(files))
			}
		})
	}
}

// TestStapleResponders: who is asked, and how.
func TestStapleResponders(t *testing.T) {
	a := newAuthority(t, "authority")
	for _, c := range []struct {
		name    string
		of, set []string
		want    string
		err     string
	}{
		{"its own", []string{at}, nil, "POST", ""},
		{"set", []string{"http://wrong.test"}, []string{at + "/"}, "POST", ""},
		{"the second", []string{"http://wrong.test", at + "/b/"}, nil, "POST GET POST", ""},
		{"GET", []string{at + "/get"}, nil, "POST GET", ""},
		{"none", nil, nil, "", "no available ocsp servers"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, d := newResponder(t, a), new(diary)
			cert := a.issue("server", stapled, func(x *x509.Certificate) { x.OCSPServer = c.of })
			o := &Options{Certificates: []tls.Certificate{cert}, Authorities: []*x509.Certificate{a.cert}}
			_, err := NewStapler(StapleOptions{Responders: c.set, transport: picky{r}}, o, d)
			if (err == nil) != (c.err == "") || err != nil && !strings.HasSuffix(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			if got := strings.Join(r.seen, " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		})
	}
}

// TestStapleFiles: what a run has learned is there in the next one.
func TestStapleFiles(t *testing.T) {
	a := newAuthority(t, "authority")
	cert := a.issue("server", stapled)
	o := &Options{Certificates: []tls.Certificate{cert}, CertFile: "cert.pem", Authorities: []*x509.Certificate{a.cert}}
	synctest.Test(t, func(t *testing.T) {
		folder, r, d := t.TempDir(), newResponder(t, a), new(diary)
		s := StapleOptions{Kind: "Client", Folder: folder, transport: r}
		start := func(what string, asks int, good bool) {
			t.Helper()
			before := r.asks()
			if _, err := NewStapler(s, o, d); (err == nil) != good || r.asks()-before != asks {
				t.Errorf("%s: %v, asked %d times", what, err, r.asks()-before)
			}
		}
		start("first", 1, true)
		r.replace(down)
		start("with a file", 0, true)
		name := filepath.Join(folder, stapleFolder, (&monitor{leaf: cert.Leaf}).name())
		b, err := os.ReadFile(name)
		check(t, err)
		for what, bad := range map[string][]byte{"cut": b[:len(b)/2], "damaged": damaged(slices.Clone(b)), "empty": nil, "large": make([]byte, answerMax+1)} {
			check(t, os.WriteFile(name, bad, 0o600))
			start(what, 2, false)
		}
		r.set(nil)
		start("mended", 1, true)
		r.replace(down)
		start("from the mended file", 0, true)
		pass(2 * time.Hour)
		start("run out", 2, false)
		// A folder that cannot be.
		s.Folder = name
		if _, err := NewStapler(s, o, d); err == nil || !strings.Contains(err.Error(), "OCSP storage directory") {
			t.Errorf("%v", err)
		}
		s.Folder = t.TempDir()
		check(t, os.WriteFile(filepath.Join(s.Folder, stapleFolder), nil, 0o600))
		if _, err := NewStapler(s, o, d); err == nil || err.Error() != "OCSP storage directory is not a directory" {
			t.Errorf("%v", err)
		}
	})
}

// TestStapleRefresh: a staple is renewed in time, also when the responder was
// away for a while.
func TestStapleRefresh(t *testing.T) {
	a := newAuthority(t, "authority")
	cert := a.issue("server", stapled)
	o := &Options{Certificates: []tls.Certificate{cert}, CertFile: "cert.pem", Authorities: []*x509.Certificate{a.cert}}
	synctest.Test(t, func(t *testing.T) {
		r, d := newResponder(t, a), new(diary)
		r.set(times(-time.Second, time.Minute))
		st, config := plugged(t, StapleOptions{Kind: "Client", transport: r}, o, d)
		defer st.Close()
		end := func() time.Time {
			t.Helper()
			staple, _, err := shown(t, config, "")
			if err != nil {
				return time.Time{}
			}
			answer, err := ocsp.ParseResponse(staple, a.cert)
			check(t, err)
			return answer.NextUpdate
		}
		first := end()
		pass(31 * time.Second)
		if second := end(); !second.After(first) || r.asks() != 2 {
			t.Errorf("after half the time %v, then %v; asked %d times", first, second, r.asks())
		}
		for range 10 {
			pass(time.Minute)
			if end().IsZero() {
				t.Error("a staple has run out")
			}
		}
		r.replace(down)
		before := r.asks()
		pass(59 * time.Second)
		if n := r.asks() - before; n > 2*12 {
			t.Errorf("asked %d times in a minute", n)
		}
		pass(2 * time.Second)
		if !end().IsZero() {
			t.Error("a staple that has run out was shown")
		}
		d.want(t, "down", "Bad OCSP status update for certificate 'cert.pem': exhausted ocsp servers")
		before = r.asks()
		for range 100 {
			end()
		}
		synctest.Wait()
		pass(time.Second)
		if n := r.asks() - before; n > 4 {
			t.Errorf("clients made it ask %d times in a second", n)
		}
		// A client that comes makes it ask at once.
		r.set(nil)
		end()
		pass(2 * stapleLeast)
		if end().IsZero() {
			t.Error("no staple although the responder is back")
		}
	})
}

// TestStapleRevoked: a certificate that is revoked while the server runs ends
// it, if that was asked for.
func TestStapleRevoked(t *testing.T) {
	a := newAuthority(t, "authority")
	cert := a.issue("server", stapled)
	o := &Options{Certificates: []tls.Certificate{cert}, CertFile: "cert.pem", Authorities: []*x509.Certificate{a.cert}}
	for _, mode := range []string{"auto", "must", "always"} {
		synctest.Test(t, func(t *testing.T) {
			r, d, ended := newResponder(t, a), new(diary), 0
			st, config := plugged(t, StapleOptions{Mode: mode, Kind: "Client", Revoked: func() { ended++ }, transport: r}, o, d)
			defer st.Close()
			r.set(state(ocsp.Revoked))
			pass(31 * time.Minute)
			if want := map[bool]int{true: 1}[mode != "auto"]; ended != want {
				t.Errorf("%s: ended %d times, want %d", mode, ended, want)
			}
			d.want(t, mode, "ERR Received OCSP status for Client certificate 'cert.pem': revoked")
			// Clients are shown the truth as long as there is a server.
			staple, _, err := shown(t, config, "")
			check(t, err)
			answer, err := ocsp.ParseResponse(staple, a.cert)
			if err != nil || answer.Status != ocsp.Revoked {
				t.Errorf("%s: %+v, %v", mode, answer, err)
			}
		})
	}
}

// TestStapleSeveral: with several certificates the one for the name comes with
// its own staple.
func TestStapleSeveral(t *testing.T) {
	a := newAuthority(t, "authority")
	named := func(name string, more ...func(*x509.Certificate)) tls.Certificate {
		return a.issue(name, append(more, func(c *x509.Certificate) { c.DNSNames = []string{name} })...)
	}
	o := &Options{Certificates: []tls.Certificate{named("one.test", stapled), named("two.test"), named("three.test", stapled)}, Authorities: []*x509.Certificate{a.cert}}
	synctest.Test(t, func(t *testing.T) {
		st, config := plugged(t, StapleOptions{transport: newResponder(t, a)}, o, new(diary))
		defer st.Close()
		for name, want := range map[string]int{"one.test": 0, "two.test": 1, "three.test": 2, "four.test": 0} {
			staple, leaf, err := shown(t, config, name)
			check(t, err)
			if !leaf.Equal(o.Certificates[want].Leaf) || len(staple) > 0 != (want != 1) {
				t.Errorf("%s: shown %s, a staple of %d bytes", name, leaf.Subject, len(staple))
			}
			if len(staple) > 0 {
				if _, err := ocsp.ParseResponseForCert(staple, leaf, a.cert); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// TestIssuers: who has signed a certificate.
func TestIssuers(t *testing.T) {
	a, other := newAuthority(t, "authority"), newAuthority(t, "other")
	between := a.under("between", func(*x509.Certificate) {})
	cert := between.issue("server")
	with := func(all ...*x509.Certificate) tls.Certificate {
		c := cert
		for _, x := range all {
			c.Certificate = append(c.Certificate[:len(c.Certificate):len(c.Certificate)], x.Raw)
		}
		return c
	}
	broken := cert
	broken.Certificate = [][]byte{cert.Certificate[0], {1, 2, 3}}
	by := a.under("not ca", func(c *x509.Certificate) { c.IsCA = false })
	below := by.issue("below")
	below.Certificate = append(below.Certificate, by.cert.Raw)
	for name, c := range map[string]struct {
		cert        tls.Certificate
		authorities []*x509.Certificate
		want        *x509.Certificate
		err         string
	}{
		"behind it":              {with(between.cert), nil, between.cert, ""},
		"behind it, both":        {with(between.cert, a.cert), []*x509.Certificate{other.cert}, between.cert, ""},
		"known":                  {cert, []*x509.Certificate{other.cert, between.cert}, between.cert, ""},
		"of nobody":              {cert, []*x509.Certificate{other.cert}, nil, "no issuers found"},
		"another behind it":      {with(other.cert), []*x509.Certificate{between.cert}, nil, "no issuers found"},
		"garbage behind it":      {broken, nil, nil, "failed to parse cert: "},
		"signed by no authority": {below, nil, nil, "CN=not ca invalid ca basic constraints: is not ca"},
	} {
		got, err := issuerOf(&c.cert, c.authorities)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// picky answers at responder.test only, and below /get only GET.
type picky struct{ r *responder }

// RoundTrip implements http.RoundTripper.
func (p picky) RoundTrip(q *http.Request) (*http.Response, error) {
	switch {
	case q.URL.Host != "responder.test":
		p.r.replace(down)
	case strings.HasPrefix(q.URL.Path, "/get") && q.Method != http.MethodGet:
		p.r.replace(says(http.StatusMethodNotAllowed, nil))
	default:
		p.r.set(nil)
	}
	return p.r.RoundTrip(q)
}
