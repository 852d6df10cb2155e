package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"peregrine/config"
	"peregrine/internal/logging"
)

// errNoConfigFile is the reference's text for a reload without a file.
var errNoConfigFile = errors.New("can only reload config when a file is provided using -c or --config")

// logPaths are the options that make up the log, which changes as a whole.
var logPaths = []string{"logtime", "logtime_utc", "log_file", "syslog", "remote_syslog", "max_traced_msg_len", "debug", "trace"}

// serverPaths are the options that the server changes by itself.
var serverPaths = []string{
	"debug", "trace", "trace_verbose", "trace_headers", "client_advertise", "max_connections", "max_control_line", "max_payload",
	"ping_interval", "ping_max", "write_deadline", "no_fast_producer_stall", "mappings",
	"authorization.user", "authorization.password", "authorization.token", "authorization.timeout", "no_auth_user",
	"proxies", "resolver", "resolver_tls", "resolver_preload", "resolver_pinned_accounts", "default_sentinel",
	"tls", "tls.timeout", "tls.pinned_certs", "tls.handshake_first", "ocsp", "ocsp_cache",
}

// livePaths are the other options that can change while the server runs, and how.
var livePaths = map[string]func(p *process){
	"pid_file":               (*process).movePIDFile,
	"ports_file_dir":         (*process).movePorts,
	"prof_block_rate":        (*process).changeBlockRate,
	"peregrine.memory_limit": (*process).changeMemoryLimit,
	"server_tags":            (*process).nothing,
	"server_metadata":        (*process).nothing,
}

// alwaysChanged are changes that every reload lists: what is in them may be
// different although the text is the same.
var alwaysChanged = []string{"authorization.users", "accounts"}

// reload reads the configuration file again and changes what may change. On an
// error nothing has changed.
func (p *process) reload() error {
	if p.settings.configFile == "" {
		return errNoConfigFile
	}
	next, warnings, err := p.settings.load()
	if err != nil {
		return err
	}
	changes, err := config.Diff(p.options, next)
	if err != nil {
		return err
	}
	if err := p.refuseFixed(changes, next); err != nil {
		return err
	}
	var newLog *logging.Change
	if slices.ContainsFunc(logPaths, changes.Has) {
		if newLog, err = p.log.Prepare(logOptions(next)); err != nil {
			return err
		}
	}
	options, err := serverOptions(next)
	if err != nil {
		if newLog != nil {
			newLog.Cancel()
		}
		return err
	}
	if err := p.server.Reload(options); err != nil {
		if newLog != nil {
			newLog.Cancel()
		}
		return err
	}
	for _, warning := range warnings {
		p.log.Warnf("%s", warning)
	}
	p.take(next, changes)
	if newLog != nil {
		if err := newLog.Commit(); err != nil {
			p.log.Errorf("The old log stays in use: %v", err)
		}
	}
	p.log.Noticef("Reloaded server configuration (%s)", next.Digest)
	return nil
}

// take makes next the configuration in effect and tells what is new in it.
func (p *process) take(next *config.Options, changes config.Changes) {
	p.use(next)
	for _, change := range changes {
		if apply := livePaths[change.Path]; apply != nil {
			apply(p)
		}
		if change.Log != "" {
			p.log.Noticef("%s", change.Log)
		}
	}
}

// refuseFixed returns an error for the first change that the configuration
// allows and that this program cannot make while it runs.
func (p *process) refuseFixed(changes config.Changes, next *config.Options) error {
	for _, change := range changes {
		path := change.Path
		if path == "" || livePaths[path] != nil || isAside(path) {
			continue
		}
		if slices.Contains(logPaths, path) || slices.Contains(serverPaths, path) || slices.Contains(alwaysChanged, path) {
			continue
		}
		old, new := valuesOf(path, p.options, next)
		return fmt.Errorf("config reload not supported for %s: old=%v, new=%v", path, old, new)
	}
	return nil
}

// isAside says whether an option tunes what this version does not have, so that
// there is nothing to change.
func isAside(path string) bool {
	return slices.ContainsFunc(config.Table(), func(o config.Option) bool {
		return o.Path == path && o.Aside && o.Waiting != ""
	})
}

// valuesOf returns an option's value in two configurations, for a message.
func valuesOf(path string, a, b *config.Options) (inA, inB any) {
	for _, row := range config.Table() {
		if row.Path == path && !row.Secret {
			inA, _ = row.Get(a)
			inB, _ = row.Get(b)
		}
	}
	return inA, inB
}

// nothing is for options that are read where they are shown.
func (p *process) nothing() {}

func (p *process) movePIDFile() {
	if path := p.options.PidFile; path != "" {
		if err := writePIDFile(path); err != nil {
			p.log.Errorf("Failed to write pidfile: %v", err)
		}
	}
}

func (p *process) movePorts() {
	p.removePorts()
	p.writePorts()
}

// changeBlockRate sets how much of the time spent waiting is profiled.
func (p *process) changeBlockRate() {
	rate := p.options.ProfBlockRate
	runtime.SetBlockProfileRate(rate)
	if rate > 0 {
		p.log.Warnf("Block profiling is enabled (rate %d), this may have a performance impact", rate)
	}
}

// changeMemoryLimit sets the limit of the configuration, or that of the
// environment.
func (p *process) changeMemoryLimit() {
	limit := p.options.Peregrine.MemoryLimit
	if limit <= 0 {
		limit = p.memoryLimit
	}
	debug.SetMemoryLimit(limit)
}
