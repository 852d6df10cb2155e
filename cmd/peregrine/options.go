package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"peregrine/config"
)

// settings are what the command line says.
type settings struct {
	configFile string
	checkOnly  bool
	signal     string

	version, help, helpTLS bool

	flags   []config.Flag // for the configuration, in the order to apply them
	refused []string      // what check complains about
}

// Sections of the help text, in order.
const (
	sectionServer    = "Server Options"
	sectionLoops     = "Event Loop Options"
	sectionLogging   = "Logging Options"
	sectionAccess    = "Authorization Options"
	sectionTLS       = "TLS Options"
	sectionProfiling = "Profiling Options"
	sectionCommon    = "Common Options"
)

var sections = []string{sectionServer, sectionLoops, sectionLogging, sectionAccess, sectionTLS, sectionProfiling, sectionCommon}

// option is one command line option. One with neither own nor needs belongs to
// config, whose table knows it by the same names.
type option struct {
	names   []string // spellings without dashes; messages use the first
	arg     string   // the help's word for the value, empty for a switch
	number  bool     // the value is an integer
	several bool     // a switch that stands for several
	section string   // empty: not in the help
	help    string

	own func(s *settings, value string) // an option of this program alone
	// needs names the part that the option is for and that does not exist yet.
	// Such an option is parsed like any other, then refused.
	needs string
}

// Parts that options are refused for.
const (
	needsJetStream = "JetStream, which this version does not have yet"
	needsCluster   = "clustering, which this version does not have yet"
)

// refusedText and refusedSwitch make the entries of options without a part.
func refusedText(needs string, names ...string) option {
	return option{names: names, arg: "<value>", needs: needs}
}

func refusedSwitch(needs string, names ...string) option {
	return option{names: names, needs: needs}
}

// options is every option of the program: those it honours in the order of the
// help, then those of nats-server that it refuses.
var options = []option{
	{names: []string{"a", "addr", "net"}, arg: "<host>", section: sectionServer, help: "Bind to host address (default: 0.0.0.0)"},
	{names: []string{"p", "port"}, arg: "<port>", number: true, section: sectionServer, help: "Use port for clients (default: 4222, -1 = random)"},
	{names: []string{"n", "name", "server_name"}, arg: "<server_name>", section: sectionServer, help: "Server name (default: auto)"},
	{names: []string{"P", "pid"}, arg: "<file>", section: sectionServer, help: "File to store PID"},
	{names: []string{"m", "http_port"}, arg: "<port>", number: true, section: sectionServer, help: "Use port for http monitoring (-1 = random)"},
	{names: []string{"ms", "https_port"}, arg: "<port>", number: true, section: sectionServer, help: "Use port for https monitoring (-1 = random)"},
	{names: []string{"c", "config"}, arg: "<file>", section: sectionServer, help: "Configuration file",
		own: func(s *settings, value string) { s.configFile = value }},
	{names: []string{"t"}, section: sectionServer, help: "Test configuration and exit",
		own: func(s *settings, value string) { s.checkOnly = value == "true" }},
	{names: []string{"sl", "signal"}, arg: "<signal>[=<pid>]", section: sectionServer,
		help: "Send ldm, stop, quit, term, reopen or reload to a server",
		own:  func(s *settings, value string) { s.signal = value }},
	{names: []string{"client_advertise"}, arg: "<string>", section: sectionServer, help: "Client URL to advertise to clients"},
	{names: []string{"ports_file_dir"}, arg: "<dir>", section: sectionServer, help: "Folder for a file with the ports, <program>_<pid>.ports"},

	{names: []string{"loops"}, arg: "<number>", number: true, section: sectionLoops, help: "Event loops (default: one per CPU)"},
	{names: []string{"pin-cpus"}, arg: "<list>", section: sectionLoops, help: "CPUs for the loops, one each, e.g. 0,2-5 (default: not pinned)"},
	{names: []string{"engine"}, arg: "<name>", section: sectionLoops, help: "What drives the loops: gnet, epoll on Linux (default: auto)"},

	{names: []string{"l", "log"}, arg: "<file>", section: sectionLogging, help: "File to redirect log output"},
	{names: []string{"T", "logtime"}, section: sectionLogging, help: "Timestamp log entries (default: true)"},
	{names: []string{"logtime_utc"}, section: sectionLogging, help: "Timestamps in UTC instead of local timezone (default: false)"},
	{names: []string{"s", "syslog"}, section: sectionLogging, help: "Log to syslog"},
	{names: []string{"r", "remote_syslog"}, arg: "<addr>", section: sectionLogging, help: "Syslog server address (udp://localhost:514)"},
	{names: []string{"D", "debug"}, section: sectionLogging, help: "Enable debugging output"},
	{names: []string{"V", "trace"}, section: sectionLogging, help: "Trace the raw protocol"},
	{names: []string{"VV"}, section: sectionLogging, several: true, help: "Verbose trace (traces system account as well)"},
	{names: []string{"DV"}, section: sectionLogging, several: true, help: "Debug and trace"},
	{names: []string{"DVV"}, section: sectionLogging, several: true, help: "Debug and verbose trace (traces system account as well)"},
	{names: []string{"log_size_limit"}, arg: "<limit>", number: true, section: sectionLogging, help: "Size at which the log file is put aside, in bytes (default: none)"},
	{names: []string{"max_traced_msg_len"}, arg: "<len>", number: true, section: sectionLogging, help: "Maximum printable length for traced messages (default: unlimited)"},

	{names: []string{"user"}, arg: "<user>", section: sectionAccess, help: "User required for connections"},
	{names: []string{"pass"}, arg: "<password>", section: sectionAccess, help: "Password required for connections"},
	{names: []string{"auth"}, arg: "<token>", section: sectionAccess, help: "Authorization token required for connections"},

	{names: []string{"tls"}, section: sectionTLS, help: "Enable TLS, do not verify clients (default: false)"},
	{names: []string{"tlscert"}, arg: "<file>", section: sectionTLS, help: "Server certificate file"},
	{names: []string{"tlskey"}, arg: "<file>", section: sectionTLS, help: "Private key for server certificate"},
	{names: []string{"tlsverify"}, section: sectionTLS, help: "Enable TLS, verify client certificates"},
	{names: []string{"tlscacert"}, arg: "<file>", section: sectionTLS, help: "Client certificate CA for verification"},
	{names: []string{"help_tls"}, section: sectionTLS, help: "TLS help",
		own: func(s *settings, value string) { s.helpTLS = value == "true" }},

	{names: []string{"profile"}, arg: "<port>", number: true, section: sectionProfiling, help: "Profiling HTTP port (-1 = random)"},

	{names: []string{"h", "help"}, section: sectionCommon, help: "Show this message",
		own: func(s *settings, value string) { s.help = value == "true" }},
	{names: []string{"v", "version"}, section: sectionCommon, help: "Show version",
		own: func(s *settings, value string) { s.version = value == "true" }},

	refusedSwitch(needsJetStream, "js", "jetstream"),
	refusedText(needsJetStream, "sd", "store_dir"),
	refusedText(needsCluster, "routes"),
	refusedText(needsCluster, "cluster"),
	refusedText(needsCluster, "cluster_listen"),
	refusedText(needsCluster, "cluster_name"),
	refusedText(needsCluster, "cluster_advertise"),
	refusedSwitch(needsCluster, "no_advertise"),
	refusedText(needsCluster, "connect_retries"),
}

