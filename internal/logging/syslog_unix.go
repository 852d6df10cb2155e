//go:build !windows && !plan9

package logging

import (
	"bytes"
	"errors"
	"fmt"
	"log/syslog"
	"net/url"
	"os"
	"path/filepath"
)

// openSyslog connects to the syslog that o asks for. Facilities are the
// reference's: daemon on this machine, kernel on another, since it sets none.
func openSyslog(o Options) (destination, error) {
	tag := o.SyslogTag
	if tag == "" {
		tag = filepath.Base(os.Args[0])
	}
	var network, address string
	facility := syslog.LOG_DAEMON
	if o.RemoteSyslog != "" {
		u, err := url.Parse(o.RemoteSyslog)
		if err != nil {
			return destination{}, err
		}
		switch network, facility = u.Scheme, syslog.LOG_KERN; network {
		case "udp", "tcp":
			address = u.Host
		case "unix":
			address = u.Path
		default:
			return destination{}, fmt.Errorf("error invalid network type: %q", network)
		}
	}
	w, err := syslog.Dial(network, address, facility|syslog.LOG_NOTICE, tag)
	if err != nil {
		return destination{}, fmt.Errorf("error connecting to syslog: %q", err.Error())
	}
	y := newLayout(o, false)
	y.syslog = true
	return destination{sink: syslogSink{w}, layout: y, owned: true}, nil
}

// severities are how the reference sends each level.
var severities = [...]func(*syslog.Writer, string) error{
	levelNotice: (*syslog.Writer).Notice,
	levelWarn:   (*syslog.Writer).Warning,
	levelError:  (*syslog.Writer).Err,
	levelFatal:  (*syslog.Writer).Crit,
	levelDebug:  (*syslog.Writer).Debug,
	levelTrace:  (*syslog.Writer).Notice,
}

// syslogSink sends lines that begin with their level, each by itself.
type syslogSink struct{ writer *syslog.Writer }

// Write implements io.Writer for whole lines.
func (s syslogSink) Write(lines []byte) (int, error) {
	var failures []error
	for line := range bytes.Lines(lines) {
		text := bytes.TrimSuffix(line[1:], []byte("\n"))
		if err := severities[line[0]](s.writer, string(text)); err != nil && len(failures) == 0 {
			failures = append(failures, err)
		}
	}
	return len(lines), errors.Join(failures...)
}

// Close implements io.Closer.
func (s syslogSink) Close() error { return s.writer.Close() }
