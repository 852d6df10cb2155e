package monitor

import (
	"expvar"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
)

// Profiler serves the Go profiles of this process on a port of its own, as the
// reference does with its option --profile.
type Profiler struct {
	listener net.Listener
	server   *http.Server
}

// StartProfiler listens on host and port, -1 = random, until Close.
func StartProfiler(host string, port int, log Logger) (*Profiler, error) {
	if port == -1 {
		port = 0
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("error starting profiler: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/vars", expvar.Handler())
	p := &Profiler{listener: l, server: newHTTPServer(mux, log)}
	// A profile lasts as long as its reader asked for.
	p.server.WriteTimeout = 0
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		log.Noticef("profiling port: %d", tcp.Port)
	}
	go func() { _ = p.server.Serve(l) }() // ends with http.ErrServerClosed
	return p, nil
}

// Addr is the address that the profiler listens on.
func (p *Profiler) Addr() net.Addr { return p.listener.Addr() }

// Close cuts profiles under way.
func (p *Profiler) Close() { p.server.Close() }
