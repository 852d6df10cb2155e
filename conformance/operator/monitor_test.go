package operator

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// get fetches a monitoring page.
func get(t *testing.T, server *harness.Server, path string) (status int, contentType string, body []byte) {
	t.Helper()
	response, err := http.Get("http://" + server.Monitor + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), body
}

// withClient starts a monitored server that has one client with two
// subscriptions and one message delivered.
func withClient(t *testing.T, seat harness.Seat) *harness.Server {
	t.Helper()
	server := harness.Start(t, seat, "-m", "-1")
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false,\"name\":\"me\",\"lang\":\"go\",\"version\":\"1\"}\r\nSUB foo 1\r\nSUB bar.* q 2\r\nPUB foo 5\r\nhello\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	awaitText(t, conn, "PONG\r\n")
	return server
}

// TestMonitorShapes compares field names and JSON types: whatever Peregrine
// shows, the reference shows in the same form. The object named peregrine is its
// own.
func TestMonitorShapes(t *testing.T) {
	t.Parallel()
	reference, peregrine := withClient(t, harness.Reference), withClient(t, harness.Peregrine)
	if peregrine.Monitor == "" {
		t.Fatal("Peregrine does not offer -m")
	}
	for _, page := range []string{"/varz", "/connz", "/connz?subs=1", "/connz?state=closed", "/connz?state=all&sort=subs", "/subsz", "/healthz"} {
		t.Run(page, func(t *testing.T) {
			wantStatus, wantType, wantBody := get(t, reference, page)
			gotStatus, gotType, gotBody := get(t, peregrine, page)
			if wantStatus != gotStatus || wantType != gotType {
				t.Errorf("status %d, type %q; want %d, %q", gotStatus, gotType, wantStatus, wantType)
			}
			var want, got any
			if err := json.Unmarshal(wantBody, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(gotBody, &got); err != nil {
				t.Fatalf("%v\n%s", err, gotBody)
			}
			var complaints []string
			compareShape(&complaints, "", want, got)
			for _, complaint := range complaints {
				t.Error(complaint)
			}
		})
	}
}

// later are the fields that belong to parts Peregrine does not have yet.
var later = []string{
	".cluster", ".gateway", ".leaf", ".mqtt", ".websocket", ".jetstream", ".ocsp_peer_cache",
	".tls_", ".auth_", ".system_account", ".config_", ".feature_flags", ".proxies",
}

// compareShape adds a complaint for each field that only one side has, or whose
// types differ.
func compareShape(complaints *[]string, path string, want, got any) {
	if path == ".peregrine" {
		return
	}
	for _, prefix := range later {
		if strings.HasPrefix(path, prefix) {
			return
		}
	}
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			*complaints = append(*complaints, fmt.Sprintf("%s is no object", path))
			return
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if value, present := got[name]; present {
				compareShape(complaints, path+"."+name, want[name], value)
			} else {
				missing(complaints, path+"."+name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if _, present := want[name]; !present && path+"."+name != ".peregrine" {
				*complaints = append(*complaints, fmt.Sprintf("%s.%s is not in the reference's answer", path, name))
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(want) != len(got) {
			*complaints = append(*complaints, fmt.Sprintf("%s differs in length or is no list", path))
			return
		}
		for i := range want {
			compareShape(complaints, fmt.Sprintf("%s[%d]", path, i), want[i], got[i])
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			*complaints = append(*complaints, fmt.Sprintf("%s is %T, not %T", path, got, want))
		}
	}
}

func missing(complaints *[]string, path string) {
	for _, prefix := range later {
		if strings.HasPrefix(path, prefix) {
			return
		}
	}
	*complaints = append(*complaints, path+" is missing")
}

// settled returns the object of a page, or of its only connection, once the
// message of withClient is counted both ways and no byte is pending for the
// client: the reference counts a little after the client has read all answers.
func settled(t *testing.T, server *harness.Server, page string) (values map[string]any) {
	t.Helper()
	var body []byte
	defer func() {
		if t.Failed() {
			t.Logf("%s: %s", page, body)
		}
	}()
	harness.Poll(t, "a page at rest", func() bool {
		_, _, body = get(t, server, page)
		values = nil
		if err := json.Unmarshal(body, &values); err != nil {
			t.Fatal(err)
		}
		if conns, ok := values["connections"].([]any); ok && len(conns) == 1 {
			values = conns[0].(map[string]any)
		}
		pending, shown := values["pending_bytes"].(float64)
		return values["in_msgs"] == 1.0 && values["out_msgs"] == 1.0 && (!shown || pending == 0)
	})
	return values
}

// TestMonitorCounts compares the numbers that the same work leaves behind.
func TestMonitorCounts(t *testing.T) {
	t.Parallel()
	if harness.Start(t, harness.Peregrine, "-m", "-1").Monitor == "" {
		t.Fatal("Peregrine does not offer -m")
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := withClient(t, seat)
		outcome := ""
		pick := func(page string, fields ...string) {
			values := settled(t, server, page)
			if list, ok := values["subscriptions_list"].([]any); ok { // comes from a map
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			for _, field := range fields {
				outcome += fmt.Sprintln(page, field, values[field])
			}
		}
		pick("/varz", "version", "proto", "host", "max_payload", "max_connections", "max_control_line", "max_pending",
			"ping_interval", "ping_max", "write_deadline", "connections", "total_connections",
			"in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers")
		pick("/connz?subs=1", "kind", "type", "ip", "name", "lang", "version", "subscriptions", "subscriptions_list",
			"in_msgs", "out_msgs", "in_bytes", "out_bytes", "pending_bytes")
		return outcome
	})
}

// TestMonitorClosedKept compares whom of those that have gone monitoring remembers.
func TestMonitorClosedKept(t *testing.T) {
	t.Parallel()
	for _, kept := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			t.Parallel()
			conf := configFile(t, fmt.Sprintf("max_closed_clients: %d\n", kept))
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Start(t, seat, "-m", "-1", "-c", conf)
				var names []string
				for i := range 5 {
					conn, err := net.Dial("tcp", server.Addr)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					name := fmt.Sprint("client ", i)
					if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"name\":%q}\r\nPING\r\n", name); err != nil {
						t.Fatal(err)
					}
					awaitText(t, conn, "PONG\r\n")
					conn.Close()
					harness.Poll(t, name+" has gone", func() bool {
						var page struct {
							Connections []struct{ Name string }
						}
						_, _, body := get(t, server, "/connz?state=closed")
						if err := json.Unmarshal(body, &page); err != nil {
							t.Fatal(err)
						}
						names = names[:0]
						for _, c := range page.Connections {
							names = append(names, c.Name)
						}
						return slices.Contains(names, name)
					})
				}
				slices.Sort(names)
				return strings.Join(names, ", ")
			})
		})
	}
}

// TestMonitorUnknownPage compares the answer to a page that does not exist.
func TestMonitorUnknownPage(t *testing.T) {
	t.Parallel()
	if harness.Start(t, harness.Peregrine, "-m", "-1").Monitor == "" {
		t.Fatal("Peregrine does not offer -m")
	}
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat, "-m", "-1")
		status, contentType, _ := get(t, server, "/nosuch")
		rootStatus, rootType, _ := get(t, server, "/")
		return fmt.Sprintln(status, contentType, rootStatus, rootType)
	})
}
