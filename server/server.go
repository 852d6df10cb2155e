package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys"

	"peregrine/account"
	"peregrine/loop"
)

// Logger takes log lines without waiting for where they go.
type Logger interface {
	Noticef(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Debugf(format string, args ...any)
	Tracef(format string, args ...any)
}

// Server is one running server.
type Server struct {
	opts  atomic.Pointer[Options] // replaced as a whole by Reload
	log   Logger
	id    string
	pair  nkeys.KeyPair // of id
	xkey  string
	curve nkeys.KeyPair // of xkey
	node  string        // a hash of the name, for subjects that belong to this server

	group    *loop.Group
	listener *loop.Listener
	workers  []*worker
	accounts *liveAccounts
	global   *liveAccount
	proofs   proofs
	// permissions are those of users that no configuration knows.
	permissions account.Shared
	counters    []account.Counters
	started     time.Time

	tls           atomic.Pointer[listenerTLS] // nil: none
	handshakes    rateLimit
	peerCache     peerCache
	info          atomic.Pointer[Info] // what all clients are told
	clientLimits  atomic.Pointer[loop.Limits]
	connections   atomic.Int64 // open or being opened
	totalConns    atomic.Int64
	slowConsumers atomic.Int64
	staleConns    atomic.Int64

	mu       sync.Mutex // guards the next three
	running  bool
	lameDuck bool
	stopped  bool
	quit     chan struct{} // closed when Shutdown begins
	done     chan struct{} // closed when it has ended

	closed    closedRecords
	internal  internalState
	queues    internalQueues
	traces    *traceQueue
	outbox    outbox
	sysSeq    atomic.Uint64 // of system messages
	claims    *claims       // in operator mode
	notPinned atomic.Int64  // users of accounts that are not pinned
	linking   linking
}

// New checks o and returns a server that does nothing yet.
func New(o Options, log Logger) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	pair, id, err := newID()
	if err != nil {
		return nil, err
	}
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		return nil, fmt.Errorf("creating the server's curve key: %w", err)
	}
	xkey, err := curve.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("creating the server's curve key: %w", err)
	}
	if o.ServerName == "" {
		o.ServerName = id
	}
	s := &Server{
		log: log, id: id, pair: pair, xkey: xkey, curve: curve, node: nodeOf(o.ServerName),
		counters: make([]account.Counters, o.Loops),
		quit:     make(chan struct{}), done: make(chan struct{}), started: time.Now(),
	}
	s.outbox.in = make(chan notice, outboxSize)
	s.underOperators(&o)
	book, err := s.linking.plan(&o)
	if err != nil {
		return nil, err
	}
	s.accounts = newLiveAccounts(s, o.Loops, o.Directory)
	s.global = s.accounts.find(account.Global)
	s.opts.Store(&o)
	s.linkAll(book)
	s.closed.max = o.MaxClosedClients
	s.clientLimits.Store(clientLimits(&o))
	if err := s.loadClaims(); err != nil {
		return nil, err
	}
	if err := s.setTLS(&o, false); err != nil {
		return nil, err
	}
	return s, nil
}

// newID returns a fresh public server key: an id that is unique and that other
// servers accept as one.
func newID() (pair nkeys.KeyPair, id string, err error) {
	pair, err = nkeys.CreateServer()
	if err == nil {
		id, err = pair.PublicKey()
	}
	if err != nil {
		return nil, "", fmt.Errorf("creating the server's id: %w", err)
	}
	return pair, id, nil
}

// stallSoft is where producers begin to be slowed for a receiver that lags: a
// backlog of that size keeps the receiver busy while they wait, also when it is
// made of a few large messages.
const stallSoft = 8 << 20

func clientLimits(o *Options) *loop.Limits {
	l := &loop.Limits{PendingMax: o.MaxPending, WriteDeadline: o.WriteDeadline, RetryWrites: o.WriteTimeout == "retry"}
	// The thresholds also tell where PendingMax is looked at, so they stay set
	// when producers are not to be slowed.
	l.StallSoft = min(stallSoft, o.MaxPending/4)
	l.StallHard = o.MaxPending / 4 * 3
	if o.NoFastProducerStall {
		l.StallSoft, l.StallHard = o.MaxPending, o.MaxPending
	}
	return l
}

// ID returns the server's id, a public nkey.
func (s *Server) ID() string { return s.id }

// Name returns the server's name, its id if none was given.
func (s *Server) Name() string { return s.options().ServerName }

// Options returns what the server runs with, defaults filled in.
func (s *Server) Options() Options { return *s.options() }

func (s *Server) options() *Options { return s.opts.Load() }

