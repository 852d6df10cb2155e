package server

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"peregrine/loop"
)

// churnHandshakes is how many handshakes TestTLSChurn does; PEREGRINE_HANDSHAKES
// sets another number.
const churnHandshakes = 400

// TestTLSChurn: clients come and go in every way that a handshake and a session
// can end. Afterwards descriptors, goroutines and buffers are back.
func TestTLSChurn(t *testing.T) {
	rounds := churnHandshakes
	if text := os.Getenv("PEREGRINE_HANDSHAKES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	a := newAuthority(t)
	s, _ := startTLSServer(t, a, func(o *Options) { o.Loops, o.TLS.Timeout, o.Debug = 3, time.Minute, false })
	stays := secureConnect(t, s, a.client())
	hello := clientHello(t, a)
	chunks, shared := loop.BuffersInUse()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	const workers = 4
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for round := w; round < rounds; round += workers {
				churn(t, s, a, hello, round)
			}
		})
	}
	wg.Wait()
	stays.sync()
	eventually(t, "nothing is left", func() { time.Sleep(time.Millisecond) }, func() bool {
		c, b := loop.BuffersInUse()
		return s.Stats().Connections == 1 && c == chunks && b == shared && runtime.NumGoroutine() <= goroutines && openFiles(t) <= files
	})
	stays.sync()
}

// churn is one client.
func churn(t *testing.T, s *Server, a *authority, hello []byte, round int) {
	nc, err := netDial(s)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(clientTimeout))
	line := make([]byte, 1)
	for line[0] != '\n' {
		if _, err := nc.Read(line); err != nil {
			t.Error(err)
			return
		}
	}
	switch round % 8 {
	case 0: // half a hello
		_, _ = nc.Write(hello[:round%len(hello)])
		return
	case 1: // a hello and no more
		_, _ = nc.Write(hello)
		return
	case 2: // no hello
		_, _ = io.WriteString(nc, "CONNECT {}\r\n")
		_, _ = io.Copy(io.Discard, nc)
		return
	case 3: // a reset in the middle
		_, _ = nc.Write(hello)
		_, _ = nc.Read(line)
		_ = nc.(*net.TCPConn).SetLinger(0)
		return
	}
	c := tls.Client(nc, a.client())
	if err := c.Handshake(); err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB foo 1\r\nPUB foo 20000\r\n")
	switch round % 8 {
	case 4: // half a message
		_, _ = c.Write(make([]byte, 19_000))
		return
	case 5: // no close_notify
		_, _ = c.Write(append(make([]byte, 20_000), "\r\nPING\r\n"...))
		_, _ = c.Read(line)
		return
	case 6: // closed by the server
		_, _ = io.WriteString(c, string(make([]byte, 20_000))+"\r\nnonsense\r\n")
		_, _ = io.Copy(io.Discard, c)
	}
	_ = c.Close()
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("this system does not list descriptors: %v", err)
	}
	return len(list)
}
