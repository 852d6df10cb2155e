package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// expect runs the program with args and compares what a user sees. out and err
// are what the streams must contain; empty means that nothing was written.
func expect(t *testing.T, args string, status int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(strings.Fields(args), &stdout, &stderr); got != status {
		t.Errorf("%q: status %d, want %d", args, got, status)
	}
	check := func(name, got, want string) {
		t.Helper()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %s is %q, want %q", args, name, got, want)
		}
	}
	check("stdout", stdout.String(), out)
	check("stderr", stderr.String(), err)
}

const versionLine = "nats-server: v2.15.2 (peregrine 0.1.0-dev"

// I2, I3: words, help, version and syntax errors, as nats-server has them.
func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"-v", "--version", "-version", "version", "VERSION", "-D version", "-v foo", "-v -h", "version foo"} {
		expect(t, args, 0, versionLine, "")
	}
	for _, args := range []string{"-h", "--help", "help", "Help", "-h foo"} {
		expect(t, args, 0, "\nUsage: peregrine [options]\n", "")
	}
	expect(t, "foo", 1, "", `nats-server: unrecognized command: "foo"`+"\n")
	expect(t, "-p 4222 extra", 1, "", `nats-server: unrecognized command: "extra"`)
	expect(t, "foo version", 1, "", `nats-server: unrecognized command: "foo"`)
	expect(t, "-", 1, "", `nats-server: unrecognized command: "-"`)
}

func TestSyntaxErrors(t *testing.T) {
	check := func(args, message string) {
		t.Helper()
		expect(t, args, 0, "Usage: peregrine", message+"\n")
	}
	check("-x", "flag provided but not defined: -x")
	check("--no-such=1", "flag provided but not defined: -no-such")
	check("-p abc", `invalid value "abc" for flag -p: parse error`)
	check("-p", "flag needs an argument: -p")
	check("-D=maybe", `invalid boolean value "maybe" for -D: parse error`)
	check("-DV=maybe", `invalid boolean value "maybe" for -DV: parse error`)
	check("-=3", "bad flag syntax: -=3")
	check("-h -x", "flag provided but not defined: -x")
}

func TestHelpShowsEveryOption(t *testing.T) {
	var out bytes.Buffer
	printUsage(&out)
	help := out.String()
	last := -1
	for _, section := range sections {
		i := strings.Index(help, "\n"+section+":\n")
		if i <= last {
			t.Errorf("section %s is missing or out of order", section)
		}
		last = i
	}
	words := strings.FieldsFunc(help, func(r rune) bool { return strings.ContainsRune(" \n,", r) })
	for _, o := range options {
		if !slices.Contains(words, spelling(o.names[0])) {
			t.Errorf("%s is not in the help", spelling(o.names[0]))
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 110 {
			t.Errorf("line too long: %q", line)
		}
	}
}

// I1: the table is sane, whatever is added to it.
func TestOptionTable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range options {
		for _, name := range o.names {
			if seen[name] {
				t.Errorf("-%s is declared twice", name)
			}
			seen[name] = true
		}
		if (o.needs == "") != (o.section != "" && o.help != "") {
			t.Errorf("-%s must either be honoured, with a section and help, or name what it needs", o.names[0])
		}
		if o.section != "" && !slices.Contains(sections, o.section) {
			t.Errorf("-%s is in an unknown section", o.names[0])
		}
	}
}

func mustParse(t *testing.T, args string) *settings {
	t.Helper()
	s, rest, err := parse(strings.Fields(args))
	if err != nil || len(rest) > 0 {
		t.Fatalf("%q: %v %v", args, rest, err)
	}
	if err := s.check(); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return s
}

