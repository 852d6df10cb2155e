package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"peregrine/config"
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
		if o.own == nil && o.needs == "" && !o.several && o.section != sectionTLS && !slices.ContainsFunc(config.Table(), func(row config.Option) bool { return slices.Equal(row.Flags, o.names) }) {
			t.Errorf("-%s belongs to no option of the configuration", o.names[0])
		}
		if (o.needs == "") != (o.section != "" && o.help != "") {
			t.Errorf("-%s must either be honoured, with a section and help, or name what it needs", o.names[0])
		}
		if o.section != "" && !slices.Contains(sections, o.section) {
			t.Errorf("-%s is in an unknown section", o.names[0])
		}
	}
}

// configured is the configuration that args make.
func configured(t *testing.T, args string) *config.Options {
	t.Helper()
	s, rest, err := parse(strings.Fields(args))
	if err != nil || len(rest) > 0 {
		t.Fatalf("%q: %v %v", args, rest, err)
	}
	if err := s.check(); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	o, _, err := s.load()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return o
}

func TestSpellings(t *testing.T) {
	for _, args := range []string{"-a h -p 1 -n x -P f -m 2 -l g", "--addr h --port 1 --name x --pid f --http_port 2 --log g",
		"-net=h -port=1 -server_name=x -pid=f -http_port=2 -log=g", "--net=h --port=1 --server_name=x --pid=f --http_port=2 --log=g",
		"-p 7 --port 1 -a g --net h -name x -P f -m 2 -log g"} {
		o := configured(t, args)
		if o.Host != "h" || o.Port != 1 || o.ServerName != "x" || o.PidFile != "f" || o.HTTPPort != 2 || o.LogFile != "g" {
			t.Errorf("%q: %+v", args, o)
		}
	}
	o := configured(t, "")
	if o.Host != "0.0.0.0" || o.Port != 4222 || !o.Logtime || o.Debug || o.Trace || o.Peregrine.Engine != "auto" {
		t.Errorf("defaults: %+v", o)
	}
	o = configured(t, "-T=false -logtime_utc --client_advertise me:1 --loops 3 --engine e --profile -1 --pin-cpus 0,2-5")
	if o.Logtime || !o.LogtimeUTC || o.ClientAdvertise != "me:1" || o.ProfPort != -1 {
		t.Errorf("%+v", o)
	}
	if p := o.Peregrine; p.Loops != 3 || p.Engine != "e" || !slices.Equal(p.PinCPUs, []int{0, 2, 3, 4, 5}) {
		t.Errorf("%+v", p)
	}
	o = configured(t, "-s -r udp://h:1 --log_size_limit 9 --max_traced_msg_len 8 --ports_file_dir d")
	if !o.Syslog || o.RemoteSyslog != "udp://h:1" || o.LogSizeLimit != 9 || o.MaxTracedMsgLen != 8 || o.PortsFileDir != "d" {
		t.Errorf("%+v", o)
	}
}

// I1: what an option says arrives in the configuration.
func TestOptionsReachTheConfiguration(t *testing.T) {
	for _, o := range options {
		if o.own != nil || o.needs != "" || o.section == sectionTLS { // see TestTLSOptions
			continue
		}
		for _, name := range o.names {
			value := "1"
			if o.arg == "" {
				value = "true"
			}
			set := config.New()
			if err := set.ApplyFlags([]config.Flag{{Name: name, Value: value}}, config.Env{}); err != nil {
				t.Errorf("-%s: %v", name, err)
			}
			if reflect.DeepEqual(set, config.New()) {
				t.Errorf("-%s sets nothing", name)
			}
		}
	}
}

// Switches for several levels win over those for one, as in nats-server.
func TestLevelSwitches(t *testing.T) {
	for args, want := range map[string]string{
		"-D": "debug", "--debug": "debug", "-V": "trace", "-trace": "trace", "-VV": "trace verbose", "-DV": "debug trace",
		"--DVV": "debug trace verbose", "-DV=false": "", "-D -DV=false": "", "-DV=false -D": "", "-DV=false -V -DVV": "debug trace verbose",
		"-VV=false -DV": "debug", "-D -V": "debug trace", "-D -D=false": "",
	} {
		o, got := configured(t, args), []string(nil)
		for i, on := range []bool{o.Debug, o.Trace, o.TraceVerbose} {
			if on {
				got = append(got, []string{"debug", "trace", "verbose"}[i])
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", args, got, want)
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
	expect(t, "-js --routes x", 1, "", "nats-server: option --routes needs clustering, which this version does not have yet\nnats-server: option -js needs JetStream")
	if s, _, err := parse([]string{"-js=false", "--no_advertise=false"}); err != nil || len(s.refused) > 0 {
		t.Errorf("switched off and still refused: %q, %v", s.refused, err)
	}
}

func TestServerRefusesWhatCannotBe(t *testing.T) {
	expect(t, "-a 127.0.0.1 -p -1 --engine io_uring", 1, "", `nats-server: engine "io_uring" is not part of this build`)
	expect(t, "-a 127.0.0.1 -p -1 --loops -3", 1, "", "nats-server: loops must be")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 1023", 1, "", "CPU 1023")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 0 --loops 2", 1, "", "nats-server: pin-cpus names 1 CPUs for 2 loops")
	expect(t, "-a 127.0.0.1 -p -1 --pin-cpus 0,0", 1, "", `nats-server: "0,0": CPU 0 is named twice`)
	expect(t, "-a 127.0.0.1 -p -1 -l /no/such/dir/x.log", 1, "", "nats-server: error opening file: open /no/such/dir/x.log: no such file or directory")
}
