//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// reloaded is a server with a configuration file that the test rewrites.
type reloaded struct {
	*child
	path  string
	times int
}

func startWithFile(t *testing.T, content string, args ...string) *reloaded {
	t.Helper()
	r := &reloaded{path: filepath.Join(t.TempDir(), "server.conf")}
	writeText(t, r.path, content)
	r.child = startChild(t, append([]string{"-c", r.path}, args...)...)
	r.waitLog(`Server is ready["\n]`)
	return r
}

func writeText(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload reloads with a new content and returns what was logged about it.
func (r *reloaded) reload(content string) string {
	r.t.Helper()
	writeText(r.t, r.path, content)
	r.times++
	before := len(r.log.String())
	r.signal(syscall.SIGHUP)
	end := fmt.Sprintf(`(?s)(?:Trapped "hangup" signal.*?(?:Reloaded|Failed to reload) server configuration[^\n]*\n.*?){%d}`, r.times)
	r.waitLog(end)
	return r.log.String()[before:]
}

func TestReloadOnTheRunningServer(t *testing.T) {
	c := startWithFile(t, "max_payload: 1000\n", "-T=false")
	addr := c.waitLog(listening)[1]
	conn, r := c.connect(addr)

	out := c.reload("max_payload: 2\ndebug: true\n")
	expectOrder(t, out, "[INF] Reloaded: debug = true\n")
	expectOrder(t, out, "[INF] Reloaded: max_payload = 2\n", "[INF] Reloaded server configuration (sha256:")
	c.connect(addr)
	c.waitLog(`\[DBG\] .* Client connection created\n`)
	fmt.Fprint(conn, "PUB foo 3\r\nabc\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "'Maximum Payload Violation'") {
			break
		}
	}

	// What fails changes nothing, whatever else is in the file.
	refused := func(content, want string) {
		t.Helper()
		if out := c.reload(content); !strings.Contains(out, "[ERR] Failed to reload server configuration: "+want) || strings.Contains(out, "Reloaded") {
			t.Errorf("%q: want %q in:\n%s", content, want, out)
		}
	}
	refused("max_payload: 5\nfoo: 1\n", "")
	refused("max_payload: 5\nmax_pending: 1MB\n", "config reload not supported for MaxPending: old=67108864, new=1048576\n")
	refused("max_payload: 5\nperegrine { loops: 7 }\n", "config reload not supported for Loops: ")
	refused("max_payload: 5\njetstream: true\n", "jetstream (")
	refused("max_payload: 5\nlog_file: \"/no/such/x.log\"\n", "error opening file: open /no/such/x.log: no such file or directory\n")
	refused("max_payload: 10\nlame_duck_grace_period: \"3m\"\n", "lame duck grace period (3m0s) should be strictly lower than lame duck duration (2m0s)\n")
	out = c.reload("max_payload: 2\ndebug: true\n")
	if strings.Contains(out, "max_payload") || strings.Contains(out, "debug") {
		t.Errorf("the configuration in effect is another one:\n%s", out)
	}
	c.signal(syscall.SIGTERM)
	if status, log := c.waitEnd(); status != 0 || strings.Contains(log, "sent") {
		t.Errorf("status %d", status)
	}
}

// Flags stay on top of the file.
func TestReloadKeepsFlags(t *testing.T) {
	c := startWithFile(t, "port: 4999\nserver_name: file\ndebug: true\n", "-n", "flag", "-D=false")
	if out := c.reload("port: 4998\nserver_name: other\ndebug: true\ntrace: true\n"); strings.Contains(out, "debug") || !strings.Contains(out, "Reloaded: trace = true") {
		t.Errorf("%s", out)
	}
	c.signal(syscall.SIGTERM)
	c.waitEnd()
}