func TestSpellings(t *testing.T) {
	for _, args := range []string{"-a h -p 1 -n x -P f -m 2 -l g", "--addr h --port 1 --name x --pid f --http_port 2 --log g",
		"-net=h -port=1 -server_name=x -pid=f -http_port=2 -log=g", "--net=h --port=1 --server_name=x --pid=f --http_port=2 --log=g"} {
		s := mustParse(t, args)
		if s.host != "h" || s.port != 1 || s.name != "x" || s.pidFile != "f" || s.httpPort != 2 || s.logFile != "g" {
			t.Errorf("%q: %+v", args, s)
		}
	}
	s := mustParse(t, "")
	if s.host != "0.0.0.0" || !s.logTime || s.debug || s.trace || s.engine != "gnet" {
		t.Errorf("defaults: %+v", s)
	}
	s = mustParse(t, "-T=false -logtime_utc --client_advertise me:1 --loops 3 --engine e --profile -1")
	if s.logTime || !s.logUTC || s.clientAdvertise != "me:1" || s.loops != 3 || s.engine != "e" || s.profilePort != -1 {
		t.Errorf("%+v", s)
	}
	for args, want := range map[string][2]bool{"-D": {true, false}, "--debug": {true, false}, "-V": {false, true}, "-trace": {false, true},
		"-VV": {false, true}, "-DV": {true, true}, "--DVV": {true, true}, "-DV=false": {false, false}, "-D -DV=false": {true, false}} {
		if s := mustParse(t, args); [2]bool{s.debug, s.trace} != want {
			t.Errorf("%q: debug %v, trace %v", args, s.debug, s.trace)
		}
	}
}

// Options of parts that do not exist are refused, never ignored.
func TestRefusedOptions(t *testing.T) {
	for _, o := range options {
		if o.needs == "" {
			continue
		}
		for _, name := range o.names {
			args := "-" + name
			if o.arg != "" {
				args += " x"
			}
			expect(t, args, 1, "", "nats-server: option "+spelling(name)+" needs "+o.needs+"\n")
		}
	}
	expect(t, "-js -c x", 1, "", "nats-server: option -c needs a configuration file, which this version does not read yet\nnats-server: option -js needs JetStream")
	if s := mustParse(t, "-js=false --tls=false"); len(s.refused) > 0 {
		t.Errorf("switched off and still refused: %q", s.refused)
	}
}

func TestServerRefusesWhatCannotBe(t *testing.T) {
	expect(t, "-a 127.0.0.1 -p -1 --engine io_uring", 1, "", `nats-server: engine "io_uring" is not part of this build`)
	expect(t, "-a 127.0.0.1 -p -1 --loops -3", 1, "", "nats-server: loops must be")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 1023", 1, "", "CPU 1023")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 0 --loops 2", 1, "", "nats-server: pin-cpus names 1 CPUs for 2 loops")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 0,0", 1, "", `nats-server: option --pin-cpus: "0,0": CPU 0 is named twice`)
	expect(t, "-a 127.0.0.1 -p -1 -l /no/such/dir/x.log", 1, "", "nats-server: error opening file: open /no/such/dir/x.log: no such file or directory")
}

func TestParseCPUs(t *testing.T) {
	check := func(list string, want ...int) {
		t.Helper()
		if got, err := parseCPUs(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", list, got, err, want)
		}
	}
	check("0", 0)
	check("0,2-5", 0, 2, 3, 4, 5)
	check("7, 3-3,1", 7, 3, 1)
	fails := func(list, want string) {
		t.Helper()
		if got, err := parseCPUs(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v, want %q", list, got, err, want)
		}
	}
	fails("", "a CPU number is missing")
	fails("1,", "a CPU number is missing")
	fails("1--3", `"-3" is no CPU number`)
	fails("-1", "a CPU number is missing")
	fails("3-1", "the range 3-1 runs backwards")
	fails("1-2-3", `"2-3" is no CPU number`)
	fails("x", `"x" is no CPU number from 0 to 1023`)
	fails("0-999999999", `"999999999" is no CPU number`)
	fails("1,0-2", "CPU 1 is named twice")
}