// spelling writes a name the way the help does: short ones with one dash.
func spelling(name string) string {
	if len(name) <= 3 && name != "net" && name != "log" && name != "pid" && name != "tls" {
		return "-" + name
	}
	return "--" + name
}

// given is the value of one spelling of an option: it takes texts for s.
type given struct {
	*option
	name string
	s    *settings
}

// String and IsBoolFlag are what package flag asks for.
func (given) String() string     { return "" }
func (g given) IsBoolFlag() bool { return g.arg == "" }

// Set checks the form of a value and keeps it. The errors are in the words of
// package flag.
func (g given) Set(value string) error {
	switch {
	case g.arg == "":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("parse error")
		}
		value = strconv.FormatBool(on)
	case g.number:
		if _, err := strconv.ParseInt(value, 0, strconv.IntSize); errors.Is(err, strconv.ErrRange) {
			return errors.New("value out of range")
		} else if err != nil {
			return errors.New("parse error")
		}
	}
	switch {
	case g.own != nil:
		g.own(g.s, value)
	case g.needs == "":
		g.s.flags = append(g.s.flags, config.Flag{Name: g.name, Value: value})
	case g.arg != "" || value == "true":
		// A switch turned off asks for nothing that is missing.
		g.s.refused = append(g.s.refused, fmt.Sprintf("option %s needs %s", spelling(g.name), g.needs))
	}
	return nil
}

// parse reads args into settings and returns the words after the options. The
// error is of the command line's syntax, in the words of package flag.
func parse(args []string) (s *settings, rest []string, err error) {
	s = new(settings)
	f := flag.NewFlagSet(programName, flag.ContinueOnError)
	f.SetOutput(discard{})
	f.Usage = func() {}
	for i := range options {
		for _, name := range options[i].names {
			f.Var(given{&options[i], name, s}, name, "")
		}
	}
	if err := f.Parse(args); err != nil {
		return nil, nil, err
	}
	s.orderFlags()
	return s, f.Args(), nil
}

// orderFlags puts the switches that stand for several behind the others, in the
// order of their names: they win, also when they turn off.
func (s *settings) orderFlags() {
	rank := func(f config.Flag) string {
		for _, o := range options {
			if o.several && o.names[0] == f.Name {
				return f.Name
			}
		}
		return ""
	}
	slices.SortStableFunc(s.flags, func(a, b config.Flag) int { return strings.Compare(rank(a), rank(b)) })
}

// redactArguments overwrites what is secret in args, which parse has accepted.
func redactArguments(args []string) {
	for i := 0; i < len(args); i++ {
		name, isOption := strings.CutPrefix(args[i], "-")
		name, value, inline := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		o := slices.IndexFunc(options, func(o option) bool { return slices.Contains(o.names, name) })
		switch {
		case !isOption || o < 0: // the end of the options
			return
		case inline:
			shown := config.RedactFlag(config.Flag{Name: name, Value: value}).Value
			args[i] = args[i][:len(args[i])-len(value)] + shown
		case options[o].arg != "":
			if i++; i < len(args) {
				args[i] = config.RedactFlag(config.Flag{Name: name, Value: args[i]}).Value
			}
		}
	}
}

// check finds what the options ask for and cannot have.
func (s *settings) check() error {
	if len(s.refused) > 0 {
		slices.Sort(s.refused)
		return errors.New(joinRefusals(s.refused))
	}
	return nil
}

// discard swallows what package flag prints: run prints it itself.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