// Files that the configuration names move with it; the last are removed or left
// as at any end.
func TestReloadMovesFiles(t *testing.T) {
	dir := t.TempDir()
	pid, ports, log := filepath.Join(dir, "pid"), filepath.Join(dir, "ports"), filepath.Join(dir, "log")
	if err := os.Mkdir(ports, 0o700); err != nil {
		t.Fatal(err)
	}
	c := startWithFile(t, fmt.Sprintf("ports_file_dir: %q\n", dir))
	c.connect(c.waitLog(listening)[1]) // signals are answered once the ports file is there
	listed := func(dir string) int {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, "*.ports"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	out := c.reload(fmt.Sprintf("ports_file_dir: %q\npid_file: %q\nperegrine { memory_limit: 1GiB }\n", ports, pid))
	for _, want := range []string{"pid_file = ", "ports_file_dir = ", "memory_limit = 1073741824"} {
		if !strings.Contains(out, "Reloaded: "+want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if listed(dir) != 0 || listed(ports) != 1 {
		t.Errorf("%d ports files in the old folder, %d in the new", listed(dir), listed(ports))
	}
	if content, err := os.ReadFile(pid); err != nil || string(content) != fmt.Sprint(c.cmd.Process.Pid) {
		t.Errorf("pid file %q, %v", content, err)
	}
	writeText(t, c.path, fmt.Sprintf("ports_file_dir: %q\npid_file: %q\nlog_file: %q\n", ports, pid, log))
	c.signal(syscall.SIGHUP)
	c.waitLog(`Reloaded: log_file = `)
	c.signal(syscall.SIGTERM)
	status, stderr := c.waitEnd()
	content, err := os.ReadFile(log)
	if err != nil || status != 0 {
		t.Fatal(status, err)
	}
	expectOrder(t, string(content), "Reloaded server configuration", "Initiating Shutdown", "Server Exiting..")
	if strings.Contains(stderr, "Server Exiting") || listed(ports) != 0 {
		t.Errorf("%d ports files left, standard error:\n%s", listed(ports), stderr)
	}
}

func TestLogAsJSON(t *testing.T) {
	c := startWithFile(t, "peregrine { log_format: json }\n", "-T=false")
	c.signal(syscall.SIGTERM)
	_, log := c.waitEnd()
	shape := regexp.MustCompile(`^\{"level":"(info|warn)","pid":\d+,"message":"[^\n]+"\}\n$`)
	for line := range strings.Lines(log) {
		if !shape.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
}

func TestMissingParts(t *testing.T) {
	refused := func(content string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "x.conf")
		writeText(t, path, content)
		for _, line := range want {
			expect(t, "-c "+path, 1, "", line)
		}
		expect(t, "config check "+path, 1, "missing: ", "")
		expect(t, "-t -c "+path, 0, "", " is valid (sha256:")
	}
	const yet = ", which this version does not have yet\n"
	refused("websocket { port: -1, no_tls: true }\nleafnodes { port: -1 }\n", "leafnodes (", ":2:1) needs leaf nodes"+yet, "websocket (", ":1:0) needs WebSocket"+yet)
}

func TestConfigCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.conf")
	writeText(t, path, "port: 5\nmax_payload: 10\n")
	expect(t, "config check "+path, 0, path+": fine (sha256:", "")
	expect(t, "config show -c "+path+" -p 6", 0, "port: 6  # option -p\n", "")
	expect(t, "config show -c "+path, 0, "max_payload: 10  # "+path+":2:1\n", "")
	expect(t, "config show --all", 0, "max_pending: 67108864  # default\n", "")
	expect(t, "config show --nosuch", 1, "", "flag provided but not defined: -nosuch")
	expect(t, "config show -js", 1, "", "option -js needs JetStream")
	expect(t, "config show foo", 1, "", `unrecognized command: "foo"`)
	expect(t, "config explain max_payload", 0, "max_payload\n", "")
	expect(t, "config explain nosuch", 1, "", `nats-server: "nosuch": no option has that name`)
	for _, args := range []string{"config", "config help", "config check", "config explain a b"} {
		expect(t, args, 0, "\nUsage: peregrine config check <file>\n", "")
	}
}

func TestHealthcheck(t *testing.T) {
	c := startChild(t, "-m", "-1")
	web := c.waitLog(`Starting http monitor on (127\.0\.0\.1:\d+)\n`)[1]
	c.waitLog(`Server is ready\n`)
	expect(t, "healthcheck http://"+web, 0, "", "")
	expect(t, "healthcheck http://"+web+"/healthz", 0, "", "")
	expect(t, "healthcheck http://"+web+"/nosuch", 1, "", "404 Not Found")
	c.signal(syscall.SIGTERM)
	c.waitEnd()
	expect(t, "healthcheck http://"+web, 1, "", "connection refused")
	expect(t, "healthcheck -h", 0, "\nUsage: peregrine healthcheck", "")
	expect(t, "healthcheck a b", 0, "\nUsage: peregrine healthcheck", "")
	expect(t, "healthcheck ://", 1, "", "missing protocol scheme")
}

// The configuration that is packaged is one that this version starts with.
func TestPackagedConfiguration(t *testing.T) {
	expect(t, "config check ../../packaging/peregrine.conf", 0, "fine (sha256:", "")
	o := configured(t, "-c ../../packaging/peregrine.conf")
	if o.Port != 4222 || o.HTTPPort != 8222 {
		t.Errorf("ports %d and %d, which the Dockerfile exposes", o.Port, o.HTTPPort)
	}
}
