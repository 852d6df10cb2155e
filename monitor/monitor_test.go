package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer is a source with fixed answers.
type fakeServer struct {
	conns []Conn
	ready error
	more  func(*Identity) // changes what it says of itself
}

var epoch = time.Date(2026, 5, 4, 3, 2, 1, 5, time.UTC)

func (f *fakeServer) Identity() Identity {
	id := Identity{
		ID: "NID", Name: "srv", Version: "2.15.2", OwnVersion: "0.1.0", Proto: 1, Host: "127.0.0.1", Port: 4222, Engine: "gnet",
		MaxConnections: 65536, MaxControlLine: 4096, MaxPayload: 1 << 20, MaxPending: 64 << 20,
		PingInterval: 2 * time.Minute, PingMax: 2, WriteDeadline: 10 * time.Second, AuthTimeout: 2 * time.Second, Start: epoch,
	}
	if f.more != nil {
		f.more(&id)
	}
	return id
}

func (f *fakeServer) Totals() Totals {
	return Totals{Connections: 2, TotalConnections: 5, Subscriptions: 3, InMsgs: 10, InBytes: 20, OutMsgs: 30, OutBytes: 40,
		SlowConsumers: 1, StaleConnections: 2, StalledClients: 3, NotPinned: 4}
}

func (f *fakeServer) Figures() Figures {
	return Figures{Loops: []Loop{{ID: 0, CPU: 3, LongestTurn: 5}, {ID: 1, CPU: -1, LongestTurn: 7}}, Chunks: 3, SharedPayloads: 4}
}

func (f *fakeServer) Conns(q Query) []Conn {
	return slices.DeleteFunc(slices.Clone(f.conns), func(c Conn) bool {
		return q.State == Open && !c.Stop.IsZero() || q.State == Closed && c.Stop.IsZero()
	})
}

func (f *fakeServer) Interest(account string) (Interest, bool) {
	return Interest{Subscriptions: 3, Cached: 4, Inserts: 5, Removes: 2, Matches: 8, CacheHits: 2, MaxFanout: 3, AvgFanout: 1.5},
		account == "" || account == "$G"
}

func (f *fakeServer) Ready() error { return f.ready }

// testLog keeps lines.
type testLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *testLog) add(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *testLog) Noticef(format string, args ...any) { l.add(format, args) }
func (l *testLog) Warnf(format string, args ...any)   { l.add(format, args) }
func (l *testLog) Errorf(format string, args ...any)  { l.add(format, args) }

func (l *testLog) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(s string) bool { return strings.Contains(s, text) })
}

func conns() []Conn {
	return []Conn{
		{CID: 7, IP: "127.0.0.1", Port: 1007, Start: epoch, LastActivity: epoch.Add(time.Second), RTT: 434*time.Microsecond + 5,
			PendingBytes: 3, InMsgs: 1, OutMsgs: 9, InBytes: 10, OutBytes: 90, Subscriptions: 2,
			Name: "nm", Lang: "go", Version: "1.0", User: "u", Account: "$G",
			Subs: []Sub{{Subject: "a", SID: "1"}, {Subject: "b.*", Queue: "q", SID: "2", Msgs: 1, Max: 7}}},
		{CID: 5, IP: "127.0.0.1", Port: 1005, Start: epoch, LastActivity: epoch.Add(2 * time.Second), InMsgs: 2, OutMsgs: 3, Account: "$G",
			Subscriptions: 1, Subs: []Sub{{Subject: "b.>", SID: "x"}}},
		{CID: 6, IP: "127.0.0.1", Port: 1006, Start: epoch, LastActivity: epoch, Stop: epoch.Add(90 * time.Second), Reason: "Client Closed", Account: "$G"},
	}
}

