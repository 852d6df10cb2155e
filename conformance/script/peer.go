package script

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"peregrine/conformance/harness"
)

// patience bounds every step.
const patience = harness.Patience

// errStuck is returned when a step waited for patience in vain.
var errStuck = errors.New("nothing more came")

// peer is one connection of a script. A goroutine reads all the time, so that a
// server that answers while we write cannot block both sides.
type peer struct {
	conn *net.TCPConn

	wasReset bool // by us: whether something came before is chance

	mu      sync.Mutex
	in      []byte // received, not yet taken
	ended   bool
	arrived chan struct{} // closed and replaced on every change
}

func dial(addr string) (*peer, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: conn.(*net.TCPConn), arrived: make(chan struct{})}
	go p.read()
	return p, nil
}

func (p *peer) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(buf)
		p.mu.Lock()
		p.in = append(p.in, buf[:n]...)
		p.ended = err != nil
		close(p.arrived)
		p.arrived = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// write sends b. That the server has closed is found out by reading.
func (p *peer) write(b []byte) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return nil
	}
	_, err := p.conn.Write(b)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("the server stopped reading: %w", err)
	}
	return nil
}

// writePieces sends each piece after the server has read the one before.
func (p *peer) writePieces(pieces [][]byte) error {
	for _, piece := range pieces {
		if err := p.write(piece); err != nil {
			return err
		}
		if err := awaitRead(p.conn, patience); err != nil {
			return err
		}
	}
	return nil
}

// through takes the bytes up to and including stop. ended means that the
// connection closed first: then all bytes are taken.
func (p *peer) through(stop []byte) (got []byte, ended bool, err error) {
	return p.take(func(in []byte) int {
		if i := bytes.Index(in, stop); i >= 0 {
			return i + len(stop)
		}
		return -1
	})
}

// rest takes everything until the connection ends.
func (p *peer) rest() (got []byte, err error) {
	got, _, err = p.take(func([]byte) int { return -1 })
	return got, err
}

// take waits until enough of in has arrived; enough returns its length or −1.
func (p *peer) take(enough func(in []byte) int) (got []byte, ended bool, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		n := enough(p.in)
		ended, arrived := p.ended, p.arrived
		if n < 0 && ended {
			n = len(p.in)
		} else if n >= 0 {
			ended = false
		}
		if n >= 0 {
			got = bytes.Clone(p.in[:n])
			p.in = p.in[n:]
			p.mu.Unlock()
			return got, ended, nil
		}
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-timer.C:
			return p.leftover(), false, errStuck
		}
	}
}

// leftover takes what has arrived.
func (p *peer) leftover() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.in
	p.in = nil
	return got
}

// reset closes with a TCP reset.
func (p *peer) reset() error {
	p.wasReset = true
	if err := p.conn.SetLinger(0); err != nil {
		return err
	}
	return p.conn.Close()
}
