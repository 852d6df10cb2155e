package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// settings are the values of the options.
type settings struct {
	host            string
	port            int
	name            string
	clientAdvertise string
	pidFile         string
	httpPort        int
	profilePort     int

	logFile      string
	logTime      bool
	logUTC       bool
	debug, trace bool

	loops   int
	pinCPUs string
	engine  string

	version, help bool

	cpus    []int    // pinCPUs, parsed by check
	refused []string // what check complains about
}

func defaultSettings() settings {
	return settings{host: "0.0.0.0", logTime: true, engine: "gnet"}
}

// Sections of the help text, in order.
const (
	sectionServer    = "Server Options"
	sectionLoops     = "Event Loop Options"
	sectionLogging   = "Logging Options"
	sectionProfiling = "Profiling Options"
	sectionCommon    = "Common Options"
)

var sections = []string{sectionServer, sectionLoops, sectionLogging, sectionProfiling, sectionCommon}

// option is one command line option.
type option struct {
	names   []string // spellings without dashes; messages use the first
	arg     string   // the help's word for the value, empty for a switch
	section string   // empty: not in the help
	help    string
	bind    binder
	// needs names the part that the option is for and that does not exist yet.
	// Such an option is parsed like any other, then refused.
	needs string
}

// binder gives one spelling of an option a place in s.
type binder func(f *flag.FlagSet, name string, s *settings)

func text(at func(*settings) *string) binder {
	return func(f *flag.FlagSet, name string, s *settings) { f.StringVar(at(s), name, *at(s), "") }
}

func number(at func(*settings) *int) binder {
	return func(f *flag.FlagSet, name string, s *settings) { f.IntVar(at(s), name, *at(s), "") }
}

func boolean(at func(*settings) *bool) binder {
	return func(f *flag.FlagSet, name string, s *settings) { f.BoolVar(at(s), name, *at(s), "") }
}

// switches turns several settings on; false leaves them as they are.
func switches(at func(*settings) []*bool) binder {
	return func(f *flag.FlagSet, name string, s *settings) {
		f.BoolFunc(name, "", func(value string) error {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return errors.New("parse error")
			}
			for _, target := range at(s) {
				*target = *target || on
			}
			return nil
		})
	}
}

var debugAndTrace = func(s *settings) []*bool { return []*bool{&s.debug, &s.trace} }

// Parts that options are refused for.
const (
	needsConfig    = "a configuration file, which this version does not read yet"
	needsTLS       = "TLS, which this version does not have yet"
	needsAuth      = "authentication, which this version does not have yet"
	needsJetStream = "JetStream, which this version does not have yet"
	needsCluster   = "clustering, which this version does not have yet"
	needsSyslog    = "logging to syslog, which this version does not have yet"
	needsRotation  = "log rotation by size, which this version does not have yet (rename the file and send SIGUSR1)"
	needsSignals   = "the signal sender, which this version does not have yet (use kill)"
	needsPortsFile = "ports files, which this version does not have yet (the log has the ports)"
	needsTraceCut  = "shortened payload traces, which this version does not have yet"
)

// refusedText and refusedSwitch make the entries of options without a part.
func refusedText(needs string, names ...string) option {
	return option{names: names, arg: "<value>", needs: needs, bind: text(func(*settings) *string { return new(string) })}
}

func refusedSwitch(needs string, names ...string) option {
	return option{names: names, needs: needs, bind: boolean(func(*settings) *bool { return new(bool) })}
}

