package loop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testTLS returns what a server and a client need to trust each other. The
// certificate is good at any time, also at that of a bubble.
var testTLS = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true},
		&tls.Config{RootCAs: pool, ServerName: "test"}
})

// simPeer is the far side of a socket that uses TLS.
type simPeer struct {
	k    *simSock
	conn *tls.Conn
	end  error // of what the loop has sent

	mu      sync.Mutex // guards the rest
	in, out []byte
	wake    chan struct{}
	shaking bool
	err     error // of the handshake
}

func (p *simPeer) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		n := copy(b, p.in)
		p.in = p.in[n:]
		shaking := p.shaking
		p.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if !shaking {
			return 0, errNoMore
		}
		if _, open := <-p.wake; !open {
			return 0, io.ErrUnexpectedEOF
		}
	}
}

func (p *simPeer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, b...)
	return len(b), nil
}

func (p *simPeer) Close() error                     { return nil }
func (p *simPeer) LocalAddr() net.Addr              { return wireAddr{} }
func (p *simPeer) RemoteAddr() net.Addr             { return wireAddr{} }
func (p *simPeer) SetDeadline(time.Time) error      { return nil }
func (p *simPeer) SetReadDeadline(time.Time) error  { return nil }
func (p *simPeer) SetWriteDeadline(time.Time) error { return nil }

// take gets ciphertext from the loop and, after the handshake, decrypts it.
func (p *simPeer) take(b []byte) {
	p.mu.Lock()
	p.in = append(p.in, b...)
	shaking := p.shaking
	p.mu.Unlock()
	if shaking {
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	p.open()
}

func (p *simPeer) open() {
	var buf [8 << 10]byte
	for p.end == nil {
		n, err := p.conn.Read(buf[:])
		p.k.got = append(p.k.got, buf[:n]...)
		if errors.Is(err, errNoMore) {
			return
		}
		p.end = err
	}
}

// move gives the socket what the peer has sent.
func (p *simPeer) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.k.in = append(p.k.in, p.out...)
	p.out = nil
}

// send is what the peer of k says, in clear or not.
func (k *simSock) send(f []byte) {
	if k.peer == nil {
		k.in = append(k.in, f...)
		return
	}
	if _, err := k.peer.conn.Write(f); err != nil {
		k.s.fail("conn %d: the peer cannot send: %v", k.index, err)
	}
	k.peer.move()
}

// startTLS begins the handshake on both sides. The loop's side is o.
func (k *simSock) startTLS(o *TLS, client *tls.Config) *simPeer {
	k.s.sleeping.Store(true)
	p := &simPeer{k: k, wake: make(chan struct{}, 1), shaking: true}
	k.peer = p
	k.next = make([]uint32, len(k.s.engines))
	if o.Client {
		p.conn = tls.Server(p, client)
	} else {
		p.conn = tls.Client(p, client)
	}
	k.conn.loop.Post(func() { k.conn.StartTLS(o, nil) })
	k.s.wake(k.conn.loop.index)
	go func() {
		err := p.conn.Handshake()
		p.mu.Lock()
		p.err, p.shaking = err, false
		p.mu.Unlock()
	}()
	return p
}

// pump lets the handshake go on until both sides wait, reading at most step
// bytes at once. The socket takes everything.
func (p *simPeer) pump(step int) {
	k := p.k
	k.window = wide
	for {
		synctest.Wait()
		p.move()
		switch i := k.conn.loop.index; {
		case k.s.canWake(i):
			k.s.wake(i)
		case k.canRead():
			k.read(step)
		default:
			p.mu.Lock()
			done := !p.shaking
			p.mu.Unlock()
			if done && p.err == nil {
				p.open()
				k.parse()
			}
			return
		}
	}
}

// secure does a whole handshake.
func (k *simSock) secure(o *TLS, client *tls.Config, step int) {
	k.s.t.Helper()
	p := k.startTLS(o, client)
	window := k.window
	p.pump(step)
	k.window = window
	k.s.sleeping.Store(false)
	if k.handler.secured != 1 || k.handler.secureErr != nil || p.err != nil || !k.conn.tls.open {
		k.s.t.Fatalf("handshake: Secured called %d times with %v, the peer has %v", k.handler.secured, k.handler.secureErr, p.err)
	}
}

// giveUp ends the peer of a handshake that does not.
func (p *simPeer) giveUp() {
	close(p.wake)
	synctest.Wait()
	p.k.s.sleeping.Store(false)
}

func testServer() (*TLS, *tls.Config) {
	server, client := testTLS()
	return &TLS{Config: server, Timeout: 2 * time.Second}, client
}

func simTLS(t *testing.T, loops int, body func(s *sim)) { t.Helper(); simRun(t, loops, 1, 0, body) }

// pumpOnce is one step of pump.
func (p *simPeer) pumpOnce() {
	k := p.k
	k.window = wide
	synctest.Wait()
	if i := k.conn.loop.index; k.s.canWake(i) {
		k.s.wake(i)
		return
	}
	p.mu.Lock()
	done := !p.shaking
	p.mu.Unlock()
	if done {
		return
	}
	p.move()
	if k.canRead() {
		k.read(wide)
	}
}

// window lets n bytes of the peer's handshake through and no more.
func (p *simPeer) window(n int) {
	k := p.k
	k.window = wide
	for sent := 0; ; {
		synctest.Wait()
		p.move()
		switch i := k.conn.loop.index; {
		case k.s.canWake(i):
			k.s.wake(i)
		case sent < n && k.canRead():
			m := min(n-sent, len(k.in))
			sent += m
			if rest := k.in[m:]; sent == n {
				// The record that the window cuts is never whole.
				if len(rest) == 0 && m > 0 {
					m--
				}
				k.in = k.in[:m]
				if m > 0 {
					k.read(m)
				}
				k.in = nil
				continue
			}
			k.read(m)
		default:
			k.in = nil
			k.s.sleeping.Store(false)
			return
		}
	}
}