// Addr returns the address that clients connect to; nil before Start.
func (s *Server) Addr() *net.TCPAddr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Start opens the listener and returns when clients can connect.
func (s *Server) Start() error {
	s.banner()
	if f := s.options().BeforeListen; f != nil {
		if err := f(); err != nil {
			return err
		}
	}
	group, err := s.startLoops()
	if err != nil {
		return err
	}
	port := s.options().Port
	if port == -1 {
		port = 0
	}
	address := net.JoinHostPort(s.options().Host, strconv.Itoa(port))
	ln, err := loop.Listen(address)
	if err != nil {
		group.Stop()
		return fmt.Errorf("Error listening on port: %s, %q", address, err.Error()) //nolint:staticcheck // the text is the reference's
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		ln.Close()
		group.Stop()
		return errors.New("server was shut down while it started")
	}
	s.group, s.listener, s.running = group, ln, true
	s.mu.Unlock()
	s.internal.ready.Store(true)
	s.startQueues()
	info := s.baseInfo(ln.Addr())
	s.info.Store(&info)
	if err := s.startClaims(); err != nil {
		s.Shutdown()
		return err
	}
	s.log.Noticef("Listening for client connections on %s", net.JoinHostPort(s.options().Host, strconv.Itoa(ln.Addr().Port)))
	s.startTLS()
	err = ln.Serve(s.accept, func(err error, retry time.Duration) {
		s.log.Errorf("Temporary Client Accept Error (%v), sleeping %dms", err, retry.Milliseconds())
	})
	if err != nil {
		s.Shutdown()
		return err
	}
	s.log.Noticef("Server is ready")
	return nil
}

// banner logs what starts.
func (s *Server) banner() {
	s.log.Noticef("Starting nats-server")
	s.log.Noticef("  Version:  %s", Version)
	s.log.Noticef("  Git:      [%s]", gitCommit())
	s.log.Debugf("  Go build: %s", runtime.Version())
	s.log.Noticef("  Name:     %s", s.options().ServerName)
	s.log.Noticef("  ID:       %s", s.id)
	for i := range s.options().Loops {
		if len(s.options().PinCPUs) > 0 {
			s.log.Noticef("  Loop %d:   CPU %d", i, s.options().PinCPUs[i])
		}
	}
	if len(s.options().PinCPUs) == 0 {
		s.log.Noticef("  Loops:    %d, not pinned", s.options().Loops)
	}
	if s.directory().PlainPasswords() {
		s.log.Warnf("Plaintext passwords detected, use nkeys or bcrypt")
	}
}

// gitCommit returns the revision this binary was built from, or "not set".
func gitCommit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" && len(kv.Value) >= 7 {
				return kv.Value[:7]
			}
		}
	}
	return "not set"
}

func (s *Server) startLoops() (*loop.Group, error) {
	s.workers = make([]*worker, s.options().Loops)
	return loop.NewGroup(loop.Config{
		Loops: s.options().Loops, PinCPUs: s.options().PinCPUs, NewEngine: s.options().NewEngine,
		PartialMax: int(s.options().MaxControlLine) + 1<<10,
		Start: func(l *loop.Loop) {
			w := newWorker(s, l)
			s.workers[l.Index()] = w
			l.Local = w
		},
		Fail: func(l *loop.Loop, err error) {
			s.log.Fatalf("Event loop %d failed: %v", l.Index(), err)
		},
	})
}

func (s *Server) baseInfo(addr *net.TCPAddr) Info {
	info := Info{
		ID: s.id, Name: s.options().ServerName, Version: Version, Proto: 1, Go: runtime.Version(),
		Host: s.options().Host, Port: addr.Port, Headers: !s.options().NoHeaders,
		MaxPayload: s.options().MaxPayload, APILevel: jsAPILevel, XKey: s.xkey,
	}
	if t := s.options().TLS; t != nil {
		info.TLSRequired, info.TLSAvailable, info.TLSVerify = !t.AllowNonTLS, t.AllowNonTLS, t.Verify
	}
	if c := gitCommit(); c != "not set" {
		info.GitCommit = c
	}
	if host, port, err := net.SplitHostPort(s.options().ClientAdvertise); err == nil {
		info.Host = host
		if n, err := strconv.Atoi(port); err == nil && n != 0 {
			info.Port = n
		}
	}
	return info
}

// accept runs on the listener's goroutine.
func (s *Server) accept(fd int, peer netip.AddrPort) {
	n := s.connections.Add(1)
	s.totalConns.Add(1)
	full := s.options().MaxConn < 0 || n > int64(s.options().MaxConn)
	id := s.group.NextID()
	ok := s.group.Adopt(fd, id, func(c *loop.Conn) loop.Handler {
		return c.Loop().Local.(*worker).open(c, peer, full)
	})
	if !ok {
		s.connections.Add(-1)
		loop.CloseFD(fd)
	}
}

// Shutdown closes every connection and returns when nothing runs any more. It
// may be called from several goroutines; all but the first wait.
func (s *Server) Shutdown() {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		<-s.done
		return
	}
	s.stopped = true
	running := s.running
	s.mu.Unlock()
	s.log.Noticef("Initiating Shutdown...")
	close(s.quit)
	if running {
		s.listener.Close()
		s.log.Debugf("Client accept loop exiting..")
		s.closeAll()
		s.group.Stop()
	}
	s.internal.queues.Wait()
	s.stopClaims()
	s.closeTLS()
	s.log.Noticef("Server Exiting..")
	close(s.done)
}

// shutdownFlush is how long Shutdown lets clients take their last bytes.
const shutdownFlush = time.Second

// closeAll closes the sessions and waits, for a bounded time, until what was
// queued for them is written.
func (s *Server) closeAll() {
	for _, w := range s.workers {
		w.lp.Post(func() { w.each(func(c *session) { c.close(ServerShutdown) }) })
	}
	deadline := time.Now().Add(shutdownFlush)
	for s.connections.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
}

// Wait returns when the server has ended.
func (s *Server) Wait() { <-s.done }

// Ended is closed when the server has ended.
func (s *Server) Ended() <-chan struct{} { return s.done }
