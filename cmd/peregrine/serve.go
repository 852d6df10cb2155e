package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"peregrine/internal/logging"
	"peregrine/monitor"
	"peregrine/server"
)

// serve runs a server until it has stopped and returns the exit status.
func serve(s *settings, stderr io.Writer) int {
	log, err := logging.Open(logging.Options{
		File: s.logFile, NoTime: !s.logTime, UTC: s.logUTC, Debug: s.debug, Trace: s.trace,
	})
	if err != nil {
		return refuse(stderr, fmt.Errorf("error opening file: %w", err))
	}
	defer log.Close()

	p := &process{settings: s, log: log}
	options := s.serverOptions()
	options.BeforeListen = p.beforeListen
	if p.server, err = server.New(options, log); err != nil {
		return refuse(stderr, err)
	}
	signals, stopSignals := trapSignals()
	defer stopSignals()
	if err := p.server.Start(); err != nil {
		log.Fatalf("%v", err)
	}
	stopped := make(chan struct{})
	go func() {
		p.server.Wait()
		close(stopped)
	}()
	p.attend(signals, stopped)
	p.closeMonitors()
	return 0
}

// serverOptions turns settings into the server's terms.
func (s *settings) serverOptions() server.Options {
	o := server.DefaultOptions()
	o.Host, o.Port, o.ServerName = s.host, s.port, s.name
	o.ClientAdvertise = s.clientAdvertise
	o.Debug, o.Trace = s.debug, s.trace
	o.Loops, o.PinCPUs = s.loops, s.cpus
	o.Engine, o.NewEngine = s.engine, engines[s.engine]
	return o
}

// process is what surrounds a server in this program.
type process struct {
	settings *settings
	log      *logging.Logger
	server   *server.Server

	// Owned by the goroutine that runs attend.
	monitor  *monitor.Monitor
	profiler *monitor.Profiler
	lameDuck bool
	shutdown sync.Once
}

// beforeListen does what must be done, or fail, before clients can connect. Its
// errors are those of Start.
func (p *process) beforeListen() (err error) {
	s := p.settings
	if s.pidFile != "" {
		if err := writePIDFile(s.pidFile); err != nil {
			return err
		}
	}
	if s.profilePort != 0 {
		if p.profiler, err = monitor.StartProfiler(s.host, s.profilePort, p.log); err != nil {
			return err
		}
	}
	if s.httpPort != 0 {
		o := monitor.Options{Host: s.host, Port: s.httpPort}
		if p.monitor, err = monitor.Start(o, source{p.server}, p.log); err != nil {
			return fmt.Errorf("Can't start monitoring: %w", err)
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

// errNoConfigFile is the reference's text for a reload without a file.
const errNoConfigFile = "can only reload config when a file is provided using -c or --config"

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
		p.log.Errorf("Failed to reload server configuration: %s", errNoConfigFile)
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
