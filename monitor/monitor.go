package monitor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"log"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// Limits on HTTP peers. Header limits are the reference's; the others keep a
// peer that stops reading or writing from holding a connection for ever.
const (
	headerTimeout  = 5 * time.Second
	headerBytesMax = 1 << 20
	readTimeout    = 30 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	closePatience  = time.Second
)

// Logger is where the monitor tells what happens to it.
type Logger interface {
	Noticef(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Options say where to listen.
type Options struct {
	Host string
	Port int // -1 = random
	// BasePath goes in front of all paths.
	BasePath string
	TLS      *tls.Config // nil: without
}

// Monitor serves the endpoints of one source.
type Monitor struct {
	source   Source
	log      Logger
	options  Options
	listener net.Listener
	server   *http.Server
	process  processSampler

	walk sync.Mutex // held while a handler visits every connection

	mu       sync.Mutex // guards requests
	requests map[string]uint64
}

// Start listens and serves until Close. The error reads as the reference's
// does after "Can't start monitoring: ".
func Start(o Options, source Source, log Logger) (*Monitor, error) {
	port := o.Port
	if port == -1 {
		port = 0
	}
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("can't listen to the monitor port: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		port = tcp.Port
	}
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
		l = tls.NewListener(l, o.TLS)
	}
	m := &Monitor{source: source, log: log, options: o, listener: l, requests: map[string]uint64{}}
	m.server = newHTTPServer(m.handler(), log)
	log.Noticef("Starting %s monitor on %s", scheme, net.JoinHostPort(o.Host, strconv.Itoa(port)))
	go m.serve()
	return m, nil
}

// Addr is the address that the monitor listens on.
func (m *Monitor) Addr() net.Addr { return m.listener.Addr() }

// Close stops listening, gives answers under way a moment to end and cuts the
// rest.
func (m *Monitor) Close() { shutdown(m.server) }

func (m *Monitor) serve() {
	if err := m.server.Serve(m.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		m.log.Errorf("monitoring: %v", err)
	}
}

func newHTTPServer(h http.Handler, l Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          log.New(errorWriter{l}, "", 0),
	}
}

func shutdown(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// errorWriter turns net/http's log lines into ours.
type errorWriter struct{ log Logger }

func (w errorWriter) Write(p []byte) (int, error) {
	w.log.Errorf("monitoring: %s", p)
	return len(p), nil
}

// endpoint is one path. serve returns an error, before it wrote anything, for
// parameters that make no sense; its text is the answer.
type endpoint struct {
	path    string
	counted string // its name in http_req_stats, empty = not counted
	serve   func(m *Monitor, w http.ResponseWriter, r *http.Request) error
}

var endpoints = []endpoint{
	{"/varz", "/varz", (*Monitor).serveVarz},
	{"/connz", "/connz", (*Monitor).serveConnz},
	{"/subsz", "/subsz", (*Monitor).serveSubsz},
	{"/subscriptionsz", "/subsz", (*Monitor).serveSubsz},
	{"/healthz", "/healthz", (*Monitor).serveHealthz},
	{"/routez", "/routez", (*Monitor).serveRoutez},
	{"/gatewayz", "/gatewayz", (*Monitor).serveGatewayz},
	{"/leafz", "/leafz", (*Monitor).serveLeafz},
	{"/jsz", "/jsz", (*Monitor).serveJsz},
	{"/ipqueuesz", "", (*Monitor).serveIPQueuesz},
	{"/raftz", "", (*Monitor).serveRaftz},
	{"/stacksz", "", (*Monitor).serveStacksz},
	{"/debug/vars", "", (*Monitor).serveVariables},
}

// serveVariables shows the program's arguments and the state of its memory.
func (m *Monitor) serveVariables(w http.ResponseWriter, r *http.Request) error {
	expvar.Handler().ServeHTTP(w, r)
	return nil
}

// basePath begins all paths, without a slash at the end unless it is all there is.
func (m *Monitor) basePath() string { return path.Clean("/" + m.options.BasePath) }

// handler routes by exact path: the reference redirects nothing.
func (m *Monitor) handler() http.Handler {
	base := m.basePath()
	byPath := map[string]endpoint{base: {"/", "/", (*Monitor).serveRoot}}
	for _, e := range endpoints {
		byPath[path.Join(base, e.path)] = e
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := byPath[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if e.counted != "" {
			m.mu.Lock()
			m.requests[e.counted]++
			m.mu.Unlock()
		}
		if err := e.serve(m, w, r); err != nil {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, err)
		}
	})
}

// requestCounts copies http_req_stats.
func (m *Monitor) requestCounts() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := make(map[string]uint64, len(m.requests))
	for path, n := range m.requests {
		counts[path] = n
	}
	return counts
}

// writeJSON sends v indented as the reference indents.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	setJSONHeaders(w)
	_, _ = w.Write(body) // a reader that hung up is nobody's error
	return nil
}

func setJSONHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
}
