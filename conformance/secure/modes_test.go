package secure

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"peregrine/conformance/harness"
)

// plainSession talks without TLS and writes down INFO and the answer.
func (s *seat) plainSession(who string) {
	s.t.Helper()
	s.note("%s: %s", who, s.counted(s.plainAnswer()))
}

func (s *seat) plainAnswer() string {
	s.t.Helper()
	nc := s.dial()
	r := bufio.NewReader(nc)
	first, err := r.ReadString('\n')
	check(s.t, err)
	_, err = io.WriteString(nc, "CONNECT {\"verbose\":false}\r\nPING\r\n")
	check(s.t, err)
	line, err := readLine(r)
	return info(first) + " " + strings.TrimSpace(line) + ending(err)
}

func ending(err error) string {
	if err == nil {
		return ""
	}
	return plain(err)
}

// TestMixed: clients that want TLS and clients that do not, at one port.
func TestMixed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "authority")
	server := a.issue(t, "server", nil)
	compare(t, block(a, server, "timeout: 20")+"allow_non_tls: true\n", func(s *seat) {
		s.logged(`TLS (available|required) for client connections`)
		s.plainSession("plain")
		s.try("secure", a.client(), "")
		nc := s.dial()
		_, err := readLine(nc)
		check(s.t, err)
		_, err = io.WriteString(nc, "CONNEC") // the reference wants so many bytes to decide
		check(s.t, err)
		_, err = io.WriteString(nc, "T {\"verbose\":false}\r\nPING\r\n")
		check(s.t, err)
		line, err := readLine(nc)
		s.note("in pieces: %q %s", s.counted(strings.TrimSpace(line)), ending(err))
		s.fields("varz", s.get("/varz"), "tls_required", "tls_verify", "tls_timeout", "tls_cert_not_after")
		for i, c := range s.open() {
			s.fields(fmt.Sprint("connection ", i), c, "tls_version", "tls_first")
		}
	})
	// A client that says nothing is plain in the end.
	compare(t, block(a, server, "timeout: 0.3")+"allow_non_tls: true, ping_interval: 1s\n", func(s *seat) {
		nc := s.dial()
		_, err := readLine(nc)
		check(s.t, err)
		line, err := anyLine(nc)
		s.note("%q %s", line, ending(err))
		_, err = io.WriteString(nc, "CONNECT {\"verbose\":false}\r\nPING\r\n")
		check(s.t, err)
		line, err = readLine(nc)
		s.note("%q %s", line, ending(err))
	})
}

// TestFirst: the handshake before INFO, with each kind of fallback.
func TestFirst(t *testing.T) {
	a := newAuthority(t, "authority")
	server := a.issue(t, "server", nil)
	for _, value := range []string{"true", `"on"`, "false", `"off"`, `"auto"`, `"auto_fallback"`, `"300ms"`} {
		for _, mixed := range []bool{false, true} {
			t.Run(fmt.Sprint(value, " ", mixed), func(t *testing.T) {
				config := block(a, server, "handshake_first: "+value, "timeout: 20") + fmt.Sprintf("allow_non_tls: %v\n", mixed)
				compare(t, config, func(s *seat) {
					s.logged(`TLS (available|required) for client connections`)
					if value == "false" || value == `"off"` {
						// The server has begun a handshake too, and would wait for its end.
						nc := s.dial()
						s.note("first: handshake: %s", plain(tls.Client(nc, a.client()).Handshake()))
						check(s.t, nc.Close())
					} else {
						// A machine that is busy may take longer than the server waits.
						harness.Poll(s.t, "a handshake comes first", func() bool {
							nc := tls.Client(s.dial(), a.client())
							line, err := readLine(nc)
							if err != nil {
								return false
							}
							sc := &secured{nc, bufio.NewReader(nc)}
							s.note("first: %s %s", info(line), s.counted(sc.session("")))
							return true
						})
					}
					if value != "true" && value != `"on"` {
						s.try("later", a.client(), "")
					}
					if mixed && value != "true" && value != `"on"` {
						s.plainSession("plain")
					}
					for i, c := range s.open() {
						s.fields(fmt.Sprint("connection ", i), c, "tls_version", "tls_first")
					}
					s.note("warned: %d", s.Log.Count(`Clients that are not using "TLS Handshake First" option will fail to connect`))
				})
			})
		}
	}
	t.Run("plain", func(t *testing.T) {
		compare(t, block(a, server, "handshake_first: true", "timeout: 20"), func(s *seat) {
			nc := s.dial()
			_, err := io.WriteString(nc, "CONNECT {}\r\nPING\r\n")
			check(s.t, err)
			b, err := io.ReadAll(nc)
			if strings.Contains(string(b), "INFO") {
				s.t.Errorf("the server said %q, %v", b, err)
			}
			s.closedFor(1)
			s.note("%s", strings.Join(s.troubles(), "\n"))
		})
	})
}

