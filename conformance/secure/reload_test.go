package secure

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// TestReload: certificates and rules change under connections.
func TestReload(t *testing.T) {
	a := newAuthority(t, "authority")
	one, two := a.issue(t, "one", nil), a.issue(t, "two", nil)
	ann, bob := a.issue(t, "ann", nil), a.issue(t, "bob", nil)
	compare(t, block(a, one, "verify: true"), func(s *seat) {
		kept, goes := s.try("ann", a.client(ann), ""), s.try("bob", a.client(bob), "")
		shown := func(sc *secured) string { return sc.ConnectionState().PeerCertificates[0].Subject.String() }
		step := func(what, config string) {
			before := len(s.Log.Lines())
			s.reload(config)
			var said []string // the reference goes through options in any order
			for _, line := range s.Log.Lines()[before:] {
				for _, part := range []string{"Reloaded: tls", "Reloaded: Client TLS", "Reloaded: allow", "pinned_certs", "Failed to reload"} {
					if i := strings.Index(line, part); i >= 0 {
						said = append(said, paths.ReplaceAllString(line[i:], "$1"))
					}
				}
			}
			slices.Sort(said)
			s.note("%s: %s", what, strings.Join(said, "; "))
			s.note("%s: ann %s", what, kept.ping())
			s.fields(what, s.get("/varz"), "tls_required", "tls_timeout", "tls_cert_not_after")
			if config != "" { // without TLS, the reference goes on saying that it verifies
				s.fields(what, s.get("/varz"), "tls_verify")
			}
		}
		step("another certificate", block(a, two, "verify: true"))
		s.note("%s, before %s", shown(s.try("new", a.client(ann), "")), shown(kept))
		s.note("bob %s", goes.ping())
		step("timeout", block(a, two, "verify: true", "timeout: 7"))
		step("pinned", block(a, two, "verify: true", fmt.Sprintf("pinned_certs: [ %q ]", ann.pin())))
		s.note("bob: %s", goes.answer())
		s.try("bob", a.client(bob), "")
		step("rate limit", block(a, two, "verify: true", "connection_rate_limit: 5"))
		step("map", block(a, two, "verify_and_map: true"))
		step("a bad key", strings.Replace(block(a, two, "verify: true"), two.key, one.key, 1))
		step("mixed", block(a, two, "verify: true")+"allow_non_tls: true\n")
		step("not verified", block(a, one))
		s.note("%s", shown(s.try("nobody", a.client(), "")))
		step("1.3", block(a, one, `min_version: "1.3"`))
		s.try("1.2", with(a.client(), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "")
		step("first", block(a, one, "handshake_first: true"))
		if sc := s.upgrade("first", a.client(), true); sc != nil {
			s.note("%s", sc.session(""))
		}
		step("first with fallback", block(a, one, "handshake_first: 100ms"))
		s.try("later", a.client(), "")
		step("authority", block(newAuthority(s.t, "other"), one, "verify: true"))
		s.try("ann, not trusted", a.client(ann), "")
		step("off", "")
		s.note("%v", strings.Contains(s.plainAnswer(), "PONG"))
		step("on again", block(a, two))
		s.note("%s", shown(s.try("again", a.client(), "")))
	})
}

// TestSameFile: a certificate is renewed in its place.
func TestSameFile(t *testing.T) {
	a := newAuthority(t, "authority")
	old, renewed := a.issue(t, "old", nil), a.issue(t, "renewed", nil)
	harness.Compare(t, func(t *testing.T, which harness.Seat) string {
		place := old
		place.cert, place.key = t.TempDir()+"/cert.pem", t.TempDir()+"/key.pem"
		put := func(id identity) {
			for from, to := range map[string]string{id.cert: place.cert, id.key: place.key} {
				b, err := os.ReadFile(from)
				check(t, err)
				check(t, os.WriteFile(to, b, 0o600))
			}
		}
		put(old)
		s := start(t, which, block(a, place))
		kept := s.try("old", a.client(), "")
		put(renewed)
		s.reload(block(a, place))
		fresh := s.try("new", a.client(), "")
		s.note("%s %s", fresh.ConnectionState().PeerCertificates[0].Subject, kept.ping())
		return s.out.String()
	})
}
