package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit codes of Main.
const (
	exitOK          = 0
	exitFailed      = 1 // a scenario failed
	exitUsage       = 2 // bad flags, or nothing that could be run
	exitInterrupted = 130
)

// relayVerb makes Main serve as the relay; only the generator itself says it.
const relayVerb = "serve-relay"

// settings is what the command line asks for.
type settings struct {
	bench     Bench
	scenarios []*Scenario
	list      bool
	changes   bool
	base      string
	join      []string // reports to join instead of measuring
	outputs   struct{ json, markdown, html, svg string }
	clientCPU []int
}

// Main runs the benchmark command with args, which do not include the words
// that led here, and returns the exit code. The program must call Main for its
// own first argument "bench": the generator starts it so to measure ceilings.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == relayVerb {
		return relayMain(args[1:], stderr)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	s, err := parse(ctx, args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil && ctx.Err() != nil:
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	case s.list:
		writeList(stdout)
		return exitOK
	case s.join != nil:
		return s.rejoin(stdout, stderr)
	}
	return s.run(ctx, args, stdout, stderr)
}

const usage = `usage: bench [flags]

Measures NATS servers under load on this machine. Without --url it starts its
own servers on loopback, one at a time: this program and, when there is one,
the reference (--reference, or nats-server in PATH), in turn.

`

// texts are the flags that need more than the flag package to be understood.
type texts struct {
	scenario, server, reference, serverArgs, referenceArgs string
	url, ca, serverCPUs, clientCPUs, join                  string
	pid                                                    int
	noCeiling                                              bool
}

func (s *settings) define(f *flag.FlagSet) *texts {
	x, o := &texts{}, &s.bench.Options
	f.BoolVar(&s.list, "list", false, "list the scenarios and exit")
	f.StringVar(&x.scenario, "scenario", "quick", "`names` separated by commas, or quick, or full")
	f.IntVar(&s.bench.Pairs, "pairs", 5, "runs of each server, interleaved")
	f.DurationVar(&o.Duration, "duration", 700*time.Millisecond, "measured part of a run")
	f.DurationVar(&o.Warmup, "warmup", 200*time.Millisecond, "unmeasured start of a run")
	f.DurationVar(&o.Patience, "patience", o.Patience, "how long a server may stay silent, or take nothing, before it is given up")
	f.IntVar(&o.Window, "window", o.Window, "`bytes` of deliveries under way, over all subscribers")
	f.IntVar(&o.Readers, "readers", o.Readers, "reader threads of the generator")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of random subjects and of the order of seats")
	f.DurationVar(&s.bench.WaitQuiet, "wait-quiet", 0, "before each pair, wait so long at most for other processes to calm down")
	f.BoolVar(&x.noCeiling, "no-ceiling", false, "leave out the runs against a bare relay")
	f.StringVar(&x.server, "server", "", "`path` of the server in seat A (default: this program)")
	f.StringVar(&x.reference, "reference", "", "`path` of the server in seat B (default: nats-server in PATH; none: one-sided)")
	f.StringVar(&s.bench.A.Name, "server-name", "", "its `name` in reports")
	f.StringVar(&s.bench.B.Name, "reference-name", "", "its `name` in reports")
	f.StringVar(&x.serverArgs, "server-args", "", "further `arguments` for seat A, separated by blanks")
	f.StringVar(&x.referenceArgs, "reference-args", "", "further `arguments` for seat B")
	f.StringVar(&x.url, "url", "", "measure the server at nats://[user:password@]host:port or tls://…, one-sided")
	f.IntVar(&x.pid, "pid", 0, "its process `id`, if it runs on this machine: adds CPU and memory")
	f.StringVar(&x.ca, "tls-ca", "", "`file` with the certificates that sign the server's, for tls://")
	f.StringVar(&x.serverCPUs, "server-cpus", "", "pin the servers to this `list`, such as 0,2-5")
	f.StringVar(&x.clientCPUs, "client-cpus", "", "pin the generator to this `list`")
	f.BoolVar(&s.changes, "changes", false, "end with a table of what is better or worse in A than in B")
	f.StringVar(&s.base, "base-report", "", "end with the drift of ratios since this JSON `file`")
	f.StringVar(&x.join, "join", "", "measure nothing: join these reports, JSON `files` separated by commas, of one command for parts of the scenarios")
	f.StringVar(&s.outputs.json, "json", "", "write the report to this `file`")
	f.StringVar(&s.outputs.markdown, "markdown", "", "write tables to this `file`")
	f.StringVar(&s.outputs.html, "html", "", "write a page with charts to this `file`")
	f.StringVar(&s.outputs.svg, "svg", "", "write the chart of ratios to this `file`")
	return x
}

