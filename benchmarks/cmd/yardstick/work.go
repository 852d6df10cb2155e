package main

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// once does n messages' work on a fresh server at path.
func (w work) once(path string, n int, m model) (outcome, cpuSeconds, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return outcome{}, 0, err
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "-a", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		return outcome{}, 0, err
	}
	o, err := func() (outcome, error) {
		for deadline := time.Now().Add(5 * time.Second); ; {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				return outcome{}, fmt.Errorf("%s does not listen", path)
			}
			time.Sleep(5 * time.Millisecond)
		}
		return w.do(addr, n, m)
	}()
	cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
	cmd.Wait()
	kill.Stop()
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return o, cpuSeconds(cpu.Seconds()), err
}

// traffic is publishers on one subject, whose messages every subscriber gets.
// One message is one delivery, or one publish when nobody listens.
type traffic struct{ pubs, subs, payload int }

func (t traffic) do(addr string, n int, m model) (outcome, error) {
	each := n / t.pubs / max(1, t.subs)
	delivered := int64(each*t.pubs) * int64(len("MSG yard.000 1 ")+len(fmt.Sprint(t.payload))+4+t.payload)
	subs, err := connectMany(addr, "SUB yard.000 1\r\n", t.subs)
	defer closeAll(subs)
	if err != nil {
		return outcome{}, err
	}
	pubs, err := connectMany(addr, "", t.pubs)
	defer closeAll(pubs)
	if err != nil {
		return outcome{}, err
	}
	var all errorGroup
	if m == oneThread {
		all.attempt(func() error { return readTogether(subs, delivered) })
	} else {
		for _, c := range subs {
			all.attempt(func() error { return readAlone(c, delivered) })
		}
	}
	start := time.Now()
	for _, c := range pubs {
		all.attempt(func() error { return t.publish(c, each) })
	}
	err = all.wait()
	return outcome{messages: each * t.pubs * max(1, t.subs), seconds: time.Since(start).Seconds()}, err
}

// errorGroup runs functions side by side and keeps the first error.
type errorGroup struct {
	work  sync.WaitGroup
	once  sync.Once
	first error
}

func (g *errorGroup) attempt(body func() error) {
	g.work.Go(func() {
		if err := body(); err != nil {
			g.once.Do(func() { g.first = err })
		}
	})
}

func (g *errorGroup) wait() error {
	g.work.Wait()
	return g.first
}

func (t traffic) publish(c net.Conn, n int) error {
	one := fmt.Appendf(nil, "PUB yard.000 %d\r\n%s\r\n", t.payload, strings.Repeat("y", t.payload))
	many := max(1, (32<<10)/len(one))
	block := bytes.Repeat(one, many)
	for n > 0 {
		k := min(n, many)
		if _, err := c.Write(block[:k*len(one)]); err != nil {
			return err
		}
		n -= k
	}
	return pingPong(c)
}

// connect logs in and sends more before the first PONG.
func connect(addr, more string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.Write([]byte(`CONNECT {"verbose":false,"pedantic":false}` + "\r\n" + more)); err != nil {
		return nil, err
	}
	return c, pingPong(c)
}

func pingPong(c net.Conn) error {
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte("PONG\r\n")) {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		seen = append(seen, buf[:n]...)
	}
	return nil
}

func connectMany(addr, more string, n int) (all []net.Conn, err error) {
	for range n {
		c, err := connect(addr, more)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
