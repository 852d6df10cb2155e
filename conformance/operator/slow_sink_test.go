package operator

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peregrine/conformance/harness"
)

// slowSink is where a server's log goes while nobody reads it.
type slowSink struct {
	flags []string
	// open returns the log once the server has opened it.
	open func(t *testing.T) io.ReadCloser
}

// fifoSink is a log file that is a pipe.
func fifoSink(t *testing.T) slowSink {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skipf("this system has no pipes with names: %v", err)
	}
	// Both ends are open before the server opens its own, which waits for a
	// reader, and a reader without any writer is at the end.
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	t.Cleanup(func() { reader.Close() })
	if err := reader.SetReadDeadline(time.Now().Add(linger)); err != nil {
		t.Fatal(err)
	}
	return slowSink{[]string{"-l", path}, func(t *testing.T) io.ReadCloser {
		first := make([]byte, 1)
		if _, err := io.ReadFull(reader, first); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(first), reader), reader}
	}}
}

// syslogSink is a syslog server behind a stream.
func syslogSink(t *testing.T, network, address string) slowSink {
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return slowSink{[]string{"-r", network + "://" + listener.Addr().String()}, func(t *testing.T) io.ReadCloser {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(linger)); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(64 << 10) // the less the kernel takes the sooner it is full
		}
		return conn
	}}
}

// TestSlowSink lets nobody read the log while every message is traced: traffic
// goes on, memory stays bounded, and the log tells what it left out. The end does
// not wait for the sink either.
func TestSlowSink(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) slowSink{
		"file":             fifoSink,
		"syslog over tcp":  func(t *testing.T) slowSink { return syslogSink(t, "tcp", "127.0.0.1:0") },
		"syslog over unix": func(t *testing.T) slowSink { return syslogSink(t, "unix", filepath.Join(t.TempDir(), "s")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := open(t)
			server := harness.Launch(t, harness.Peregrine, append(sink.flags, "-a", "127.0.0.1", "-p", "-1", "-DV")...)
			log := sink.open(t)
			t.Cleanup(func() { log.Close() })
			lines := bufio.NewReaderSize(log, 4<<10)
			address := awaitLine(t, lines, `Listening for client connections on (\S+)`)[1]
			awaitLine(t, lines, `Server is ready`)
			before := server.RSS()

			p := newPair(t, address)
			p.exchange(tracedMessages)
			server.Signal(syscall.SIGUSR1) // a sink that is stuck does not hold this up either
			p.exchange(100)
			if grown := server.PeakRSS() - before; grown > 96<<20 {
				t.Errorf("memory grew by %d MiB", grown>>20)
			}

			dropped, err := strconv.Atoi(awaitLine(t, lines, `Log sink too slow, (\d+) lines dropped`)[1])
			if err != nil || dropped == 0 || dropped > 5*tracedMessages {
				t.Errorf("%d lines dropped, %v", dropped, err)
			}
			// What is logged afterwards arrives.
			p.publish("after", []byte("the flood"))
			awaitLine(t, lines, `<<- \[PUB after 9\]`)

			p.exchange(tracedMessages)
			server.Signal(syscall.SIGTERM)
			if code := server.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// tracedMessages are about 30 MB of trace.
const tracedMessages = 50_000

// awaitLine reads lines until one matches.
func awaitLine(t *testing.T, lines *bufio.Reader, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		line, err := lines.ReadString('\n')
		if m := re.FindStringSubmatch(line); m != nil {
			return m
		}
		if err != nil {
			t.Fatalf("no line matches %q: %v", pattern, err)
		}
	}
}

// pair is a publisher and a subscriber.
type pair struct {
	t        *testing.T
	pub, sub net.Conn
	in       *bufio.Reader
}

func newPair(t *testing.T, address string) *pair {
	t.Helper()
	p := &pair{t: t}
	for _, c := range []*net.Conn{&p.pub, &p.sub} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(linger)); err != nil {
			t.Fatal(err)
		}
		*c = conn
	}
	p.write(p.pub, "CONNECT {\"verbose\":false}\r\n")
	p.write(p.sub, "CONNECT {\"verbose\":false}\r\nSUB foo 1\r\nPING\r\n")
	awaitText(t, p.sub, "PONG\r\n")
	p.in = bufio.NewReaderSize(p.sub, 256<<10)
	if err := p.sub.SetDeadline(time.Now().Add(linger)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) write(conn net.Conn, text string) {
	p.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) publish(subject string, data []byte) {
	p.t.Helper()
	p.write(p.pub, fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(data), data))
}

// exchange passes count messages on.
func (p *pair) exchange(count int) {
	p.t.Helper()
	data := bytes.Repeat([]byte("d"), 100)
	message := fmt.Sprintf("PUB foo %d\r\n%s\r\n", len(data), data)
	delivery := fmt.Sprintf("MSG foo 1 %d\r\n%s\r\n", len(data), data)
	written := make(chan error, 1)
	go func() {
		const batch = 100
		var err error
		for left := count; left > 0 && err == nil; left -= batch {
			_, err = io.WriteString(p.pub, strings.Repeat(message, min(left, batch)))
		}
		written <- err
	}()
	got := make([]byte, len(delivery))
	for i := range count {
		if _, err := io.ReadFull(p.in, got); err != nil || string(got) != delivery {
			p.t.Fatalf("message %d of %d: %q, %v", i, count, got, err)
		}
	}
	if err := <-written; err != nil {
		p.t.Fatal(err)
	}
}
