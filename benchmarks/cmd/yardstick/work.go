package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
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
	before := busy()
	began := time.Now()
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
	others = append(others, max(0, (busy()-before-cpu).Seconds()/time.Since(began).Seconds()))
	return o, cpuSeconds(cpu.Seconds()), err
}

// others are how many cores' worth of CPU other processes used during each run.
var others []float64

// busy is the CPU time that all processes of the machine have used, without this
// one: 0 where the kernel does not say.
func busy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var ticks int64
	for i, word := range strings.Fields(line) {
		if i == 4 || i == 5 || i == 0 || i > 8 { // the name, idle, waiting for disks; guests are in user
			continue
		}
		n, _ := strconv.ParseInt(word, 10, 64)
		ticks += n
	}
	var own syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) != nil {
		return 0
	}
	return time.Duration(ticks)*10*time.Millisecond - time.Duration(own.Utime.Nano()+own.Stime.Nano())
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
	under := newWindow(m.window)
	if t.subs == 0 {
		under = newWindow(0)
	}
	var all errorGroup
	if m.threads == oneThread {
		all.attempt(func() error { return under.end(readTogether(subs, delivered, under)) })
	} else {
		for _, c := range subs {
			all.attempt(func() error { return under.end(readAlone(c, delivered, under)) })
		}
	}
	start := time.Now()
	for _, c := range pubs {
		all.attempt(func() error {
			var w io.Writer = c
			if m.threads == oneThread {
				p, err := newPlain(c)
				if err != nil {
					return err
				}
				defer p.close()
				w = p
			}
			if err := t.publish(w, each, under, delivered/int64(each*t.pubs)*int64(t.subs)); err != nil {
				return err
			}
			return pingPong(c)
		})
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

// publish sends n messages, each of which is cost bytes of deliveries.
func (t traffic) publish(c io.Writer, n int, under *window, cost int64) error {
	one := fmt.Appendf(nil, "PUB yard.000 %d\r\n%s\r\n", t.payload, strings.Repeat("y", t.payload))
	block := 32 << 10
	if t.payload >= 4<<10 {
		block = 128 << 10
	}
	many := max(1, block/len(one))
	frames := bytes.Repeat(one, many)
	for n > 0 {
		k := min(n, many)
		under.add(int64(k) * cost)
		if _, err := c.Write(frames[:k*len(one)]); err != nil {
			return err
		}
		n -= k
	}
	return nil
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