// TestTimeout: handshakes that do not come or do not end.
func TestTimeout(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "authority")
	server := a.issue(t, "server", nil)
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprint("first ", first), func(t *testing.T) {
			compare(t, block(a, server, "timeout: 0.3", fmt.Sprint("handshake_first: ", first)), func(s *seat) {
				for _, text := range []string{"", "\x16", "\x16\x03\x01\x00\x80", "\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03"} {
					nc := s.dial()
					_, err := io.WriteString(nc, text)
					check(s.t, err)
					if !first {
						_, err = readLine(nc)
						check(s.t, err)
					}
					b, err := io.ReadAll(nc)
					if err != nil && plain(err) != "closed" || strings.Contains(string(b), "PONG") {
						s.t.Errorf("%q: %q, %v", text, b, err)
					}
				}
				s.closedFor(4)
				// The reference has two timers, and either may speak.
				s.Await(`\[DBG\] .*TLS handshake (timeout|error: .*i/o timeout)`)
			})
		})
	}
	t.Run("authentication", func(t *testing.T) {
		config := block(a, server, "timeout: 20") + "authorization { user: a, password: b, timeout: 0.4 }\n"
		compare(t, config, func(s *seat) {
			sc := s.upgrade("client", a.client(), false)
			s.note("%s", sc.answer())
			s.closedFor(1)
			s.fields("varz", s.get("/varz"), "tls_timeout", "auth_timeout")
		})
	})
}

// TestRate: handshakes over the limit of a second are told so in clear.
func TestRate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "authority")
	compare(t, block(a, a.issue(t, "server", nil), "connection_rate_limit: 2", "timeout: 20"), func(s *seat) {
		// What the server says in clear is what the handshake stumbles over.
		harness.Poll(s.t, "a handshake is throttled", func() bool {
			nc := s.dial()
			_, err := readLine(nc)
			check(s.t, err)
			err = tls.Client(nc, a.client()).Handshake()
			return err != nil && strings.Contains(err.Error(), "first record does not look like a TLS handshake")
		})
		throttled := ""
		harness.Poll(s.t, "a connection is throttled", func() bool {
			nc := s.dial()
			_, err := readLine(nc)
			check(s.t, err)
			check(s.t, nc.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			throttled, _ = readLine(nc)
			return throttled != ""
		})
		s.note("%q", throttled)
		harness.Poll(s.t, "a connection is let in", func() bool {
			nc := s.dial()
			_, err := readLine(nc)
			check(s.t, err)
			return tls.Client(nc, a.client()).Handshake() == nil
		})
		s.Await(`Rejected \d+ connections due to TLS rate limiting`)
		reasons := map[any]bool{}
		for _, c := range s.connections("state=closed&limit=10000") {
			reasons[c["reason"]] = true
		}
		s.note("throttled: %v", reasons["Maximum Connections Exceeded"])
	})
}

// TestPages: monitoring by https.
func TestPages(t *testing.T) {
	a := newAuthority(t, "authority")
	server, good := a.issue(t, "server", nil), a.issue(t, "good", nil)
	for _, more := range []string{"", "verify: true", `min_version: "1.3"`, "handshake_first: true"} {
		t.Run(more, func(t *testing.T) {
			harness.Compare(t, func(t *testing.T, which harness.Seat) string {
				s := startPages(t, which, block(a, server, more)+"https: 127.0.0.1:-1\n")
				s.page("none", "https", a.client())
				s.page("good", "https", a.client(good))
				s.page("1.2", "https", with(a.client(), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
				s.page("clear", "http", nil)
				return s.out.String()
			})
		})
	}
}

// startPages runs a server whose monitoring uses https.
func startPages(t *testing.T, which harness.Seat, config string) *seat {
	t.Helper()
	s := newSeat(t, config)
	s.Server = harness.Start(t, which, "-c", s.file, "-D")
	s.Monitor = s.Await(`Starting https monitor on (\S+:\d+)$`)[1]
	return s
}

// page asks for varz.
func (s *seat) page(who, scheme string, c *tls.Config) {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	r, err := (&http.Client{Transport: transport, Timeout: harness.Patience}).Get(scheme + "://" + s.Monitor + "/varz")
	if err != nil {
		s.note("%s: %s", who, plain(err))
		return
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		b, err := io.ReadAll(r.Body)
		s.note("%s: %s %q %s", who, r.Status, b, ending(err))
		return
	}
	var varz map[string]any
	check(s.t, json.NewDecoder(r.Body).Decode(&varz))
	s.fields(who, varz, "tls_required", "tls_verify", "tls_timeout", "tls_cert_not_after", "http_port")
	if r.TLS != nil {
		s.note("%s: %s", who, tls.VersionName(r.TLS.Version))
	}
}