func parse(ctx context.Context, args []string, stderr io.Writer) (*settings, error) {
	s := &settings{bench: Bench{Options: DefaultOptions()}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage); f.PrintDefaults() }
	x := s.define(f)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, errors.New("see bench --help")
	case s.list:
		return s, nil
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err := s.understand(x); err != nil {
		return nil, err
	}
	if x.join != "" {
		s.join = strings.Split(x.join, ",")
		return s, nil
	}
	if x.url == "" {
		return s, s.useBinaries(ctx)
	}
	if x.reference != "" || x.server != "" {
		return nil, errors.New("--url measures one running server; --server and --reference start some")
	}
	return s, s.useURL(x.url, x.ca, x.pid)
}

// understand checks everything that can be checked without a server, and
// reports all mistakes at once.
func (s *settings) understand(x *texts) error {
	b := &s.bench
	b.Ceiling = !x.noCeiling
	b.A.Path, b.B.Path = x.server, x.reference
	b.A.Args, b.B.Args = strings.Fields(x.serverArgs), strings.Fields(x.referenceArgs)
	var errName, errServer, errClient error
	s.scenarios, errName = FindScenarios(x.scenario)
	b.A.CPUs, errServer = parseCPUs(x.serverCPUs)
	b.B.CPUs = b.A.CPUs
	s.clientCPU, errClient = parseCPUs(x.clientCPUs)
	return errors.Join(s.checkNumbers(), errName, errServer, errClient)
}

func (s *settings) checkNumbers() error {
	o := s.bench.Options
	switch {
	case s.bench.Pairs < 1 || s.bench.Pairs > 1000:
		return errors.New("--pairs: 1 to 1000")
	case o.Duration < 10*time.Millisecond || o.Duration > time.Hour:
		return errors.New("--duration: 10ms to 1h")
	case o.Warmup < 0 || o.Warmup > time.Hour:
		return errors.New("--warmup: 0 to 1h")
	case o.Patience < 100*time.Millisecond || o.Patience > time.Hour:
		return errors.New("--patience: 100ms to 1h")
	case s.bench.WaitQuiet < 0 || s.bench.WaitQuiet > time.Hour:
		return errors.New("--wait-quiet: 0 to 1h")
	case o.Window < 64<<10 || o.Window > 1<<30:
		return errors.New("--window: 65536 to 1073741824")
	case o.Readers < 1 || o.Readers > 256:
		return errors.New("--readers: 1 to 256")
	}
	if s.base != "" {
		_, err := LoadReport(s.base)
		return err
	}
	return nil
}

// useBinaries finds the servers to start.
func (s *settings) useBinaries(ctx context.Context) error {
	b := &s.bench
	if b.A.Path == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		b.A.Path = self
	}
	if b.B.Path == "" {
		b.B.Path, _ = exec.LookPath("nats-server") // none: one-sided
	}
	if err := b.A.identify(ctx); err != nil {
		return err
	}
	if b.B.Path == "" {
		return nil
	}
	if err := b.B.identify(ctx); err != nil {
		return err
	}
	if b.A.Name == b.B.Name {
		b.A.Name, b.B.Name = b.A.Name+" A", b.B.Name+" B"
	}
	return nil
}

// useURL makes sure that the server can be reached before anything is started.
func (s *settings) useURL(address, ca string, pid int) error {
	if !strings.Contains(address, "://") {
		address = "nats://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" {
		return fmt.Errorf("--url: %q is not nats://host:port or tls://host:port", address)
	}
	port := u.Port()
	if port == "" {
		port = "4222"
	}
	t := &Target{Patience: s.bench.Options.Patience, Name: u.Host, Addr: net.JoinHostPort(u.Hostname(), port), PID: pid}
	t.login.user = u.User.Username()
	pass, hasPass := u.User.Password()
	if t.login.pass = pass; !hasPass {
		t.login.token, t.login.user = t.login.user, ""
	}
	if u.Scheme == "tls" {
		if t.TLS, err = clientTLS(u.Hostname(), ca); err != nil {
			return err
		}
	}
	if pid != 0 {
		if _, err := readCPU(pid); err != nil {
			return fmt.Errorf("--pid: %w", err)
		}
	}
	c, err := dial(t)
	if err != nil {
		return err
	}
	s.bench.A.Version = c.info.Version
	c.close()
	s.bench.A.Name, s.bench.URL = t.Name, t
	return nil
}

func clientTLS(host, ca string) (*tls.Config, error) {
	conf := &tls.Config{ServerName: host}
	if ca == "" {
		return conf, nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("--tls-ca: no certificate in %s", ca)
	}
	return conf, nil
}

// parseCPUs reads a list such as 0,2-5; empty means all.
func parseCPUs(list string) (cpus []int, err error) {
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 0 || to < from || to > 1023 {
			return nil, fmt.Errorf("CPU list %q: want something like 0,2-5", list)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func writeList(w io.Writer) {
	group := ""
	for _, s := range catalogue {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(w, "%s\n", group)
		}
		mark := " "
		if s.Quick {
			mark = "*"
		}
		fmt.Fprintf(w, " %s %-16s %s\n", mark, s.Name, prefixed(s.Title+": ", s.Doc)+s.Later)
	}
	fmt.Fprintf(w, "\n* in the quick set. This machine has %d cores.\n", runtime.NumCPU())
}
