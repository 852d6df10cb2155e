package loop

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	gerrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// Listener accepts connections on a thread of its own, so that a storm of
// connects takes no time from the loops.
type Listener struct {
	tcp    *net.TCPListener
	fd     int // tcp's, valid until tcp is closed
	poller *netpoll.Poller
	closed chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

// Listen binds address ("host:port", port 0 for any).
func Listen(address string) (*Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &Listener{tcp: ln.(*net.TCPListener), closed: make(chan struct{})}
	raw, err := l.tcp.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { l.fd = int(fd) })
	}
	if err == nil {
		l.poller, err = netpoll.OpenPoller()
	}
	if err != nil {
		_ = l.tcp.Close()
		return nil, err
	}
	return l, nil
}

// Addr returns the bound address.
func (l *Listener) Addr() *net.TCPAddr { return l.tcp.Addr().(*net.TCPAddr) }

const (
	// acceptPauseMax is the longest wait after a temporary failure, such as
	// having no descriptor left.
	acceptPauseMax = time.Second
	// acceptBatch is how many connections are taken before looking whether to
	// stop.
	acceptBatch = 64
)

// Serve starts accepting. accept gets a non-blocking socket with TCP_NODELAY
// and keep-alive set, which it owns, and the peer's address. temporary is told
// of failures that are retried, and, with retry 0, of the one that ends the
// listener. Both run on the listener's goroutine.
func (l *Listener) Serve(accept func(fd int, peer netip.AddrPort), temporary func(err error, retry time.Duration)) error {
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: l.fd}, false); err != nil {
		return err
	}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		pause := time.Duration(0)
		err := l.poller.Polling(func(int, netpoll.IOEvent, netpoll.IOFlags) error {
			for range acceptBatch {
				fd, sa, err := socket.Accept(l.fd)
				switch {
				case err == nil:
					pause = 0
					_ = socket.SetNoDelay(fd, 1)
					_ = socket.SetKeepAlivePeriod(fd, 15)
					accept(fd, addrPort(sa))
				case errors.Is(err, unix.EAGAIN):
					return nil
				case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
				default:
					pause = min(max(2*pause, 10*time.Millisecond), acceptPauseMax)
					temporary(err, pause)
					select {
					case <-l.closed:
						return gerrors.ErrEngineShutdown
					case <-time.After(pause):
					}
					return nil
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, gerrors.ErrEngineShutdown) {
			temporary(err, 0)
		}
	}()
	return nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// Close stops accepting; no accept call runs after it.
func (l *Listener) Close() {
	l.once.Do(func() {
		close(l.closed)
		_ = l.poller.Trigger(queue.HighPriority, func(any) error { return gerrors.ErrEngineShutdown }, nil)
		l.done.Wait()
		_ = l.poller.Close()
		_ = l.tcp.Close()
	})
	l.done.Wait()
}
