package bench

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Bad input ends at once with a clear error and the right code.
func TestBadInput(t *testing.T) {
	fails := func(want string, args ...string) {
		t.Helper()
		code, _, stderr := command(args...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: code %d, said %q, want %q", args, code, stderr, want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := l.Addr().String()
	l.Close()

	fails("no scenario named \"nope\"", "--scenario", "nope")
	fails("1to1-16", "--scenario", "nope") // and what there is
	fails("no connection to the server", "--url", "nats://"+unused)
	fails("is not nats://", "--url", "http://"+unused)
	fails("is not nats://", "--url", "nats://")
	fails("--pid", "--url", unused, "--pid", "999999999")
	fails("unexpected argument", "pub16")
	fails("see bench --help", "--frobnicate")
	fails("--pairs", "--pairs", "0")
	fails("--duration", "--duration", "1ms")
	fails("--patience", "--patience", "1ms")
	fails("--window", "--window", "5")
	fails("--readers", "--readers", "0")
	fails("--wait-quiet", "--wait-quiet", "-1s")
	fails("--server and --reference start some", "--url", unused, "--server", "x")
	fails("CPU list", "--server-cpus", "2-x")
	fails("CPU list", "--client-cpus", "5-2")
	fails("no such file", "--server", "/nonexistent/server")
	fails("no such file", "--base-report", "/nonexistent.json")
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("0,2-5,9")
	if want := []int{0, 2, 3, 4, 5, 9}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %v", got, err)
	}
}

func TestHelpAndList(t *testing.T) {
	if code, _, stderr := command("--help"); code != exitOK || !strings.Contains(stderr, "usage: bench") {
		t.Errorf("code %d: %s", code, stderr)
	}
	code, stdout, _ := command("--list")
	if code != exitOK {
		t.Errorf("code %d", code)
	}
	for _, name := range ScenarioNames() {
		if !strings.Contains(stdout, name) {
			t.Errorf("%s is not listed", name)
		}
	}
}

// A named slot of the future is refused in words, not run.
func TestLaterScenarios(t *testing.T) {
	target := startFake(t, &fakeServer{})
	code, stdout, stderr := command("--url", target.Addr, "--scenario", "js-kv")
	if code != exitUsage || !strings.Contains(stdout, "needs JetStream") || !strings.Contains(stderr, "nothing was run") {
		t.Fatalf("code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestRunningServer(t *testing.T) {
	target := startFake(t, &fakeServer{})
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	code, stdout, stderr := command("--url", "nats://"+target.Addr, "--scenario", "1to1-128,idle1k", "--pairs", "2",
		"--duration", "20ms", "--warmup", "10ms", "--window", "131072", "--no-ceiling",
		"--json", at("r.json"), "--markdown", at("r.md"), "--html", at("r.html"))
	if code != exitFailed || !strings.Contains(stdout, "needs the server's process") {
		t.Errorf("idle memory without a process: code %d\n%s\n%s", code, stdout, stderr)
	}
	r, err := LoadReport(at("r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.scenario("1to1-128").A["msgs_per_s"]); n != 2 || r.twoSided() || r.Seats[0].Version != "fake" {
		t.Errorf("%d figures; %+v", n, r.Seats)
	}
	if strings.Contains(r.Command, dir) {
		t.Errorf("the command names a directory of this machine: %s", r.Command)
	}
	for _, name := range []string{"r.md", "r.html"} {
		if info, err := os.Stat(at(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two servers, started, with ceilings.
func TestTwoSided(t *testing.T) {
	fake := fakeCommand(t)
	wrapper := filepath.Join(t.TempDir(), "fake")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec '"+fake.Path+"' fake-server \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command("--server", wrapper, "--reference", wrapper, "--scenario", "rr1-64,loops2,tls1to1-1k", "--pairs", "1",
		"--duration", "20ms", "--warmup", "10ms", "--window", "131072", "--changes", "--wait-quiet", "1ms")
	if code != exitOK || !strings.Contains(stdout, "ceiling") || !strings.Contains(stdout, "too few") ||
		!strings.Contains(stdout, "does not start with TLS yet") {
		t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestSecretsStayOutOfReports(t *testing.T) {
	got := commandText([]string{"--url", "nats://u:secret@h:1", "--json=/home/me/x.json", "--server", "/opt/p", "--pairs", "3"})
	if want := "bench --url URL --json=x.json --server p --pairs 3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLoginLine(t *testing.T) {
	line := string(login{user: `a"b`, pass: "p"}.connectLine())
	if !strings.Contains(line, `"user":"a\"b","pass":"p"}`) || strings.Contains(line, "auth_token") {
		t.Error(line)
	}
}

func TestRelayRefusesBadFlags(t *testing.T) {
	if code, _, _ := command(relayVerb, "-threads", "0"); code != exitUsage {
		t.Errorf("code %d", code)
	}
	if code, _, _ := command(relayVerb, "-a", "300.0.0.1"); code != exitFailed {
		t.Errorf("code %d", code)
	}
}
