//go:build !windows && !plan9

package logging

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Each line is a datagram with the severity of its level.
func TestRemoteSyslog(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{RemoteSyslog: "udp://" + conn.LocalAddr().String(), SyslogTag: "tag", Debug: true, Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Noticef("notice")
	l.Warnf("warning\nof two lines")
	l.Errorf("error")
	l.Debugf("")
	l.Tracef("trace")
	l.Close()
	buf := make([]byte, 4096)
	for _, want := range []string{`<5>`, `<4>`, `<3>`, `<7>`, `<5>`} {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{"<5>": "(notice|trace)", "<4>": `warning\\nof two lines`, "<3>": "error", "<7>": ""}
		shape := fmt.Sprintf(`^%s\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+ \S+ tag\[%d\]: %s\n$`, want, os.Getpid(), texts[want])
		if got := string(buf[:n]); !regexp.MustCompile(shape).MatchString(got) {
			t.Errorf("%q does not have the shape %s", got, shape)
		}
	}
}

func TestSyslogErrors(t *testing.T) {
	check := func(url, want string) {
		t.Helper()
		if l, err := Open(Options{RemoteSyslog: url}); err == nil {
			l.Close()
			t.Errorf("%q is a syslog", url)
		} else if !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%q: %v, want %s", url, err, want)
		}
	}
	check("http://localhost:1", `^error invalid network type: "http"$`)
	check("unix://"+filepath.Join(t.TempDir(), "none"), `^error connecting to syslog: "dial unix .*none: connect: no such file or directory"$`)
	check("udp://[::1", `missing ']' in host`)
}

// A file wins over syslog, as in the reference.
func TestSinkPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l, err := Open(Options{File: path, RemoteSyslog: "http://nobody", Syslog: true, NoTime: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Noticef("here")
	l.Close()
	expectFile(t, path, "[%d] [INF] here\n")
}
