package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"peregrine/conformance/harness"
)

// configFile writes a configuration into a folder of the test's own.
func configFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.conf")
	rewrite(t, path, content)
	return path
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCheckConfig compares the output and exit code of -t.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"valid":             "port: 4222 # comment\nmax_payload: 2MB\n",
		"other parts":       "cluster { port: 6222, name: a }\njetstream: true\nauthorization { user: a, pass: b }\n",
		"warning":           "ping_interval: 20\n",
		"empty":             "# nothing\n",
		"unknown":           "port: 4222\nfoo: 1\n",
		"type":              "port: x\n",
		"syntax":            "a: [1,2]\n",
		"warning and error": "ping_interval: 20\nfoo: 1\n",
		"not together":      "max_payload: 10\nmax_pending: 5\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := configFile(t, content)
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Launch(t, seat, "-t", "-c", path)
				code := server.Exit() // digests must be equal too: nothing is normalised
				return fmt.Sprintf("%d\n%q\n%s", code, server.Output.Lines(), strings.Join(server.Log.Lines(), "\n"))
			})
		})
	}
	for name, args := range map[string][]string{
		"no file":      {"-t"},
		"missing file": {"-t", "-c", "/no/such.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, args...))
				return fmt.Sprint(code, stdout, stderr)
			})
		})
	}
}

// TestStartConfig compares starts with files that do not allow one.
func TestStartConfig(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"unknown":       "port: -1\nfoo: 1\n",
		"type":          "port: x\n",
		"lame duck":     "port: -1\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"40s\"\n",
		"max payload":   "port: -1\nmax_payload: 10\nmax_pending: 5\n",
		"warning first": "ping_interval: 20\nfoo: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := configFile(t, content)
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Launch(t, seat, "-a", "127.0.0.1", "-c", path)
				code := server.Exit()
				return fmt.Sprintf("%d\n%q\n%s", code, server.Output.Lines(), strings.Join(server.Log.Lines(), "\n"))
			})
		})
	}
}

// TestConfigAndFlags compares the log of a server that has both: flags win.
func TestConfigAndFlags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		flags   []string
	}{
		"file alone":       {"server_name: from_file\ndebug: true\n", nil},
		"flag wins":        {"server_name: from_file\ndebug: true\n", []string{"-n", "from_flag", "-D=false"}},
		"warning":          {"ping_interval: 20\n", nil},
		"several switches": {"debug: true\n", []string{"-DV=false"}},
		"no time":          {"logtime: false\n", nil},
		"time after all":   {"logtime: false\n", []string{"-T"}},
		"utc":              {"logtime_utc: true\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := configFile(t, c.content)
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				server := harness.Start(t, seat, append([]string{"-c", path}, c.flags...)...)
				server.Stop()
				return withoutSystemAccount(server.Log.Lines())
			})
		})
	}
}

// withoutSystemAccount leaves out lines of a part that arrives with accounts.
func withoutSystemAccount(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, "ystem account") || strings.Contains(line, "SYSTEM - ")
	})
}

// TestReload compares what a reload logs and whether the server goes on.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{
		"nothing":        "server_name: n\nmax_pending: 10MB\n",
		"syntax":         "a: 1.5s\n",
		"unknown":        "server_name: n\nmax_pending: 10MB\nfoo: 1\n",
		"fixed":          "server_name: n\nmax_pending: 11MB\n",
		"not together":   "server_name: n\nmax_pending: 10MB\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"40s\"\n",
		"name":           "server_name: m\nmax_pending: 10MB\n",
		"log time":       "server_name: n\nmax_pending: 10MB\nlogtime: false\n",
		"utc":            "server_name: n\nmax_pending: 10MB\nlogtime_utc: true\n",
		"traced length":  "server_name: n\nmax_pending: 10MB\nmax_traced_msg_len: 10\n",
		"debug":          "server_name: n\nmax_pending: 10MB\ndebug: true\n",
		"trace":          "server_name: n\nmax_pending: 10MB\ntrace: true\n",
		"limits":         "server_name: n\nmax_pending: 10MB\nmax_payload: 10\nmax_connections: 7\nmax_control_line: 512\n",
		"pings":          "server_name: n\nmax_pending: 10MB\nping_interval: \"3s\"\nping_max: 7\nwrite_deadline: \"3s\"\n",
		"stall":          "server_name: n\nmax_pending: 10MB\nno_fast_producer_stall: true\n",
		"advertise":      "server_name: n\nmax_pending: 10MB\nclient_advertise: \"me:5\"\n",
		"port":           "server_name: n\nmax_pending: 10MB\nport: 4999\n",
		"warning":        "server_name: n\nmax_pending: 10MB\nwrite_deadline: 10\n",
		"limit of files": "server_name: n\nmax_pending: 10MB\nlog_max_num: 3\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
				path := configFile(t, "server_name: n\nmax_pending: 10MB\n")
				server := harness.Start(t, seat, "-c", path)
				rewrite(t, path, after)
				server.Signal(syscall.SIGHUP)
				server.Await(`Reloaded server configuration|Failed to reload server configuration`)
				server.Stop()
				return withoutSystemAccount(sortReloaded(server.Log.Lines()))
			})
		})
	}
}

// sortReloaded puts the lines about single options into one order.
func sortReloaded(lines []string) []string {
	text := func(line string) string {
		_, what, _ := strings.Cut(line, "Reloaded: ")
		return what
	}
	for i := 0; i < len(lines); i++ {
		end := i
		for end < len(lines) && text(lines[end]) != "" {
			end++
		}
		slices.SortFunc(lines[i:end], func(a, b string) int { return strings.Compare(text(a), text(b)) })
		i = end
	}
	return lines
}

// digest depends on the paths of a test in some files.
var digest = regexp.MustCompile(`sha256:[0-9a-f]+`)

// TestReloadFiles moves the pid file and the log.
func TestReloadFiles(t *testing.T) {
	t.Parallel()
	compareLogs(t, func(t *testing.T, seat harness.Seat) []string {
		dir := t.TempDir()
		first, second, pid := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log"), filepath.Join(dir, "pid")
		path := configFile(t, fmt.Sprintf("log_file: %q\n", first))
		server := harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "-1", "-c", path)
		awaitInFile(t, server, first, "Server is ready", 1)
		rewrite(t, path, fmt.Sprintf("log_file: %q\npid_file: %q\n", second, pid))
		server.Signal(syscall.SIGHUP)
		awaitInFile(t, server, second, "Reloaded server configuration", 1)
		content, err := os.ReadFile(pid)
		if err != nil || string(content) != fmt.Sprint(server.PID()) {
			t.Errorf("pid file %q, %v", content, err)
		}
		server.Stop()
		lines := sortReloaded(slices.Concat(logOf(t, first), []string{"then"}, logOf(t, second)))
		for i := range lines {
			lines[i] = digest.ReplaceAllString(lines[i], "<digest>")
		}
		return lines
	})
}

// TestMissingPart is refused with the name of the part and the place.
func TestMissingPart(t *testing.T) {
	t.Parallel()
	path := configFile(t, "port: -1, server_name: s\ncluster { port: -1, name: a }\nmqtt { port: -1 }\n")
	code, stdout, stderr := finish(harness.Launch(t, harness.Peregrine, "-c", path))
	if code != 1 || len(stdout) > 0 || len(stderr) < 2 || !strings.HasPrefix(stderr[0], "nats-server: cluster (") ||
		!strings.Contains(stderr[0], "server.conf:2:1) needs clustering") || !strings.Contains(stderr[1], "server.conf:3:1) needs MQTT") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}