// options is every option of the program: those it honours in the order of the
// help, then those of nats-server that it refuses.
var options = []option{
	{names: []string{"a", "addr", "net"}, arg: "<host>", section: sectionServer, help: "Bind to host address (default: 0.0.0.0)",
		bind: text(func(s *settings) *string { return &s.host })},
	{names: []string{"p", "port"}, arg: "<port>", section: sectionServer, help: "Use port for clients (default: 4222, -1 = random)",
		bind: number(func(s *settings) *int { return &s.port })},
	{names: []string{"n", "name", "server_name"}, arg: "<server_name>", section: sectionServer, help: "Server name (default: auto)",
		bind: text(func(s *settings) *string { return &s.name })},
	{names: []string{"P", "pid"}, arg: "<file>", section: sectionServer, help: "File to store PID",
		bind: text(func(s *settings) *string { return &s.pidFile })},
	{names: []string{"m", "http_port"}, arg: "<port>", section: sectionServer, help: "Use port for http monitoring (-1 = random)",
		bind: number(func(s *settings) *int { return &s.httpPort })},
	{names: []string{"client_advertise"}, arg: "<string>", section: sectionServer, help: "Client URL to advertise to clients",
		bind: text(func(s *settings) *string { return &s.clientAdvertise })},

	{names: []string{"loops"}, arg: "<number>", section: sectionLoops, help: "Event loops (default: one per CPU)",
		bind: number(func(s *settings) *int { return &s.loops })},
	{names: []string{"pin-cpus"}, arg: "<list>", section: sectionLoops, help: "CPUs for the loops, one each, e.g. 0,2-5 (default: not pinned)",
		bind: text(func(s *settings) *string { return &s.pinCPUs })},
	{names: []string{"engine"}, arg: "<name>", section: sectionLoops, help: "What drives the loops (default: gnet)",
		bind: text(func(s *settings) *string { return &s.engine })},

	{names: []string{"l", "log"}, arg: "<file>", section: sectionLogging, help: "File to redirect log output",
		bind: text(func(s *settings) *string { return &s.logFile })},
	{names: []string{"T", "logtime"}, section: sectionLogging, help: "Timestamp log entries (default: true)",
		bind: boolean(func(s *settings) *bool { return &s.logTime })},
	{names: []string{"logtime_utc"}, section: sectionLogging, help: "Timestamps in UTC instead of local timezone (default: false)",
		bind: boolean(func(s *settings) *bool { return &s.logUTC })},
	{names: []string{"D", "debug"}, section: sectionLogging, help: "Enable debugging output",
		bind: boolean(func(s *settings) *bool { return &s.debug })},
	{names: []string{"V", "trace"}, section: sectionLogging, help: "Trace the raw protocol",
		bind: boolean(func(s *settings) *bool { return &s.trace })},
	// The verbose traces add the system account, which has no traffic yet.
	{names: []string{"VV"}, section: sectionLogging, help: "Verbose trace (traces system account as well)",
		bind: switches(func(s *settings) []*bool { return []*bool{&s.trace} })},
	{names: []string{"DV"}, section: sectionLogging, help: "Debug and trace", bind: switches(debugAndTrace)},
	{names: []string{"DVV"}, section: sectionLogging, help: "Debug and verbose trace (traces system account as well)", bind: switches(debugAndTrace)},

	{names: []string{"profile"}, arg: "<port>", section: sectionProfiling, help: "Profiling HTTP port (-1 = random)",
		bind: number(func(s *settings) *int { return &s.profilePort })},

	{names: []string{"h", "help"}, section: sectionCommon, help: "Show this message",
		bind: boolean(func(s *settings) *bool { return &s.help })},
	{names: []string{"v", "version"}, section: sectionCommon, help: "Show version",
		bind: boolean(func(s *settings) *bool { return &s.version })},

	refusedText(needsConfig, "c", "config"),
	refusedSwitch(needsConfig, "t"),
	refusedText(needsSignals, "sl", "signal"),
	refusedText(needsPortsFile, "ports_file_dir"),
	refusedText(needsTLS, "ms", "https_port"),
	refusedSwitch(needsSyslog, "s", "syslog"),
	refusedText(needsSyslog, "r", "remote_syslog"),
	refusedText(needsRotation, "log_size_limit"),
	refusedText(needsTraceCut, "max_traced_msg_len"),
	refusedSwitch(needsJetStream, "js", "jetstream"),
	refusedText(needsJetStream, "sd", "store_dir"),
	refusedText(needsAuth, "user"),
	refusedText(needsAuth, "pass"),
	refusedText(needsAuth, "auth"),
	refusedSwitch(needsTLS, "tls"),
	refusedSwitch(needsTLS, "tlsverify"),
	refusedText(needsTLS, "tlscert"),
	refusedText(needsTLS, "tlskey"),
	refusedText(needsTLS, "tlscacert"),
	refusedSwitch(needsTLS, "help_tls"),
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

// parse reads args into settings and returns the words after the options. The
// error is of the command line's syntax, in the words of package flag.
func parse(args []string) (s *settings, rest []string, err error) {
	d := defaultSettings()
	s = &d
	f := flag.NewFlagSet(programName, flag.ContinueOnError)
	f.SetOutput(discard{})
	f.Usage = func() {}
	byName := make(map[string]*option)
	for i := range options {
		for _, name := range options[i].names {
			options[i].bind(f, name, s)
			byName[name] = &options[i]
		}
	}
	if err := f.Parse(args); err != nil {
		return nil, nil, err
	}
	f.Visit(func(g *flag.Flag) {
		// A switch turned off asks for nothing that is missing.
		if o := byName[g.Name]; o.needs != "" && (o.arg != "" || g.Value.String() != "false") {
			s.refused = append(s.refused, fmt.Sprintf("option %s needs %s", spelling(g.Name), o.needs))
		}
	})
	return s, f.Args(), nil
}

// check finds what the options ask for and cannot have.
func (s *settings) check() error {
	if len(s.refused) > 0 {
		return errors.New(strings.Join(s.refused, "\n"+programName+": "))
	}
	if s.pinCPUs == "" {
		return nil
	}
	cpus, err := parseCPUs(s.pinCPUs)
	if err != nil {
		return fmt.Errorf("option --pin-cpus: %w", err)
	}
	s.cpus = cpus
	return nil
}

// discard swallows what package flag prints: run prints it itself.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
