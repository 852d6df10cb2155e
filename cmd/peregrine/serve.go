package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"peregrine/config"
	"peregrine/internal/logging"
	"peregrine/monitor"
	"peregrine/server"
)

// serve runs a server until it has stopped and returns the exit status.
func serve(s *settings, stderr io.Writer) int {
	o, warnings, err := s.load()
	for _, warning := range warnings {
		if err == nil { // else they are part of it
			fmt.Fprintln(stderr, warning)
		}
	}
	if err != nil {
		return refuse(stderr, err)
	}
	p := &process{settings: s}
	p.use(o)
	options, err := serverOptions(o)
	if err != nil {
		return refuse(stderr, err)
	}
	options.BeforeListen = p.beforeListen
	log, err := logging.Open(logOptions(o))
	if err != nil {
		return refuse(stderr, err)
	}
	defer log.Close()
	p.log = log
	if p.server, err = server.New(options, log); err != nil {
		return refuse(stderr, err)
	}
	signals, stopSignals := trapSignals()
	defer stopSignals()
	reserveProcessor(p.server.Options().Loops)
	p.memoryLimit = debug.SetMemoryLimit(-1)
	p.changeMemoryLimit()
	if err := p.server.Start(); err != nil {
		log.Fatalf("%v", err)
	}
	p.writePorts()
	stopped := make(chan struct{})
	go func() {
		p.server.Wait()
		close(stopped)
	}()
	p.attend(signals, stopped)
	p.closeMonitors()
	p.removePorts()
	return 0
}

// reserveProcessor makes the Go scheduler run one goroutine more at a time than
// there are loops, since a busy loop keeps its place while it waits. The
// environment's word goes first.
func reserveProcessor(loops int) {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
}

// process is what surrounds a server in this program.
type process struct {
	settings *settings
	log      *logging.Logger
	server   *server.Server
	// memoryLimit is what the environment says, for a configuration that says nothing.
	memoryLimit int64
	// effective is options for those who do not run attend.
	effective atomic.Pointer[effective]

	// Owned by the goroutine that runs attend.
	options   *config.Options // in effect, replaced by a reload
	monitor   *monitor.Monitor
	profiler  *monitor.Profiler
	portsFile string // that was written
	lameDuck  bool
	shutdown  sync.Once
}

// effective is a configuration and since when it holds.
type effective struct {
	options *config.Options
	since   time.Time
}

// use makes o the configuration in effect.
func (p *process) use(o *config.Options) {
	p.options = o
	p.effective.Store(&effective{o, time.Now()})
}

// beforeListen does what must be done, or fail, before clients can connect. Its
// errors are those of Start.
func (p *process) beforeListen() (err error) {
	o := p.options
	if o.File != "" {
		p.log.Noticef("Using configuration file: %s (%s)", o.File, o.Digest)
	}
	if o.ProfBlockRate > 0 {
		p.changeBlockRate()
	}
	if o.PidFile != "" {
		if err := writePIDFile(o.PidFile); err != nil {
			return fmt.Errorf("Could not write pidfile: %w", err) //nolint:staticcheck // the text is the reference's
		}
	}
	if o.ProfPort != 0 {
		if p.profiler, err = monitor.StartProfiler(o.Host, o.ProfPort, p.log); err != nil {
			return err
		}
	}
	if o.HTTPPort != 0 || o.HTTPSPort != 0 {
		if err = monitorPorts(o); err == nil {
			p.monitor, err = monitor.Start(monitorOptions(o, p.server.MonitorTLS()), source{p.server, &p.effective}, p.log)
		}
		if err != nil {
			return fmt.Errorf("Can't start monitoring: %w", err) //nolint:staticcheck // the text is the reference's
		}
	}
	return nil
}

func (p *process) closeMonitors() {
	if p.monitor != nil {
		p.monitor.Close()
	}
	if p.profiler != nil {
		p.profiler.Close()
	}
}

// writePorts writes the ports file, if one is asked for. A server without it goes
// on, as the reference does.
func (p *process) writePorts() {
	folder := p.options.PortsFileDir
	if folder == "" {
		return
	}
	scheme := "nats"
	if p.options.TLS != nil {
		scheme = "tls"
	}
	all := ports{Nats: urls(scheme, p.server.Addr())}
	if p.monitor != nil {
		scheme := "http"
		if p.options.HTTPSPort != 0 {
			scheme = "https"
		}
		all.Monitoring = urls(scheme, p.monitor.Addr())
	}
	if p.profiler != nil {
		all.Profile = urls("http", p.profiler.Addr())
	}
	path := portsFile(folder)
	if err := all.write(path); err != nil {
		p.log.Errorf("Error writing ports file (%s): %v", path, err)
		return
	}
	p.portsFile = path
}

// removePorts takes the ports file away.
func (p *process) removePorts() {
	if p.portsFile == "" {
		return
	}
	if err := os.Remove(p.portsFile); err != nil {
		p.log.Errorf("Error cleaning up ports file %s: %v", p.portsFile, err)
	}
	p.portsFile = ""
}

// attend answers signals until the server has stopped.
func (p *process) attend(signals <-chan os.Signal, stopped <-chan struct{}) {
	for {
		select {
		case <-stopped:
			return
		case sig := <-signals:
			p.log.Noticef("Trapped %q signal", sig.String())
			p.answer(signalMeanings[sig])
		}
	}
}

func (p *process) answer(a action) {
	switch a {
	case actionTerm:
		// A process manager's patience must not cut a lame duck short.
		if !p.lameDuck {
			p.stop()
		}
	case actionQuit:
		p.stop()
	case actionLameDuck:
		if !p.lameDuck {
			p.lameDuck = true
			go p.server.LameDuck()
		}
	case actionReopen:
		p.reopenLog()
	case actionReload:
		if err := p.reload(); err != nil {
			p.log.Errorf("Failed to reload server configuration: %s", err)
		}
	}
}

// stop begins the shutdown; Wait tells when it is done.
func (p *process) stop() { p.shutdown.Do(func() { go p.server.Shutdown() }) }

func (p *process) reopenLog() {
	switch isFile, err := p.log.Reopen(); {
	case !isFile:
		p.log.Noticef("File log re-open ignored, not a file logger")
	case err != nil:
		p.log.Errorf("File log re-open failed, the old file stays in use: %v", err)
	default:
		p.log.Noticef("File log re-opened")
	}
}