func startMonitor(t *testing.T, f *fakeServer) (*Monitor, *testLog) {
	t.Helper()
	log := &testLog{}
	m, err := Start(Options{Host: "127.0.0.1", Port: -1}, f, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if !log.has("Starting http monitor on " + m.Addr().String()) {
		t.Errorf("log: %q", log.lines)
	}
	return m, log
}

func get(t *testing.T, m *Monitor, path string) (int, string, http.Header) {
	t.Helper()
	resp, err := http.Get("http://" + m.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// getJSON decodes a 200 answer into v.
func getJSON(t *testing.T, m *Monitor, path string, v any) {
	t.Helper()
	code, body, header := get(t, m, path)
	if code != http.StatusOK || header.Get("Content-Type") != "application/json" || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%s: %d %v %s", path, code, header, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
}

func TestVarz(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{})
	code, body, _ := get(t, m, "/varz")
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	// Order and values as the reference prints them; times and loads vary.
	wantInOrder := []string{
		`"server_id": "NID"`, `"server_name": "srv"`, `"version": "2.15.2"`, `"proto": 1`, `"go": "go`, `"host": "127.0.0.1"`, `"port": 4222`,
		`"max_connections": 65536`, `"ping_interval": 120000000000`, `"ping_max": 2`, `"http_host": "127.0.0.1"`, `"http_port": -1`,
		`"http_base_path": ""`, `"https_port": 0`, `"auth_timeout": 2`, `"max_control_line": 4096`, `"max_payload": 1048576`, `"max_pending": 67108864`,
		`"cluster": {}`, `"gateway": {}`, `"leaf": {}`, `"mqtt": {}`, `"websocket": {}`, `"jetstream": {}`, `"tls_timeout": 2`,
		`"write_deadline": 10000000000`, `"start": "2026-05-04T03:02:01.000000005Z"`, `"now": "`, `"uptime": "`, `"mem": `, `"cores": `, `"gomaxprocs": `, `"cpu": `,
		`"connections": 2`, `"total_connections": 5`, `"routes": 0`, `"remotes": 0`, `"leafnodes": 0`, `"in_msgs": 10`, `"in_bytes": 20`,
		`"in_client_msgs": 10`, `"in_client_bytes": 20`, `"out_msgs": 30`, `"out_bytes": 40`, `"out_client_msgs": 30`, `"out_client_bytes": 40`,
		`"slow_consumers": 1`, `"stale_connections": 2`, `"stalled_clients": 3`, `"subscriptions": 3`, `"http_req_stats": {`, `"/varz": 1`,
		`"config_load_time": "`, `"config_digest": ""`, `"pinned_account_fails": 4`, `"slow_consumer_stats": {`, `"clients": 1`, `"stale_connection_stats": {`, `"clients": 2`,
		`"disk_io_wait_stats": {`, `"peregrine": {`, `"version": "0.1.0"`, `"engine": "gnet"`, `"longest_turn": 7`, `"outbound_chunks": 3`,
		`"shared_payloads": 4`, `"loops": [`, `"cpu": 3`, `"cpu": -1`,
	}
	rest := body
	for _, want := range wantInOrder {
		i := strings.Index(rest, want)
		if i < 0 {
			t.Fatalf("%s is missing, or out of order, in\n%s", want, body)
		}
		rest = rest[i+len(want):]
	}
}

// What some configurations alone have is shown where it is there, and not named
// where it is not.
func TestVarzOfOperatorsAndProxies(t *testing.T) {
	f := new(fakeServer)
	m, _ := startMonitor(t, f)
	want := map[string]string{
		"trusted_operators_jwt": `["a.b.c"]`, "trusted_operators_claim": `[{"name":"op"}]`, "proxies": `{"trusted":[{"key":"P"}]}`,
		"write_timeout": `"retry"`,
	}
	var plain, full map[string]json.RawMessage
	getJSON(t, m, "/varz", &plain)
	f.more = func(id *Identity) {
		id.OperatorJWTs, id.OperatorClaims = []string{"a.b.c"}, []any{map[string]string{"name": "op"}}
		id.TrustedProxies, id.WriteTimeout = []string{"P"}, "retry"
	}
	getJSON(t, m, "/varz", &full)
	for name, value := range want {
		var short bytes.Buffer
		if err := json.Compact(&short, full[name]); err != nil || short.String() != value {
			t.Errorf("%s is %s, want %s", name, full[name], value)
		}
		if plain[name] != nil {
			t.Errorf("%s is %s without any", name, plain[name])
		}
	}
}

// A user's token is for those who ask about users, a proxy for all.
func TestConnzTokensAndProxies(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: []Conn{{CID: 1, Start: epoch, Account: "$G", JWT: "a.b.c", ProxyKey: "P"}}})
	for path, token := range map[string]bool{"/connz": false, "/connz?auth=1": true} {
		_, body, _ := get(t, m, path)
		if strings.Contains(body, `"jwt": "a.b.c"`) != token || !strings.Contains(body, `"key": "P"`) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// What debuggers read is beside the pages of the server.
func TestDebugVariables(t *testing.T) {
	m, _ := startMonitor(t, new(fakeServer))
	var shown struct {
		Cmdline  []string
		Memstats struct{ Alloc uint64 }
	}
	code, body, _ := get(t, m, "/debug/vars")
	if err := json.Unmarshal([]byte(body), &shown); err != nil || code != http.StatusOK || len(shown.Cmdline) == 0 || shown.Memstats.Alloc == 0 {
		t.Errorf("%d, %v: %.200s", code, err, body)
	}
}

func TestConnzListsOpenConnections(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	var got connz
	getJSON(t, m, "/connz", &got)
	if got.ServerID != "NID" || got.Connections != 2 || got.Total != 2 || got.Limit != 1024 || len(got.List) != 2 || got.List[0].CID != 5 {
		t.Errorf("%+v", got)
	}
	c := got.List[1]
	if c.Kind != "Client" || c.Type != "nats" || c.RTT != "434µs" || c.Name != "nm" || c.User != "" || c.Subs != nil || c.Stop != nil {
		t.Errorf("%+v", c)
	}
}

func TestConnzDetails(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	var got connz
	getJSON(t, m, "/connz?cid=7&subs=detail&auth=1", &got)
	if got.Total != 1 || got.Limit != 1 || len(got.List) != 1 {
		t.Fatalf("%+v", got)
	}
	c := got.List[0]
	want := subInfo{Subject: "b.*", Queue: "q", SID: "2", Msgs: 1, Max: 7, CID: 7}
	if c.User != "u" || c.NameTag != "$G" || c.Account != "" || len(c.SubsDetail) != 2 || c.SubsDetail[1] != want {
		t.Errorf("%+v", c)
	}
	getJSON(t, m, "/connz?cid=7&subs=1", &got)
	if !slices.Equal(got.List[0].Subs, []string{"a", "b.*"}) {
		t.Errorf("%+v", got.List[0])
	}
}

func TestConnzStates(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	cids := func(query string) (list []uint64) {
		t.Helper()
		var got connz
		getJSON(t, m, "/connz?"+query, &got)
		for _, c := range got.List {
			list = append(list, c.CID)
		}
		return list
	}
	check := func(query string, want ...uint64) {
		t.Helper()
		if got := cids(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	check("state=open", 5, 7)
	check("state=CLOSED", 6)
	check("state=any", 5, 6, 7)
	check("state=all&offset=1&limit=1", 6)
	check("state=all&offset=9")
	check("limit=-3&offset=-1", 5, 7)
	check("sort=msgs_to", 7, 5)
	check("sort=msgs_from", 5, 7)
	check("sort=last", 5, 7)
	check("sort=subs", 7, 5)
	check("state=closed&sort=stop", 6)
	check("state=closed&sort=reason", 6)
	check("user=u", 7)
	check("mqtt_client=x")
	var closed connz
	getJSON(t, m, "/connz?state=closed", &closed)
	c := closed.List[0]
	if c.Reason != "Client Closed" || c.Stop == nil || c.Uptime != "1m30s" || c.Idle != "1m30s" || c.RTT != "0s" {
		t.Errorf("%+v", c)
	}
}

func TestConnzUnknownAccount(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	_, body, _ := get(t, m, "/connz?acc=nope")
	if !strings.Contains(body, `"server_id": ""`) || !strings.Contains(body, `"connections": null`) {
		t.Error(body)
	}
}

func TestBadParameters(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{})
	check := func(path, want string) {
		t.Helper()
		if code, body, header := get(t, m, path); code != http.StatusBadRequest || body != want || header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q %v", path, code, body, header)
		}
	}
	check("/connz?limit=x", `Error decoding int for 'limit': strconv.Atoi: parsing "x": invalid syntax`)
	check("/connz?subs=x", `Error decoding boolean for 'subs': strconv.ParseBool: parsing "x": invalid syntax`)
	check("/connz?cid=x", `Error decoding uint64 for 'cid': strconv.ParseUint: parsing "x": invalid syntax`)
	check("/connz?state=foo", `Error decoding state for foo`)
	check("/connz?sort=foo", `invalid sorting option: foo`)
	check("/connz?sort=stop", `sort by stop only valid on closed connections`)
	check("/connz?sort=reason&state=all", `sort by reason only valid on closed connections`)
	check("/subsz?test=a.*", `invalid test subject, must be valid publish subject: a.*`)
	check("/healthz?js-enabled=x", `Error decoding boolean for 'js-enabled': strconv.ParseBool: parsing "x": invalid syntax`)
}

func TestSubsz(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	var got subsz
	getJSON(t, m, "/subsz", &got)
	if got.Subscriptions != 3 || got.Inserts != 5 || got.CacheHitRate != 0.25 || got.Total != 0 || got.List != nil {
		t.Errorf("%+v", got)
	}
	getJSON(t, m, "/subscriptionsz?subs=1&test=b.x", &got)
	if got.Total != 2 || len(got.List) != 2 || got.List[0].CID != 5 || got.List[1].Subject != "b.*" || got.List[1].Account != "$G" {
		t.Errorf("%+v", got)
	}
	getJSON(t, m, "/subsz?subs=1&offset=1&limit=1", &got)
	if got.Total != 3 || len(got.List) != 1 || got.List[0].Subject != "a" {
		t.Errorf("%+v", got)
	}
}

func TestHealthz(t *testing.T) {
	f := &fakeServer{}
	m, log := startMonitor(t, f)
	check := func(path string, code int, want string) {
		t.Helper()
		if gotCode, body, _ := get(t, m, path); gotCode != code || body != want {
			t.Errorf("%s: %d %s", path, gotCode, body)
		}
	}
	check("/healthz", 200, `{"status":"ok"}`)
	check("/healthz?details=1&js-enabled-only=true", 200, `{"status":"ok"}`)
	check("/healthz?stream=x", 400, `{"status":"error","error":"\"account\" must not be empty when checking stream health"}`)
	check("/healthz?account=a&consumer=x", 400, `{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}`)
	f.ready = errors.New("failed to be ready for connections after 1ms: server")
	check("/healthz", 500, `{"status":"error","error":"failed to be ready for connections after 1ms: server"}`)
	check("/healthz?details=1", 500, `{"status":"error","errors":[{"type":"CONNECTION","error":"failed to be ready for connections after 1ms: server"}]}`)
	if !log.has(`Healthcheck failed: "failed to be ready`) {
		t.Errorf("log: %q", log.lines)
	}
}

func TestOtherPaths(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{})
	check := func(path string, code int, contains string) {
		t.Helper()
		if got, body, _ := get(t, m, path); got != code || !strings.Contains(body, contains) {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
	check("/", 200, "Peregrine 0.1.0, speaking NATS 2.15.2")
	check("/nope", 404, "404 page not found")
	check("/connz/", 404, "404 page not found")
	check("/routez", 200, `"routes": []`)
	check("/gatewayz", 200, `"outbound_gateways": {}`)
	check("/leafz", 200, `"leafs": []`)
	check("/jsz", 200, `"disabled": true`)
	check("/ipqueuesz", 200, "{}")
	check("/raftz", 404, "No Raft nodes registered")
	check("/stacksz", 200, "goroutine")
}

// I1, I2 under load: many readers at once, and the numbers still add up.
func TestConcurrentReaders(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{conns: conns()})
	const readers = 16
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for _, path := range []string{"/connz?subs=1", "/varz", "/subsz?subs=1"} {
				resp, err := http.Get("http://" + m.Addr().String() + path)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	counts := m.requestCounts()
	if counts["/connz"] != readers || counts["/varz"] != readers || counts["/subsz"] != readers {
		t.Errorf("%v", counts)
	}
}

func TestStartErrors(t *testing.T) {
	m, _ := startMonitor(t, &fakeServer{})
	_, port, _ := strings.Cut(m.Addr().String(), ":")
	var number int
	fmt.Sscan(port, &number)
	_, err := Start(Options{Host: "127.0.0.1", Port: number}, &fakeServer{}, &testLog{})
	if err == nil || !strings.HasPrefix(err.Error(), "can't listen to the monitor port: listen tcp 127.0.0.1:") {
		t.Errorf("%v", err)
	}
	if _, err = Start(Options{Host: "127.0.0.1", Port: 99999}, &fakeServer{}, &testLog{}); err == nil || !strings.Contains(err.Error(), "invalid port") {
		t.Errorf("%v", err)
	}
}

func TestProfiler(t *testing.T) {
	log := &testLog{}
	p, err := StartProfiler("127.0.0.1", -1, log)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	resp, err := http.Get("http://" + p.Addr().String() + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), "goroutine profile") || !log.has("profiling port: ") {
		t.Errorf("%s %q", body, log.lines)
	}
	if _, err := StartProfiler("127.0.0.1", 99999, log); err == nil || !strings.HasPrefix(err.Error(), "error starting profiler: ") {
		t.Errorf("%v", err)
	}
}

func TestUptime(t *testing.T) {
	check := func(d time.Duration, want string) {
		t.Helper()
		if got := uptime(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	check(-time.Second, "0s")
	check(1999*time.Millisecond, "1s")
	check(time.Minute, "1m0s")
	check(25*time.Hour+5*time.Second, "1d1h0m5s")
	check(366*24*time.Hour+59*time.Second, "1y1d0h0m59s")
}

func TestRTTText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 434999: "434µs", 14288334: "14.288334ms"} {
		if got := rttText(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestCovers(t *testing.T) {
	check := func(pattern, subject string, want bool) {
		t.Helper()
		if got := covers(pattern, subject); got != want {
			t.Errorf("covers(%q, %q) = %v", pattern, subject, got)
		}
	}
	check("a.b", "a.b", true)
	check("a.*", "a.b", true)
	check("a.*", "a.b.c", false)
	check("a.>", "a.b.c", true)
	check("a.>", "a", false)
	check(">", "a", true)
	check("a.b.c", "a.b", false)
	check("*", "a", true)
}

func TestProcessSampler(t *testing.T) {
	var p processSampler
	first := p.sample(epoch)
	if first.resident <= 0 || first.cpu != 0 {
		t.Errorf("%+v", first)
	}
	if again := p.sample(epoch.Add(time.Millisecond)); again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
	if later := p.sample(epoch.Add(time.Hour)); later.cpu < 0 {
		t.Errorf("%+v", later)
	}
}
