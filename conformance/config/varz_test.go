package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"peregrine/config/corpus"
	"peregrine/conformance/harness"
)

// aside are files that a test does not start with: they name places outside the
// test's folder, or log where nobody looks.
var aside = regexp.MustCompile(`(?im)^\s*"?(log_?file|syslog|remote_syslog|pid_?file|ports_file_dir|prof_port|https?|https_port|http_port|store_?dir)"?\s*[:=\s]`)

// TestEffectiveValues starts both servers with each file that both accept, and
// compares what they say of their options in /varz.
func TestEffectiveValues(t *testing.T) {
	inTestdata(t)
	files, err := corpus.Files()
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob("values/*.conf")
	if err != nil || len(own) == 0 {
		t.Fatal(own, err)
	}
	outcomes, err := os.ReadFile("outcomes.txt")
	if err != nil {
		t.Fatal(err)
	}
	rules := readRules(t, slices.Concat(files, own))
	accepted := slices.DeleteFunc(files, func(file string) bool {
		return !strings.Contains(string(outcomes), file+": sha256:")
	})
	inParallel(t, slices.Concat(own, accepted), nameOf, func(t *testing.T, file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := aside.Find(text); found != nil {
			t.Skipf("not started: it has %q", found)
		}
		if rules[nameOf(file)] == "ours" {
			t.Skip("the servers read it differently, see exceptions.txt")
		}
		ours := effective(t, harness.Peregrine, file)
		theirs := effective(t, harness.Reference, file)
		if rules[nameOf(file)] == "start" {
			if maps.Equal(ours, theirs) {
				t.Error("is an exception, but both servers do the same")
			}
			return
		}
		for _, key := range slices.Sorted(maps.Keys(theirs)) {
			if ours[key] != theirs[key] {
				t.Errorf("%s: reference %s, ours %s", key, theirs[key], ours[key])
			}
		}
		for key := range ours {
			if _, known := theirs[key]; !known {
				t.Errorf("%s: not in the reference, ours %s", key, ours[key])
			}
		}
	})
}

// moving are keys of /varz that are no options, and the ports that the test gives.
var moving = []string{
	"server_id", "version", "git_commit", "go", "port", "http_port", "start", "now", "uptime", "mem", "cores", "gomaxprocs", "gomemlimit",
	"cpu", "config_load_time", "http_req_stats", "subscriptions", "connections", "total_connections", "connect_urls", "peregrine",
}

// effective returns the options that a server shows, with the text of their values.
func effective(t *testing.T, seat harness.Seat, file string) map[string]string {
	t.Helper()
	args := []string{"-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-T=false", "-c", file}
	if harness.HasFlag(t, seat, "-sd") {
		args = append(args, "-sd", t.TempDir())
	}
	server := harness.Launch(t, seat, args...)
	monitor, ok := server.Log.Await(`Starting http monitor on (\S+)$`, harness.Patience)
	ready := false
	if ok {
		_, ready = server.Log.Await(`Server is ready$`, harness.Patience)
	}
	if !ready {
		server.Exit()
		why := server.Log.Tail(5)
		if seat == harness.Peregrine && strings.Contains(why, missingPart) {
			t.Skip(why)
		}
		// A start asks more of a file than -t. TestStartRefusals compares the words.
		return map[string]string{"start": "refused"}
	}
	defer server.Kill()
	base := baseOf(file)
	response, err := http.Get("http://" + monitor[1] + base + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("%s: %v: %.200s", seat, err, body)
	}
	values := make(map[string]string)
	for key, value := range all {
		text := string(value)
		if slices.Contains(moving, key) || key == "server_name" && text == string(all["server_id"]) {
			continue
		}
		values[key] = fmt.Sprint(text)
	}
	return values
}

// baseOf is what the paths of the monitor begin with: files that change it are
// named after it.
func baseOf(file string) string {
	if strings.Contains(nameOf(file), "base-path") {
		return "/base"
	}
	return ""
}
