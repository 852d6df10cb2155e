package operator

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"peregrine/conformance/harness"
)

// TestVersion prints the line that scripts parse.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, spelling := range []string{"-v", "--v", "-version", "--version", "version", "VERSION"} {
		t.Run(spelling, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, spelling))
				line := ""
				if len(stdout) > 0 {
					line, _, _ = strings.Cut(stdout[0], " (") // Peregrine adds its own
				}
				return fmt.Sprintln(code, len(stdout), line, stderr)
			})
		})
	}
}

// TestHelp goes to standard output, with exit code 0.
func TestHelp(t *testing.T) {
	t.Parallel()
	heading := regexp.MustCompile(`^(Server|Logging|Common) Options:$`)
	for _, spelling := range []string{"-h", "--h", "-help", "--help", "help", "Help"} {
		t.Run(spelling, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, spelling))
				headings := slices.DeleteFunc(slices.Clone(stdout), func(line string) bool { return !heading.MatchString(line) })
				return fmt.Sprintln(code, headings, stderr)
			})
		})
	}
}

// TestMistakes compares what wrong arguments are answered with: exit code and
// first line, and on which stream it is.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown flag":      {"--no_such_flag"},
		"unknown short":     {"-Q"},
		"port no number":    {"-p", "abc"},
		"port missing":      {"-p"},
		"bool no bool":      {"-D=maybe"},
		"unknown command":   {"foo"},
		"command and flags": {"-p", "-1", "foo"},
		"blank in name":     {"-n", "a b", "-p", "-1", "-a", "127.0.0.1"},
		"three dashes":      {"---p", "1"},
		"dash equals":       {"-=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, args...))
				first := func(lines []string) string {
					if len(lines) == 0 {
						return ""
					}
					if strings.HasPrefix(strings.TrimSpace(lines[0]), "Usage:") {
						return "usage"
					}
					return lines[0]
				}
				return fmt.Sprintf("exit code %d, stdout %q, stderr %q", code, first(stdout), first(stderr))
			})
		})
	}
}

// TestSpellings starts servers with flags in all their forms.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-a", "127.0.0.1", "-p", "-1"},
		{"--addr", "127.0.0.1", "--port", "-1"},
		{"-net", "127.0.0.1", "-port=-1"},
		{"--net=127.0.0.1", "--p=-1", "-name", "x"},
		{"-addr=127.0.0.1", "-p=-1", "--server_name=x", "-D=false", "-V=true"},
		{"-a", "localhost", "-p", "-1", "-DV"},
		{"--a=127.0.0.1", "--p", "-1", "--DV=true", "--T=true"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			harness.Each(t, func(t *testing.T, seat harness.Seat) {
				server := harness.Launch(t, seat, args...)
				server.Await(`Server is ready$`)
				address := server.Await(`Listening for client connections on (\S+)$`)[1]
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				hello := make([]byte, 5)
				if _, err := conn.Read(hello); err != nil || string(hello) != "INFO " {
					t.Errorf("greeting %q, error %v", hello, err)
				}
			})
		})
	}
}

// TestSecretArguments compares what debugging shows of arguments with secrets in
// them.
func TestSecretArguments(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"user":   {"--user", "bob", "-pass=s3cret"},
		"token":  {"-D", "--auth=s3cret", "-n", "s"},
		"around": {"-T=false", "-user=bob", "--pass", "s3cret", "-l", "/dev/stderr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				server := harness.Start(t, seat, append([]string{"-m", "-1"}, args...)...)
				status, _, body := get(t, server, "/debug/vars")
				var shown struct{ Cmdline []string }
				if err := json.Unmarshal(body, &shown); err != nil || len(shown.Cmdline) == 0 {
					t.Fatalf("%d, %v: %s", status, err, body)
				}
				if strings.Contains(string(body), "s3cret") || strings.Contains(strings.Join(server.Log.Lines(), "\n"), "s3cret") {
					t.Error("a secret is shown")
				}
				return strings.Join(shown.Cmdline[1:], " ")
			})
		})
	}
}

// TestHostName compares how the log names a host that was given by its name.
func TestHostName(t *testing.T) {
	t.Parallel()
	port := regexp.MustCompile(`\d+$`)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		server := harness.Start(t, seat, "-a", "localhost", "-m", "-1", "--profile", "-1")
		var outcome strings.Builder
		for _, pattern := range []string{`\[INF\] (Listening for client connections on .*)$`, `\[INF\] (Starting http monitor on .*)$`, `\[INF\] (profiling port: .*)$`} {
			fmt.Fprintln(&outcome, port.ReplaceAllString(server.Await(pattern)[1], "<port>"))
		}
		return outcome.String()
	})
}

// TestNoFlagIgnored walks the reference's flags: Peregrine either has each or
// refuses to start with it, by name.
func TestNoFlagIgnored(t *testing.T) {
	t.Parallel()
	_, stdout, _ := finish(harness.Launch(t, harness.Reference, "-h"))
	flag := regexp.MustCompile(`\s--?([A-Za-z_]+)(?:,\s*--?([A-Za-z_]+))?(?:,\s*--?([A-Za-z_]+))?`)
	found := 0
	for _, line := range stdout {
		head := line[:min(len(line), 36)]
		match := flag.FindStringSubmatch(head)
		if !strings.HasPrefix(line, "    ") || match == nil {
			continue
		}
		for _, name := range match[1:] {
			if name == "" || harness.HasFlag(t, harness.Peregrine, name) {
				continue
			}
			found++
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				args := []string{"-a", "127.0.0.1", "-p", "-1", "-" + name + "=1"} // right for switches too
				code, stdout, stderr := finish(harness.Launch(t, harness.Peregrine, args...))
				text := strings.Join(append(stdout, stderr...), "\n")
				if code != 1 || !strings.Contains(text, name) {
					t.Errorf("exit code %d, output %q", code, text)
				}
			})
		}
	}
	t.Logf("%d flags of the reference are refused", found)
}

// TestPortInUse compares the end of a server that finds its port taken.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"client port":  {"-p", port},
		"monitor port": {"-p", "-1", "-m", port},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
				code, stdout, stderr := finish(harness.Launch(t, seat, append([]string{"-a", "127.0.0.1"}, args...)...))
				fatal := slices.DeleteFunc(stderr, func(line string) bool { return !strings.Contains(line, "[FTL]") })
				return fmt.Sprintf("exit code %d\n%q\n%s", code, stdout, strings.Join(fatal, "\n"))
			})
		})
	}
}

// TestPortOutOfRange is refused by both, by Peregrine before it begins.
func TestPortOutOfRange(t *testing.T) {
	t.Parallel()
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		code, stdout, stderr := finish(harness.Launch(t, seat, "-a", "127.0.0.1", "-p", "99999"))
		return fmt.Sprintln(code, stdout, strings.Contains(strings.Join(stderr, "\n"), "99999"))
	})
}
