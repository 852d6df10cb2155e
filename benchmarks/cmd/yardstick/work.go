package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// once does n messages' work on a fresh server at path.
func (w work) once(path string, n int) (outcome, cpuSeconds, error) {
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
		return w.do(addr, n)
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

func (t traffic) do(addr string, n int) (outcome, error) {
	each := n / t.pubs / max(1, t.subs)
	delivered := int64(each*t.pubs) * int64(len("MSG yard.000 1 ")+len(fmt.Sprint(t.payload))+4+t.payload)
	var all sync.WaitGroup
	errs := make(chan error, t.pubs+t.subs)
	attempt := func(body func() error) {
		all.Go(func() {
			if err := body(); err != nil {
				errs <- err
			}
		})
	}
	for range t.subs {
		c, err := connect(addr, "SUB yard.000 1\r\n")
		if err != nil {
			return outcome{}, err
		}
		defer c.Close()
		attempt(func() error {
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(struct{ io.Reader }{c}, delivered), make([]byte, 128<<10))
			return err
		})
	}
	var conns []net.Conn
	for range t.pubs {
		c, err := connect(addr, "")
		if err != nil {
			return outcome{}, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	start := time.Now()
	for _, c := range conns {
		attempt(func() error { return t.publish(c, each) })
	}
	all.Wait()
	o := outcome{messages: each * t.pubs * max(1, t.subs), seconds: time.Since(start).Seconds()}
	select {
	case err := <-errs:
		return o, err
	default:
		return o, nil
	}
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

// requests makes n requests of 64 B one after the other with the stock client.
func requests(addr string, n int) (outcome, error) {
	responder, err := nats.Connect("nats://" + addr)
	if err != nil {
		return outcome{}, err
	}
	defer responder.Close()
	requester, err := nats.Connect("nats://" + addr)
	if err != nil {
		return outcome{}, err
	}
	defer requester.Close()
	if _, err := responder.Subscribe("yard", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
		return outcome{}, err
	}
	if err := responder.Flush(); err != nil {
		return outcome{}, err
	}
	payload := make([]byte, 64)
	took := make([]float64, n)
	start := time.Now()
	for i := range took {
		before := time.Now()
		if _, err := requester.Request("yard", payload, 5*time.Second); err != nil {
			return outcome{}, err
		}
		took[i] = time.Since(before).Seconds()
	}
	o := outcome{messages: n, seconds: time.Since(start).Seconds()}
	slices.Sort(took)
	o.median = took[n/2]
	return o, nil
}
